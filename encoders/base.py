"""What an encoder promises, and what a caller may set about one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from lsr.arguments import listed, real, whole, whole_or_none
from lsr.encoders.methods import Precision
from lsr.errors import EncoderError, VectorError
from lsr.vectors import SparseVectors

OBSERVE_TEXTS = 256  # encoded at once by `Encoder.observe`, so that progress is seen

Advance = Callable[[int], object]

# Of a term: whether the text contains it, or an encoder added it.
MatchKind = Literal["literal", "expansion"]


class Vocabulary(Protocol):
    """The words behind term ids 0 to len - 1."""

    def __len__(self) -> int: ...

    def __getitem__(self, term: int, /) -> str: ...

    def find(self, word: str) -> int | None:
        """The id of a word, or None."""
        ...


class Encoder(ABC):
    """Turns texts into sparse vectors over one vocabulary.

    Building an index takes steps, so that an encoder may depend on statistics of the
    collection: every batch goes through `observe`; when all have been seen, `settle` makes the
    statistics final; then what `observe` returned goes through `weigh`.  An encoder without
    statistics does all in `observe`.  A build that goes on after an interruption shows texts
    whose vectors were kept to `recall` instead of `observe`.

    Encoding raises `EncoderError` for what is not a text; see `check_texts`.
    """

    name: str
    vocabulary: Vocabulary

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the vectors, as JSON values: recorded in an index, compared at search.

        Always holds "kind" (which encoder restores it) and "name".
        """

    @abstractmethod
    def encode_documents(self, texts: Iterable[str]) -> SparseVectors:
        """Encode documents, one row a text."""

    @abstractmethod
    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """Encode queries, one row a text."""

    @abstractmethod
    def literal_terms(self, text: str) -> npt.NDArray[np.uint32]:
        """The distinct terms a text itself contains, ascending, as far as it is read."""

    @property
    def gathers_statistics(self) -> bool:
        """Whether what `observe` returns depends on the texts before, not on each alone."""
        return False

    def observe(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        """First step of building: encode what needs no statistics and gather statistics.

        Give many texts at once, some thousand: models sort them by length and spread them over
        threads.  `advance` is told how many more texts are done, each time that some are.
        """
        texts = check_texts(texts)
        vectors = []
        for start in range(0, len(texts), OBSERVE_TEXTS):
            piece = texts[start : start + OBSERVE_TEXTS]
            vectors.append(self.encode_documents(piece))
            if advance is not None:
                advance(len(piece))
        return SparseVectors.concatenate(vectors)

    def recall(self, texts: Sequence[str]) -> None:
        """Gather the statistics of texts whose vectors are kept from an earlier run.

        Leaves the encoder as `observe` would, so that all that follows is the same.
        """
        if self.gathers_statistics:
            self.observe(texts)

    def settle(self, observed: Callable[[], Iterable[SparseVectors]]) -> None:
        """Second step of building: make statistics final.

        `observed()` goes through all that `observe` returned, in order, in batches of any size.
        """
        return  # for most, they are

    def weigh(self, vectors: SparseVectors) -> SparseVectors:
        """Third step of building: the final weights of what `observe` returned."""
        return vectors

    def reweigh(self, weights: Mapping[str, float] | str) -> None:
        """Change the weights of the parts, for queries from now on; see `load_encoder`.

        Raises `EncoderError` for weights that cannot be, and when there is but one part.
        """
        raise EncoderError(
            f"the encoder {self.name!r} has no parts to weigh; leave the weights out, or join "
            'encoders by "+"'
        )

    def term_columns(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays with one value a term that must be kept with the vocabulary."""
        return {}

    def decode(self, vector: SparseVectors, top: int | None = None) -> list[tuple[str, float]]:
        """The words and weights of one vector, strongest first, at most `top` of them."""
        if len(vector) != 1:
            raise VectorError(f"decode takes one row, not {len(vector)}; index the vectors first")
        most = whole_or_none("top", top, 0)
        order = np.lexsort((vector.terms, -vector.weights))[:most]
        return [(self.vocabulary[int(vector.terms[i])], float(vector.weights[i])) for i in order]


@dataclass(frozen=True)
class Settings:
    """What a caller may set; an encoder reads those that are part of it.

    Attributes:
        max_length: tokens of a text that are read, special ones included.
        pooling: "max" or "sum" over positions; None leaves it to the checkpoint.
        document_terms, query_terms: keep only so many of the strongest terms.
        prune_ratio: drop a document's weights of at most this part of its largest; None
            leaves it to the checkpoint.
        device: where a model runs, such as "cpu" or "cuda:0"; None chooses.
        batch_size: most documents a model sees at once; None goes by their tokens.
        weights: of the parts of an encoder of several; None weighs them alike.
        precision: of the products of a model's body, "fp32", "bf16" or "int8".
        threads: that run models; None is one a processor.
        max_memory: bytes this process shall take at most while it encodes; None for no limit.

    Raises `EncoderError` for a value that cannot be.
    """

    max_length: int = 256
    pooling: Literal["max", "sum"] | None = None
    document_terms: int | None = None
    query_terms: int | None = None
    prune_ratio: float | None = None
    device: str | None = None
    batch_size: int | None = None
    weights: Mapping[str, float] | str | None = None
    precision: Precision = "fp32"
    threads: int | None = None
    max_memory: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "max_length",
            "document_terms",
            "query_terms",
            "batch_size",
            "threads",
            "max_memory",
        ):
            value = getattr(self, name)
            if value is not None or name == "max_length":
                object.__setattr__(self, name, whole(name, value, error=EncoderError))
        if self.prune_ratio is not None:
            ratio = real("prune_ratio", self.prune_ratio, 0, 1, error=EncoderError)
            object.__setattr__(self, "prune_ratio", ratio)
        if self.device is not None:  # torch has a type of its own for it
            object.__setattr__(self, "device", str(self.device))
        if self.pooling not in (None, "max", "sum"):
            raise EncoderError(f'pooling must be "max" or "sum", not {self.pooling!r}')
        if self.precision not in get_args(Precision):
            raise EncoderError(
                f"precision must be one of {', '.join(get_args(Precision))}, not {self.precision!r}"
            )


def check_texts(texts: Iterable[str]) -> list[str]:
    """The texts as a list, also those of NumPy and Arrow.

    Raises `EncoderError` naming the first item that is no text, or not Unicode text.
    """
    if isinstance(texts, str):
        raise EncoderError("give a list of texts, not one text")
    checked = []
    for number, text in enumerate(listed("texts", texts, error=EncoderError)):
        if type(text) is not str:
            text = _plain(text, number)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EncoderError(
                f"text {number} of the batch has a lone surrogate ({text[error.start]!a}) at "
                f"character {error.start}, which is not Unicode text; repair or remove it"
            ) from None
        checked.append(text)
    return checked


def _plain(text: Any, number: int) -> str:
    value = text.as_py() if hasattr(text, "as_py") else text
    if not isinstance(value, str):
        raise EncoderError(f"text {number} of the batch is {type(text).__name__}, not a text")
    return str(value)


def strongest(vectors: SparseVectors, count: int | None) -> SparseVectors:
    """Keep the `count` strongest terms of each row; None keeps all."""
    return vectors if count is None else vectors.strongest(count)

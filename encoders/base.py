"""The contract of encoders, and the settings they are loaded and restored with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from lsr.arguments import listed, real, whole, whole_or_none
from lsr.encoders.methods import Precision
from lsr.errors import EncoderError, VectorError
from lsr.vectors import SparseVectors

COLLECT_TEXTS = 256  # encoded at once by `Encoder.collect`, so that progress is seen

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


class WordList:
    """A vocabulary in memory."""

    def __init__(self, words: list[str], terms: dict[str, int]) -> None:
        self._words, self._terms = words, terms

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, term: int, /) -> str:
        return self._words[term]

    def find(self, word: str) -> int | None:
        """The id of a word, or None."""
        return self._terms.get(word)


class Encoder(ABC):
    """Turns texts into sparse vectors over one vocabulary.

    An index is built in steps, so that an encoder may depend on statistics of the collection:
    every batch of documents goes through `collect`; after the last, `finalize` completes the
    statistics; then the vectors that `collect` returned go through `apply_statistics`.  An
    encoder without statistics does everything in `collect`.  A resumed build passes texts whose
    vectors were kept to `replay` instead of `collect`.

    Encoding raises `EncoderError` for anything that is not a text; see `check_texts`.
    """

    name: str
    vocabulary: Vocabulary

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything that decides the vectors, as JSON values; recorded in an index.

        Always holds "kind", a key of `lsr.encoders.registry.KINDS`, and "name".
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
        """Whether the result of `collect` depends on earlier texts."""
        return False

    def collect(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        """First step of building: encode all that needs no statistics, and gather statistics.

        Pass some thousand texts at once: models sort them by length and spread them over
        threads.  `advance` is called with the number of further texts that are done.
        """
        texts = check_texts(texts)
        vectors = []
        for start in range(0, len(texts), COLLECT_TEXTS):
            piece = texts[start : start + COLLECT_TEXTS]
            vectors.append(self.encode_documents(piece))
            if advance is not None:
                advance(len(piece))
        return SparseVectors.concatenate(vectors)

    def replay(self, texts: Sequence[str]) -> None:
        """Gather the statistics of texts whose vectors are kept from an earlier run.

        Leaves the encoder in the state that `collect` would.
        """
        if self.gathers_statistics:
            self.collect(texts)

    def finalize(self, collected: Callable[[], Iterable[SparseVectors]]) -> None:
        """Second step of building: complete the statistics.

        `collected()` iterates over everything `collect` returned, in order, in batches of any
        size.
        """
        return  # most encoders have none

    def apply_statistics(self, vectors: SparseVectors) -> SparseVectors:
        """Third step of building: the final weights of vectors from `collect`."""
        return vectors

    def set_part_weights(self, weights: Mapping[str, float] | str) -> None:
        """Change the weights of the parts for later queries; see `load_encoder`.

        Raises `EncoderError` for invalid weights, and for an encoder without parts.
        """
        raise EncoderError(
            f"the encoder {self.name!r} has no parts to weigh; leave the weights out, or join "
            'encoders by "+"'
        )

    def term_columns(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays with one value per term, stored with the vocabulary."""
        return {}

    def decode(self, vector: SparseVectors, top: int | None = None) -> list[tuple[str, float]]:
        """The words and weights of one vector, strongest first, at most `top` of them."""
        if len(vector) != 1:
            raise VectorError(f"decode takes one row, not {len(vector)}; index the vectors first")
        most = whole_or_none("top", top, 0)
        order = np.lexsort((vector.terms, -vector.weights))[:most]
        return [(self.vocabulary[int(vector.terms[i])], float(vector.weights[i])) for i in order]


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where and how fast encoding runs, which changes no vector; see `lsr.load_encoder`.

    Raises `EncoderError` for an invalid value.
    """

    device: str | None = None
    threads: int | None = None
    batch_size: int | None = None
    max_memory: int | None = None

    def __post_init__(self) -> None:
        self._check_whole("threads", "batch_size", "max_memory")
        if self.device is not None:  # torch has a type of its own for it
            object.__setattr__(self, "device", str(self.device))

    def _check_whole(self, *names: str) -> None:
        for name in names:
            value = whole_or_none(name, getattr(self, name), error=EncoderError)
            object.__setattr__(self, name, value)

    @property
    def where(self) -> Where:
        """These four settings alone."""
        return Where(**{field.name: getattr(self, field.name) for field in fields(Where)})


@dataclass(frozen=True, kw_only=True)
class Settings(Where):
    """The keyword arguments of `lsr.load_encoder`, where they are documented.

    An encoder ignores those that do not apply to it.  Raises `EncoderError` for an invalid value.
    """

    max_length: int = 256
    pooling: Literal["max", "sum"] | None = None
    document_terms: int | None = None
    query_terms: int | None = None
    prune_ratio: float | None = None
    weights: Mapping[str, float] | str | None = None
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole("document_terms", "query_terms")
        object.__setattr__(
            self, "max_length", whole("max_length", self.max_length, error=EncoderError)
        )
        if self.prune_ratio is not None:
            ratio = real("prune_ratio", self.prune_ratio, 0, 1, error=EncoderError)
            object.__setattr__(self, "prune_ratio", ratio)
        if self.pooling not in (None, "max", "sum"):
            raise EncoderError(f'pooling must be "max" or "sum", not {self.pooling!r}')
        if self.precision not in get_args(Precision):
            raise EncoderError(
                f"precision must be one of {', '.join(get_args(Precision))}, not {self.precision!r}"
            )


@dataclass(frozen=True)
class Recorded:
    """An encoder as an index or a pickle records it.

    Attributes:
        identity: its `Encoder.identity`.
        vocabulary: its words, one per term.
        term_columns: its `Encoder.term_columns()`.
        source: a name as for `lsr.load_encoder` that replaces the recorded location of a model.
    """

    identity: Mapping[str, Any]
    vocabulary: Vocabulary
    term_columns: Mapping[str, npt.NDArray[Any]]
    source: str | None = None


def check_texts(texts: Iterable[str]) -> list[str]:
    """The texts as a list, also those of NumPy and Arrow.

    Raises `EncoderError` naming the first item that is not text, or not Unicode.
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

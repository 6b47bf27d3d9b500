"""Dense encoders: text to one vector of fixed size, by a folder of sentence-transformers.

Models like BERT run on a CPU in our kernels, without torch and without padding, as the sparse
ones do (`lsr.encoders.models.bert`); a text's vector never depends on the texts beside it.  Other
models, and documents where there is a GPU, are left to sentence-transformers
(`lsr.encoders.dense.library`); models with rounded weights run in the kernels alone.  Vectors are
compared by their inner product: where a folder says cosine, or nothing, they have unit length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from threading import Lock
from typing import Any

import numpy as np

from lsr.arguments import named, whole_or_none
from lsr.data.builtin import DENSE_MODELS
from lsr.encoders.base import Advance, Where, check_texts
from lsr.encoders.checkpoints.checkpoint import Checkpoint, check_unchanged, content_hash, find
from lsr.encoders.dense.layout import DenseLayout, Encode, Vectors, read_dense_layout
from lsr.encoders.dense.model import DenseModel, unit_rows
from lsr.encoders.models.batches import Batches
from lsr.encoders.models.bert import BertBody, load_body
from lsr.encoders.models.devices import usual_device
from lsr.encoders.models.heads import not_finite
from lsr.encoders.pickling import unpickled
from lsr.encoders.restoring import check_same, find_recorded, reading
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError
from lsr.machine import processors

KIND = "dense"


def load_dense(
    source: str | PathLike[str],
    *,
    threads: int | None = None,
    max_length: int | None = None,
    device: str | None = None,
) -> DenseEncoder:
    """The dense encoder of a name.

    Args:
        source: "minilm", the built-in all-MiniLM-L6-v2 with rounded weights; a folder that
            sentence-transformers saved, as text or as a path; or a hub id `ORG/NAME[@REVISION]`.
        threads: that run a model on a CPU; None is one a processor.
        max_length: tokens read of a text, special ones included; None is what the folder says.
        device: where a model runs, such as "cpu" or "cuda:0"; None is "cuda" for documents when
            there is one, else "cpu".  A model with
            rounded weights always runs on the CPU.

    Raises `EncoderError` when there is no such encoder or it cannot be loaded as asked.
    """
    return DenseEncoder(
        _find(named("a dense encoder", source, error=EncoderError)),
        Where(device=device, threads=threads),
        whole_or_none("max_length", max_length, error=EncoderError),
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

    Raises `EncoderMismatch` when another encoder is there now, and `EncoderError` when none can
    be loaded.
    """
    if source is not None:
        source = named("a dense encoder", source, error=EncoderError)
    with reading("the recorded dense encoder", "make the dense side again"):
        length = identity["max_length"]
        checkpoint = find_recorded(identity, source, _find)
    encoder = DenseEncoder(checkpoint, Where(device=device, threads=threads), length)
    check_same(identity, encoder.identity, checkpoint)
    return encoder


def _again(identity: Mapping[str, Any], where: Where) -> DenseEncoder:
    restore = partial(restore_dense, identity, threads=where.threads, device=where.device)
    return unpickled(identity, restore)


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
        where: Where,
        max_length: int | None,
        layout: DenseLayout | None = None,
    ) -> None:
        self.name = checkpoint.name
        self._checkpoint = checkpoint
        self.layout = layout or read_dense_layout(checkpoint.folder)
        self._where = where
        self._hash = content_hash(*dict.fromkeys(self.layout.folders))
        self._models: dict[str, Encode] = {}
        self._loading = Lock()
        self.max_length = self.layout.max_length if max_length is None else max_length
        device = self._device(queries=True)
        self._models[device], self.dimensions, self.max_length = self._load(device)

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the vectors, as JSON values."""
        return {
            **self._checkpoint.identity(KIND, self.name, self._hash),
            "modules": self.layout.modules,
            "cosine": self.layout.cosine,
            "query_prompt": self.layout.query_prompt,
            "document_prompt": self.layout.document_prompt,
            "max_length": self.max_length,
            "dimensions": self.dimensions,
        }

    def __reduce__(self) -> Any:
        return _again, (self.identity, self._where)

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
            vectors = unit_rows(vectors)
        if not np.isfinite(vectors).all():
            raise not_finite(self.layout.folder)
        return vectors

    def _model(self, queries: bool) -> Encode:
        """The model for one side, loaded when first asked for and shared by both if it can be."""
        device = self._device(queries)
        with self._loading:
            if device not in self._models:
                self._models[device] = self._load(device)[0]
                check_unchanged(self._hash, *dict.fromkeys(self.layout.folders))
            return self._models[device]

    def _device(self, queries: bool) -> str:
        # The products of a rounded model are those of the kernels, whatever the device of others.
        return "cpu" if self.layout.rounded else self._where.device or usual_device(queries)

    def _load(self, device: str) -> tuple[Encode, int, int | None]:
        """The function that encodes texts, its dimensions and `max_length`."""
        layout = self.layout
        if device == "cpu" and layout.plain:
            body = load_body(layout.folders[0], "int8" if layout.rounded else "fp32")
            if body is not None:
                return self._by_kernels(body)
        if layout.rounded:
            raise EncoderError(
                f"{layout.folder} holds a quantized model, and lsr reads those of BERT's family "
                "alone, in 8 and 4 bits without zero points; give the unquantized checkpoint"
            )
        try:
            from lsr.encoders.dense.library import load_library
        except ImportError as error:
            raise EncoderError(
                f"{layout.folder} needs the package {error.name}; install sentence-transformers"
            ) from None
        return load_library(layout.folder, device, self.max_length, self._where.threads)

    def _by_kernels(self, body: BertBody) -> tuple[Encode, int, int]:
        folder = self.layout.folders[0]
        model = DenseModel(body, self.layout)
        length = self.max_length
        if length is None or (length == self.layout.max_length and length > body.positions):
            length = int(body.positions)  # folders state more than their models have
        tokens = Tokens(folder, length)
        tokens.check_size(body.terms)
        tokens.check_length(folder, body.positions)
        batches = Batches([model] * (self._where.threads or processors()))

        def encode(prompt: str, texts: Sequence[str], advance: Advance | None) -> Vectors:
            prompted = [prompt + text for text in texts]
            return np.stack(batches.rows(None, tokens, prompted, advance))

        return encode, model.dimensions, length


def _find(source: str) -> Checkpoint:
    try:
        return find(source)
    except EncoderError as error:
        if "/" in source or "+" in source or ":" in source:
            raise
        raise EncoderError(
            f"there is no dense encoder {source!r}; give {', '.join(DENSE_MODELS)}, a folder that "
            "sentence-transformers saved, or a hub id ORG/NAME[@REVISION]"
        ) from error

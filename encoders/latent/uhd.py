"""UHD: texts to binary vectors over an ultra-wide latent layer (see `lsr.encoders.latent.buckets`).

A checkpoint is a transformers folder of a model like BERT with two files more: `lsr.json`
declares the winners, and `buckets.safetensors` has a linear layer for each of the chosen layers
of the transformer.  No weights of the paper are public; the layout is this library's own.
Queries and documents are encoded alike.  Positions of special tokens count.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import Advance, Encoder, Settings, Vocabulary, check_texts
from lsr.encoders.checkpoints.checkpoint import (
    Checkpoint,
    check_unchanged,
    content_hash,
    deciding_files,
    find,
)
from lsr.encoders.checkpoints.layouts import check_model, check_tokenizer
from lsr.encoders.latent.buckets import (
    DECLARATION,
    METHOD,
    Bucket,
    BucketVocabulary,
    bucket_rows,
    has_buckets,
    read_buckets,
    read_sizes,
    read_winners,
)
from lsr.encoders.methods import Precision
from lsr.encoders.models.batches import Batches
from lsr.encoders.models.bert import BertBody, load_body
from lsr.encoders.models.heads import not_finite
from lsr.encoders.rows import SILENT, Ids, Row, stack
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError, EncoderMismatch
from lsr.machine import processors
from lsr.storage.workspace import new_folder
from lsr.vectors import SparseVectors

KIND = METHOD


def load(name: str, settings: Settings) -> UhdEncoder:
    """The encoder of `[uhd:]CHECKPOINT`, a folder or a hub id."""
    checkpoint = find(name.removeprefix(f"{KIND}:"))
    encoder = UhdEncoder(checkpoint, settings)
    encoder.load_model()  # what cannot be loaded must not be found after other work
    return encoder


def restore(
    identity: Mapping[str, Any],
    vocabulary: Vocabulary,
    term_columns: Mapping[str, npt.NDArray[Any]],
    source: str | None,
    settings: Settings,
) -> UhdEncoder:
    """The encoder of an index, from `source` or from where it was."""
    try:
        name, recorded = identity["name"], str(identity["source"])
        settings = replace(
            settings, max_length=identity["max_length"], precision=identity["precision"]
        )
    except KeyError as error:
        raise EncoderError(f"the recorded encoder lacks {error}; rebuild the index") from None
    try:
        checkpoint = find((recorded if source is None else source).removeprefix(f"{KIND}:"))
    except EncoderError as error:
        if source is not None:
            raise
        raise EncoderError(
            f"the encoder {name!r} of the index cannot be found where it was, {recorded}: "
            f"pass --encoder FOLDER with the folder it is in now ({error})"
        ) from None
    encoder = UhdEncoder(checkpoint, settings)
    for key in ("content_hash", "winners", "buckets"):
        if identity.get(key) != encoder.identity[key]:
            raise EncoderMismatch(
                f"the index was built with the encoder {name!r} ({key} {identity.get(key)}), but "
                f"{checkpoint.folder} holds {checkpoint.name!r} ({key} {encoder.identity[key]}); "
                "pass the encoder the index was built with, or rebuild the index"
            )
    return encoder


class UhdEncoder(Encoder):
    """A checkpoint of UHD; may be used from several threads.

    The model is loaded when the first text is encoded.  Encoding raises `EncoderError` for what
    is not a text, and when numbers are not finite.
    """

    def __init__(self, checkpoint: Checkpoint, settings: Settings) -> None:
        folder = checkpoint.folder
        if not has_buckets(folder):
            raise EncoderError(
                f"{folder} is no checkpoint of UHD: it has no buckets.safetensors; give one"
            )
        if settings.device not in (None, "cpu"):
            raise EncoderError(f"UHD runs on a CPU, not on {settings.device!r}; leave out --device")
        check_model(folder, METHOD)
        check_tokenizer(folder)
        self.name = checkpoint.name
        self._checkpoint, self._settings = checkpoint, settings
        self._winners, self._sizes = read_winners(folder), read_sizes(folder)
        if self._winners > min(self._sizes.values()):
            raise EncoderError(
                f"{folder / DECLARATION} declares {self._winners} winners, and a bucket has "
                f"{min(self._sizes.values())} dimensions; declare fewer"
            )
        self.vocabulary = BucketVocabulary(list(self._sizes), list(self._sizes.values()))
        self._tokens = Tokens(folder, settings.max_length)
        self._hash = content_hash(folder)
        self._batches: Batches[None, Row] | None = None
        self._loading = Lock()

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "name": self.name,
            "source": self._checkpoint.address,
            "revision": self._checkpoint.revision,
            "content_hash": self._hash,
            "winners": self._winners,
            "buckets": {str(layer): size for layer, size in self._sizes.items()},
            "max_length": self._settings.max_length,
            "precision": self._settings.precision,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        from lsr.encoders.pickling import reduced

        return reduced(self, self._settings)

    def observe(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        rows = self.load_model().rows(None, self._tokens, check_texts(texts), advance)
        return stack(rows)

    def encode_documents(self, texts: Iterable[str]) -> SparseVectors:
        """Binary vectors, `winners` terms a bucket; none of a text that says nothing."""
        return self.observe(check_texts(texts))

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """The same as of documents."""
        return self.observe(check_texts(texts))

    def literal_terms(self, text: str) -> Ids:
        """None: latent terms are no words of a text."""
        return np.empty(0, np.uint32)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the checkpoint as a new folder that `load_encoder` reads; all of it or nothing."""
        with new_folder(Path(folder), EncoderError) as partial:
            for file in deciding_files(self._checkpoint.folder):
                shutil.copyfile(file, partial / file.name)
            declared = {"method": METHOD, "winners": self._winners}
            (partial / DECLARATION).write_text(json.dumps(declared, indent=2) + "\n", "utf-8")

    def load_model(self) -> Batches[None, Row]:
        """The model, loaded when first asked for; raises `EncoderError` when it cannot be."""
        settings, folder = self._settings, self._checkpoint.folder
        with self._loading:
            if self._batches is None:
                model = _UhdModel(folder, settings.precision, self._winners)
                check_unchanged(self._hash, folder)
                length, least = settings.max_length, self._tokens.added + 1
                if self._tokens.size > model.terms:
                    raise EncoderError(
                        f"the tokenizer in {folder} has {self._tokens.size} tokens but the model "
                        f"only {model.terms}; give the tokenizer the model was trained with"
                    )
                if not least <= length <= model.positions:
                    raise EncoderError(
                        f"max_length {length} is not possible with {folder}, which reads "
                        f"{least} to {model.positions:g} tokens; give one in between"
                    )
                models = [model] * (settings.threads or processors())
                self._batches = Batches(models, settings.batch_size, settings.max_memory, SILENT)
            return self._batches


class _UhdModel:
    """Token ids to winners: a body and its buckets."""

    def __init__(self, folder: Path, precision: Precision, winners: int) -> None:
        body = load_body(folder, precision)
        if body is None:
            raise EncoderError(
                f"UHD runs on BERT, RoBERTa, XLM-RoBERTa and DistilBERT, with weights in float32 "
                f"or float16 in safetensors files, and {folder} holds no such model"
            )
        self._body: BertBody = body
        self._winners = winners
        self._buckets: list[Bucket] = read_buckets(folder, body.width, body.layers)
        self.folder, self.terms, self.positions = folder, body.terms, body.positions
        # The states of every bucket's layer.
        self.position_bytes = body.position_bytes + 4 * body.width * len(self._buckets)

    def rows(self, side: None, ids: Sequence[Ids]) -> list[Row]:
        """The winners of some texts, each given by its ids as the model reads them."""
        states = self._body.hidden_after(ids, [bucket.layer for bucket in self._buckets])
        rows = bucket_rows(self._buckets, self._winners, states, [own.size for own in ids])
        if rows is None:
            raise not_finite(self.folder)
        return rows

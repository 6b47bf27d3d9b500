"""UHD: texts to binary vectors over an ultra-wide latent layer (see `lsr.encoders.latent.buckets`).

A checkpoint is a transformers folder of a model like BERT with two files more: `lsr.json`
declares the winners, and `buckets.safetensors` has a linear layer for each of the chosen layers
of the transformer.  No weights of the paper are public; the layout is this library's own.
Queries and documents are encoded alike.  Positions of special tokens count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from lsr.encoders.base import Advance, Recorded, Settings, Where, check_texts
from lsr.encoders.checkpoints.checkpoint import Checkpoint, check_unchanged, content_hash, find
from lsr.encoders.checkpoints.layouts import check_model, check_tokenizer
from lsr.encoders.checkpoints.writing import copy_model, write_json
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
from lsr.encoders.pickling import ModelEncoder
from lsr.encoders.restoring import check_same, find_recorded, reading
from lsr.encoders.rows import EMPTY_ROW, Ids, Row, lengths_of, stack
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError
from lsr.machine import processors
from lsr.storage.workspace import new_folder
from lsr.vectors import SparseVectors

KIND = METHOD


def load(name: str, settings: Settings) -> UhdEncoder:
    """The encoder of `[uhd:]CHECKPOINT`, a folder or a hub id."""
    encoder = UhdEncoder(_find(name), settings)
    encoder.load_model()  # what cannot be loaded must not be found after other work
    return encoder


def restore(recorded: Recorded, where: Where) -> UhdEncoder:
    """The encoder of an index, from `recorded.source` or from where it was."""
    identity = recorded.identity
    with reading():
        settings = Settings(
            max_length=identity["max_length"], precision=identity["precision"], **vars(where)
        )
        checkpoint = find_recorded(identity, recorded.source, _find)
    encoder = UhdEncoder(checkpoint, settings)
    check_same(identity, encoder.identity, checkpoint)
    return encoder


def _find(name: str) -> Checkpoint:
    return find(name.removeprefix(f"{KIND}:"))


class UhdEncoder(ModelEncoder):
    """A checkpoint of UHD; may be used from several threads.

    The model is loaded when the first text is encoded.  Encoding raises `EncoderError` for what
    is not a text, and when numbers are not finite.
    """

    def __init__(self, checkpoint: Checkpoint, settings: Settings) -> None:
        folder = checkpoint.folder
        if not has_buckets(folder):
            raise EncoderError(
                f"{folder} is not a checkpoint of UHD: it has no buckets.safetensors; give one"
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
            **self._checkpoint.identity(KIND, self.name, self._hash),
            "winners": self._winners,
            "buckets": {str(layer): size for layer, size in self._sizes.items()},
            "max_length": self._settings.max_length,
            "precision": self._settings.precision,
        }

    def collect(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        """Binary vectors, `winners` terms per bucket; none for a text without known words."""
        return stack(self.load_model().rows(None, self._tokens, check_texts(texts), advance))

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """The same as of documents."""
        return self.collect(check_texts(texts))

    def literal_terms(self, text: str) -> Ids:
        """None: latent terms are no words of a text."""
        return np.empty(0, np.uint32)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the checkpoint as a new folder that `load_encoder` reads; all of it or nothing."""
        with new_folder(Path(folder), EncoderError) as partial:
            copy_model(self._checkpoint.folder, partial)
            declared = {"method": METHOD, "winners": self._winners}
            write_json(partial / DECLARATION, declared)

    def load_model(self) -> Batches[None, Row]:
        """The model, loaded when first asked for; raises `EncoderError` when it cannot be."""
        settings, folder = self._settings, self._checkpoint.folder
        with self._loading:
            if self._batches is None:
                model = _UhdModel(folder, settings.precision, self._winners)
                check_unchanged(self._hash, folder)
                self._tokens.check_size(model.terms)
                self._tokens.check_length(folder, model.positions)
                models = [model] * (settings.threads or processors())
                self._batches = Batches(models, settings.batch_size, settings.max_memory, EMPTY_ROW)
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
        rows = bucket_rows(self._buckets, self._winners, states, lengths_of(ids).tolist())
        if rows is None:
            raise not_finite(self.folder)
        return rows

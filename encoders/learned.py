"""Encoders read from checkpoints: every method of `lsr.encoders.methods`.

Positions of special tokens count for the head "mlm"; padding never does.  A text without
words that the vocabulary knows has no terms (`Tokens.has_known_words`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from lsr.encoders.base import Advance, Recorded, Settings, Where, check_texts, strongest
from lsr.encoders.catalogue import known_model
from lsr.encoders.checkpoints.adapters import base_of
from lsr.encoders.checkpoints.checkpoint import Checkpoint, check_unchanged, content_hash, find
from lsr.encoders.checkpoints.layouts import (
    Layout,
    check_model,
    check_tokenizer,
    read_layout,
    read_table,
)
from lsr.encoders.methods import Precision, Side, find_method
from lsr.encoders.models.batches import Batches, Model
from lsr.encoders.models.bert import load_bert
from lsr.encoders.models.devices import usual_device
from lsr.encoders.pickling import ModelEncoder
from lsr.encoders.restoring import check_same, find_recorded, reading
from lsr.encoders.rows import EMPTY_ROW, Ids, Row, Weights, nonzero, stack, unit
from lsr.encoders.text.tokens import Tokens, TokenVocabulary
from lsr.errors import EncoderError, EncoderMismatch
from lsr.machine import processors
from lsr.vectors import SparseVectors

KIND = "learned"

# As recorded in an index.
_PRECISIONS: dict[Precision, str] = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}


def load(name: str, settings: Settings) -> LearnedEncoder:
    """The encoder of `[METHOD:]CHECKPOINT[,QUERY_CHECKPOINT]`.

    A checkpoint is a built-in model, a folder or a hub id.
    """
    checkpoint, queries, method = _find(name)
    known = known_model(checkpoint.source) if checkpoint.revision else None  # those of the hub
    usual = known.method if known else None
    layout = read_layout(checkpoint.folder, queries.folder if queries else None, method, usual)
    query, document = (
        side if settings.pooling is None else replace(side, pooling=settings.pooling)
        for side in (layout.query, layout.document)
    )
    if settings.prune_ratio is not None:
        document = replace(document, ratio=settings.prune_ratio)
    layout = replace(layout, query=query, document=document)
    full_name = checkpoint.name if method is None else f"{method}:{checkpoint.name}"
    content = content_hash(*layout.folders)
    return LearnedEncoder(full_name, checkpoint, queries, layout, settings, content)


def restore(recorded: Recorded, where: Where) -> LearnedEncoder:
    """The encoder of an index, from `recorded.source` or from where it was."""
    identity = recorded.identity
    with reading():
        precision = next(
            (known for known, kept in _PRECISIONS.items() if kept == identity["precision"]), None
        )
        if precision is None:
            raise EncoderError(
                f"the index was built in the precision {identity['precision']!r}, which this "
                "release does not know; rebuild the index"
            )
        settings = Settings(
            max_length=identity["max_length"],
            document_terms=identity["document_terms"],
            query_terms=identity["query_terms"],
            precision=precision,
            **vars(where),
        )
        query, document = (Side.from_json(identity[side]) for side in ("query", "document"))
        name, method = identity["name"], identity["method"]
        words_hash, _ = identity["vocabulary_hash"], identity["content_hash"]
        checkpoint, queries, _ = find_recorded(identity, recorded.source, _find)
    layout = read_layout(checkpoint.folder, queries.folder if queries else None, method, None)
    content = content_hash(*layout.folders)
    check_same(identity, {"content_hash": content}, checkpoint)
    layout = replace(layout, query=query, document=document)
    encoder = LearnedEncoder(
        str(name), checkpoint, queries, layout, settings, content, len(recorded.vocabulary)
    )
    if encoder.identity["vocabulary_hash"] != words_hash:
        raise EncoderMismatch(
            f"the encoder {name!r} has other words now (hash "
            f"{encoder.identity['vocabulary_hash']}) than when the index was built (hash "
            f"{words_hash}); use the transformers release of that time, or rebuild the index"
        )
    return encoder


def _find(name: str) -> tuple[Checkpoint, Checkpoint | None, str | None]:
    """The checkpoints and the method of a name."""
    prefix, colon, rest = name.partition(":")
    method, rest = (prefix, rest) if colon and find_method(prefix) else (None, name)
    if method is not None:
        first, comma, second = rest.partition(",")
        if comma:
            return find(first), find(second), method
    return find(rest), None, method


class LearnedEncoder(ModelEncoder):
    """A checkpoint's queries and documents, each as its `Side` declares.

    Encoding may be called from several threads.  Where the size of the vocabulary is recorded,
    the model of documents is loaded when the first is encoded: inference-free queries to an index
    need none.  Models like BERT run on a CPU without torch.  Raises `EncoderError` when
    the checkpoint is unfit, so that its vectors would silently be wrong, or does not allow the
    settings.

    Args:
        name: what people call it.
        queries: the second checkpoint of a pair.
        hashed: the `content_hash` of the layout's folders.
        terms: the size of the vocabulary where it is recorded; None asks the model.
    """

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        queries: Checkpoint | None,
        layout: Layout,
        settings: Settings,
        hashed: str,
        terms: int | None = None,
    ) -> None:
        self.name = name
        self._layout, self._settings = layout, settings
        self._source = _source(checkpoint, queries, layout)
        self._revision = checkpoint.revision
        self._content_hash = hashed
        self._is_made = False
        for side, folder in (layout.side(queries=False), layout.side(queries=True)):
            if side.needs_model:
                check_model(folder, side.head)
            check_tokenizer(folder)
        self._models: dict[tuple[object, ...], Batches[Side, Row]] = {}
        self._loading = Lock()
        self._tokens = Tokens(layout.document_folder, settings.max_length)
        self._query_tokens = self._tokens
        if layout.pair:
            self._query_tokens = Tokens(layout.query_folder, settings.max_length)
            if self._query_tokens.vocabulary != self._tokens.vocabulary:
                raise EncoderError(
                    f"the tokenizers in {layout.document_folder} and {layout.query_folder} have "
                    "different words; give checkpoints that belong together"
                )
        if terms is None:
            terms = self._terms()
        self._tokens.check_size(terms)
        vocabulary = TokenVocabulary(self._tokens.vocabulary, terms)
        self.vocabulary = vocabulary
        self._vocabulary_hash = vocabulary.content_hash()
        self._table = self._query_weights(layout, terms)
        if layout.query.needs_model:
            self._model(queries=True)
        self._is_made = True

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "name": self.name,
            "method": self._layout.method,
            "source": self._source,
            "revision": self._revision,
            "content_hash": self._content_hash,
            "query": self._layout.query.to_json(),
            "document": self._layout.document.to_json(),
            "max_length": self._settings.max_length,
            "precision": _PRECISIONS[self._settings.precision],
            "document_terms": self._settings.document_terms,
            "query_terms": self._settings.query_terms,
            "vocabulary_hash": self._vocabulary_hash,
        }

    def collect(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        """Weights of documents, at most `document_terms` per row."""
        return self._encode(False, texts, self._settings.document_terms, advance)

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """Weights of queries, at most `query_terms` per row."""
        return self._encode(True, texts, self._settings.query_terms)

    def literal_terms(self, text: str) -> Ids:
        """The distinct tokens of a text within `max_length`, without the special ones."""
        return self._tokens.literal(text)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the checkpoint as a new folder that `load_encoder` reads.

        What sentence-transformers can express is written as a SparseEncoder of it.  Settings
        (lengths, numbers of terms) are the caller's and not part of a checkpoint.
        """
        from lsr.encoders.checkpoints.saving import save

        tokens = self._query_tokens
        weights = self._table
        if weights is None:
            weights = np.ones(tokens.size, np.float32)
            weights[tokens.special] = 0
        save(self._layout, weights[: tokens.size], Path(folder))

    def _terms(self) -> int:
        """The number of terms of the model; without one, of the tokenizer."""
        layout = self._layout
        if not (layout.document.needs_model or layout.query.needs_model):
            return self._tokens.size
        return self._model(queries=not layout.document.needs_model).model.terms

    def _encode(
        self, queries: bool, texts: Iterable[str], most: int | None, advance: Advance | None = None
    ) -> SparseVectors:
        texts = check_texts(texts)
        side, _ = self._layout.side(queries)
        tokens = self._query_tokens if queries else self._tokens
        if side.needs_model:
            vectors = stack(self._model(queries).rows(side, tokens, texts, advance))
        else:
            vectors = stack(
                [
                    self._without_model(side, tokens, ids)
                    if tokens.has_known_words(text, ids)
                    else EMPTY_ROW
                    for text, ids in zip(texts, tokens.own(texts), strict=True)
                ]
            )
            if advance is not None:
                advance(len(texts))
        if tokens.unknown is not None:
            # It stands for whatever the vocabulary lacks: texts that have it share nothing by it.
            vectors = vectors.where(vectors.terms != tokens.unknown)
        if side.own_terms:
            literal = [
                np.isin(row.terms, tokens.literal(text))
                for row, text in zip(vectors, texts, strict=True)
            ]
            vectors = vectors.where(np.concatenate([np.empty(0, bool), *literal]))
        if side.ratio:
            largest = np.array([row.weights.max(initial=0) for row in vectors], np.float32)
            vectors = vectors.where(vectors.weights > side.ratio * largest[vectors.row_of_entry()])
        vectors = strongest(vectors, side.top)
        return strongest(unit(vectors) if side.unit else vectors, most)

    def _without_model(self, side: Side, tokens: Tokens, ids: Ids) -> Row:
        """The row of a text by its token ids alone, of the heads "table" and "binary"."""
        if side.head == "table" and self._table is not None:
            return nonzero(ids, self._table[ids])
        ordinary = tokens.ordinary(ids)
        return ordinary, np.ones(ordinary.size, np.float32)

    def _model(self, queries: bool) -> Batches[Side, Row]:
        """The model of a side, loaded when first asked for and shared by both if it can be."""
        settings, layout = self._settings, self._layout
        side, folder = layout.side(queries)
        device = settings.device or usual_device(queries)
        key = (folder, side.parts, device)
        with self._loading:
            if key not in self._models:
                models = _load_models(folder, side, device, settings, self._tokens)
                if self._is_made:
                    check_unchanged(self._content_hash, *layout.folders)
                self._tokens.check_length(folder, models[0].positions)
                self._models[key] = Batches(
                    models, settings.batch_size, settings.max_memory, EMPTY_ROW
                )
            return self._models[key]

    def _query_weights(self, layout: Layout, terms: int) -> Weights | None:
        """The table of query weights, float32, one a term, or None when there is none."""
        if layout.query.head != "table" or layout.table is None:
            return None
        vocabulary = self._query_tokens.vocabulary
        table = read_table(layout.table, vocabulary, self._query_tokens.size)
        if table.size > terms:
            raise EncoderError(
                f"{layout.table} weighs {table.size} terms but the model has {terms}; give the "
                "weights that belong to it"
            )
        if layout.table.suffix == ".json":
            # OpenSearch's rule; the tables of sentence-transformers count as they are.
            table[self._query_tokens.special] = 0
        return np.pad(table, (0, terms - table.size))


def _load_models(
    folder: Path, side: Side, device: str, settings: Settings, tokens: Tokens
) -> Sequence[Model[Side, Row]]:
    """The model in a folder, once for each thread that shall run it."""
    threads = settings.threads or processors()
    kernels = device == "cpu" and side.positions == "all" and base_of(folder) == folder
    phrases = tokens.phrases if side.phrases is not None else None
    if kernels and (
        model := load_bert(folder, side.head, settings.precision, tokens.special, phrases)
    ):
        return [model] * threads
    try:
        import torch

        from lsr.encoders.models.torch_loading import load_torch
    except ImportError as error:
        raise EncoderError(f"{folder} needs the package {error.name}; install it") from None
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    models = [
        load_torch(folder, side, one, settings.precision, tokens) for one in device.split(",")
    ]
    return models * 2  # while one batch is computed, the next is read


def _source(checkpoint: Checkpoint, queries: Checkpoint | None, layout: Layout) -> str:
    """The name by which `load` finds the same checkpoints, hub revisions included."""
    if queries is not None:
        return f"{layout.method}:{checkpoint.address},{queries.address}"
    return checkpoint.address

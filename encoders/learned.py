"""Encoders read from checkpoints: every method of `lsr.encoders.methods`.

Positions of special tokens count for the head "mlm"; padding never does.  All is computed in
float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import Encoder, Settings, Vocabulary, strongest
from lsr.encoders.checkpoint import Checkpoint, content_hash, find
from lsr.encoders.known import known
from lsr.encoders.layouts import Layout, check_model, check_tokenizer, read_layout, read_table
from lsr.encoders.methods import METHODS, Side
from lsr.encoders.tokens import Ids, Tokens, TokenVocabulary
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    import torch

    from lsr.encoders.backbone import Backbone

KIND = "learned"
_BATCH_TOKENS = 1 << 13
_BATCH_DOCUMENTS = 256
_BATCH_WEIGHTS = 1 << 23  # bounds the documents x vocabulary matrix of pooled weights

Weights = npt.NDArray[np.float32]
Row = tuple[Ids, Weights]


def load(name: str, settings: Settings) -> LearnedEncoder:
    """The encoder of `[METHOD:]CHECKPOINT[,QUERY_CHECKPOINT]`.

    A checkpoint is a built-in model, a folder or a hub id.
    """
    checkpoint, queries, method = _find(name)
    listed = known(checkpoint.source)
    usual = listed.method if listed else None
    layout = read_layout(checkpoint.folder, queries.folder if queries else None, method, usual)
    query, document = (
        side if settings.pooling is None else replace(side, pooling=settings.pooling)
        for side in (layout.query, layout.document)
    )
    if settings.prune_ratio is not None:
        document = replace(document, ratio=settings.prune_ratio)
    layout = replace(layout, query=query, document=document)
    called = checkpoint.name if method is None else f"{method}:{checkpoint.name}"
    return LearnedEncoder(called, checkpoint, queries, layout, settings)


def restore(
    identity: Mapping[str, Any],
    vocabulary: Vocabulary,
    term_columns: Mapping[str, npt.NDArray[Any]],
    source: str | None,
    device: str | None,
    batch_size: int | None,
) -> LearnedEncoder:
    """The encoder of an index, from `source` or from where it was."""
    try:
        name, recorded_hash = identity["name"], identity["content_hash"]
        settings = Settings(
            identity["max_length"],
            document_terms=identity["document_terms"],
            query_terms=identity["query_terms"],
            device=device,
            batch_size=batch_size,
        )
        recorded, method = identity["source"], identity["method"]
        query, document = (Side.from_json(identity[side]) for side in ("query", "document"))
        words_hash = identity["vocabulary_hash"]
    except KeyError as error:
        raise EncoderError(f"the recorded encoder lacks {error}; rebuild the index") from None
    try:
        checkpoint, queries, _ = _find(str(recorded) if source is None else source)
    except EncoderError as error:
        if source is not None:
            raise
        raise EncoderError(
            f"the encoder {name!r} of the index cannot be found where it was, {recorded}: "
            f"pass --encoder FOLDER with the folder it is in now ({error})"
        ) from None
    layout = read_layout(checkpoint.folder, queries.folder if queries else None, method, None)
    found_hash = content_hash(*layout.folders)
    if found_hash != recorded_hash:
        raise EncoderMismatch(
            f"the index was built with the encoder {name!r} (content hash {recorded_hash}), but "
            f"{checkpoint.folder} holds {checkpoint.name!r} (content hash {found_hash}); pass "
            "the encoder the index was built with, or rebuild the index"
        )
    layout = replace(layout, query=query, document=document)
    encoder = LearnedEncoder(str(name), checkpoint, queries, layout, settings, len(vocabulary))
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
    method, rest = (prefix, rest) if colon and prefix in METHODS else (None, name)
    if method is not None:
        first, comma, second = rest.partition(",")
        if comma:
            return find(first), find(second), method
    return find(rest), None, method


class LearnedEncoder(Encoder):
    """A checkpoint's queries and documents, each as its `Side` declares.

    Encoding may be called from several threads.  Where the size of the vocabulary is recorded,
    the model of documents is loaded when the first is encoded: inference-free queries to an index
    never import torch.  Raises `EncoderError` when
    the checkpoint is unfit, so that its vectors would silently be wrong, or does not allow the
    settings.

    Args:
        name: what people call it.
        queries: the second checkpoint of a pair.
        terms: the size of the vocabulary where it is recorded; None asks the model.
    """

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        queries: Checkpoint | None,
        layout: Layout,
        settings: Settings,
        terms: int | None = None,
    ) -> None:
        self.name = name
        self._layout, self._settings = layout, settings
        self._source = _source(checkpoint, queries, layout)
        self._revision = checkpoint.revision
        self._content_hash = content_hash(*layout.folders)
        for side, folder in (
            (layout.document, layout.document_folder),
            (layout.query, layout.query_folder),
        ):
            if side.needs_model:
                check_model(folder, side.head)
            check_tokenizer(folder)
        self._models: dict[tuple[Path, str], Backbone] = {}
        self._loading = Lock()
        self._tokens = Tokens(layout.document_folder, settings.max_length)
        self._query_tokens = self._tokens
        if layout.query_folder != layout.document_folder:
            self._query_tokens = Tokens(layout.query_folder, settings.max_length)
            if self._query_tokens.vocabulary != self._tokens.vocabulary:
                raise EncoderError(
                    f"the tokenizers in {layout.document_folder} and {layout.query_folder} have "
                    "different words; give checkpoints that belong together"
                )
        if terms is None:
            terms = self._model(layout.document_folder, layout.document).terms
        if self._tokens.size > terms:
            raise EncoderError(
                f"the tokenizer in {layout.document_folder} has {self._tokens.size} tokens but the "
                f"model only {terms}; give the tokenizer the model was trained with"
            )
        vocabulary = TokenVocabulary(self._tokens.vocabulary, terms)
        self.vocabulary = vocabulary
        self._vocabulary_hash = vocabulary.content_hash()
        self._table = self._query_weights(layout, terms)
        self._batch_documents = min(
            settings.batch_size or _BATCH_DOCUMENTS,
            _BATCH_DOCUMENTS,
            max(1, _BATCH_WEIGHTS // terms),
        )
        if layout.query.needs_model:
            self._model(layout.query_folder, layout.query)

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
            "precision": "float32",
            "document_terms": self._settings.document_terms,
            "query_terms": self._settings.query_terms,
            "vocabulary_hash": self._vocabulary_hash,
        }

    def encode_documents(self, texts: Sequence[str]) -> SparseVectors:
        """Weights of documents, at most `document_terms` a row."""
        layout = self._layout
        rows = self._encode(layout.document, layout.document_folder, self._tokens, texts)
        return strongest(_stack(rows), self._settings.document_terms)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """Weights of queries, at most `query_terms` a row."""
        layout = self._layout
        rows = self._encode(layout.query, layout.query_folder, self._query_tokens, texts)
        return strongest(_stack(rows), self._settings.query_terms)

    def literal_terms(self, text: str) -> Ids:
        """The distinct tokens of a text within `max_length`, without the special ones."""
        return self._tokens.literal(text)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the checkpoint as a new folder that `load_encoder` reads.

        What sentence-transformers can express is written as a SparseEncoder of it.  Settings
        (lengths, numbers of terms) are the caller's and not part of a checkpoint.
        """
        from lsr.encoders.saving import save

        tokens = self._query_tokens
        weights = self._table
        if weights is None:
            weights = np.ones(tokens.size, np.float32)
            weights[tokens.special] = 0
        save(self._layout, weights[: tokens.size], Path(folder))

    def _encode(self, side: Side, folder: Path, tokens: Tokens, texts: Sequence[str]) -> list[Row]:
        if side.needs_model:
            rows = self._by_model(side, self._model(folder, side), tokens.encode(texts))
        elif self._table is not None:
            table = self._table
            rows = [_nonzero(own, table[own]) for own in tokens.own(texts)]
        else:
            owns = [tokens.ordinary(own) for own in tokens.own(texts)]
            rows = [(own, np.ones(own.size, np.float32)) for own in owns]
        if side.own_terms:
            owns = [tokens.literal(text) for text in texts]
            rows = [
                (terms[kept], weights[kept])
                for (terms, weights), own in zip(rows, owns, strict=True)
                for kept in [np.isin(terms, own)]
            ]
        if side.ratio:
            rows = [
                (terms[kept], weights[kept])
                for terms, weights in rows
                for kept in [weights > side.ratio * weights.max(initial=0)]
            ]
        return rows

    def _by_model(self, side: Side, model: Backbone, ids: list[Ids]) -> list[Row]:
        """Rows of token ids: batches of at most so many tokens, texts and weights."""
        import torch

        from lsr.encoders.pooling import logits_buffer

        if not ids:
            return []
        lengths = np.array([row.size for row in ids])
        # Longest first: little padding, and what does not fit in memory fails at once.
        order = np.argsort(-lengths, kind="stable")
        buffer = logits_buffer(int(lengths.max()), model.device)
        rows: list[Row] = [(np.empty(0, np.uint32), np.empty(0, np.float32))] * len(ids)
        at = 0
        while at < len(order):
            by_tokens = max(1, _BATCH_TOKENS // max(1, int(lengths[order[at]])))
            batch = order[at : at + min(self._batch_documents, by_tokens)]
            try:
                pooled: list[Row] | None = list(
                    self._pool(side, model, [ids[n] for n in batch], buffer)
                )
            except torch.cuda.OutOfMemoryError:
                pooled = None
            if pooled is None:  # outside `except`, where the failed batch's memory is free again
                self._shrink(len(batch), int(lengths[batch[0]]), model)
                continue
            for number, row in zip(batch, pooled, strict=True):
                rows[number] = row
            at += len(batch)
        return rows

    def _pool(
        self, side: Side, model: Backbone, ids: list[Ids], buffer: torch.Tensor
    ) -> Iterator[Row]:
        """The rows of one batch; every text has at least one token or weighs nothing."""
        import torch

        from lsr.encoders.pooling import pool_logits, token_weights

        lengths = np.array([row.size for row in ids])
        mask = np.arange(max(1, lengths.max())) < lengths[:, None]
        padded = np.full(mask.shape, model.pad, np.int64)
        padded[mask] = np.concatenate(ids)
        with torch.inference_mode():
            masks = torch.from_numpy(mask).to(model.device)
            hidden = model.hidden(torch.from_numpy(padded).to(model.device), masks.long())
            if side.head == "mlm":
                weight, bias = model.layers[0]
                found = pool_logits(
                    hidden, ~masks, weight, bias, side.activation, side.pooling, buffer
                ).T
            else:
                found = token_weights(hidden, model.layers, side.activation)
            values: Weights = found.contiguous().cpu().numpy()
        if not np.isfinite(values[mask] if side.head == "mlp" else values).all():
            raise EncoderError(
                f"the model of {self.name} gives weights that are not finite; the checkpoint is "
                "unusable"
            )
        for row, own in zip(values, ids, strict=True):
            if side.head == "mlm":
                terms = np.flatnonzero(row)
                yield terms.astype(np.uint32), row[terms]
            else:
                yield self._on_own_tokens(side, own, row[: own.size])

    def _on_own_tokens(self, side: Side, ids: Ids, weights: Weights) -> Row:
        """Each token's weight on its own term; special tokens are no terms of a text."""
        order = np.argsort(ids, kind="stable")
        terms, first = np.unique(ids[order], return_index=True)
        if not terms.size:
            return terms, np.empty(0, np.float32)
        together = np.maximum if side.pooling == "max" else np.add
        pooled = together.reduceat(weights[order], first)
        pooled[np.isin(terms, self._tokens.special)] = 0
        return _nonzero(terms, pooled)

    def _shrink(self, documents: int, length: int, model: Backbone) -> None:
        import torch

        if documents == 1:
            raise EncoderError(
                f"the device {model.device} has no memory for one text of {length} tokens; "
                "give a smaller max_length or the device cpu"
            )
        self._batch_documents = documents // 2
        torch.cuda.empty_cache()

    def _model(self, folder: Path, side: Side) -> Backbone:
        """The model in a folder, loaded when first asked for and shared by both sides."""
        key = (folder, side.head)
        with self._loading:
            if key not in self._models:
                try:
                    from lsr.encoders.backbone import load_backbone
                except ImportError as error:
                    raise EncoderError(
                        f"{self.name} needs the package {error.name}; install it"
                    ) from None
                model = load_backbone(folder, side.head, self._settings.device)
                length, least = self._settings.max_length, self._tokens.added + 1
                if not least <= length <= model.positions:
                    raise EncoderError(
                        f"max_length {length} is not possible with {folder}, which reads "
                        f"{least} to {model.positions:g} tokens; give one in between"
                    )
                self._models[key] = model
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


def _source(checkpoint: Checkpoint, queries: Checkpoint | None, layout: Layout) -> str:
    """What `load` takes to find the same again, hub revisions included."""
    if queries is not None:
        return f"{layout.method}:{checkpoint.address},{queries.address}"
    return checkpoint.address


def _nonzero(terms: Ids, weights: Weights) -> Row:
    kept = weights > 0
    return terms[kept], weights[kept]


def _stack(rows: list[Row]) -> SparseVectors:
    indptr = np.zeros(len(rows) + 1, np.int64)
    if not rows:
        return SparseVectors.from_rows([])
    np.cumsum([terms.size for terms, _ in rows], out=indptr[1:])
    return SparseVectors.trusted(
        indptr,
        np.concatenate([terms for terms, _ in rows]),
        np.concatenate([weights for _, weights in rows]),
    )

"""A model over many texts: batches of at most so many tokens, texts and weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from lsr.encoders.backbone import Backbone
from lsr.encoders.methods import Side
from lsr.encoders.pooling import logits_buffer, pool_logits, token_weights
from lsr.encoders.rows import Ids, Row, Weights, nonzero
from lsr.errors import EncoderError

_BATCH_TOKENS = 1 << 13
_BATCH_DOCUMENTS = 256
_BATCH_WEIGHTS = 1 << 23  # bounds the documents x vocabulary matrix of pooled weights


class Batches:
    """Runs one model; may be used from several threads.

    Args:
        special: uint32, ascending: token ids that are no terms of a text.
        most: texts a model sees at once; None goes by their tokens.
    """

    def __init__(self, model: Backbone, special: Ids, most: int | None) -> None:
        self.model = model
        self._special = special
        self._batch_documents = min(
            most or _BATCH_DOCUMENTS, _BATCH_DOCUMENTS, max(1, _BATCH_WEIGHTS // model.terms)
        )

    def rows(self, side: Side, ids: list[Ids]) -> list[Row]:
        """The row of each text.

        Args:
            side: its head is that of the model.
            ids: of each text, as the model reads them.

        Raises `EncoderError` when weights are not finite, or one text alone is too much for
        the device.
        """
        if not ids:
            return []
        lengths = np.array([row.size for row in ids])
        # Longest first: little padding, and what does not fit in memory fails at once.
        order = np.argsort(-lengths, kind="stable")
        buffer = logits_buffer(int(lengths.max()), self.model.device)
        rows: list[Row] = [(np.empty(0, np.uint32), np.empty(0, np.float32))] * len(ids)
        at = 0
        while at < len(order):
            by_tokens = max(1, _BATCH_TOKENS // max(1, int(lengths[order[at]])))
            batch = order[at : at + min(self._batch_documents, by_tokens)]
            try:
                pooled: list[Row] | None = list(self._pool(side, [ids[n] for n in batch], buffer))
            except torch.cuda.OutOfMemoryError:
                pooled = None
            if pooled is None:  # outside `except`, where the failed batch's memory is free again
                self._shrink(len(batch), int(lengths[batch[0]]))
                continue
            for number, row in zip(batch, pooled, strict=True):
                rows[number] = row
            at += len(batch)
        return rows

    def _pool(self, side: Side, ids: list[Ids], buffer: torch.Tensor) -> Iterator[Row]:
        """The rows of one batch."""
        model = self.model
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
                f"the model in {model.folder} gives weights that are not finite; the checkpoint is "
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
        pooled[np.isin(terms, self._special)] = 0
        return nonzero(terms, pooled)

    def _shrink(self, documents: int, length: int) -> None:
        if documents == 1:
            raise EncoderError(
                f"the device {self.model.device} has no memory for one text of {length} tokens; "
                "give a smaller max_length or the device cpu"
            )
        self._batch_documents = documents // 2
        torch.cuda.empty_cache()

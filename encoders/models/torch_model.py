"""A transformer in torch with a head on its hidden states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from lsr.encoders.checkpoints.networks import Linear
from lsr.encoders.methods import Side
from lsr.encoders.models.heads import Head, head_of, not_finite
from lsr.encoders.models.pooling import pool_logits
from lsr.encoders.models.reading import Reading
from lsr.encoders.models.residual import LiteralResidual
from lsr.encoders.rows import Ids, Row, joined, lengths_of

# Working memory of a position, in widths of the hidden states: the states, what attention and the
# wide layers make of them, and copies on the way.
_WIDTHS = 32


class TorchModel:
    """A transformer up to the hidden states, by torch, and a head on top of them.

    On a CPU the head is that of `lsr.encoders.models.heads`; on a GPU torch pools the logits.  May
    be called from several threads; one at a time computes.  Texts are padded at their end, which
    neither attention mask nor causal attention lets in.

    Attributes:
        folder: where it is from.
        terms: the model's vocabulary.
        positions: the longest input, in tokens; infinite where the model has no limit.
        position_bytes: working memory that a position takes, about.
    """

    def __init__(
        self,
        folder: Path,
        body: Any,
        layers: list[Linear],
        kind: str,
        special: Ids,
        reading: Reading,
        phrases: Ids | None = None,
        residual: LiteralResidual | None = None,
    ) -> None:
        self.folder, self.positions = folder, reading.longest(_positions(body))
        self.terms = (
            body.get_input_embeddings().num_embeddings if kind == "mlp" else len(layers[0][0])
        )
        self.device = layers[0][0].device
        self._body, self._layers = body, layers
        self._pad = getattr(body.config, "pad_token_id", 0) or 0
        self._reading, self._residual = reading, residual
        self._phrases = None if phrases is None else torch.from_numpy(phrases.astype(np.int64))
        self.position_bytes = 4 * _WIDTHS * layers[0][0].shape[1] * reading.times
        self._computing = Lock()
        self._first = kind == "cls-mlm"  # whether one position is all that counts
        self._head: Head | None = None
        if kind == "mlp" or (kind != "epic" and self.device.type == "cpu"):
            arrays = [_arrays(layer) for layer in layers]
            self._head = head_of(kind, folder, arrays, special, phrases)

    def rows(self, side: Side, ids: Sequence[Ids]) -> list[Row]:
        """The rows of some texts, each given by its ids as the model reads them.

        Raises `MemoryError` when they are too much for the device.
        """
        inputs = [self._reading.given(text) for text in ids]
        counts = np.array([self._reading.pooled(text.size) for text in ids], np.int64)
        lengths = lengths_of(inputs)
        places = np.arange(max(1, lengths.max(initial=0)))
        mask = places < lengths[:, None]
        pooled_mask = mask & (places >= (lengths - counts)[:, None])
        padded = np.full(mask.shape, self._pad, np.int64)
        padded[mask] = joined(inputs)
        try:
            with self._computing, torch.inference_mode():
                masks = torch.from_numpy(mask).to(self.device)
                output = self._body(
                    input_ids=torch.from_numpy(padded).to(self.device), attention_mask=masks.long()
                )
                # A masked language model without its output layer gives them as logits.
                hidden = output.logits if "logits" in output else output.last_hidden_state
                hidden = hidden.float()
                pooled = torch.from_numpy(pooled_mask).to(self.device)
                if self._reading.positions == "last":  # one position a text, empty texts too
                    ends = torch.from_numpy(np.maximum(lengths - 1, 0)).to(self.device)
                    hidden = hidden[torch.arange(len(inputs), device=self.device), ends][:, None]
                    pooled = pooled.any(1, keepdim=True)
                if self._head is None:
                    rows = self._pooled(side, ids, hidden, pooled)
                else:
                    states = hidden[pooled].cpu().numpy()
                last = None if self._residual is None else hidden[:, -1]
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            if "not enough memory" not in str(error):  # torch's own words, on a CPU
                raise
        else:
            if self._head is not None:
                pooled_ids = [
                    text[text.size - count :] for text, count in zip(inputs, counts, strict=True)
                ]
                rows = self._head.rows(side, pooled_ids, states)
            if self._residual is None or last is None:
                return rows
            return self._residual.add(rows, ids, last)
        # Outside `except`, where the failed batch's memory is free again.
        raise MemoryError(f"the device {self.device} has not enough memory")

    def _pooled(
        self, side: Side, ids: Sequence[Ids], hidden: torch.Tensor, pooled: torch.Tensor
    ) -> list[Row]:
        """The rows of hidden states, on the device.

        Args:
            hidden: shape (texts, positions, width).
            pooled: bool, shape (texts, positions).
        """
        weight, bias = self._layers[0]
        if self._first:
            hidden, pooled = hidden[:, :1], pooled[:, :1]
        term_weights = pool_logits(hidden, ~pooled, weight, bias, side.activation, side.pooling)
        if side.phrases is not None and self._phrases is not None:
            phrases = self._phrases.to(self.device)
            part = weight[phrases], None if bias is None else bias[phrases]
            term_weights[:, phrases] = pool_logits(
                hidden, ~pooled, *part, side.activation, side.phrases
            )
        if not bool(term_weights.isfinite().all()):
            raise not_finite(self.folder)
        text, term = (term_weights > 0).nonzero(as_tuple=True)
        weights = term_weights[text, term].cpu().numpy()
        cuts = np.cumsum(np.bincount(text.cpu().numpy(), minlength=len(term_weights)))[:-1]
        terms = term.cpu().numpy().astype(np.uint32)
        return list(zip(np.split(terms, cuts), np.split(weights, cuts), strict=True))


def _arrays(layer: Linear) -> tuple[Any, Any]:
    weight, bias = layer
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return weight.float().cpu().contiguous().numpy(), bias.float().cpu().contiguous().numpy()


def _positions(model: Any) -> float:
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    if isinstance(table, torch.nn.Embedding):
        # RoBERTa counts positions from the one after padding.
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        return float(table.num_embeddings - first)
    return float(getattr(model.config, "max_position_embeddings", math.inf))

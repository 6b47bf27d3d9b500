"""Heads: hidden states to the weights of terms, without torch.

A head gets the hidden states of several texts one after another, without padding: float32, shape
(positions of all texts, width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
import numpy.typing as npt

from lsr import kernels
from lsr.encoders.methods import Activation, Pooling, Side
from lsr.encoders.models.screening import Fitting
from lsr.encoders.rows import Ids, Row, Weights, by_text, joined, lengths_of, merged, nonzero
from lsr.errors import EncoderError

Hidden = npt.NDArray[np.float32]
# (weight, bias) of a linear layer: float32, shapes (columns, width) and (columns,).
Linear = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

# Each is monotone.
_ACTIVATIONS: dict[str, Callable[[Weights], Weights]] = {
    "relu": lambda x: np.maximum(x, 0),
    "log1p": lambda x: np.log1p(np.maximum(x, 0)),
    "double-log1p": lambda x: np.log1p(np.log1p(np.maximum(x, 0))),
    "identity": lambda x: x,
    "log1p-softplus": lambda x: np.log1p(np.logaddexp(x, np.float32(0))),
}


class Head(Protocol):
    """A head turns hidden states into rows."""

    def rows(self, side: Side, ids: Sequence[Ids], hidden: Hidden) -> list[Row]:
        """The row of each text; raises `EncoderError` when weights are not finite.

        Args:
            side: says how; its head is of this kind.
            ids: uint32, of each text, as the model reads them.
            hidden: of the texts' positions.
        """
        ...


class TermHead:
    """Logits of every position for every term of the vocabulary, pooled: "mlm".

    Computed by kernels that never hold the logits and give what float32 arithmetic gives on
    all terms; see `encoders/kernels/head.h`.
    """

    def __init__(self, folder: Path, layer: Linear) -> None:
        self._folder = folder
        self._kernel = kernels.encoders.Head(kernels.instruction_set("encoders"), *layer)
        self._fitting = Fitting(self._kernel, layer[0])

    def rows(self, side: Side, ids: Sequence[Ids], hidden: Hidden) -> list[Row]:
        rows = self._rows(side, ids, lambda *options: self._kernel.pool(hidden, *options))
        self._fitting.see(lengths_of(ids), lambda: hidden)
        return rows

    def rows_of(self, side: Side, ids: Sequence[Ids], body: kernels.encoders.Bert) -> list[Row]:
        """As `rows`, of the hidden states of a body, which stay in the kernels."""
        tokens, lengths = joined(ids), lengths_of(ids)
        rows = self._rows(side, ids, lambda *options: body.rows(self._kernel, tokens, *options))
        self._fitting.see(lengths, lambda: body.hidden(tokens, lengths))
        return rows

    def _rows(
        self,
        side: Side,
        ids: Sequence[Ids],
        kernel: Callable[[npt.NDArray[np.int64], int, int], tuple[Any, Ids, Weights]],
    ) -> list[Row]:
        pooling, activation = get_args(Pooling), get_args(Activation)
        try:
            ends, terms, weights = kernel(
                lengths_of(ids), pooling.index(side.pooling), activation.index(side.activation)
            )
        except kernels.encoders.NotFinite:
            raise not_finite(self._folder) from None
        if not np.isfinite(weights).all():
            raise not_finite(self._folder)
        cuts = [0, *ends.tolist()]
        return [(terms[start:stop], weights[start:stop]) for start, stop in pairwise(cuts)]


class PhraseHead:
    """As `TermHead`, with phrases pooled their own way; each of the two is a head of its own.

    Args:
        phrases: uint32, ascending, at least one: the terms that are phrases.
    """

    def __init__(self, folder: Path, layer: Linear, phrases: Ids) -> None:
        weight, bias = layer
        words = np.setdiff1d(np.arange(len(weight), dtype=np.uint32), phrases)
        self._heads = [
            (terms, TermHead(folder, (weight[terms], bias[terms]))) for terms in (words, phrases)
        ]

    def rows(self, side: Side, ids: Sequence[Ids], hidden: Hidden) -> list[Row]:
        poolings = side.pooling, side.phrases or side.pooling
        parts = [
            [(terms[row], weights) for row, weights in head.rows(part, ids, hidden)]
            for part, (terms, head) in zip(
                [replace(side, pooling=pooling) for pooling in poolings], self._heads, strict=True
            )
        ]
        return [merged(*both) for both in zip(*parts, strict=True)]


class FirstHead:
    """A `TermHead` of each text's first position alone: "cls-mlm"."""

    def __init__(self, head: TermHead) -> None:
        self._head = head

    def rows(self, side: Side, ids: Sequence[Ids], hidden: Hidden) -> list[Row]:
        lengths = lengths_of(ids)
        first = (np.cumsum(lengths) - lengths)[lengths > 0]
        return self._head.rows(side, [text[:1] for text in ids], hidden[first])


class TokenHead:
    """One number a token, for the token's own term: "mlp".

    Args:
        layers: the last one to one number, with relu between them.
        special: uint32, ascending: token ids that are no terms of a text.
    """

    def __init__(self, folder: Path, layers: Sequence[Linear], special: Ids) -> None:
        self._folder, self._layers, self._special = folder, layers, special

    def rows(self, side: Side, ids: Sequence[Ids], hidden: Hidden) -> list[Row]:
        values = hidden
        with np.errstate(over="ignore", invalid="ignore"):  # an error below, not a warning
            for number, (weight, bias) in enumerate(self._layers):
                values = (np.maximum(values, 0) if number else values) @ weight.T + bias
        if not np.isfinite(values).all():
            raise not_finite(self._folder)
        weights = _ACTIVATIONS[side.activation](values[:, 0])
        return [
            self._pooled(side.pooling, text, text_weights)
            for text, text_weights in zip(ids, by_text(weights, ids), strict=True)
        ]

    def _pooled(self, pooling: Pooling, ids: Ids, weights: Weights) -> Row:
        """The weight of each token of a text but the special ones, which are no terms of it."""
        order = np.argsort(ids, kind="stable")
        terms, first = np.unique(ids[order], return_index=True)
        if not terms.size:
            return terms, np.empty(0, np.float32)
        pool = np.maximum if pooling == "max" else np.add
        pooled = pool.reduceat(weights[order], first)
        pooled[np.isin(terms, self._special)] = 0
        return nonzero(terms, pooled)


def head_of(
    kind: str, folder: Path, layers: Sequence[Linear], special: Ids, phrases: Ids | None = None
) -> Head:
    """The head of a kind that `Side` names, but "epic".

    Args:
        layers: of "mlp" the whole network, of the others one from hidden states to terms.
        special: uint32, ascending: token ids that are no terms of a text.
        phrases: uint32, ascending: the terms of "mlm" that are pooled their own way; or None.
    """
    if kind == "mlp":
        return TokenHead(folder, layers, special)
    if phrases is not None and phrases.size:
        return PhraseHead(folder, layers[0], phrases)
    head = TermHead(folder, layers[0])
    return FirstHead(head) if kind == "cls-mlm" else head


def not_finite(folder: Path) -> EncoderError:
    """The error of a model whose numbers overflow."""
    return EncoderError(
        f"the model in {folder} gives weights that are not finite; the checkpoint is unusable"
    )

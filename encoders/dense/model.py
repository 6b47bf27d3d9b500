"""Dense models on the kernels: token ids to hidden states, pooling, and the layers after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lsr.encoders.checkpoints.weights import Tensors
from lsr.encoders.dense.layout import DenseLayout, Pooling, Step, Vectors
from lsr.encoders.models.bert import BertBody
from lsr.encoders.rows import Ids, by_text


class DenseModel:
    """Token ids to vectors: a body, pooling, and what follows it."""

    def __init__(self, body: BertBody, layout: DenseLayout) -> None:
        self.folder, self.terms, self.positions = layout.folder, body.terms, body.positions
        self.position_bytes = body.position_bytes
        self._body, self._pooling = body, layout.pooling
        self._steps: list[Callable[[Vectors], Vectors]] = []
        self.dimensions = body.width * len(layout.pooling)
        for step in layout.steps:
            if step.kind == "Normalize":
                self._steps.append(unit_rows)
            else:
                layer, self.dimensions = _linear(step, self.dimensions)
                self._steps.append(layer)

    def rows(self, side: None, ids: Sequence[Ids]) -> list[Vectors]:
        """The vector of each text, given by its ids as the model reads them."""
        vectors = np.stack(
            [
                np.concatenate([_pooled(pooling, states) for pooling in self._pooling])
                for states in by_text(self._body.hidden(ids), ids)
            ]
        )
        for step in self._steps:
            vectors = step(vectors)
        return list(vectors)


def _pooled(pooling: Pooling, states: Vectors) -> Vectors:
    """One vector of a text's hidden states, as sentence-transformers' Pooling without padding."""
    length = len(states)
    if not length:  # an empty text, where nothing is added to texts
        return np.zeros(states.shape[1], np.float32)
    if pooling in ("cls", "lasttoken"):
        return np.asarray(states[0 if pooling == "cls" else -1])
    if pooling == "max":
        return np.asarray(states.max(axis=0))
    if pooling == "weightedmean":
        weights = np.arange(1, length + 1, dtype=np.float32)
        return np.asarray((states * weights[:, None]).sum(axis=0) / weights.sum())
    divisor = np.float32(length if pooling == "mean" else length**0.5)
    return np.asarray(states.sum(axis=0) / divisor)


def unit_rows(vectors: Vectors) -> Vectors:
    """Vectors of length 1; torch's bound keeps one of zeros."""
    norms = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.maximum(norms, np.float32(1e-12)))


def _linear(step: Step, width: int) -> tuple[Callable[[Vectors], Vectors], int]:
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

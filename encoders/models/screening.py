"""When the kernels' screen is fitted to what it screens, and the coordinates it works in.

A screen tells from a few dimensions of hidden states which terms a text can have; see
`encoders/kernels/screen.h`.  Fitting it changes how long a row takes and not what is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
import numpy.typing as npt

from lsr import kernels

Floats = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.int64]

# Fitting costs what encoding some 15,000 positions does and saves about an eighth afterwards, so it
# waits until so many were seen that as many more are likely.  Lone texts, as queries are, do not
# count and never wait for it.
_SEEN = 1 << 16
_BATCH = 256
_SAMPLE = 1 << 11  # positions, or a few times the width
_BLOCK = 1 << 12  # terms whose weights are held in float64


class Fitting:
    """Fits the screen of a head once enough texts went through it; for several threads.

    Args:
        kernel: the head.
        weight: its weights, shape (terms, width).
    """

    def __init__(self, kernel: kernels.encoders.Head, weight: Floats) -> None:
        self._kernel, self._weight = kernel, weight
        self._lock = Lock()
        self._seen = self._sampled = 0
        self._sample: list[tuple[Floats, Lengths]] | None = []  # None once it was used

    def see(self, lengths: Lengths, hidden: Callable[[], Floats]) -> None:
        """Takes note of texts that the head gave rows for, and of `hidden()` if it wants it."""
        positions = int(lengths.sum())
        with self._lock:
            self._seen += positions if positions >= _BATCH else 0
            if self._sample is None or positions < _BATCH or self._seen < _SEEN:
                return
            self._sample.append((hidden(), lengths))
            self._sampled += positions
            if self._sampled < max(_SAMPLE, 4 * self._weight.shape[1]):
                return
            sample, self._sample = self._sample, None
        states_of_all = np.concatenate([states for states, _ in sample])
        lengths = np.concatenate([part for _, part in sample])
        self._kernel.fit(*balanced(self._weight, states_of_all), states_of_all, lengths)


def balanced(weight: Floats, hidden: Floats) -> tuple[Floats, Floats, Floats]:
    """Coordinates in which weights and hidden states are spread alike, most in the first ones.

    But for a factor, the second moments of both become the same diagonal matrix, descending: of all
    linear maps
    this leaves the least to the dimensions that are dropped (balanced truncation; Moore, 1981,
    "Principal component analysis in linear systems").

    Args:
        weight: float32, shape (terms, width).
        hidden: float32, shape (positions, width), of any texts.

    Returns:
        (basis, inverse, mean): float32; `basis @ (h - mean)` and `inverse @ w` have the product of
        h - mean with w.
    """
    mean = hidden.mean(0, dtype=np.float64)
    centred = hidden - mean
    # The floors keep both maps far from singular where a sample leaves directions out.
    spread, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    spread = np.maximum(spread, max(1e-4 * spread[-1], float(np.finfo(np.float32).tiny)))
    root, root_inverse = (axes * spread**power @ axes.T for power in (0.5, -0.5))
    moments = np.zeros_like(root)
    for first in range(0, len(weight), _BLOCK):
        block = weight[first : first + _BLOCK].astype(np.float64)
        moments += block.T @ block / len(weight)
    shared, turned = np.linalg.eigh(root @ moments @ root)
    shared, turned = shared[::-1], turned[:, ::-1]
    shared = np.maximum(shared, max(1e-6 * shared[0], float(np.finfo(np.float32).tiny)))
    basis = shared[:, None] ** 0.25 * (turned.T @ root_inverse)
    inverse = shared[:, None] ** -0.25 * (turned.T @ root)
    even = np.sqrt(np.linalg.norm(inverse) / np.linalg.norm(basis))  # neither overflows
    basis, inverse = basis * even, inverse / even
    return basis.astype(np.float32), inverse.astype(np.float32), mean.astype(np.float32)

"""Weights as small integers, and queries scaled so that no score can overflow.

A document weight w is stored as the integer nearest to w / step, at least 1, where `step`
is the collection's largest weight divided by the largest integer (linear, one scale for
all terms).  A query weight becomes an integer of 1 to 16,383 times a power of two:

    score = step_of_score * sum(query integer * document integer)

and `step_of_score` is the least power of two for which no score can reach 2**31 (the
kernels' `queries.cpp`).

The scale of the score is a power of two on purpose: products and sums of the integers
stay below 2**31, so every product and every partial sum is exact in a float64, and an
explanation adds up to its score to the last bit in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def weight_dtype(bits: int) -> type[np.uint8] | type[np.uint16]:
    """The integer type of weights: `bits` is 16, 8, or 1, where they are not stored."""
    return np.uint16 if bits == 16 else np.uint8


def step_for(largest: float, bits: int) -> float:
    """The quantizer's step for a collection whose largest weight is `largest`."""
    return largest / (2**bits - 1) if largest > 0 else 1.0


@dataclass(frozen=True, slots=True)
class IntegerQueries:
    """Queries as the scoring kernels take them.

    Attributes:
        indptr: int64, shape (queries + 1,).
        terms: uint32; only terms that occur in the index.
        weights: int32, 1 to 16,383.
        steps: float64, shape (queries,); a power of two each: score = integer * step.
    """

    indptr: npt.NDArray[np.int64]
    terms: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.int32]
    steps: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return self.steps.size

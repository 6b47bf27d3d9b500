"""Weights as small integers, and queries scaled so that no score can overflow.

A document weight w is stored as the integer nearest to w / step, at least 1, where `step`
is the collection's largest weight divided by the largest integer (linear, one scale for
all terms).  A query weight becomes an integer of at most 14 bits times a power of two:

    score = step_of_score * sum(query integer * document integer)

The scale of the score is a power of two on purpose: products and sums of the integers
stay below 2**31, so every product and every partial sum is exact in a float64, and an
explanation adds up to its score to the last bit in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsr.errors import QueryError
from lsr.vectors import SparseVectors

QUERY_LEVELS = 2**14 - 1
SCORE_LIMIT = 2**31 - 1


def weight_dtype(bits: int) -> type[np.uint8] | type[np.uint16]:
    """The integer type of stored weights: `bits` is 8 or 16."""
    return np.uint8 if bits == 8 else np.uint16


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


def quantize_queries(
    queries: SparseVectors, maxima: npt.NDArray[np.uint32], step: float
) -> IntegerQueries:
    """Scale each query to integers whose largest possible score is below 2**31.

    Args:
        maxima: the largest stored weight in the index of each entry's term; 0 where the
            index lacks the term, which is then left out.
        step: of the document weights.

    Raises `QueryError` when a query has so many terms that even weights of 1 could reach
    2**31 (more than 8 million terms at 8 bits, 32,000 at 16).
    """
    kept = (maxima > 0) & (queries.weights > 0)
    indptr = np.concatenate([[0], np.cumsum(kept)])[queries.indptr].astype(np.int64)
    terms, limits = queries.terms[kept], maxima[kept].astype(np.float64)
    # What a query weight is worth in units of the score, before the scale is chosen.
    exact = queries.weights[kept].astype(np.float64) * step

    filled = indptr[:-1] < indptr[1:]
    starts = indptr[:-1][filled]
    steps = np.ones(len(queries))
    if starts.size:
        # Rounding, and lifting small weights to 1, adds at most 1 to an integer.
        room = SCORE_LIMIT - np.add.reduceat(limits, starts)
        if (room <= 0).any():
            raise QueryError("a query has too many terms for 32-bit scores; keep its strongest")
        needed = np.maximum(
            np.maximum.reduceat(exact, starts) / QUERY_LEVELS,
            np.add.reduceat(exact * limits, starts) / room,
        )
        fraction, exponent = np.frexp(needed)
        # needed = fraction * 2**exponent with fraction in [.5, 1): the power of two above.
        steps[filled] = np.ldexp(1.0, exponent - (fraction == 0.5))
    scaled = exact / np.repeat(steps, np.diff(indptr))
    weights = np.maximum(np.rint(scaled), 1).astype(np.int32)
    return IntegerQueries(indptr, terms, weights, steps)

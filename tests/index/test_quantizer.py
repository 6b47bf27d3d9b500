"""Integers of documents and queries: exact, bounded, never zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import QueryError
from lsr.index.inversion import quantize
from lsr.index.quantizer import QUERY_LEVELS, quantize_queries, step_for
from lsr.vectors import SparseVectors

weight = st.floats(2.0**-126, 2.0**127, width=32)


def one(weights: list[float]) -> SparseVectors:
    return SparseVectors([0, len(weights)], list(range(len(weights))), weights)


@given(st.lists(weight, min_size=1, max_size=60), st.sampled_from([8, 16]))
def test_documents_round_to_the_nearest_and_never_to_nothing(
    weights: list[float], bits: int
) -> None:
    given_ = np.array(weights, np.float32)
    levels = 2**bits - 1
    step = step_for(float(given_.max()), bits)
    stored = np.empty(given_.size, np.uint16)
    error = quantize(given_, step, levels, stored)
    assert stored.min() >= 1
    assert stored[given_.argmax()] == levels
    off = np.abs(given_.astype(np.float64) - stored * step)
    assert error == off.max()
    assert (off[stored > 1] <= step / 2 * (1 + 1e-12)).all()


@given(
    st.lists(st.tuples(weight, st.integers(0, 65_535)), min_size=1, max_size=300),
    st.floats(1e-40, 1e30),
)
def test_no_score_can_overflow(entries: list[tuple[float, int]], step: float) -> None:
    weights = [w for w, _ in entries]
    maxima = np.array([m for _, m in entries], np.uint32)
    integers = quantize_queries(one(weights), maxima, step)
    kept = np.flatnonzero(maxima)
    assert integers.terms.tolist() == kept.tolist()
    assert (integers.weights >= 1).all()
    assert (integers.weights <= QUERY_LEVELS).all()
    assert int((integers.weights.astype(np.int64) * maxima[kept]).sum()) < 2**31
    assert math.frexp(integers.steps[0])[0] == 0.5  # a power of two
    exact = np.array(weights, np.float32)[kept].astype(np.float64) * step / integers.steps[0]
    assert (np.abs(integers.weights - exact) <= 1).all()


def test_one_term_keeps_at_least_thirteen_bits() -> None:
    integers = quantize_queries(one([0.7]), np.array([255], np.uint32), 0.011)
    assert QUERY_LEVELS / 2 < integers.weights[0] <= QUERY_LEVELS


def test_empty_queries_among_others() -> None:
    queries = SparseVectors([0, 0, 2, 2, 3], [1, 5, 5], [1.0, 2.0, 0.0])
    integers = quantize_queries(queries, np.array([9, 0, 9], np.uint32), 1.0)
    assert integers.indptr.tolist() == [0, 0, 1, 1, 1]
    assert integers.terms.tolist() == [1]


def test_more_terms_than_32_bits_can_add_are_refused() -> None:
    count = 40_000
    maxima = np.full(count, 65_535, np.uint32)
    with pytest.raises(QueryError, match="too many terms"):
        quantize_queries(one([1.0] * count), maxima, 1.0)

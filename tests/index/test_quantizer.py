"""Integers of documents and queries: exact, bounded, never zero."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr import kernels
from lsr.errors import QueryError
from lsr.index.format import DENSE_TERM
from lsr.index.postings.blocks import partition_columns
from lsr.index.postings.inversion import quantize
from lsr.index.postings.quantizer import IntegerQueries, step_for
from lsr.index.search.options import SearchOptions
from lsr.vectors import SparseVectors
from support.bare_index import as_mapped, open_searcher, write_index

QUERY_LEVELS = 2**14 - 1

weight = st.floats(2.0**-126, 2.0**127, width=32)


def one(weights: list[float]) -> SparseVectors:
    return SparseVectors([0, len(weights)], list(range(len(weights))), weights)


def scaled(
    queries: SparseVectors, maxima: npt.ArrayLike, step: float, documents: int = 1
) -> IntegerQueries:
    """Queries as the kernels scale them where term i has the largest weight maxima[i].

    The first of the documents has all terms that have one; with 97 documents they are sparse.
    """
    weights = np.asarray(maxima, np.uint16)
    terms = np.flatnonzero(weights).astype(np.uint32)
    files = partition_columns(
        terms,
        np.arange(terms.size + 1),
        weights[terms],
        np.zeros(terms.size, np.uint16),
        weights[terms],
        documents,
    )
    columns = as_mapped(files)
    assert columns["sparse_terms" if documents > DENSE_TERM else "dense_terms"].size == terms.size
    positions = np.arange(documents, dtype=np.uint32)
    alive = np.full(-(-documents // 8), 255, np.uint8)
    postings = kernels.index.Postings(positions, alive, 16, step, 0.0)
    postings.add(documents, columns)
    return IntegerQueries(*postings.quantize(queries.indptr, queries.terms, queries.weights))


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
    st.sampled_from([1, DENSE_TERM + 1]),
)
def test_no_score_can_overflow(
    entries: list[tuple[float, int]], step: float, documents: int
) -> None:
    weights = [w for w, _ in entries]
    maxima = np.array([m for _, m in entries], np.int64)
    integers = scaled(one(weights), maxima, step, documents)
    kept = np.flatnonzero(maxima)
    assert integers.terms.tolist() == kept.tolist()
    assert (integers.weights >= 1).all()
    assert (integers.weights <= QUERY_LEVELS).all()
    assert int((integers.weights.astype(np.int64) * maxima[kept]).sum()) < 2**31
    assert math.frexp(integers.steps[0])[0] == 0.5  # a power of two
    exact = np.array(weights, np.float32)[kept].astype(np.float64) * step / integers.steps[0]
    assert (np.abs(integers.weights - exact) <= 1).all()


def test_one_term_keeps_at_least_thirteen_bits() -> None:
    integers = scaled(one([0.7]), [255], 0.011)
    assert QUERY_LEVELS / 2 < integers.weights[0] <= QUERY_LEVELS


def test_empty_queries_among_others() -> None:
    queries = SparseVectors([0, 0, 2, 2, 3], [1, 5, 2], [1.0, 2.0, 0.0])
    integers = scaled(queries, [0, 9, 9], 1.0)
    assert integers.indptr.tolist() == [0, 0, 1, 1, 1]
    assert integers.terms.tolist() == [1]


@pytest.mark.parametrize("dense", [0, 96])  # 0: all terms are sparse
def test_the_largest_weight_of_any_partition_counts(tmp_path: Path, dense: int) -> None:
    # As many terms as it takes for the sum of their largest weights to decide the scale.
    terms = list(range(20))
    rows = [(terms, [weight] * 20) for weight in (0.5, 1.0, 0.25)]
    vectors = SparseVectors.from_rows(rows)
    index, manifest = write_index(tmp_path, vectors, bits=16, partition=1, density=dense)
    assert manifest.segments[0].partitions == [1, 1, 1]
    found = open_searcher(index).quantize(one([5.0] * 20))
    alone = scaled(one([5.0] * 20), [65_535] * 20, manifest.step)
    assert found.weights.tolist() == alone.weights.tolist()
    assert found.steps.tolist() == alone.steps.tolist()
    smaller = scaled(one([5.0] * 20), [16_384] * 20, manifest.step)
    assert found.steps.tolist() != smaller.steps.tolist()


def test_more_terms_than_32_bits_can_add_are_refused(tmp_path: Path) -> None:
    vectors = one([1.0] * 40_000)
    searcher = open_searcher(write_index(tmp_path, vectors, bits=16)[0])
    for call in (searcher.quantize, lambda queries: searcher.search(queries, SearchOptions(1))):
        with pytest.raises(QueryError, match="too many terms"):
            call(vectors)
    assert len(searcher.search(vectors.strongest(30_000), SearchOptions(1))[0].docids) == 1

"""Recursive graph bisection: an order of all documents that brings like ones together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsr.errors import LsrError
from lsr.index.postings.ordering import ORDERS, STRONGEST, bisection
from lsr.progress import Silent
from lsr.retrieval.index import Index
from lsr.vectors import SparseVectors


def collection(count: int, vocabulary: int = 500, longest: int = 12) -> SparseVectors:
    """Documents of skewed random terms, weights with many ties; one in thirteen has no terms."""
    rng = np.random.default_rng(count)
    lengths = rng.integers(0, longest + 1, count)
    owners = np.repeat(np.arange(count), lengths)
    terms = (vocabulary * rng.random(owners.size) ** 3).astype(np.int64)
    entries = np.unique(owners << 32 | terms)
    indptr = np.searchsorted(entries >> 32, np.arange(count + 1))
    return SparseVectors(indptr, entries & (2**32 - 1), rng.integers(1, 4, entries.size))


def order_of(vectors: SparseVectors, threads: int = 1, chunk: int = 1000) -> list[int]:
    chunks = (vectors[start : start + chunk] for start in range(0, len(vectors), chunk))
    return bisection(chunks, threads=threads, progress=Silent).tolist()


@pytest.mark.parametrize("count", [0, 1, 2, 8, 9, 100, 8192, 8193, 20_001])
def test_every_document_comes_once_whatever_the_threads(count: int) -> None:
    vectors = collection(count)
    order = order_of(vectors)
    assert sorted(order) == list(range(count))
    assert (order == list(range(count))) == (count <= 8)  # the order in a block means nothing
    for threads in (2, 5):
        assert order_of(vectors, threads) == order
    assert order_of(vectors, chunk=77) == order


def test_documents_without_terms() -> None:
    empty = SparseVectors(np.zeros(9001, np.int64), [], [])
    assert sorted(order_of(empty, threads=2)) == list(range(9000))
    zeros = SparseVectors.from_rows(([1], [0.0]) for _ in range(100))
    assert sorted(order_of(zeros)) == list(range(100))


@pytest.mark.parametrize("count", [16, 200, 9000])
def test_interleaved_topics_are_put_apart(count: int) -> None:
    rng = np.random.default_rng(1)
    vectors = SparseVectors.from_rows(
        (np.sort(rng.choice(20, 5, replace=False)) + 20 * (d % 2), rng.random(5))
        for d in range(count)
    )
    topics = np.array(order_of(vectors, threads=2)) % 2
    assert (topics[: count // 2] == topics[0]).all()
    assert (topics[count // 2 :] == 1 - topics[0]).all()


def test_only_the_strongest_terms_are_compared() -> None:
    # Odd and even documents differ in their strong terms, the early and late ones in many more
    # weak ones.
    rng = np.random.default_rng(1)
    weights = np.append(np.full(STRONGEST, 2.0), np.full(300, 1.0))
    vectors = SparseVectors.from_rows(
        (
            np.append(
                np.sort(rng.choice(120, STRONGEST, replace=False)) + 120 * (d % 2),
                np.arange(300) + 1000 * (1 + d // 32),
            ),
            weights,
        )
        for d in range(64)
    )
    topics = np.array(order_of(vectors)) % 2
    assert (topics[:32] == topics[0]).all()
    assert (topics[32:] == 1 - topics[0]).all()


def test_neighbours_share_terms() -> None:
    rng = np.random.default_rng(6)
    vectors = SparseVectors.from_rows(
        (np.sort(rng.choice(30, 8, replace=False)) + 30 * rng.integers(50), rng.random(8))
        for _ in range(3000)
    )
    order = np.array(order_of(vectors))

    def blocks_with_postings(order: np.ndarray) -> int:
        taken = vectors.take(order)
        owners = np.repeat(np.arange(len(taken)), np.diff(taken.indptr)) // 8
        return np.unique(owners << 32 | taken.terms).size

    assert blocks_with_postings(order) < 0.5 * blocks_with_postings(np.arange(3000))


class Recorder(Silent):
    """Counts what was announced and what was done."""

    done: int
    total: int | None

    def __init__(self, action: str, unit: str, total: int | None = None, *rest: object) -> None:
        super().__init__(action, unit, total)
        Recorder.total, Recorder.done = total, 0

    def advance(self, count: int, *, free: bool = False) -> None:
        Recorder.done += count


@pytest.mark.parametrize("count", [0, 8, 9, 1000, 8193, 20_001, 40_000])
def test_progress_ends_where_it_should(count: int) -> None:
    bisection([collection(count, longest=2)], threads=2, progress=Recorder)
    assert Recorder.done == Recorder.total
    assert bool(Recorder.total) == (count > 8)


@pytest.mark.parametrize("count", [0, 1, 9, 300, 8200])
def test_hits_are_the_same_in_every_order(tmp_path: Path, count: int) -> None:
    vectors = collection(count)
    ids = [f"d{d}" for d in range(count)]
    indexes = {
        order: Index.from_vectors(tmp_path / order, ids, vectors, order=order, keep_floats=True)
        for order in ORDERS
    }
    queries = collection(60, longest=8)
    for options in ({"k": 1}, {"k": 10}, {"k": 500}, {"k": 20, "exact_floats": True}):
        found = [
            [
                (hits.ids.tolist(), hits.scores.tolist())
                for hits in index.search_vectors(queries, **options)
            ]
            for index in indexes.values()
        ]
        assert found[0] == found[1]
    if count >= 300:
        assert any(len(set(scores)) < len(scores) for _, scores in found[0])  # there are ties
        stored = [
            [index.reader.segments[0].ids[d] for d in range(count)] for index in indexes.values()
        ]
        assert sorted(stored[0]) == sorted(stored[1])
        assert stored[0] != stored[1]
    for index in indexes.values():
        for d in range(0, count, 97):
            assert index.get(f"d{d}").vector.terms.tolist() == vectors[d].terms.tolist()


def test_an_order_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(LsrError, match="no order 'random'; use bisection or none"):
        Index.from_vectors(tmp_path / "i", [], collection(0), order="random")

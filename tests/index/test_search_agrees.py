"""Every way of searching gives the integers, the order and the ties of brute force."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lsr import kernels
from lsr.errors import InstructionSetError, QueryError
from lsr.index.format import PARTITION, Manifest
from lsr.index.search.options import SearchOptions
from lsr.index.search.searcher import Searcher
from lsr.index.verify import problems
from lsr.vectors import SparseVectors
from support.bare_index import IN_MEMORY, brute_force, open_searcher, stored_integers, write_index

WAYS = [
    *((method, isa) for isa in kernels.ISAS["index"] for method in ("scan", "pruned", "auto")),
    ("reference", "scalar"),
]


@st.composite
def rows(draw: st.DrawFn, most: int, vocabulary: int, lengths: list[int]) -> SparseVectors:
    """Vectors with many ties, some zeros, and weights at both extremes."""
    seed = draw(st.integers(0, 2**32 - 1))
    count = draw(st.integers(0, most))
    longest = draw(st.sampled_from(lengths))
    skew = draw(st.sampled_from([1, 5]))  # the lower terms are the more frequent
    kind = draw(st.sampled_from(["few", "real", "extreme"]))
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(count), rng.integers(0, longest + 1, count))
    terms = (vocabulary * rng.random(owners.size) ** skew).astype(np.int64)
    entries = np.unique(owners << 32 | terms)
    if kind == "few":
        weights = rng.integers(0, 4, entries.size)
    elif kind == "real":
        weights = rng.gamma(1.0, 0.5, entries.size)
    else:
        weights = rng.choice([1e-38, 1e-3, 1.0, 3e38], entries.size)
    indptr = np.searchsorted(entries >> 32, np.arange(count + 1))
    return SparseVectors(indptr, entries & (2**32 - 1), weights.astype(np.float32))


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    vocabulary = draw(st.sampled_from([1, 4, 60, 400, 70_000, 2**32]))
    most = draw(st.sampled_from([150, 150, 150, 1500]))  # 1,500 documents take several superblocks
    vectors = draw(rows(most, vocabulary, [0, 1, 3, 12, 40, 150] if most == 150 else [1, 12, 30]))
    count = len(vectors)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "vectors": vectors,
        "queries": draw(rows(4, vocabulary, [0, 1, 3, 12, 40, 600])),
        "positions": rng.permutation(count).astype(np.uint32),
        "alive": (rng.random(count) < draw(st.sampled_from([0.0, 0.5, 1.0]))).astype(np.uint8),
        "bits": draw(st.sampled_from([1, 8, 16])),
        "k": draw(st.sampled_from([1, 2, 10, 1000]) | st.integers(1, 200)),
        "partition": draw(st.sampled_from([8, 50, 57_344])),
        # 0: all terms are sparse; 96: in small partitions all are dense.
        "dense": draw(st.sampled_from([0, 2, 8, 96])),
    }


def opened(folder: str, case: dict[str, object], **options: Any) -> tuple[Searcher, Manifest]:
    """An index of the case."""
    index, manifest = write_index(
        Path(folder),
        case["vectors"],
        bits=case["bits"],
        positions=case["positions"],
        partition=case["partition"],
        density=case["dense"],
        **options,
    )
    return open_searcher(index, case["alive"]), manifest


def check(
    searcher: Searcher, case: dict[str, object], weights: np.ndarray, exact_floats: bool = False
) -> None:
    vectors, queries, k = case["vectors"], case["queries"], case["k"]
    integers = searcher.quantize(queries)
    expected = []
    for row in range(len(queries)):
        span = slice(integers.indptr[row], integers.indptr[row + 1])
        query = (integers.terms[span], integers.weights[span])
        if exact_floats:
            query = (queries[row].terms, queries[row].weights.astype(np.float64))
        expected.append(brute_force(vectors, weights, *query, k, case["positions"], case["alive"]))
    for method, isa in WAYS:
        searcher.isa = isa
        found = searcher.search(queries, SearchOptions(k, method=method, exact_floats=exact_floats))
        assert len(found) == len(queries)
        for hits, step, (documents, scores) in zip(found, integers.steps, expected, strict=True):
            assert hits.docids.tolist() == documents, (method, isa)
            if exact_floats:
                assert hits.scores.tolist() == scores, (method, isa)
            else:
                expected_scores = [score * step for score in scores]
                assert hits.scores.tolist() == expected_scores, (method, isa)
                assert max(scores, default=0) < 2**31


@settings(max_examples=2000, suppress_health_check=list(HealthCheck))
@given(cases())
@example(
    {
        "vectors": SparseVectors.from_rows([]),
        "queries": SparseVectors.from_rows([([5], [1.0])]),
        "positions": np.empty(0, np.uint32),
        "alive": np.empty(0, np.uint8),
        "bits": 8,
        "k": 10,
        "partition": 8,
        "dense": 96,
    }
)
# The weights of a 16-bit chunk follow its masks, of whatever number.
@example(
    {
        "vectors": SparseVectors.from_rows([([0], [2.0]), ([0], [1.0])]),
        "queries": SparseVectors.from_rows([([0], [1.0])]),
        "positions": np.arange(2, dtype=np.uint32),
        "alive": np.ones(2, np.uint8),
        "bits": 16,
        "k": 1,
        "partition": 8,
        "dense": 96,
    }
)
def test_random_collections(case: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        searcher, manifest = opened(folder, case)
        check(searcher, case, stored_integers(case["vectors"], manifest))


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(cases(), st.integers(0, 150), st.integers(0, 150))
def test_segments_search_as_one_collection(case: dict[str, object], a: int, b: int) -> None:
    count = len(case["vectors"])
    cuts = tuple(sorted({min(a, count), min(b, count)}))
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        searcher, manifest = opened(folder, case, cuts=cuts)
        check(searcher, case, stored_integers(case["vectors"], manifest))


@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(cases())
def test_float_exact_scores_are_those_of_brute_force(case: dict[str, object]) -> None:
    case["bits"] = max(case["bits"], 8)  # with 1 bit there are no others than the stored ones
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        searcher, _ = opened(folder, case, keep_floats=True)
        check(searcher, case, case["vectors"].weights, exact_floats=True)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_a_full_partition(tmp_path: Path, bits: int) -> None:
    """As many documents as one partition takes, and some: its offsets must fit their columns."""
    rng = np.random.default_rng(bits)
    count = PARTITION + 3
    # Term 0 in all documents, 1 in half of them, 2 in one of a hundred, 3 in the last.
    chosen = rng.random((count, 4)) < [1, 0.5, 0.01, 0]
    chosen[-1, 3] = True
    indptr = np.concatenate([[0], np.cumsum(chosen.sum(1))])
    weights = rng.gamma(2.0, 0.3, indptr[-1]).astype(np.float32)
    vectors = SparseVectors(indptr, np.nonzero(chosen)[1], weights)
    index, manifest = write_index(tmp_path, vectors, bits=bits)
    assert manifest.segments[0].partitions == [PARTITION, 3]
    assert list(problems(index)) == []
    case = {
        "vectors": vectors,
        "queries": SparseVectors([0, 1, 3, 7], [0, 1, 2, 0, 1, 2, 3], [1, 3, 2, 1, 2, 3, 0.01]),
        "k": 20,
        "positions": np.arange(count),
        "alive": np.ones(count, np.uint8),
    }
    check(open_searcher(index), case, stored_integers(vectors, manifest))


@pytest.mark.parametrize("k", [1, 10, 100, 400])
def test_bounds_that_are_hardly_above_the_scores(tmp_path: Path, k: int) -> None:
    """One document a block, and weights that codebooks hold exactly: nothing hides a bound, of a
    block or of the steps still to come, that is a little too low."""
    rng = np.random.default_rng(k)
    chosen = np.zeros((20_000, 25), bool)
    chosen[::8] = rng.random((2500, 25)) < 0.7
    indptr = np.concatenate([[0], np.cumsum(chosen.sum(1))])
    vectors = SparseVectors(indptr, np.nonzero(chosen)[1], rng.integers(1, 16, indptr[-1]))
    index, manifest = write_index(tmp_path, vectors, keep_floats=True)
    terms = [np.sort(rng.choice(25, size, replace=False)) for size in (5, 8, 12, 20, 25)]
    case = {
        "vectors": vectors,
        "queries": SparseVectors.from_rows((t, rng.gamma(2.0, 0.3, t.size)) for t in terms),
        "k": k,
        "positions": np.arange(len(vectors)),
        "alive": np.ones(len(vectors), np.uint8),
    }
    searcher = open_searcher(index)
    check(searcher, case, stored_integers(vectors, manifest))
    check(searcher, case, vectors.weights, exact_floats=True)


def test_more_terms_than_bounds_can_add(tmp_path: Path) -> None:
    """Bounds have 16 bits: a query of so many terms is scanned instead."""
    rng = np.random.default_rng(2)
    chosen = [np.flatnonzero(rng.random(5000) < 0.9) for _ in range(40)]
    vectors = SparseVectors.from_rows((terms, rng.random(terms.size)) for terms in chosen)
    index, manifest = write_index(tmp_path, vectors)
    case = {
        "vectors": vectors,
        "queries": vectors[:2],
        "k": 5,
        "positions": np.arange(40),
        "alive": np.ones(40, np.uint8),
    }
    check(open_searcher(index), case, stored_integers(vectors, manifest))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Searcher, SparseVectors, np.ndarray]:
    """30,000 documents with dense and sparse terms: many superblocks, guards, rounds."""
    rng = np.random.default_rng(7)
    popularity = rng.pareto(0.7, 3000) + 0.01
    popularity /= popularity.sum()
    pairs = []
    for _ in range(30_000):
        terms = np.unique(rng.choice(3000, 30, p=popularity))
        pairs.append((terms.astype(np.uint32), rng.gamma(2.0, 0.3, terms.size).astype(np.float32)))
    vectors = SparseVectors.from_rows(pairs)
    index, manifest = write_index(tmp_path_factory.mktemp("large"), vectors, keep_floats=True)
    return open_searcher(index), vectors, stored_integers(vectors, manifest)


@pytest.mark.parametrize("k", [1, 10, 100, 1000, 100_000])
def test_a_large_collection(large: tuple[Searcher, SparseVectors, np.ndarray], k: int) -> None:
    searcher, vectors, weights = large
    rng = np.random.default_rng(k)
    queries = SparseVectors.from_rows(_query(rng, size) for size in (1, 3, 20, 100))
    case = {
        "vectors": vectors,
        "queries": queries,
        "k": k,
        "positions": np.arange(len(vectors)),
        "alive": np.ones(len(vectors), np.uint8),
    }
    check(searcher, case, weights)


@pytest.mark.parametrize("k", [1, 10, 100, 1000, 100_000])
def test_a_large_binary_collection(
    large: tuple[Searcher, SparseVectors, np.ndarray], tmp_path: Path, k: int
) -> None:
    """Bitmaps and coded lists, more of them than are read at a time."""
    _, vectors, _ = large
    index, manifest = write_index(tmp_path, vectors, bits=1)
    rng = np.random.default_rng(k)
    case = {
        "vectors": vectors,
        "queries": SparseVectors.from_rows(_query(rng, size) for size in (1, 3, 20, 100)),
        "k": k,
        "positions": np.arange(len(vectors)),
        "alive": (rng.random(len(vectors)) < 0.9).astype(np.uint8),
    }
    searcher = open_searcher(index, case["alive"])
    check(searcher, case, stored_integers(vectors, manifest))


def _query(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    terms = np.unique(rng.integers(0, 3000, size)).astype(np.uint32)
    return terms, rng.gamma(2.0, 0.3, terms.size).astype(np.float32)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_float_scores_where_rounding_changes_the_order(
    large: tuple[Searcher, SparseVectors, np.ndarray], k: int
) -> None:
    searcher, vectors, _ = large
    rng = np.random.default_rng(5)
    queries = SparseVectors.from_rows(_query(rng, 20) for _ in range(40))
    rounded = searcher.search(queries, SearchOptions(k))
    exact = searcher.search(queries, SearchOptions(k, exact_floats=True))
    changed = 0
    for row, hits in enumerate(exact):
        weights = queries[row].weights.astype(np.float64)
        wanted = brute_force(vectors, vectors.weights, queries[row].terms, weights, k)
        assert (hits.docids.tolist(), hits.scores.tolist()) == wanted
        changed += set(rounded[row].docids.tolist()) != set(wanted[0])
    assert changed > 0  # else the margin around the integer scores is not put to the test


def test_float_scores_where_every_rounding_misleads(tmp_path: Path) -> None:
    terms = list(range(50))
    worse = [10.51] * 50  # 525.5, stored as 550
    better = [11.49] * 26 + [9.49] * 24  # 526.5, stored as 502
    scale = ([99], [255.0])  # makes the step 1
    vectors = SparseVectors.from_rows([(terms, worse), (terms, better), scale])
    index, _ = write_index(tmp_path, vectors, keep_floats=True)
    query = SparseVectors.from_rows([(terms, [1.0] * 50)])
    searcher = open_searcher(index)
    assert searcher.search(query, SearchOptions(1))[0].docids.tolist() == [0]
    for method in ("scan", "pruned", "auto", "reference"):
        (exact,) = searcher.search(query, SearchOptions(1, method=method, exact_floats=True))
        assert exact.docids.tolist() == [1], method


def test_threads_change_nothing(large: tuple[Searcher, SparseVectors, np.ndarray]) -> None:
    searcher, vectors, _ = large
    queries = vectors[:101]
    alone = searcher.search(queries, SearchOptions(10))
    for threads in (2, 5, 200):
        spread = searcher.search(queries, SearchOptions(10, threads=threads))
        assert [hits.docids.tolist() for hits in spread] == [hits.docids.tolist() for hits in alone]


def test_parameters_out_of_range_are_refused(
    large: tuple[Searcher, SparseVectors, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher, vectors, _ = large
    for options in ({"k": 0}, {"k": -1}, {"threads": 0}, {"method": "fast"}):
        with pytest.raises(QueryError):
            searcher.search(vectors[:1], SearchOptions(**{"k": 10, **options}))
    monkeypatch.setenv("LSR_ISA", "neon512")
    monkeypatch.delitem(vars(searcher), "isa", raising=False)
    with pytest.raises(InstructionSetError, match="neon512"):
        searcher.search(vectors[:1], SearchOptions(10))


def test_float_scores_need_kept_floats(tmp_path: Path) -> None:
    vectors = SparseVectors.from_rows([([1], [1.0])])
    index, _ = write_index(tmp_path, vectors)
    with pytest.raises(QueryError, match="--keep-floats"):
        open_searcher(index).search(vectors, SearchOptions(1, exact_floats=True))

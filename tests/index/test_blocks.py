"""The blocks of dense terms: what is written is read back, and bounds are never too low."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsr.index.format import BLOCK, CODEBOOK, SUPERBLOCK, superblocks_of
from lsr.index.postings.blocks import codebook, gathered, partition_columns, split_terms
from lsr.index.postings.decoding import Postings, decode, decode_term, read_chunk
from lsr.index.segments.older import decode_old_term
from lsr.storage.arrow import Columns
from support.bare_index import as_mapped

Array = npt.NDArray[np.integer]


@st.composite
def partitions(draw: st.DrawFn) -> tuple[int, Postings]:
    """A number of documents, and postings of terms of all densities."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, 7, 8, 9, 256, 257, 512, 513]) | st.integers(1, 3000))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    largest = draw(st.sampled_from([1, 3, 20, np.iinfo(dtype).max]))
    terms = np.unique(rng.integers(0, 2**32, draw(st.integers(0, 6)))).astype(np.uint32)
    documents = []
    for _ in terms:
        chosen = rng.random(count) < rng.choice([0.001, 0.01, 0.1, 0.5, 1.0])
        chosen[rng.integers(count)] = True
        documents.append(np.flatnonzero(chosen))
    starts = np.cumsum([0, *(run.size for run in documents)]).astype(np.int64)
    weights = rng.integers(1, largest, starts[-1], dtype, endpoint=True)
    floats = rng.random(starts[-1]).astype(np.float32)
    flat = np.concatenate([np.empty(0), *documents]).astype(np.uint16)
    return count, Postings(terms, starts, flat, weights, floats)


def written(count: int, postings: Postings, dense: int) -> Columns:
    """The columns of a partition, with floats; `dense` stands for DENSE_TERM."""
    maxima = np.zeros(postings.terms.size, postings.weights.dtype)
    if maxima.size:
        maxima = np.maximum.reduceat(postings.weights, postings.starts[:-1])
    columns = as_mapped(
        partition_columns(
            postings.terms,
            postings.starts,
            maxima,
            postings.documents,
            postings.weights,
            count,
            density=dense,
        )
    )
    runs = np.concatenate(split_terms(postings.starts, count, dense))
    assert postings.floats is not None
    return columns | {"floats": gathered(runs, postings.starts, postings.floats)}


def run_of(postings: Postings, term: int) -> tuple[Array, Array]:
    """Documents and weights of a term."""
    row = postings.terms.tolist().index(term)
    span = slice(postings.starts[row], postings.starts[row + 1])
    return postings.documents[span], postings.weights[span]


full = np.arange(3000)


@given(partitions(), st.sampled_from([0, 2, 96]))
@example(
    (
        3000,
        Postings(
            np.array([7], np.uint32),
            np.array([0, 3000]),
            full.astype(np.uint16),
            (full * 21 + 1).astype(np.uint16),
            full.astype(np.float32),
        ),
    ),
    96,
)
def test_postings_come_back(partition: tuple[int, Postings], dense: int) -> None:
    count, postings = partition
    columns = written(count, postings, dense)
    assert columns["dense_terms"].size + columns["sparse_terms"].size == postings.terms.size
    assert dense or not columns["dense_terms"].size
    assert columns["ranks"].tolist() == [
        int((documents < 512 * superblock).sum())
        for documents in (run_of(postings, term)[0] for term in columns["dense_terms"].tolist())
        for superblock in range(superblocks_of(count))
    ]
    back = decode(columns, count)
    assert back.terms.tolist() == postings.terms.tolist()
    assert back.starts.tolist() == postings.starts.tolist()
    assert back.documents.tolist() == postings.documents.tolist()
    assert back.weights.tolist() == postings.weights.tolist()
    assert back.floats is not None
    assert postings.floats is not None
    assert back.floats.tolist() == postings.floats.tolist()


@pytest.mark.parametrize("planes", [1, 2])
def test_a_chunk_that_leaves_its_columns_is_refused(planes: int) -> None:
    # Bytes that would do follow the chunk, so that only the checks keep the reader from them.
    buffer = np.full(64, 255, np.uint8)
    buffer[:2] = 0b10000010, 0b1
    size = 2 + 3 * planes
    blocks = np.array([3, 7])
    documents, weights = np.full(9, -7), np.full(9, -7)
    for cut in range(size):
        assert read_chunk(buffer[:cut], 0, blocks, planes, documents, weights, 0) == -1
        # Masks that are not all there are not read, wherever that would end.
        assert (documents == -7).all() == (cut < 2)
    for room in range(3):
        documents[:] = weights[:] = -7
        few = documents[:room], weights[:room]
        assert read_chunk(buffer[:size], 0, blocks, planes, *few, 0) == -1
        assert documents[room:].tolist() == weights[room:].tolist() == [-7] * (9 - room)
    assert read_chunk(buffer[:size], 0, blocks, planes, documents[:4], weights[:4], 1) == 4
    assert documents[1:4].tolist() == [25, 31, 56]
    assert weights[1:4].tolist() == [255 if planes == 1 else 65535] * 3
    assert documents[4:].tolist() == weights[4:].tolist() == [-7] * 5


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_term_with_a_damaged_chunk_is_refused_whichever_it_is(damaged: int) -> None:
    payload = np.array([0b11, 5, 6, 0], np.uint8)
    chunks = np.zeros(2, np.uint16)
    codes = np.zeros(64, np.uint8)
    codes[[0, 32]] = 1
    bitmaps = np.array([1 | 1 << 32], np.uint64)
    for decoder, columns, first in ((decode_term, codes, 512), (decode_old_term, bitmaps, 256)):
        documents, weights = np.empty(1024, np.int64), np.empty(1024, np.int64)
        chunks[damaged] = 0
        assert decoder(columns, chunks, payload, 1, documents, weights) == 4
        assert documents[:4].tolist() == [0, 1, first, first + 1]
        chunks[damaged] = 4
        assert decoder(columns, chunks, payload, 1, documents, weights) == -1


def edges_of(columns: Columns, row: int, superblocks: int) -> dict[int, int]:
    """The bound that the codes of a dense term give each block with postings."""
    book = columns["codebooks"][row * CODEBOOK : (row + 1) * CODEBOOK]
    assert book[0] == 0
    codes = columns["maxima"].reshape(-1, superblocks, SUPERBLOCK // 2)[row]
    # The blocks of a superblock's first half are in the low halves of its bytes.
    every = np.concatenate([codes & 15, codes >> 4], axis=1).ravel().tolist()
    return {block: int(book[code]) for block, code in enumerate(every) if code}


@given(partitions())
def test_no_bound_is_below_a_weight_of_its_block(partition: tuple[int, Postings]) -> None:
    count, postings = partition
    columns = written(count, postings, 96)
    for row, term in enumerate(columns["dense_terms"].tolist()):
        maxima: dict[int, int] = {}
        for document, weight in zip(
            *(values.tolist() for values in run_of(postings, term)), strict=True
        ):
            block = document // BLOCK
            maxima[block] = max(maxima.get(block, 0), weight)
        edges = edges_of(columns, row, superblocks_of(count))
        assert edges.keys() == maxima.keys()
        book = sorted(set(columns["codebooks"][row * CODEBOOK : (row + 1) * CODEBOOK].tolist()))
        for block, largest in maxima.items():
            assert edges[block] == min(edge for edge in book if edge >= largest)


def fitted(values: npt.ArrayLike, dtype: type[np.integer]) -> Array:
    book = np.zeros(CODEBOOK, dtype)
    codebook(np.asarray(values, dtype), book)
    assert book[0] == 0  # of blocks without postings
    return book[1:]


def excess(values: npt.ArrayLike, edges: npt.ArrayLike) -> int:
    """What is added when each value is raised to the next edge."""
    edges = np.asarray(edges, np.int64)
    return int((edges[np.searchsorted(edges, values)] - np.asarray(values, np.int64)).sum())


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: st.tuples(
            st.lists(
                st.integers(1, np.iinfo(dtype).max) | st.integers(1, 30), min_size=1, max_size=300
            ),
            st.just(dtype),
        )
    )
)
@example(([*range(1, 256)], np.uint8))
@example(([*range(1, 3000), *[9] * 9000], np.uint16))
@example(([*range(1, 200), *[65_535] * 20_000], np.uint16))
def test_every_maximum_has_an_edge(case: tuple[list[int], type[np.integer]]) -> None:
    values, dtype = case
    book = fitted(values, dtype)
    assert (np.diff(book.astype(np.int64)) >= 0).all()
    assert book[-1] == max(values)
    assert set(book.tolist()) <= set(values)
    if len(set(values)) < CODEBOOK:
        assert set(book.tolist()) == set(values)


@given(
    st.sets(st.integers(1, 65_535), min_size=CODEBOOK + 1, max_size=CODEBOOK + 3),
    st.lists(st.integers(1, 50), min_size=CODEBOOK + 3, max_size=CODEBOOK + 3),
)
def test_the_edges_raise_the_maxima_the_least(distinct: set[int], counts: list[int]) -> None:
    *others, last = sorted(distinct)
    values = np.repeat([*others, last], counts[: len(distinct)])
    best = min(excess(values, [*edges, last]) for edges in combinations(others, CODEBOOK - 2))
    assert excess(values, fitted(values, np.uint16)) == best


def test_many_values_are_raised_little_more_than_they_must() -> None:
    # Of more than 64 distinct values, 64 quantiles are tried.
    rng = np.random.default_rng(4)
    values = np.clip(rng.gamma(2.0, 30, 20_000), 1, 255).astype(np.uint8)
    edges = np.unique(np.quantile(values, np.arange(1, CODEBOOK) / (CODEBOOK - 1), method="higher"))
    assert excess(values, fitted(values, np.uint8)) < 0.8 * excess(values, edges)

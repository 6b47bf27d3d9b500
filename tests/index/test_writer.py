"""The builder: sorting, partitions, blocks and lists, memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.index.format import SEGMENTS, Manifest
from lsr.index.postings.inversion import sort_by_term
from lsr.index.segments.reader import Segment
from lsr.index.segments.writer import SegmentWriter
from lsr.index.verify import problems
from lsr.vectors import SparseVectors
from support.bare_index import open_searcher, stored_integers, write_index


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 5) | st.integers(65_530, 65_540)),
)
def test_entries_are_sorted_stably_by_32_bit_terms(terms: list[int]) -> None:
    values = np.array(terms, np.uint32)
    order, scratch = np.empty(values.size, np.uint32), np.empty(values.size, np.uint32)
    sort_by_term(values, order, scratch, np.empty(65_537, np.int64))
    assert order.tolist() == np.argsort(values, kind="stable").tolist()


def test_a_partition_is_closed_when_memory_runs_out(tmp_path: Path) -> None:
    sizes = [40, 50, 20, 300, 1, 99, 1, 0, 0]  # entries; 100 fit
    vectors = SparseVectors.from_rows((np.arange(n), np.ones(n)) for n in sizes)
    index, manifest = write_index(tmp_path, vectors, max_memory=0, smallest=100)
    assert manifest.segments[0].partitions == [2, 1, 1, 2, 3]
    assert list(problems(index)) == []


@pytest.mark.parametrize("bits", [1, 8, 16])
@pytest.mark.parametrize("dense", [0, 3, 96])
def test_vectors_come_back(tmp_path: Path, bits: int, dense: int) -> None:
    rng = np.random.default_rng(3)
    pairs = []
    for _ in range(40):
        terms = np.unique(rng.integers(0, rng.choice([50, 2**32]), rng.integers(0, 30)))
        pairs.append((terms.astype(np.uint32), (rng.random(terms.size) + 0.01).astype(np.float32)))
    vectors = SparseVectors.from_rows(pairs)
    for keep_floats in (False,) if bits == 1 else (False, True):
        kept = {"keep_floats": keep_floats, "bits": bits}
        index, manifest = write_index(tmp_path, vectors, **kept, partition=7, density=dense)
        searcher = open_searcher(index)
        integers = stored_integers(vectors, manifest)
        for document in range(len(vectors)):
            terms, stored, given_ = searcher.vector(document)
            span = slice(vectors.indptr[document], vectors.indptr[document + 1])
            assert terms.tolist() == vectors.terms[span].tolist()
            assert stored.tolist() == integers[span].tolist()
            assert given_.tolist() == (vectors.weights[span].tolist() if keep_floats else [])
            off = np.abs(stored * manifest.step - vectors.weights[span])
            assert (off <= manifest.error).all()
        segment = Segment(index, manifest.segments[0], manifest)
        assert segment.active.tolist() == np.diff(vectors.indptr).tolist()


def test_zero_weights_are_not_stored(tmp_path: Path) -> None:
    vectors = SparseVectors([0, 3, 4], [1, 2, 3, 1], [0.0, 1.0, 0.0, 0.0])
    index, manifest = write_index(tmp_path, vectors)
    assert manifest.postings == 1
    searcher = open_searcher(index)
    assert searcher.vector(0)[0].tolist() == [2]
    assert searcher.vector(1)[0].tolist() == []


def test_dense_terms_get_blocks_and_sparse_ones_a_list(tmp_path: Path) -> None:
    # Term 1 in all of 203 documents but the last eight, term 2 in one.
    vectors = SparseVectors.from_rows(
        ([1, 2], [1.0, 2.0]) if document == 5 else ([1], [0.5]) if document < 195 else ([], [])
        for document in range(203)
    )
    index, manifest = write_index(tmp_path, vectors)
    columns = Segment(index, manifest.segments[0], manifest).partition(0)
    assert {name: values.tolist() for name, values in columns.items()} == {
        "sparse_terms": [2],
        "sparse_starts": [0],
        "sparse_maxima": [255],
        "documents": [5],
        "weights": [255],
        "dense_terms": [1],
        "first_postings": [0],
        "payload_starts": [0],
        "codebooks": [0, 64] + [128] * 14,
        "chunks": [0],
        "maxima": [2] + [1] * 24 + [0] * 7,
        "payload": [255] * 24 + [7] + [64] * 5 + [128] + [64] * 189 + [0] * 1152,
    }
    index, manifest = write_index(tmp_path, vectors, bits=16)
    columns = Segment(index, manifest.segments[0], manifest).partition(0)
    low, high = [0] * 195, [64] * 5 + [128] + [64] * 189
    assert columns["payload"].tolist() == [255] * 24 + [7, *low, *high, 0] + [0] * 1152
    assert columns["codebooks"].tolist() == [0, 16_384] + [32_768] * 14


def test_a_failed_write_leaves_the_files_closed(tmp_path: Path) -> None:
    segment = SegmentWriter(
        tmp_path / "s", bits=8, step=1.0, keep_floats=False, keep_text=False, max_memory=1 << 26
    )
    with pytest.raises(RuntimeError, match="stop"), segment:
        raise RuntimeError("stop")
    assert not (tmp_path / "s" / "documents.arrow").exists()


def test_an_empty_index_is_sound(tmp_path: Path) -> None:
    index, _ = write_index(tmp_path, SparseVectors([0], [], []))
    assert list(problems(index)) == []
    assert Manifest.read(index).documents == 0
    assert (index / SEGMENTS / "0" / "sparse_postings.arrow").exists()

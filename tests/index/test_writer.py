"""The builder: sorting, windows, block maxima, memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import write_index

from lsr.index import jit, writer
from lsr.index.format import SEGMENTS, Manifest
from lsr.index.inversion import sort_by_term
from lsr.index.segment import Segment
from lsr.index.verify import problems
from lsr.vectors import SparseVectors


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 5) | st.integers(65_530, 65_540)),
)
def test_entries_are_sorted_stably_by_32_bit_terms(terms: list[int]) -> None:
    values = np.array(terms, np.uint32)
    order, scratch = np.empty(values.size, np.uint32), np.empty(values.size, np.uint32)
    sort_by_term(values, order, scratch, np.empty(65_537, np.int64))
    assert order.tolist() == np.argsort(values, kind="stable").tolist()


def test_a_window_is_closed_when_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_SMALLEST_WINDOW", 100)
    sizes = [40, 50, 20, 300, 1, 99, 1, 0, 0]  # entries; 100 fit
    vectors = SparseVectors.from_rows((np.arange(n), np.ones(n)) for n in sizes)
    index, manifest = write_index(tmp_path, vectors, max_memory=0)
    assert manifest.segments[0].windows == [2, 1, 1, 2, 3]
    assert list(problems(index)) == []


def test_vectors_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WINDOW", 7)
    rng = np.random.default_rng(3)
    pairs = []
    for _ in range(40):
        terms = np.unique(rng.integers(0, 2**32, rng.integers(0, 30))).astype(np.uint32)
        pairs.append((terms, (rng.random(terms.size) + 0.01).astype(np.float32)))
    vectors = SparseVectors.from_rows(pairs)
    for keep_floats in (False, True):
        index, manifest = write_index(tmp_path, vectors, keep_floats=keep_floats)
        segment = Segment(index, manifest.segments[0], manifest)
        for document in range(len(vectors)):
            terms, weights = segment.vector(document)
            assert terms.tolist() == vectors[document].terms.tolist()
            off = np.abs(weights - vectors[document].weights)
            assert (off <= (0 if keep_floats else manifest.error * 1.001)).all()
        assert segment.active.tolist() == np.diff(vectors.indptr).tolist()


def test_zero_weights_are_not_stored(tmp_path: Path) -> None:
    vectors = SparseVectors([0, 3, 4], [1, 2, 3, 1], [0.0, 1.0, 0.0, 0.0])
    index, manifest = write_index(tmp_path, vectors)
    assert manifest.postings == 1
    segment = Segment(index, manifest.segments[0], manifest)
    assert segment.vector(0)[0].tolist() == [2]
    assert segment.vector(1)[0].tolist() == []


def test_frequent_terms_get_rows_and_rare_ones_none(tmp_path: Path) -> None:
    vectors = SparseVectors.from_rows(
        ([1, 2] if document == 5 else [1], [1.0, 2.0] if document == 5 else [0.5])
        for document in range(64)
    )
    index, manifest = write_index(tmp_path, vectors)
    columns = Segment(index, manifest.segments[0], manifest).window(0)
    assert columns["terms"].tolist() == [1, 2]
    assert columns["rows"].tolist() == [0, -1]
    blocks = columns["blocks"].reshape(-1, 64)
    assert blocks.shape == (1, 64)
    assert blocks[0].tolist() == [128] + [64] * 7 + [0] * 56


def test_a_failed_write_leaves_the_files_closed(tmp_path: Path) -> None:
    segment = writer.SegmentWriter(
        tmp_path / "s", bits=8, step=1.0, keep_floats=False, keep_text=False, max_memory=1 << 26
    )
    with pytest.raises(RuntimeError, match="stop"), segment:
        raise RuntimeError("stop")
    assert not (tmp_path / "s" / "documents.arrow").exists()


def test_an_empty_index_is_sound(tmp_path: Path) -> None:
    index, _ = write_index(tmp_path, SparseVectors([0], [], []))
    assert list(problems(index)) == []
    assert Manifest.read(index).documents == 0
    assert (index / SEGMENTS / "0" / "postings.arrow").exists()


def test_compiling_needs_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(**options: bool) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(jit, "njit", njit)
    assert jit.compiled(len)("abc") == 3

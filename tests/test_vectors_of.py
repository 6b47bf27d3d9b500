"""Vectors of matrices of any kind; slices of vectors and of hits."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import lsr
from lsr.errors import RowError, VectorError
from lsr.vectors import SparseVectors

matrices = npst.arrays(
    st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_]),
    npst.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
    elements={"min_value": 0, "max_value": 3},
).map(lambda array: array * (np.arange(array.size).reshape(array.shape) % 2 == 0))


def rows_of(array: np.ndarray) -> list[dict[int, float]]:
    return [
        {term: float(np.float32(weight)) for term, weight in enumerate(row) if np.float32(weight)}
        for row in array.tolist()
    ]


def plain(vectors: SparseVectors) -> list[dict[int, float]]:
    SparseVectors(vectors.indptr, vectors.terms, vectors.weights)  # keeps the rules
    return [dict(zip(r.terms.tolist(), r.weights.tolist(), strict=True)) for r in vectors]


@given(array=matrices)
def test_vectors_of_matrices(array: np.ndarray) -> None:
    wanted = rows_of(array)
    forms = [array, array.tolist(), list(array), (row for row in array), np.asfortranarray(array)]
    if array.dtype != np.float16:  # which SciPy does not know
        for kind in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia"):
            if min(array.shape) == 0 and kind in ("bsr", "dia"):
                continue
            forms.append(getattr(scipy.sparse, f"{kind}_matrix")(array))
            forms.append(getattr(scipy.sparse, f"{kind}_array")(array))
    forms.append(torch.tensor(array))
    for form in forms:
        vectors = SparseVectors.of(form)
        assert plain(vectors) == wanted
    assert SparseVectors.of(vectors) is vectors
    assert SparseVectors.of([vectors, vectors]) == SparseVectors.concatenate([vectors] * 2)


@given(
    entries=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 100))),
    kind=st.sampled_from([np.int8, np.uint8, np.float32, np.float64, np.bool_]),
)
def test_entries_that_stand_twice_are_added_up(
    entries: list[tuple[int, int, int]], kind: type[Any]
) -> None:
    rows, terms, values = (np.array([e[i] for e in entries], np.int64) for i in range(3))
    data = values.astype(kind)
    dense = np.zeros((4, 6))
    np.add.at(dense, (rows, terms), data.astype(float))
    coo = scipy.sparse.coo_array((data, (rows, terms)), shape=(4, 6))
    assert plain(SparseVectors.of(coo)) == rows_of(dense)
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=4))])
    csr = scipy.sparse.csr_array((data[order], terms[order], indptr), shape=(4, 6))
    before = (csr.data.copy(), csr.indices.copy(), csr.indptr.copy())
    assert plain(SparseVectors.of(csr)) == rows_of(dense)
    for array, was in zip((csr.data, csr.indices, csr.indptr), before, strict=True):
        assert np.array_equal(array, was)  # the caller's matrix is as it was


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 1e39])
@pytest.mark.parametrize("make", [np.array, scipy.sparse.csr_array, scipy.sparse.coo_matrix, list])
def test_bad_weights_are_named_with_their_row(
    make: Callable[[Any], Any], weight: float, tmp_path: Path
) -> None:
    rows = make([[0, 1.0], [0, 0], [weight, 0]])
    message = r"row 2 has the weight \S+ for term 0; weights must be finite and not negative"
    with pytest.raises(RowError, match=message):
        SparseVectors.of(rows)
    with pytest.raises(RowError, match=message):
        lsr.Index.from_vectors(tmp_path / "i", ["a", "b", "c"], rows)


@pytest.mark.parametrize(
    "value",
    [
        [1.0, 2.0],
        np.zeros((2, 2, 2)),
        [[1], [1, 2]],
        "text",
        [["a"]],
        None,
        7,
        {"a": 1},
        np.array([[1j]]),
        np.array([[None]]),
        scipy.sparse.csr_array(np.array([[1j]])),
        torch.tensor([[1.0]], requires_grad=True),
    ],
    ids=str,
)
def test_what_no_vectors_are(value: Any, bm25_index: lsr.Index) -> None:
    with pytest.raises(VectorError) as caught:
        SparseVectors.of(value)
    assert not isinstance(caught.value, RowError)
    with pytest.raises(VectorError):
        bm25_index.search_vectors(value)


@given(array=matrices.filter(lambda array: len(array) > 0))
def test_any_vectors_are_searched_alike(bm25_index: lsr.Index, array: np.ndarray) -> None:
    usual = bm25_index.search_vectors(SparseVectors.of(array), 3)
    for form in (array, array.tolist(), torch.tensor(array)):
        found = bm25_index.search_vectors(form, np.int64(3))
        assert [hits.ids.tolist() for hits in found] == [hits.ids.tolist() for hits in usual]


def test_any_vectors_are_indexed_alike(tmp_path: Path) -> None:
    array = np.array([[0, 2.0, 1], [3, 0, 0]])
    index = lsr.Index.from_vectors(tmp_path / "0", ["a", "b"], array, keep_floats=True)
    for number, form in enumerate([scipy.sparse.csc_array(array), array.tolist()], 1):
        other = lsr.Index.from_vectors(tmp_path / f"{number}", ["a", "b"], form, keep_floats=True)
        for name in ("a", "b"):
            assert other.get(name) == index.get(name)


@given(start=st.integers(-9, 9) | st.none(), stop=st.integers(-9, 9) | st.none(), step=st.data())
def test_hits_and_vectors_are_sliced_as_lists(
    bm25_index: lsr.Index, start: int | None, stop: int | None, step: st.DataObject
) -> None:
    part = slice(start, stop, step.draw(st.sampled_from([None, 1, 2, 3, -1, -2])))
    hits = bm25_index.search("copper tidal mills", 7)
    ids = hits.ids.tolist()
    some = hits[part]
    assert isinstance(some, lsr.Hits)
    assert some.ids.tolist() == ids[part] == [hit.id for hit in some]
    assert some.scores.tolist() == hits.scores.tolist()[part]
    assert [hit.explain() for hit in some] == [hit.explain() for hit in hits][part]
    assert [hit.text for hit in some[::-1]] == [hit.text for hit in hits][part][::-1]
    rows = SparseVectors.from_rows([([row], [1.0]) for row in range(7)])
    assert rows[part].terms.tolist() == list(range(7))[part]


def test_one_hit(bm25_index: lsr.Index) -> None:
    hits = bm25_index.search("copper", 4)
    ids = hits.ids.tolist()
    for rank in (0, 3, -1, -4, np.int64(2), np.uint8(1), np.int8(-2)):
        assert hits[rank].id == ids[rank]
        assert hits.explain(rank) == hits[rank].explain()
        assert hits.stored(rank)[1] == hits[rank].text
        assert SparseVectors.from_rows([([n], [1.0]) for n in range(4)])[rank].terms == [rank % 4]
    for rank in (4, -5, np.int64(9)):
        for ask in (hits.__getitem__, hits.explain, hits.stored):
            with pytest.raises(IndexError, match=f"there is no hit {rank}; there are 4 hits"):
                ask(rank)
    for wrong in (1.0, "1", None):
        with pytest.raises(TypeError):
            operator.getitem(hits, wrong)

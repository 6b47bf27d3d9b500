"""`SparseVectors`: the rules of its arrays, and its operations against plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr import SparseVectors
from lsr.errors import RowError, VectorError

Row = list[tuple[int, float]]

weights = st.floats(0, 1e6, width=32) | st.sampled_from([0.5, 1.0])  # equal ones are frequent
rows = st.dictionaries(st.integers(0, 2**32 - 1), weights, max_size=8).map(
    lambda row: sorted(row.items())
)
collections = st.lists(rows, max_size=6)


def make(collection: list[Row]) -> SparseVectors:
    return SparseVectors.from_rows(([t for t, _ in row], [w for _, w in row]) for row in collection)


def plain(vectors: SparseVectors) -> list[Row]:
    return [
        list(zip(row.terms.tolist(), row.weights.tolist(), strict=True))
        for row in (vectors[i] for i in range(len(vectors)))
    ]


WRONG: dict[str, tuple[Any, Any, Any, str]] = {
    "negative": ([0, 1, 2], [1, 4], [1, -0.5], r"row 1 has the weight -0\.5 for term 4"),
    "not a number": ([0, 2], [1, 4], [1, np.nan], "row 0 has the weight nan for term 4"),
    "infinite": ([0, 0, 1], [4], [np.inf], "row 1 has the weight inf for term 4"),
    "beyond float32": ([0, 1], [4], [1e300], "row 0 has the weight inf for term 4"),
    "repeated": ([0, 0, 3], [1, 4, 4], [1, 1, 1], "row 1 has term 4 twice"),
    "descending": ([0, 1, 1, 3], [1, 4, 3], [1, 1, 1], "row 2 has term 3 out of order"),
    "descending in the first row": ([0, 2, 3], [4, 3, 5], [1, 1, 1], "row 0 has term 3 out"),
    "more than 32 bits": ([0, 1], [2**32], [1], "terms must lie between 0 and 4294967295"),
    "negative term": ([0, 1], [-1], [1], "terms must lie between 0 and 4294967295"),
    "float terms": ([0, 1], [1.0], [1], "terms must be integers, not float64"),
    "bool terms": ([0, 1], [True], [1], "terms must be integers, not bool"),
    "text terms": ([0, 1], ["a"], [1], "terms must be integers, not <U1"),
    "ragged terms": ([0, 1], [[1], [1, 2]], [1], "terms must be integers: "),
    "text weights": ([0, 1], [1], ["1.5"], "weights must be numbers, not <U3"),
    "no weight": ([0, 1], [1], [None], "weights must be numbers, not object"),
    "complex weights": ([0, 1], [1], [1j], "weights must be numbers, not complex128"),
    "ragged weights": ([0, 1], [1], [[1], [1, 2]], "weights must be numbers: "),
    "two dimensions": ([0, 1], [[1]], [1], "must each have one dimension"),
    "more weights": ([0, 1], [1], [1, 2], "indptr ends at 1 but there are 1 terms and 2 weights"),
    "more terms": ([0, 1], [1, 2], [1], "indptr ends at 1 but there are 2 terms and 1 weights"),
    "indptr too long": ([0, 3], [1, 2], [1, 1], "indptr ends at 3 but there are 2 terms"),
    "indptr too short": ([0, 1], [1, 2], [1, 1], "indptr ends at 1 but there are 2 terms"),
    "indptr empty": ([], [], [], "indptr must start at 0 and never descend"),
    "indptr starts late": ([1, 2], [1, 2], [1, 1], "indptr must start at 0 and never descend"),
    "indptr descends": ([0, 2, 1, 2], [1, 2], [1, 1], "indptr must start at 0 and never descend"),
    "indptr wraps": ([0, 2**63 - 1, -(2**63), -1, 0], [], [], "never descend"),
    "float indptr": ([0.0, 1.0], [1], [1], "indptr must be integers, not float64"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_broken_rule_is_named(case: str) -> None:
    indptr, terms, values, message = WRONG[case]
    with pytest.raises(VectorError, match=message):
        SparseVectors(indptr, terms, values)


def test_arrays_get_their_dtypes_and_limits_are_allowed() -> None:
    vectors = SparseVectors([0, 0, 2], [0, 2**32 - 1], [0, 3])
    assert (vectors.indptr.dtype, vectors.terms.dtype) == (np.int64, np.uint32)
    assert vectors.weights.dtype == np.float32
    assert plain(vectors) == [[], [(0, 0.0), (2**32 - 1, 3.0)]]
    assert len(SparseVectors([0], [], [])) == 0
    # The last term of a row says nothing about the first of the next.
    assert plain(SparseVectors([0, 1, 1, 2], [7, 7], [1, 2])) == [[(7, 1.0)], [], [(7, 2.0)]]


@given(collections)
def test_rows_come_back(collection: list[Row]) -> None:
    vectors = make(collection)
    assert len(vectors) == len(collection)
    assert plain(vectors) == collection
    assert vectors == make(collection)
    assert [row.terms.size for row in vectors] == [len(row) for row in collection]


@given(collections, st.integers(-8, 8), st.integers(-8, 8))
def test_slices_are_those_of_a_list(collection: list[Row], start: int, stop: int) -> None:
    vectors = make(collection)
    part = vectors[start:stop]
    assert plain(part) == collection[start:stop]
    SparseVectors(part.indptr, part.terms, part.weights)  # keeps the rules
    assert plain(part[:2]) == collection[start:stop][:2]
    for row in range(-len(collection), len(collection)):
        assert plain(vectors[row]) == [collection[row]]


def test_rows_that_are_not_there() -> None:
    vectors = make([[(1, 1.0)], []])
    for row in (2, -3):
        with pytest.raises(IndexError):
            vectors[row]


@given(st.lists(collections, max_size=4))
def test_concatenating_stacks_rows(parts: list[list[Row]]) -> None:
    stacked = SparseVectors.concatenate(make(part) for part in parts)
    assert plain(stacked) == [row for part in parts for row in part]


@given(collections)
def test_concatenating_slices(collection: list[Row]) -> None:
    vectors = make(collection)
    half = len(collection) // 2
    assert SparseVectors.concatenate([vectors[:half], vectors[half:]]) == vectors


@given(collections, st.integers(0, 9))
def test_the_strongest_are_kept_lower_terms_first(collection: list[Row], count: int) -> None:
    def strongest(row: Row) -> Row:
        return sorted(sorted(row, key=lambda entry: (-entry[1], entry[0]))[:count])

    vectors = make(collection)
    kept = vectors.strongest(count)
    assert plain(kept) == [strongest(row) for row in collection]
    assert plain(vectors) == collection
    assert plain(vectors[1:].strongest(count)) == [strongest(row) for row in collection[1:]]


def test_a_negative_number_of_strongest_is_refused() -> None:
    with pytest.raises(VectorError, match="keep must be a whole number of at least 0, not -1"):
        make([[(1, 1.0)]]).strongest(-1)


def test_rows_of_unequal_length_are_named() -> None:
    with pytest.raises(VectorError, match="row 1 has 2 terms and 1 weights"):
        SparseVectors.from_rows([([1], [1.0]), ([1, 2], [1.0])])


def test_equality_is_by_value() -> None:
    one = make([[(1, 1.0)], []])
    assert one == make([[(1, 1.0)], []])
    assert one != make([[(1, 2.0)], []])
    assert one != make([[(2, 1.0)], []])
    assert one != make([[], [(1, 1.0)]])
    assert one != "vectors"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    assert repr(one) == "SparseVectors(2 rows, 1 entries)"


@given(collection=collections, data=st.data())
def test_rows_in_any_order_are_sorted(collection: list[Row], data: st.DataObject) -> None:
    shuffled = [data.draw(st.permutations(row)) for row in collection]
    flat = [entry for row in shuffled for entry in row]
    indptr = np.cumsum([0, *map(len, shuffled)])
    made = SparseVectors.from_unsorted(indptr, [t for t, _ in flat], [w for _, w in flat])
    assert made == make(collection)


@pytest.mark.parametrize("case", [name for name in WRONG if not name.startswith("descending")])
def test_from_unsorted_refuses_the_same(case: str) -> None:
    indptr, terms, values, message = WRONG[case]
    with pytest.raises(VectorError, match=message):
        SparseVectors.from_unsorted(indptr, terms, values)


def test_a_bad_row_is_named() -> None:
    with pytest.raises(RowError) as caught:
        SparseVectors.from_unsorted([0, 2, 4], [9, 1, 5, 5], [1, 1, 1, 1])
    assert (caught.value.row, caught.value.what) == (
        1,
        "has term 5 twice; terms of a row must ascend strictly",
    )
    assert str(caught.value).startswith("row 1 has term 5 twice")

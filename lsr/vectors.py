"""`SparseVectors`, the type that encoders and the index share; and sums in a fixed order."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.arguments import whole
from lsr.errors import RowError, VectorError, first_line

MAX_TERM = 2**32 - 1

Floats = npt.NDArray[np.float64]


class SparseVectors:
    """Rows of non-negative term weights in compressed sparse row form.

    Attributes:
        indptr: int64, shape (rows + 1,); row i holds entries indptr[i] to indptr[i + 1].
        terms: uint32, shape (entries,); strictly ascending within a row.
        weights: float32, shape (entries,); finite and not negative.  A weight of zero is
            the same as no entry.

    Arrays of other dtypes are converted.  Raises `VectorError` naming the first offending
    row when terms repeat or descend, do not fit 32 bits, or when a weight is negative, NaN
    or infinite.
    """

    __slots__ = ("indptr", "terms", "weights")

    def __init__(self, indptr: npt.ArrayLike, terms: npt.ArrayLike, weights: npt.ArrayLike) -> None:
        self.indptr = _integers("indptr", indptr, np.int64)
        self.terms = _integers("terms", terms, np.uint32)
        self.weights = _floats("weights", weights)
        self._check_shape()
        self._check_rows()

    @classmethod
    def trusted(
        cls,
        indptr: npt.NDArray[np.int64],
        terms: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.float32],
    ) -> SparseVectors:
        """Wrap arrays that are known to keep the rules, without copying or checking them."""
        vectors = cls.__new__(cls)
        vectors.indptr, vectors.terms, vectors.weights = indptr, terms, weights
        return vectors

    @classmethod
    def of(cls, value: Any) -> SparseVectors:
        """Convert a value to vectors.

        Args:
            value: `SparseVectors`, or several of them; a sparse matrix or array of SciPy, of any
                format and number type, whose duplicate entries are summed; or a value that NumPy
                converts to an array of shape (rows, terms): arrays, lists of lists, tensors.
                Weights of zero are dropped.

        Raises `VectorError` for other values, `RowError` for rows that break the rules.
        """
        if isinstance(value, cls):
            return value
        if hasattr(value, "tocsr"):
            return cls._of_matrix(value)
        if isinstance(value, Iterator):
            value = list(value)
        if isinstance(value, list | tuple) and value and all(isinstance(v, cls) for v in value):
            return cls.concatenate(value)
        try:
            array = np.asarray(value)
        except Exception as error:  # whatever foreign arrays raise, and rows of several lengths
            raise VectorError(f"these are not rows of numbers ({first_line(error)})") from None
        if array.ndim == 1 and array.size == 0:
            array = array.reshape(0, 0)
        if array.ndim != 2 or array.dtype.kind not in "fiub":
            raise VectorError(
                f"vectors are rows of numbers, shape (rows, terms), not {array.dtype} of shape "
                f"{array.shape}; give SparseVectors, a sparse matrix of SciPy, or an array"
            )
        weights = _floats("weights", array.astype(np.float64))
        rows, terms = np.nonzero(weights)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(array)))])
        return cls(indptr, terms, weights[rows, terms])

    @classmethod
    def _of_matrix(cls, matrix: Any) -> SparseVectors:
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
            raise VectorError(
                f"vectors are rows of numbers, shape (rows, terms), not {matrix.dtype} of shape "
                f"{matrix.shape}"
            )
        try:
            # As float64, so that sums of small types do not overflow; a copy, as it is changed.
            rows = matrix.astype(np.float64).tocsr(copy=True)
            rows.check_format(full_check=True)
        except ValueError as error:
            raise VectorError(f"this is not a sparse matrix ({first_line(error)})") from None
        rows.sum_duplicates()
        rows.data = _floats("weights", rows.data)
        rows.eliminate_zeros()
        return cls(rows.indptr, rows.indices, rows.data)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> SparseVectors:
        """Stack (terms, weights) pairs, one a row."""
        pairs = [(np.atleast_1d(np.asarray(t)), np.atleast_1d(np.asarray(w))) for t, w in rows]
        for row, (terms, weights) in enumerate(pairs):
            if terms.shape != weights.shape:
                raise RowError(
                    row, f"has {terms.size} terms and {weights.size} weights; give one each"
                )
        indptr = np.zeros(len(pairs) + 1, np.int64)
        np.cumsum([terms.size for terms, _ in pairs], out=indptr[1:])
        # An empty list would make floats of the terms.
        filled = [pair for pair in pairs if pair[0].size] or [(_NO_ROWS.terms, _NO_ROWS.weights)]
        return cls(indptr, *map(np.concatenate, zip(*filled, strict=True)))

    @classmethod
    def from_unsorted(
        cls, indptr: npt.ArrayLike, terms: npt.ArrayLike, weights: npt.ArrayLike
    ) -> SparseVectors:
        """As the constructor, but the terms of a row may stand in any order."""
        vectors = cls.trusted(
            _integers("indptr", indptr, np.int64),
            _integers("terms", terms, np.uint32),
            _floats("weights", weights),
        )
        vectors._check_shape()
        places = vectors.row_of_entry(np.uint64) << np.uint64(32) | vectors.terms
        if (places[1:] < places[:-1]).any():
            order = np.argsort(places, kind="stable")
            vectors.terms, vectors.weights = vectors.terms[order], vectors.weights[order]
        vectors._check_rows()
        return vectors

    @classmethod
    def concatenate(cls, parts: Iterable[SparseVectors]) -> SparseVectors:
        """Stack the rows of several collections of vectors."""
        listed = list(parts)
        indptr = np.zeros(sum(map(len, listed)) + 1, np.int64)
        at = 1
        for part in listed:
            indptr[at : at + len(part)] = part.indptr[1:] - part.indptr[0] + indptr[at - 1]
            at += len(part)
        terms = [part.terms[part.indptr[0] : part.indptr[-1]] for part in listed]
        weights = [part.weights[part.indptr[0] : part.indptr[-1]] for part in listed]
        return cls.trusted(
            indptr,
            np.concatenate([_NO_ROWS.terms, *terms]),
            np.concatenate([_NO_ROWS.weights, *weights]),
        )

    def __len__(self) -> int:
        return self.indptr.size - 1

    def __getitem__(self, rows: int | slice) -> SparseVectors:
        """One row, or a slice of rows; they share memory unless the slice has a step."""
        if isinstance(rows, slice):
            start, stop, stride = rows.indices(len(self))
            if stride != 1:
                return self.take(np.arange(start, stop, stride))
            stop = max(start, stop)
        else:
            rows = operator.index(rows)
            start = rows + len(self) if rows < 0 else rows
            if not 0 <= start < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            stop = start + 1
        entries = slice(self.indptr[start], self.indptr[stop])
        return SparseVectors.trusted(
            self.indptr[start : stop + 1] - self.indptr[start],
            self.terms[entries],
            self.weights[entries],
        )

    def __iter__(self) -> Iterator[SparseVectors]:
        return (self[row] for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseVectors):
            return NotImplemented
        names = self.__slots__
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]  # arrays inside: equal by value, so unhashable

    def __repr__(self) -> str:
        return f"SparseVectors({len(self)} rows, {self.terms.size} entries)"

    def row_of_entry(self, dtype: npt.DTypeLike = np.int64) -> npt.NDArray[Any]:
        """The row that each term and weight belongs to."""
        return np.repeat(np.arange(len(self), dtype=dtype), np.diff(self.indptr))

    def where(self, mask: npt.NDArray[np.bool_]) -> SparseVectors:
        """The entries where the mask, one value an entry, is true."""
        if mask.all():
            return self
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(mask)])
        return SparseVectors.trusted(before[self.indptr], self.terms[mask], self.weights[mask])

    def strongest(self, count: int) -> SparseVectors:
        """Keep the `count` largest weights of each row; of equal ones, the lower terms."""
        count = whole("the number of weights to keep", count, 0, error=VectorError)
        lengths = np.diff(self.indptr)
        if not lengths.size or lengths.max() <= count:
            return self
        row = self.row_of_entry()
        # Sorted by row, then weight descending; lexsort is stable, so equal weights keep
        # their ascending terms.
        order = np.lexsort((-self.weights, row))
        rank = np.arange(order.size) - self.indptr[row]
        kept = np.zeros(order.size, np.bool_)
        kept[order[rank < count]] = True
        return self.where(kept)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> SparseVectors:
        """The given rows, in the given order."""
        starts, lengths = self.indptr[rows], self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
        return SparseVectors.trusted(indptr, self.terms[entries], self.weights[entries])

    def _check_shape(self) -> None:
        indptr, terms, weights = self.indptr, self.terms, self.weights
        if indptr.ndim != 1 or terms.ndim != 1 or weights.ndim != 1:
            raise VectorError("indptr, terms and weights must each have one dimension")
        if indptr.size == 0 or indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
            raise VectorError("indptr must start at 0 and never descend")
        if not terms.size == weights.size == indptr[-1]:
            raise VectorError(
                f"indptr ends at {indptr[-1]} but there are {terms.size} terms "
                f"and {weights.size} weights"
            )

    def _check_rows(self) -> None:
        indptr, terms, weights = self.indptr, self.terms, self.weights
        if not np.isfinite(weights).all() or (weights < 0).any():
            wrong = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
            raise RowError(
                self._row(wrong),
                f"has the weight {weights[wrong]} for term {terms[wrong]}; "
                "weights must be finite and not negative",
            )
        if terms.size > 1:
            descends = terms[1:] <= terms[:-1]
            starts = indptr[1:-1]
            starts = starts[(starts > 0) & (starts < terms.size)]
            descends[starts - 1] = False  # the first entry of a row follows nothing
            if descends.any():
                wrong = int(np.flatnonzero(descends)[0]) + 1
                what = "twice" if terms[wrong] == terms[wrong - 1] else "out of order"
                raise RowError(
                    self._row(wrong),
                    f"has term {terms[wrong]} {what}; terms of a row must ascend strictly",
                )

    def _row(self, entry: int) -> int:
        return int(np.searchsorted(self.indptr, entry, side="right")) - 1


def _integers(name: str, values: npt.ArrayLike, dtype: type[Any]) -> npt.NDArray[Any]:
    """Convert to an integer dtype, refusing values it would change."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise VectorError(f"{name} must be integers: {error}") from None
    if array.size == 0:
        return np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind not in "iu":
        raise VectorError(f"{name} must be integers, not {array.dtype}")
    if array.dtype != dtype:
        limits = np.iinfo(dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise VectorError(f"{name} must lie between {limits.min} and {limits.max}")
    return np.ascontiguousarray(array, dtype=dtype)


def _floats(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Convert numbers to float32; those beyond it become infinite."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise VectorError(f"{name} must be numbers: {error}") from None
    if array.size and array.dtype.kind not in "fiu":
        raise VectorError(f"{name} must be numbers, not {array.dtype}")
    with np.errstate(over="ignore"):  # infinity is refused with its row
        return np.ascontiguousarray(array, dtype=np.float32)


_NO_ROWS = SparseVectors([0], [], [])


def add_up(summands: Floats) -> Floats:
    """The sum over the first axis of (m, n), in its order: the sum of floats depends on it."""
    return reduce(np.add, summands, np.zeros(summands.shape[1]))

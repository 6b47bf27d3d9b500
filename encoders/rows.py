"""Rows of sparse vectors on their way from a head to `SparseVectors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ids = npt.NDArray[np.uint32]
Weights = npt.NDArray[np.float32]
Row = tuple[Ids, Weights]  # terms ascending, weights above zero

# The row of a text without words that the vocabulary knows.
EMPTY_ROW: Row = (np.empty(0, np.uint32), np.empty(0, np.float32))


def lengths_of(ids: Sequence[Ids]) -> npt.NDArray[np.int64]:
    """The number of tokens of each text."""
    return np.array([text.size for text in ids], np.int64)


def joined(ids: Sequence[Ids]) -> Ids:
    """The tokens of all texts, one text after another."""
    return np.concatenate([np.empty(0, np.uint32), *ids])


def by_text(values: npt.NDArray[Any], ids: Sequence[Ids]) -> list[npt.NDArray[Any]]:
    """The values, one a token of all texts, cut into those of each text."""
    return np.split(values, np.cumsum(lengths_of(ids))[:-1])


def nonzero(terms: Ids, weights: Weights) -> Row:
    """The terms that have a weight."""
    kept = weights > 0
    return terms[kept], weights[kept]


def merged(one: Row, other: Row) -> Row:
    """A row of the terms of two that share none."""
    terms = np.concatenate([one[0], other[0]])
    order = np.argsort(terms, kind="stable")
    return terms[order], np.concatenate([one[1], other[1]])[order]


def unit(vectors: SparseVectors) -> SparseVectors:
    """Rows of length 1; those without terms stay empty."""
    rows = vectors.row_of_entry()
    squares = np.square(vectors.weights.astype(np.float64))
    lengths = np.sqrt(np.bincount(rows, squares, minlength=len(vectors)))
    weights = (vectors.weights / lengths[rows]).astype(np.float32)
    return SparseVectors.trusted(vectors.indptr, vectors.terms, weights)


def matrix_of(vectors: SparseVectors, columns: int) -> csr_matrix:
    """The vectors as a SciPy matrix, float64, of so many columns; a copy."""
    from scipy.sparse import csr_matrix

    shape = (len(vectors), columns)
    data = vectors.weights.astype(np.float64)
    return csr_matrix((data, vectors.terms.astype(np.int64), vectors.indptr), shape=shape)


def stack(rows: Sequence[Row]) -> SparseVectors:
    """The rows one after another."""
    indptr = np.cumsum([0, *(terms.size for terms, _ in rows)], dtype=np.int64)
    terms, weights = map(np.concatenate, zip(EMPTY_ROW, *rows, strict=True))
    return SparseVectors.trusted(indptr, terms, weights)

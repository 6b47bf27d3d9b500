"""Rows of sparse vectors on their way from a head to `SparseVectors`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lsr.vectors import SparseVectors

Ids = npt.NDArray[np.uint32]
Weights = npt.NDArray[np.float32]
Row = tuple[Ids, Weights]  # terms ascending, weights above zero

# The row of a text that says nothing.
SILENT: Row = (np.empty(0, np.uint32), np.empty(0, np.float32))


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
    rows = np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr))
    squares = np.square(vectors.weights.astype(np.float64))
    lengths = np.sqrt(np.bincount(rows, squares, minlength=len(vectors)))
    weights = (vectors.weights / lengths[rows]).astype(np.float32)
    return SparseVectors.trusted(vectors.indptr, vectors.terms, weights)


def stack(rows: list[Row]) -> SparseVectors:
    """The rows one after another."""
    indptr = np.zeros(len(rows) + 1, np.int64)
    if not rows:
        return SparseVectors.from_rows([])
    np.cumsum([terms.size for terms, _ in rows], out=indptr[1:])
    return SparseVectors.trusted(
        indptr,
        np.concatenate([terms for terms, _ in rows]),
        np.concatenate([weights for _, weights in rows]),
    )


def without(row: Row, term: int) -> Row:
    """A row but for one term."""
    terms, weights = row
    place = int(np.searchsorted(terms, term))
    if place == terms.size or terms[place] != term:
        return row
    return np.delete(terms, place), np.delete(weights, place)

"""A vector of tokens and weights in a record, as a row of `SparseVectors`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.data.records import BadRecord
from lsr.errors import RowError, VectorError
from lsr.vectors import MAX_TERM, SparseVectors

_MAX_DIGITS = len(str(MAX_TERM))


def term_of(token: str, find: Callable[[str], int | None], vocabulary: str) -> int:
    """The term id of a token: a word that `find` knows, or else the id itself in digits.

    Raises `BadRecord` naming the `vocabulary` for a token that is neither.
    """
    term = find(token)
    if term is not None:
        return term
    if token.isascii() and token.isdigit() and len(token) <= _MAX_DIGITS:
        return int(token)
    raise BadRecord(f"has the token {token[:80]!r}, which is not a word of {vocabulary}")


def as_floats(weights: Iterable[Any]) -> npt.NDArray[np.float32]:
    """Weights as floats; those beyond float32 become infinite, which `SparseVectors` refuses."""
    listed = list(weights)
    kinds = set(map(type, listed))
    if not kinds <= {float, int} and not all(issubclass(kind, np.floating) for kind in kinds):
        raise BadRecord("has weights that are not numbers; give finite ones, none negative")
    try:
        with np.errstate(over="ignore"):
            return np.array(listed, np.float64).astype(np.float32)
    except OverflowError:  # an integer beyond float64
        raise BadRecord("has a weight too large for a number; give finite ones") from None


def one_row(terms: list[int], weights: Iterable[Any]) -> SparseVectors:
    """One vector, its terms put in ascending order; `BadRecord` when it breaks the rules."""
    floats = as_floats(weights)
    if floats.size != len(terms):
        raise BadRecord(f"has {len(terms)} terms and {floats.size} weights; give one each")
    try:
        return SparseVectors.from_unsorted([0, len(terms)], terms, floats)
    except RowError as error:
        raise BadRecord(error.what) from None
    except VectorError as error:
        raise BadRecord(f"is not a vector: {error}") from None

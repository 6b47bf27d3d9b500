"""Lists of documents by position, and their union."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.errors import QueryError
from lsr.vectors import Floats

Positions = npt.NDArray[np.int64]


class Ranked(NamedTuple):
    """One retriever's documents for a query, best first, equal scores by ascending position.

    Attributes:
        positions: int64, shape (n,), in the collection as given, each once.
        scores: float64, shape (n,), finite.
    """

    positions: Positions
    scores: Floats

    @classmethod
    def sort(cls, positions: Positions, scores: Floats) -> Ranked:
        """Documents in any order as a list."""
        order = np.lexsort((positions, -scores))
        return cls(positions[order], scores[order])


class Fused(NamedTuple):
    """The fused list: best first, equal scores by ascending position.

    Attributes:
        positions: int64, shape (hits,).
        scores: float64, shape (hits,).
        contributions: float64, shape (lists, hits): of each list to each score.  Added up in the
            order of the lists they are the scores to the last bit.
    """

    positions: Positions
    scores: Floats
    contributions: Floats


NOTHING = Ranked(np.empty(0, np.int64), np.empty(0))


def check_list(number: int, ranked: Ranked) -> None:
    """Raise `QueryError` for a list that breaks the rules of `Ranked`, but for repetitions."""
    positions, scores = ranked
    if positions.shape != scores.shape or positions.ndim != 1:
        raise QueryError(
            f"list {number} has positions of shape {positions.shape} and scores of shape "
            f"{scores.shape}; give one score a position"
        )
    # Numbers that never ascend, between finite ends, are finite; a NaN is not >= anything.
    if scores.size and not (
        math.isfinite(scores[0])
        and math.isfinite(scores[-1])
        and bool((scores[:-1] >= scores[1:]).all())
    ):
        raise QueryError(f"the scores of list {number} are not finite or not best first; sort them")


def union(lists: Sequence[Ranked]) -> tuple[Positions, list[npt.NDArray[np.intp]]]:
    """All positions in the lists, ascending, and where each list's documents are among them.

    Raises `QueryError` when a list has a position twice.
    """
    every = np.concatenate([NOTHING.positions, *(ranked.positions for ranked in lists)])
    # Position and entry in one number: sorting numbers is several times as fast as argsort.
    bits = every.size.bit_length()
    most = (1 << (62 - bits)) - 1
    if every.view(np.uint64).max(initial=0) > most:  # a negative number is beyond it, too
        raise QueryError(f"positions must lie between 0 and {most}")
    keys = np.sort(every << bits | np.arange(every.size))
    positions = keys >> bits
    first = np.ones(every.size, np.bool_)
    np.not_equal(positions[1:], positions[:-1], out=first[1:])
    column = np.empty(every.size, np.intp)
    column[keys & ((1 << bits) - 1)] = np.cumsum(first) - 1
    positions = positions[first]
    columns = np.split(column, np.cumsum([ranked.positions.size for ranked in lists])[:-1])
    for number, of_list in enumerate(columns):
        times = np.bincount(of_list, minlength=1)
        if times.max() > 1:
            raise QueryError(
                f"list {number} has the document at {positions[times.argmax()]} twice; give it once"
            )
    return positions, columns if lists else []


def best_first(scores: Floats, k: int) -> npt.NDArray[np.intp]:
    """The indices of the k highest scores, highest first, equal ones in ascending order."""
    if k < scores.size:  # most documents are not wanted, and need not be sorted
        least = np.partition(scores, scores.size - k)[scores.size - k]
        kept = np.flatnonzero(scores >= least)
        best: npt.NDArray[np.intp] = kept[best_first(scores[kept], kept.size)][:k]
        return best
    order = np.argsort(-scores)  # fast, but equal scores come in any order
    descending = scores[order]
    group = np.zeros(scores.size, np.int64)
    np.cumsum(descending[1:] != descending[:-1], out=group[1:])
    bits = scores.size.bit_length()
    return np.sort(group << bits | order) & ((1 << bits) - 1)

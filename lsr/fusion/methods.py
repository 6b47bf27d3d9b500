"""Several retrievers' lists for one query, fused into one.

A document's fused score is the sum of its *shares*, one a list: the list's weight times

- rrf: 1 / (60 + rank), ranks from 1.  G. V. Cormack, C. L. A. Clarke and S. Büttcher, "Reciprocal
  rank fusion outperforms Condorcet and individual rank learning methods" (SIGIR 2009).
- minmax: (score - lowest) / (highest - lowest), of the list's scores for this query.
- zscore: (score - mean) / standard deviation, of the same.  The deviation is the population's.
- tmm: (score - minimum) / (highest - minimum) with the least score the retriever can give: 0 for
  sparse vectors, -1 for cosines.  S. Bruch, S. Gai and A. Ingber, "An analysis of fusion functions
  for hybrid retrieval" (TOIS 2023).
- none: the score.

Where these divide by zero, in a list of equal scores (for tmm: with nothing above the minimum),
every share is 0, as in the library ranx.  Others say 1 or 1/2; but such a list prefers no document,
and min-max calls 0 what is as good as the list's last.  Only rrf lets a list of one hit speak.

A document that a list lacks has from it

- missing="zero": the share 0, as in ranx.  Under minmax that is the worst the list can say; under
  zscore it is the mean, better than half of what the list did find; under tmm and none it is right
  for sparse vectors, where what is not found scores 0.
- missing="lowest": the share of the list's last document, as in Pyserini's hybrid search: all that
  is known of it is that it cannot have scored more.  Too kind where the list was not cut.

Under rrf both mean nothing: it has no score to fall back to.  An empty list gives 0 to all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from lsr.arguments import listed, real, whole
from lsr.errors import QueryError

Method = Literal["rrf", "minmax", "zscore", "tmm", "none"]
Missing = Literal["zero", "lowest"]
METHODS: tuple[Method, ...] = get_args(Method)
MISSING: tuple[Missing, ...] = get_args(Missing)
DEFAULT_FUSION: Method = "minmax"
RRF_CONSTANT = 60

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class Ranked(NamedTuple):
    """One retriever's documents for a query, best first, equal scores by ascending place.

    Attributes:
        places: int64, positions in the collection as given, each once.
        scores: float64, finite.
    """

    places: Places
    scores: Floats


class Fused(NamedTuple):
    """The fused list: best first, equal scores by ascending place.

    Attributes:
        places: int64, shape (hits,).
        scores: float64, shape (hits,).
        shares: float64, shape (lists, hits): what each list gave.  Added up in the order of the
            lists they are the scores to the last bit.
    """

    places: Places
    scores: Floats
    shares: Floats


NOTHING = Ranked(np.empty(0, np.int64), np.empty(0))


def fuse(
    lists: Sequence[Ranked],
    method: Method = "rrf",
    *,
    weights: Iterable[float] | None = None,
    missing: Missing = "zero",
    minima: Sequence[float] | None = None,
    k: int,
) -> Fused:
    """The k best documents of several lists for one query; see the module.

    Args:
        weights: of each list, at least 0.  None: 1 each under rrf, as it was published, and else
            1 / lists each, so that a sum of numbers up to 1 is one.  A list of weight 0 has no
            say: what it alone has is no candidate, so weights 1 and 0 give the first list.
        missing: what a document that a list lacks has from it.
        minima: for tmm, the least score that each retriever can give.

    Raises `QueryError` for parameters out of range and lists that break the rules of `Ranked`.
    """
    k = whole("k", k)
    if method not in METHODS:
        raise QueryError(f"there is no fusion {method!r}; use {', '.join(METHODS)}")
    if missing not in MISSING:
        raise QueryError(
            f"documents missing from a list count {' or '.join(MISSING)}, not {missing!r}"
        )
    each = check_weights(weights, len(lists), method)
    if method == "tmm" and (minima is None or len(minima) != len(lists)):
        raise QueryError("tmm needs the least possible score of each list; give minima")
    for number, ranked in enumerate(lists):
        _check(number, ranked)
    used = [ranked if weight else NOTHING for ranked, weight in zip(lists, each, strict=True)]
    places, columns = union(used)
    shares = np.zeros((len(lists), places.size))
    for number, (ranked, own) in enumerate(zip(used, columns, strict=True)):
        if not own.size:
            continue
        values = each[number] * _values(ranked.scores, method, minima[number] if minima else 0.0)
        if missing == "lowest" and method != "rrf":
            shares[number] = values[-1]
        shares[number, own] = values
    scores = add_up(shares)
    best = best_first(scores, k)
    return Fused(places[best], scores[best], shares[:, best])


def check_weights(weights: Iterable[float] | None, lists: int, method: Method) -> list[float]:
    """One weight a list; raises `QueryError` for another number of them or impossible ones."""
    if weights is None:
        return [1.0 if method == "rrf" else 1 / max(lists, 1)] * lists
    each = [real("a weight", weight) for weight in listed("weights", weights)]
    if len(each) != lists:
        raise QueryError(f"there are {len(each)} weights for {lists} lists; give one each")
    if lists and not any(each):
        raise QueryError("all weights are 0, so nothing would be found; give one above 0")
    return each


def union(lists: Sequence[Ranked]) -> tuple[Places, list[npt.NDArray[np.intp]]]:
    """All places of the lists, ascending, and where in them each list's stand.

    Raises `QueryError` when a list has a place twice.
    """
    every = np.concatenate([NOTHING.places, *(ranked.places for ranked in lists)])
    # Place and entry in one number: sorting numbers is several times as fast as argsort.
    bits = every.size.bit_length()
    most = (1 << (62 - bits)) - 1
    if every.view(np.uint64).max(initial=0) > most:  # a negative number is beyond it, too
        raise QueryError(f"places must lie between 0 and {most}")
    keys = np.sort(every << bits | np.arange(every.size))
    places = keys >> bits
    first = np.ones(every.size, np.bool_)
    np.not_equal(places[1:], places[:-1], out=first[1:])
    column = np.empty(every.size, np.intp)
    column[keys & ((1 << bits) - 1)] = np.cumsum(first) - 1
    places = places[first]
    columns, start = [], 0
    for number, ranked in enumerate(lists):
        own = column[start : start + ranked.places.size]
        start += own.size
        times = np.bincount(own, minlength=1)
        if times.max() > 1:
            raise QueryError(
                f"list {number} has the document at {places[times.argmax()]} twice; give it once"
            )
        columns.append(own)
    return places, columns


def add_up(shares: Floats) -> Floats:
    """The sum of shares, shape (lists, n), in the order of the lists: float addition has one."""
    return reduce(np.add, shares, np.zeros(shares.shape[1]))


def best_first(scores: Floats, k: int) -> npt.NDArray[np.intp]:
    """Where the k highest scores stand, highest first, equal ones in the order they stand in."""
    if k < scores.size:  # most of the lists is not wanted, and need not be sorted
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


def _values(scores: Floats, method: Method, minimum: float) -> Floats:
    """What a list's documents get before its weight."""
    if method == "rrf":
        return 1 / (RRF_CONSTANT + np.arange(1.0, scores.size + 1))
    if method == "none":
        return scores
    if method == "zscore":
        centre, spread = scores.mean(), scores.std()
        # The mean of equal numbers may miss them by a rounding, which is no deviation.
        equal = scores[0] == scores[-1]
    else:
        centre = minimum if method == "tmm" else scores[-1]
        spread = scores[0] - centre
        equal = False
    return np.zeros(scores.size) if equal or spread <= 0 else (scores - centre) / spread


def _check(number: int, ranked: Ranked) -> None:
    places, scores = ranked
    if places.shape != scores.shape or places.ndim != 1:
        raise QueryError(
            f"list {number} has places of shape {places.shape} and scores of shape "
            f"{scores.shape}; give one score a place"
        )
    # Numbers that never ascend, between finite ends, are finite; a NaN is not >= anything.
    if scores.size and not (
        math.isfinite(scores[0])
        and math.isfinite(scores[-1])
        and bool((scores[:-1] >= scores[1:]).all())
    ):
        raise QueryError(f"the scores of list {number} are not finite or not best first; sort them")

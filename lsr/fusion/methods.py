"""Fusion by a sum: a document's fused score is the sum of its *contributions*, one a list.

A contribution is the list's weight times the value that one of the functions below computes.  If a
function would divide by zero, because all scores are equal (for tmm: none is above the minimum),
every value is 0, as in the library ranx.  Other libraries use 1 or 1/2; but such a list prefers no
document, and min-max gives 0 to a list's last document.  minmax and zscore give 0 to a single hit.

If a list lacks a document, its contribution to the document is

- missing="zero": 0, as in ranx.  Under minmax that is the list's lowest value; under zscore it is
  the mean, better than half of the documents in the list; under tmm and none it is exact for
  sparse vectors, where documents that are not hits score 0.
- missing="lowest": the contribution of the list's last document, as in Pyserini's hybrid search:
  the document cannot have scored more.  This overestimates it if the list was not cut.

Under rrf both are 0.  An empty list contributes 0 to every document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lsr.arguments import listed, real, whole
from lsr.errors import QueryError
from lsr.fusion import METHODS, MISSING, Method, Missing
from lsr.fusion.lists import NOTHING, Fused, Ranked, best_first, check_list, union
from lsr.vectors import Floats, add_up

RRF_CONSTANT = 60


def rrf(scores: Floats, minimum: float) -> Floats:
    """1 / (60 + rank), ranks from 1.

    G. V. Cormack, C. L. A. Clarke and S. Büttcher, "Reciprocal rank fusion outperforms Condorcet
    and individual rank learning methods" (SIGIR 2009).
    """
    return 1 / (RRF_CONSTANT + np.arange(1.0, scores.size + 1))


def minmax(scores: Floats, minimum: float) -> Floats:
    """(score - lowest) / (highest - lowest), of the list's scores for this query."""
    return _scaled(scores, scores[-1], scores[0] - scores[-1])


def zscore(scores: Floats, minimum: float) -> Floats:
    """(score - mean) / standard deviation, of the list as a population."""
    # The mean of equal scores may differ from them by a rounding, which is no deviation.
    spread = 0.0 if scores[0] == scores[-1] else scores.std()
    return _scaled(scores, scores.mean(), spread)


def tmm(scores: Floats, minimum: float) -> Floats:
    """(score - minimum) / (highest - minimum), with the least score the retriever can give.

    That is 0 for sparse vectors, -1 for cosines.  S. Bruch, S. Gai and A. Ingber, "An analysis of
    fusion functions for hybrid retrieval" (TOIS 2023).
    """
    return _scaled(scores, minimum, scores[0] - minimum)


def unchanged(scores: Floats, minimum: float) -> Floats:
    """The score."""
    return scores


# Name -> the values of a list's scores, best first, given the least score possible.
_VALUES: dict[Method, Callable[[Floats, float], Floats]] = {
    "minmax": minmax,
    "rrf": rrf,
    "zscore": zscore,
    "tmm": tmm,
    "none": unchanged,
}


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
        weights: of each list, at least 0.  None: 1 each under rrf, as published, else 1 / lists
            each, so that values of at most 1 sum to at most 1.  A list of weight 0 is ignored: a
            document that only it has is not a candidate.
        missing: the contribution to a document that a list lacks.
        minima: for tmm, the least score that each retriever can give.

    Raises `QueryError` for parameters out of range and lists that break the rules of `Ranked`.
    """
    k = whole("k", k)
    if method not in METHODS:
        raise QueryError(f"there is no fusion {method!r}; use {', '.join(METHODS)}")
    if missing not in MISSING:
        raise QueryError(
            f"the rule for missing documents is {' or '.join(MISSING)}, not {missing!r}"
        )
    list_weights = check_weights(weights, len(lists), method)
    if method == "tmm" and (minima is None or len(minima) != len(lists)):
        raise QueryError("tmm needs the least possible score of each list; give minima")
    for number, ranked in enumerate(lists):
        check_list(number, ranked)
    used = [
        ranked if weight else NOTHING for ranked, weight in zip(lists, list_weights, strict=True)
    ]
    positions, columns = union(used)
    contributions = np.zeros((len(lists), positions.size))
    for number, (ranked, column) in enumerate(zip(used, columns, strict=True)):
        if not column.size:
            continue
        values = _VALUES[method](ranked.scores, minima[number] if minima else 0.0)
        values = list_weights[number] * values
        if missing == "lowest" and method != "rrf":
            contributions[number] = values[-1]
        contributions[number, column] = values
    scores = add_up(contributions)
    best = best_first(scores, k)
    return Fused(positions[best], scores[best], contributions[:, best])


def check_weights(weights: Iterable[float] | None, lists: int, method: Method) -> list[float]:
    """One weight a list; raises `QueryError` for another number of them or impossible ones."""
    if weights is None:
        return [1.0 if method == "rrf" else 1 / max(lists, 1)] * lists
    checked = [real("a weight", weight) for weight in listed("weights", weights)]
    if len(checked) != lists:
        raise QueryError(f"there are {len(checked)} weights for {lists} lists; give one each")
    if lists and not any(checked):
        raise QueryError("all weights are 0, so there would be no hits; give one above 0")
    return checked


def _scaled(scores: Floats, origin: float, spread: float) -> Floats:
    return (scores - origin) / spread if spread > 0 else np.zeros(scores.size)

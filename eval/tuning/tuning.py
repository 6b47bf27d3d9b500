"""Choosing a fusion on judged queries, and its value on queries it was not chosen on.

The queries are shuffled by a seed and cut into folds.  What is chosen on all folds but one is
measured on that one, so every query counts once, with a choice that has not seen it.  The weights
to use are then chosen on all queries; the held-out values say what to expect of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from lsr.arguments import whole
from lsr.errors import QueryError
from lsr.eval.measures import parse_measures, scores
from lsr.eval.results import Qrels
from lsr.fusion import Method, Missing
from lsr.fusion.lists import Fused, Ranked
from lsr.fusion.methods import fuse
from lsr.retrieval.hybrid import Candidates

Lists = Mapping[str, Candidates]  # of each query by its id
Weights = tuple[float, ...]
STEPS = 10  # of a weight from 0 to 1

Fuse = Callable[[Sequence[Ranked]], Ranked | Fused]


@dataclass(frozen=True, slots=True)
class Fold:
    """Queries that were held out, the weights chosen on all others, and their mean there."""

    queries: list[str]
    weights: Weights
    mean: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """Weights, or a fusion, chosen on judged queries.

    Attributes:
        measure: ir-measures' name.
        weights: the best on all queries, adding up to 1; none of a learned fusion.
        held_out: query id -> value with weights chosen without it.
        equal: query id -> value with equal weights.
        folds: of the cross-validation.
    """

    measure: str
    weights: Weights
    held_out: Mapping[str, float]
    equal: Mapping[str, float]
    folds: list[Fold]


def tune(
    lists: Lists,
    qrels: Qrels,
    ids: Sequence[str],
    method: Method,
    measure: str = "nDCG@10",
    *,
    folds: int = 5,
    seed: int = 0,
    steps: int = STEPS,
    missing: Missing = "zero",
    k: int = 1000,
    advance: Callable[[int], None] | None = None,
) -> Tuned:
    """The weights with the best mean of a measure, of all multiples of 1/steps that add up to 1.

    Of weights with the same mean, those nearest to equal ones are taken; equal ones are always
    tried.

    Args:
        lists: of every judged query, from the same retrievers in the same order.
        ids: the external id of each position.
        k: depth of the fused lists.
        advance: called with 1 as often as `len(grid(retrievers, steps))`.

    Raises `QueryError` for a measure that is none and for too few queries or lists.
    """
    queries, retrievers = _checked(lists, qrels)
    cut = split(queries, folds, seed)
    tried = grid(retrievers, steps)
    values = np.empty((len(tried), len(queries)))
    for number, weights in enumerate(tried):
        fused = (fuse_candidates(lists[query], method, weights, missing, k) for query in queries)
        by_query = values_of(queries, qrels, ids, measure, fused)
        values[number] = [by_query[query] for query in queries]
        if advance is not None:
            advance(1)
    tuned: list[Fold] = []
    held_out = np.empty(len(queries))
    for held in cut:
        out = np.searchsorted(queries, held)
        best = _best(np.delete(values, out, axis=1))
        tuned.append(Fold(held, tried[best], float(values[best, out].mean())))
        held_out[out] = values[best, out]
    return Tuned(
        measure=str(parse_measures([measure])[0]),
        weights=tried[_best(values)],
        held_out=dict(zip(queries, held_out.tolist(), strict=True)),
        equal=dict(zip(queries, values[0].tolist(), strict=True)),
        folds=tuned,
    )


def cross_validate(
    lists: Lists,
    qrels: Qrels,
    ids: Sequence[str],
    train: Callable[[list[str]], Fuse],
    measure: str = "nDCG@10",
    *,
    folds: int = 5,
    seed: int = 0,
) -> Mapping[str, float]:
    """The value of each judged query by a fusion trained on the other folds, as of `tune`.

    Args:
        train: makes a fusion from the ids of the queries that it may learn from.
    """
    queries, _ = _checked(lists, qrels)
    values: dict[str, float] = {}
    for held in split(queries, folds, seed):
        out = set(held)
        trained = train([query for query in queries if query not in out])
        fused = (trained(lists[query].lists) for query in held)
        values.update(values_of(held, qrels, ids, measure, fused))
    return {query: values[query] for query in queries}


def split(queries: Iterable[str], folds: int, seed: int) -> list[list[str]]:
    """The queries in so many folds, whatever order they come in; sizes differ by at most 1.

    Raises `QueryError` for less than 2 folds and for more folds than queries.
    """
    ordered = sorted(queries)
    folds, seed = whole("folds", folds, 0), whole("seed", seed, 0)
    if not 2 <= folds <= len(ordered):
        raise QueryError(
            f"{len(ordered)} judged queries cannot be cut into {folds} folds; give 2 to "
            f"{len(ordered)} folds and at least 2 queries"
        )
    order = np.random.default_rng(seed).permutation(len(ordered))
    return [[ordered[position] for position in fold] for fold in np.array_split(order, folds)]


def grid(retrievers: int, steps: int = STEPS) -> list[Weights]:
    """Weights of multiples of 1/steps that add up to 1, those nearest to equal ones first.

    Equal weights are the first, also where they are no multiples.
    """
    retrievers, steps = whole("retrievers", retrievers), whole("steps", steps)
    equal = (1 / retrievers,) * retrievers
    # Bars among stars: the gaps between them are all the ways to hand out the steps.
    all_weights = []
    for bars in combinations(range(steps + retrievers - 1), retrievers - 1):
        edges = (-1, *bars, steps + retrievers - 1)
        gaps = [after - before - 1 for before, after in pairwise(edges)]
        all_weights.append((sum(gap**2 for gap in gaps), tuple(gap / steps for gap in gaps)))
    return [equal, *(weights for _, weights in sorted(all_weights) if weights != equal)]


def _best(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> int:
    """The first row with the highest mean; means that differ by rounding are the same."""
    means = values.mean(axis=1)
    return int(np.flatnonzero(means >= means.max() - 1e-12)[0])


def _checked(lists: Lists, qrels: Qrels) -> tuple[list[str], int]:
    """The judged queries and the number of retrievers."""
    queries = sorted(qrels)
    missing = [query for query in queries if query not in lists]
    if missing:
        raise QueryError(f"there are no lists for the judged query {missing[0]!r}; search it first")
    counts = {len(lists[query].lists) for query in queries}
    if len(counts) > 1 or 0 in counts:
        raise QueryError(
            f"queries have {' and '.join(map(str, sorted(counts)))} lists; give one a retriever"
        )
    return queries, max(counts, default=1)


def fuse_candidates(
    candidates: Candidates, method: Method, weights: Weights | None, missing: Missing, k: int
) -> Fused:
    """The fused list of a query; None weighs its lists alike."""
    lists, minima = candidates
    return fuse(lists, method, weights=weights, missing=missing, minima=minima, k=k)


def values_of(
    queries: Sequence[str],
    qrels: Qrels,
    ids: Sequence[str],
    measure: str,
    fused: Iterable[Ranked | Fused],
) -> Mapping[str, float]:
    """The value of each query by a measure, from one list a query."""
    run = {}
    for query, ranked in zip(queries, fused, strict=True):
        pairs = zip(ranked.positions.tolist(), ranked.scores.tolist(), strict=True)
        run[query] = {ids[position]: score for position, score in pairs}
    judged = {query: qrels[query] for query in queries}
    (values,) = scores(judged, run, [measure]).per_query.values()
    return values

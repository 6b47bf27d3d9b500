"""Weights chosen by cross-validation: against trying everything by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lsr.errors import QueryError
from lsr.eval.measures import scores
from lsr.eval.tuning.tuning import cross_validate, grid, split, tune
from lsr.fusion.lists import Fused, Ranked
from lsr.fusion.methods import fuse
from lsr.retrieval.hybrid import Candidates

IDS = [f"d{place}" for place in range(30)]
QUERIES = [f"q{number:02}" for number in range(13)]


def collection() -> tuple[dict[str, Candidates], dict[str, dict[str, int]]]:
    """Lists of a good and a bad retriever, either at times the better one."""
    rng = np.random.default_rng(4)
    lists, qrels = {}, {}
    for query in QUERIES:
        relevant = rng.choice(30, 5, replace=False)
        qrels[query] = {IDS[place]: int(rng.integers(1, 3)) for place in relevant}
        lists[query] = Candidates([], [-4.0, -9.0])
        for noise in (1.2, 2.0):
            values = rng.normal(0, noise, 30)
            values[relevant] += 1.5
            order = np.argsort(-values)[:20]
            lists[query].lists.append(Ranked(order.astype(np.int64), values[order]))
    return lists, qrels


def value(qrels: dict[str, dict[str, int]], query: str, fused: Fused) -> float:
    run = {query: {IDS[p]: s for p, s in zip(fused.positions, fused.scores, strict=True)}}
    return scores({query: qrels[query]}, run, ["nDCG@5"]).means["nDCG@5"]


@pytest.mark.parametrize("method", ["minmax", "rrf"])
def test_weights_are_the_best_of_the_other_folds(method: str) -> None:
    lists, qrels = collection()
    done: list[int] = []
    tuned = tune(
        lists, qrels, IDS, method, "ndcg_cut_5", folds=4, seed=3, steps=4, advance=done.append
    )  # type: ignore[arg-type]
    tried = [(0.5, 0.5), (0.25, 0.75), (0.75, 0.25), (0.0, 1.0), (1.0, 0.0)]
    assert done == [1] * len(tried)
    table = {
        weights: {
            q: value(qrels, q, fuse(lists[q].lists, method, weights=weights, k=1000))  # type: ignore[arg-type]
            for q in QUERIES
        }
        for weights in tried
    }

    def best(queries: Sequence[str]) -> tuple[float, ...]:
        means = {w: round(sum(table[w][q] for q in queries), 9) for w in tried}
        return max(tried, key=lambda weights: means[weights])  # the first of the best

    assert tuned.measure == "nDCG@5"
    assert tuned.weights == best(QUERIES)
    assert tuned.equal == pytest.approx(table[0.5, 0.5])
    assert [*tuned.held_out] == QUERIES
    assert sorted(q for fold in tuned.folds for q in fold.queries) == QUERIES
    assert len(tuned.folds) == 4
    for fold in tuned.folds:
        assert fold.weights == best([q for q in QUERIES if q not in fold.queries])
        assert fold.mean == pytest.approx(np.mean([table[fold.weights][q] for q in fold.queries]))
        for query in fold.queries:
            assert tuned.held_out[query] == pytest.approx(table[fold.weights][query])
    assert len({fold.weights for fold in tuned.folds} | {tuned.weights}) > 1


def test_held_out_queries_do_not_choose() -> None:
    """The one query that says the opposite of all others is measured with their weights."""
    right = Ranked(np.array([1, 2]), np.array([2.0, 1.0]))
    wrong = Ranked(np.array([2, 1]), np.array([2.0, 1.0]))
    lists = {query: Candidates([right, wrong], [0, 0]) for query in QUERIES}
    lists["q05"] = Candidates([wrong, right], [0, 0])
    qrels = {query: {"d1": 1} for query in QUERIES}
    tuned = tune(lists, qrels, IDS, "minmax", "RR", folds=len(QUERIES), steps=2)
    assert tuned.weights == (1.0, 0.0)
    assert tuned.held_out == {q: 1.0 if q != "q05" else 0.5 for q in QUERIES}


def test_equal_weights_win_ties() -> None:
    same = Ranked(np.array([1, 2]), np.array([2.0, 1.0]))
    lists = {query: Candidates([same, same, same], [0, 0, 0]) for query in QUERIES}
    tuned = tune(lists, {q: {"d1": 1} for q in QUERIES}, IDS, "none", "RR@10", folds=3)
    assert tuned.weights == (1 / 3, 1 / 3, 1 / 3)
    assert {fold.weights for fold in tuned.folds} == {(1 / 3, 1 / 3, 1 / 3)}


def test_options_reach_the_fusion() -> None:
    """With the theoretical minimum of the second at -9, and lists that lack documents."""
    lists, qrels = collection()
    tuned = tune(lists, qrels, IDS, "tmm", "nDCG@5", steps=1, k=3, missing="lowest")
    options = {"missing": "lowest", "minima": [-4.0, -9.0]}
    expected = {
        q: value(qrels, q, fuse(lists[q].lists, "tmm", k=3, **options))  # type: ignore[arg-type]
        for q in QUERIES
    }
    assert tuned.equal == pytest.approx(expected)


def test_missing_documents_count_as_told() -> None:
    long = Ranked(np.array([1, 2, 5]), np.array([10.0, 8.0, 1.0]))
    short = Ranked(np.array([3, 4]), np.array([1.0, 0.9]))
    lists, qrels = (
        {q: Candidates([long, short], [0, 0]) for q in QUERIES},
        {q: {"d2": 1} for q in QUERIES},
    )
    for missing, expected in (("zero", 1 / 4), ("lowest", 1 / 2)):
        tuned = tune(lists, qrels, IDS, "tmm", "RR@10", missing=missing, steps=1)  # type: ignore[arg-type]
        assert set(tuned.equal.values()) == {expected}


def test_folds() -> None:
    cut = split(QUERIES, 4, seed=1)
    assert sorted(map(len, cut)) == [3, 3, 3, 4]
    assert sorted(q for fold in cut for q in fold) == QUERIES
    assert split(reversed(QUERIES), 4, seed=1) == cut
    assert split(QUERIES, 4, seed=2) != cut
    for folds in (1, 14, 0):
        with pytest.raises(QueryError, match=f"13 judged queries cannot be cut into {folds} folds"):
            split(QUERIES, folds, seed=1)


def test_the_grid() -> None:
    assert grid(1, 10) == [(1.0,)]
    assert grid(2, 2) == [(0.5, 0.5), (0.0, 1.0), (1.0, 0.0)]
    assert grid(2, 1) == [(0.5, 0.5), (0.0, 1.0), (1.0, 0.0)]
    three = grid(3, 10)
    assert three[0] == (1 / 3, 1 / 3, 1 / 3)
    assert len(set(three)) == len(three) == 67
    for weights in three[1:]:
        assert sum(round(10 * w) for w in weights) == 10
        assert [round(10 * w) / 10 for w in weights] == [*weights]
    distance = [sum((w - 1 / 3) ** 2 for w in weights) for weights in three]
    assert distance == sorted(distance, key=lambda d: round(d, 9))
    for retrievers, steps in ((0, 10), (2, 0)):
        with pytest.raises(QueryError, match="must be a whole number of at least 1, not 0"):
            grid(retrievers, steps)


def test_cross_validation_of_any_fusion() -> None:
    lists, qrels = collection()
    seen = []

    def train(queries: list[str]) -> object:
        seen.append(queries)
        number = len(seen) - 1
        return lambda given: fuse(given, "rrf", weights=[1 + number, 1], k=10)

    values = cross_validate(lists, qrels, IDS, train, "nDCG@5", folds=3, seed=5)  # type: ignore[arg-type]
    assert [*values] == QUERIES
    for number, held in enumerate(split(QUERIES, 3, seed=5)):
        assert seen[number] == [query for query in QUERIES if query not in held]
        for query in held:
            fused = fuse(lists[query].lists, "rrf", weights=[1 + number, 1], k=10)
            assert values[query] == pytest.approx(value(qrels, query, fused))


def test_queries_that_cannot_be_tuned_on() -> None:
    lists, qrels = collection()
    with pytest.raises(QueryError, match="no lists for the judged query 'q13'; search it first"):
        tune(lists, {**qrels, "q13": {"d1": 1}}, IDS, "rrf")
    with pytest.raises(QueryError, match="queries have 1 and 2 lists; give one a retriever"):
        tune({**lists, "q03": Candidates(lists["q03"].lists[:1], [0])}, qrels, IDS, "rrf")
    with pytest.raises(QueryError, match="0 judged queries cannot be cut into 5 folds"):
        tune(lists, {}, IDS, "rrf")
    with pytest.raises(QueryError, match="is not a measure"):
        tune(lists, qrels, IDS, "rrf", "goodness")

"""Fusion: values by hand, a slow oracle on dictionaries, the library ranx."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import QueryError
from lsr.fusion import METHODS, MISSING, Method, Missing
from lsr.fusion.lists import Fused, Ranked
from lsr.fusion.methods import fuse

MADE_BY_RANX = Path(__file__).with_name("ranx_fusions.py")


def ranked(scores: dict[int, float]) -> Ranked:
    """A list of scores by place, in the order a retriever gives."""
    order = sorted(scores, key=lambda place: (-scores[place], place))
    return Ranked(np.array(order, np.int64), np.array([scores[p] for p in order], np.float64))


def listed(fused: Fused) -> list[tuple[int, float]]:
    return list(zip(fused.positions.tolist(), fused.scores.tolist(), strict=True))


A = ranked({7: 9.0, 3: 5.0, 8: 1.0})
B = ranked({3: 0.5, 2: -0.5})


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("rrf", {}, {3: 1 / 62 + 1 / 61, 7: 1 / 61, 2: 1 / 62, 8: 1 / 63}),
        ("rrf", {"missing": "lowest"}, {3: 1 / 62 + 1 / 61, 7: 1 / 61, 2: 1 / 62, 8: 1 / 63}),
        ("rrf", {"weights": [3, 1]}, {3: 3 / 62 + 1 / 61, 7: 3 / 61, 8: 3 / 63, 2: 1 / 62}),
        ("minmax", {}, {3: 0.25 + 0.5, 7: 0.5, 2: 0.0, 8: 0.0}),
        ("minmax", {"weights": [0.8, 0.2]}, {7: 0.8, 3: 0.4 + 0.2, 2: 0.0, 8: 0.0}),
        # mean 5, deviation sqrt(32 / 3); mean 0, deviation 1/2
        (
            "zscore",
            {},
            {7: 2 / math.sqrt(32 / 3), 3: 0.5, 2: -0.5, 8: -2 / math.sqrt(32 / 3)},
        ),
        (
            "zscore",
            {"missing": "lowest"},
            {
                3: 0.5,
                7: 2 / math.sqrt(32 / 3) - 0.5,
                2: -2 / math.sqrt(32 / 3) - 0.5,
                8: -2 / math.sqrt(32 / 3) - 0.5,
            },
        ),
        # 9 5 1 of 0 to 9, and .5 -.5 of -1 to .5
        ("tmm", {"minima": [0, -1]}, {3: 5 / 18 + 0.5, 7: 0.5, 2: 1 / 6, 8: 1 / 18}),
        (
            "tmm",
            {"minima": [0, -1], "missing": "lowest"},
            {3: 5 / 18 + 0.5, 7: 0.5 + 1 / 6, 2: 1 / 18 + 1 / 6, 8: 1 / 18 + 1 / 6},
        ),
        ("none", {}, {7: 4.5, 3: 2.75, 8: 0.5, 2: -0.25}),
        ("none", {"weights": [1, 2]}, {7: 9.0, 3: 6.0, 8: 1.0, 2: -1.0}),
        ("none", {"missing": "lowest"}, {7: 4.25, 3: 2.75, 8: 0.25, 2: 0.25}),
    ],
)
def test_values_by_hand(
    method: Method, options: dict[str, Any], expected: dict[int, float]
) -> None:
    fused = fuse([A, B], method, k=10, **options)
    assert dict(listed(fused)) == pytest.approx(expected, abs=1e-15)
    assert (fused.positions.dtype, fused.scores.dtype) == (np.int64, np.float64)
    order = sorted(expected, key=lambda place: (-round(expected[place], 12), place))
    assert fused.positions.tolist() == order
    best = fuse([A, B], method, k=2, **options)
    assert listed(best) == listed(fused)[:2]
    assert best.contributions.tolist() == fused.contributions[:, :2].tolist()


def test_shares_are_what_each_list_gave() -> None:
    fused = fuse([A, B], "rrf", k=10)
    assert fused.positions.tolist() == [3, 7, 2, 8]
    assert fused.contributions.tolist() == [[1 / 62, 1 / 61, 0, 1 / 63], [1 / 61, 0, 1 / 62, 0]]


def oracle(
    lists: list[dict[int, float]],
    method: str,
    weights: list[float] | None,
    missing: str,
    minima: list[float],
) -> dict[int, float]:
    """Fused scores by the formulas, one document at a time."""
    total: dict[int, float] = {}
    if weights is None:
        weights = [1.0 if method == "rrf" else 1 / len(lists)] * len(lists)
    pairs = [(s, w, m) for s, w, m in zip(lists, weights, minima, strict=True) if w]
    for document in sorted({place for scores, _, _ in pairs for place in scores}):
        total[document] = 0.0
        for scores, weight, minimum in pairs:
            if not scores:
                continue
            values = list(scores.values())
            low, high = min(values), max(values)
            if document in scores:
                score = scores[document]
            elif missing == "lowest" and method != "rrf":
                score = low
            else:
                continue
            if method == "rrf":
                better = sum(
                    other > score or (other == score and place < document)
                    for place, other in scores.items()
                )
                value = 1 / (60 + better + 1)
            elif method == "none":
                value = score
            elif method == "minmax":
                value = (score - low) / (high - low) if high > low else 0.0
            elif method == "tmm":
                value = (score - minimum) / (high - minimum) if high > minimum else 0.0
            else:
                mean = math.fsum(values) / len(values)
                deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
                value = (score - mean) / deviation if high > low else 0.0
            total[document] += weight * value
    return total


# Halves, so that ties abound and sums have few roundings.
scores = st.dictionaries(
    st.integers(0, 12), st.integers(-6, 6).map(lambda n: n / 2), min_size=0, max_size=9
)


@given(
    lists=st.lists(scores, min_size=1, max_size=4),
    method=st.sampled_from(METHODS),
    missing=st.sampled_from(MISSING),
    weighted=st.booleans(),
    k=st.integers(1, 20),
    data=st.data(),
)
def test_fusion_equals_the_oracle(
    lists: list[dict[int, float]],
    method: Method,
    missing: Missing,
    weighted: bool,
    k: int,
    data: st.DataObject,
) -> None:
    count = len(lists)
    minima = data.draw(st.lists(st.sampled_from([-3.0, -1.0, 0.0]), min_size=count, max_size=count))
    weights = None
    if weighted:
        weight = st.sampled_from([0.0, 0.25, 0.5, 3.0])
        weights = data.draw(st.lists(weight, min_size=count, max_size=count).filter(any))
    expected = oracle(lists, method, weights, missing, minima)
    given_lists = [ranked(scores) for scores in lists]
    fused = fuse(given_lists, method, weights=weights, missing=missing, minima=minima, k=k)
    assert fused.contributions.shape == (count, min(k, len(expected)))
    assert dict(listed(fused)) == pytest.approx(
        {place: expected[place] for place in fused.positions.tolist()}, abs=1e-12
    )
    # The best k, in order; equal scores by place.
    assert [(-score, place) for place, score in listed(fused)] == sorted(
        (-score, place) for place, score in listed(fused)
    )
    assert fused.scores.tolist() == pytest.approx(
        sorted(expected.values(), reverse=True)[:k], abs=1e-12
    )
    # Shares add up to the last bit in the order of the lists.
    summed = np.zeros(fused.scores.size)
    for share in fused.contributions:
        summed = summed + share
    assert summed.tolist() == fused.scores.tolist()


def test_equal_scores_are_cut_by_place() -> None:
    one = ranked(dict.fromkeys(range(0, 40, 2), 1.0))
    other = ranked(dict.fromkeys(range(1, 40, 2), 1.0))
    assert fuse([one, other], "none", k=7).positions.tolist() == [*range(7)]
    # Rank n of the one and rank n of the other are equal.
    assert fuse([other, one], "rrf", k=7).positions.tolist() == [*range(7)]


def test_many_lists_still_add_up() -> None:
    """NumPy's own sum of ten or more numbers in a row has another order."""
    rng = np.random.default_rng(0)
    lists = [ranked({5: float(score)}) for score in rng.random(19)]
    fused = fuse(lists, "none", weights=rng.random(19).tolist(), k=3)
    total = 0.0
    for share in fused.contributions[:, 0].tolist():
        total += share
    assert fused.scores.tolist() == [total]


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_of_zero_leaves_the_other_list(method: Method) -> None:
    for missing in MISSING:
        fused = fuse([A, B], method, weights=[0, 2], missing=missing, minima=[0, -1], k=9)
        alone = fuse([B], method, weights=[2], missing=missing, minima=[-1], k=9)
        assert listed(fused) == listed(alone)
        assert fused.contributions[0].tolist() == [0.0] * len(B.positions)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", MISSING)
def test_empty_lists(method: Method, missing: Missing) -> None:
    empty = ranked({})
    nothing = fuse([empty, empty], method, missing=missing, minima=[0, 0], k=5)
    assert (nothing.positions.size, nothing.contributions.shape) == (0, (2, 0))
    fused = fuse([empty, A], method, weights=[1, 1], missing=missing, minima=[0, 0], k=5)
    assert fused.positions.tolist() == A.positions.tolist()
    assert fused.contributions[0].tolist() == [0.0] * 3
    none = fuse([], method, minima=[], k=5)
    assert (none.positions.size, none.contributions.shape) == (0, (0, 0))


@pytest.mark.parametrize("method", ["minmax", "zscore"])
def test_equal_scores_give_nothing(method: Method) -> None:
    """Also where their mean is off by a rounding: the mean of three .1 is not .1."""
    level = ranked({1: 0.1, 2: 0.1, 3: 0.1})
    assert level.scores.mean() != 0.1
    assert fuse([level], method, k=3).scores.tolist() == [0, 0, 0]
    assert fuse([ranked({4: 8.0})], method, k=3).scores.tolist() == [0]
    assert fuse([ranked({4: 8.0})], "tmm", minima=[8.0], k=3).scores.tolist() == [0]
    assert fuse([ranked({4: 8.0})], "tmm", minima=[9.0], k=3).scores.tolist() == [0]


def compare_with_ranx(made: dict[str, Any]) -> None:
    for method, results in made["fused"].items():
        for case, expected in results.items():
            given_lists = [
                Ranked(np.array([*map(int, run)], np.int64), np.array([*run.values()], np.float64))
                for run in made["runs"][int(case)]
            ]
            weights = None if method == "rrf" else made["weights"]
            fused = fuse(given_lists, method, weights=weights, missing="zero", k=1000)
            found = {str(place): score for place, score in listed(fused)}
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-12), method


def test_fusions_are_those_of_ranx() -> None:
    made = json.loads(MADE_BY_RANX.with_suffix(".json").read_text())
    runs = [run for lists in made["runs"] for run in lists]
    # What the random runs are for is in them.
    assert any(not run for run in runs)
    assert any(len(run) == 1 for run in runs)
    assert any(len(run) > 1 and len({*run.values()}) == 1 for run in runs)
    assert any(1 < len({*run.values()}) < len(run) for run in runs)
    counts = {name: len(results) for name, results in made["fused"].items()}
    assert counts == {"rrf": 10, "minmax": 10, "zscore": 7, "none": 10}
    compare_with_ranx(made)


@pytest.mark.skipif(find_spec("ranx") is None, reason="ranx is not installed; see ranx_fusions.py")
def test_fusions_are_those_of_the_installed_ranx() -> None:
    seed = str(np.random.default_rng().integers(1 << 30))
    command = [sys.executable, str(MADE_BY_RANX), seed]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print("seed", seed)
    compare_with_ranx(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("lists", "options", "message"),
    [
        ([A, B], {"k": 0}, "k must be a whole number of at least 1, not 0"),
        ([A, B], {"method": "borda"}, "no fusion 'borda'; use minmax, rrf, zscore, tmm, none"),
        ([A, B], {"missing": "mean"}, "documents is zero or lowest, not 'mean'"),
        ([A, B], {"weights": [1]}, "there are 1 weights for 2 lists; give one each"),
        ([A, B], {"weights": [1, -1]}, "a finite number of at least 0, not -1"),
        ([A, B], {"weights": [1, math.nan]}, "a finite number of at least 0, not nan"),
        ([A, B], {"weights": [1, math.inf]}, "a finite number of at least 0, not inf"),
        ([A, B], {"weights": [0, 0]}, "all weights are 0"),
        ([A, B], {"method": "tmm"}, "tmm needs the least possible score of each list"),
        ([A, B], {"method": "tmm", "minima": [0]}, "tmm needs the least possible score"),
        (
            [A, Ranked(A.positions, B.scores)],
            {},
            "list 1 has positions of shape .3,. and scores of",
        ),
        ([Ranked(A.positions, A.scores[::-1])], {}, "list 0 are not finite or not best first"),
        ([Ranked(B.positions, np.array([1, math.nan]))], {}, "list 0 are not finite"),
        ([Ranked(B.positions, np.array([math.inf, 1]))], {}, "list 0 are not finite"),
        ([Ranked(B.positions, np.array([1, -math.inf]))], {}, "list 0 are not finite"),
        ([B, Ranked(np.array([4, 4]), B.scores)], {}, "list 1 has the document at 4 twice"),
        ([Ranked(np.array([4, -4]), B.scores)], {}, "positions must lie between 0 and"),
        ([Ranked(np.array([4, 1 << 60]), B.scores)], {}, "positions must lie between 0 and"),
    ],
)
def test_what_cannot_be_fused(lists: list[Ranked], options: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        fuse(lists, **{"k": 3, **options})


def test_places_beyond_32_bits() -> None:
    far = Ranked(np.array([1 << 40, 5]), np.array([2.0, 1.0]))
    assert fuse([far, A], "none", k=9).positions.tolist() == [7, 3, 1 << 40, 5, 8]

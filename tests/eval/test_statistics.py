"""Tests of significance, against SciPy, statsmodels and brute force."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lsr.errors import QueryError
from lsr.eval.results import Scores
from lsr.eval.statistics import (
    EXACT_QUERIES,
    Comparison,
    Interval,
    bootstrap_interval,
    cohens_d,
    compare,
    holm,
    paired_differences,
    randomization_test,
    t_test,
)

# Values as measures have them: few distinct ones, many 0 and 1, digits that do not end.
TENTHS = [Fraction(n, 10) for n in (0, 0, 1, 2, 3, 5, 10)]
value = st.sampled_from([*TENTHS, Fraction(1, 3), Fraction(2, 3), Fraction(6131471, 10**7)])
values = st.lists(value.map(float), min_size=1, max_size=9)
pairs = st.lists(st.tuples(value, value), min_size=1, max_size=9)


def scored(**systems: Sequence[float]) -> dict[str, Scores]:
    """Systems on the queries q0, q1, ... by the measure M."""
    return {
        name: Scores(
            {"M": sum(row) / len(row)}, {"M": {f"q{i}": float(x) for i, x in enumerate(row)}}
        )
        for name, row in systems.items()
    }


def versus(a: Sequence[float], b: Sequence[float]) -> Comparison:
    (found,) = compare(scored(a=a, b=b), ["M"])
    return found


def brute_force(differences: Sequence[Fraction]) -> float:
    """The share of all sign patterns with a mean as far from 0, in exact arithmetic."""
    patterns = list(product([1, -1], repeat=len(differences)))
    sums = [abs(sum(s * x for s, x in zip(signs, differences, strict=True))) for signs in patterns]
    return sum(far >= abs(sum(differences)) for far in sums) / len(patterns)


@settings(max_examples=100)
@given(pairs)
def test_few_queries_are_tested_exactly(rows: list[tuple[Fraction, Fraction]]) -> None:
    a, b = ({f"q{n}": float(x) for n, x in enumerate(row)} for row in zip(*rows, strict=True))
    expected = brute_force([y - x for x, y in rows])
    assert randomization_test(paired_differences(a, b)) == expected


def test_by_hand() -> None:
    # Of the eight patterns of .1 .2 .4 only + + + and - - - are as far as .7.
    assert randomization_test(np.array([0.1, 0.2, 0.4])) == 2 / 8
    # .1 + .2 - .3 is 5e-17 in floating point and 0 in truth, as far as every pattern.
    assert randomization_test(np.array([0.1, 0.2, -0.3])) == 1
    assert randomization_test(np.array([0.3, -0.1, -0.1])) == 1
    assert randomization_test(np.array([0.3, 0.1, -0.1])) == 6 / 8


def test_as_scipy_on_real_sizes() -> None:
    generator = np.random.default_rng(5)
    for n, shift in ((12, 0.1), (40, 0.05), (323, 0.02)):
        a = generator.choice([0, 0.2, 0.39, 0.63, 1], n)
        b = np.clip(a + generator.normal(shift, 0.2, n) * (generator.random(n) < 0.7), 0, 1)
        found = versus(a, b)
        assert found.p_t == pytest.approx(stats.ttest_rel(b, a).pvalue, rel=1e-9)
        permuted: Any = stats.permutation_test(
            (b - a,), np.mean, permutation_type="samples", n_resamples=20_000, rng=generator
        )
        sampled = math.sqrt(found.p_randomization * (1 - found.p_randomization) / 20_000)
        assert found.p_randomization == pytest.approx(permuted.pvalue, abs=5 * sampled + 1e-4)
        assert found.difference == pytest.approx((b - a).mean())
        assert found.effect == pytest.approx((b - a).mean() / (b - a).std(ddof=1))
        assert (found.wins, found.losses) == ((b > a).sum(), (b < a).sum())
        assert found.wins + found.ties + found.losses == n


@pytest.mark.parametrize("n", [12, 40, 323])
def test_intervals_as_scipy_from_the_same_draws(n: int) -> None:
    row = np.sort(np.random.default_rng(n).random(n) ** 3)
    expected: Any = stats.bootstrap((row,), np.mean, n_resamples=5000, rng=np.random.default_rng(7))
    found = bootstrap_interval(row[::-1], resamples=5000, seed=7)
    bounds = expected.confidence_interval
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high), rel=1e-9)


def test_resampled_means_that_equal_the_mean_count_half() -> None:
    """Of .1 and .3 half of all means are .2, to the last bit or not, and nothing is biased."""
    found = bootstrap_interval([0.1, 0.3] * 3)
    assert found.low + found.high == pytest.approx(0.4)


def test_sampled_and_exact_agree() -> None:
    """One query more than are tested exactly, so small that it decides nothing."""
    generator = np.random.default_rng(8)
    exact = generator.normal(0.1, 0.3, EXACT_QUERIES)
    p = randomization_test(exact)
    sampled = randomization_test(np.append(exact, 1e-9))
    assert p != sampled
    assert sampled == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 100_000))
    assert sampled == randomization_test(np.append(exact, 1e-9))
    assert sampled != randomization_test(np.append(exact, 1e-9), seed=1)
    # The observed pattern counts: with nothing as far among the draws p is not 0.
    assert randomization_test(np.full(200, 0.1), draws=999) == 1 / 1000
    # Zeros neither count against the limit nor change anything.
    assert randomization_test(np.append(exact, np.zeros(50))) == p


@settings(max_examples=30)
@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=12))
def test_holm_as_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], rel=1e-12)


def test_holm_by_hand_and_over_the_pairs_of_a_measure() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    generator = np.random.default_rng(2)
    systems = {name: generator.random(30) + 0.1 * i for i, name in enumerate("abcd")}
    found = compare(scored(**systems), ["M"])
    assert [f"{t.a}{t.b}" for t in found] == ["ab", "ac", "ad", "bc", "bd", "cd"]
    p_values = [test.p_randomization for test in found]
    assert [t.p_holm for t in found] == pytest.approx(multipletests(p_values, method="holm")[1])
    assert any(test.p_holm != test.p_randomization for test in found)
    # Another measure is another family.
    doubled = {
        name: Scores({}, {**row.per_query, "N": row.per_query["M"]})
        for name, row in scored(**systems).items()
    }
    again = compare(doubled, ["N", "M"])
    assert [test.measure for test in again] == ["N"] * 6 + ["M"] * 6
    assert [test.p_holm for test in again] == [test.p_holm for test in found] * 2


@pytest.mark.parametrize("row", [[0.5], [0.0, 0.0], [0.2, 1 / 3, 1.0] * 40])
def test_identical_runs(row: list[float]) -> None:
    found = versus(row, row)
    assert (found.p_t, found.p_randomization, found.p_holm) == (1, 1, 1)
    assert (found.difference, found.effect) == (0, 0)
    assert found.interval == Interval(0, 0)
    assert (found.wins, found.ties, found.losses) == (0, len(row), 0)


def test_rounding_is_no_difference() -> None:
    for found in (versus([0.3, 0.5], [0.1 + 0.2, 0.5]), versus([0.1 + 0.2, 0.5], [0.3, 0.5])):
        assert (found.p_t, found.ties, str(found.difference)) == (1, 2, "0.0")
        assert str(found.interval.low) == "0.0"


def test_a_single_query_shows_nothing() -> None:
    found = versus([0.2], [0.7])
    assert (found.p_t, found.p_randomization) == (1, 1)
    assert math.isnan(found.effect)
    assert found.to_json()["effect"] is None
    assert (found.difference, found.interval) == (0.5, Interval(0.5, 0.5))


def test_a_constant_difference() -> None:
    # .1 each, but not to the last bit: .7 - .6 is not .3 - .2 in floating point.
    found = versus([0.2, 0.6, 0.4, 0.9], [0.3, 0.7, 0.5, 1.0])
    assert 0 < found.p_t < 1e-300
    assert found.p_randomization == 2 / 16
    assert found.effect == math.inf
    assert versus([0.3, 0.7], [0.2, 0.6]).effect == -math.inf
    assert found.to_json()["effect"] is None
    assert found.interval == Interval(0.1, 0.1)
    assert t_test(np.array([-0.1, -0.1])) == found.p_t


def test_a_difference_too_clear_for_a_float() -> None:
    assert 0 < t_test(1 + 1e-6 * np.random.default_rng(0).random(500)) < 1e-300


@settings(max_examples=30)
@given(pairs)
def test_the_same_question_has_the_same_answer(rows: list[tuple[Fraction, Fraction]]) -> None:
    a, b = ([float(x) for x in row] for row in zip(*rows, strict=True))
    one, other = versus(a, b), versus(b, a)
    assert (one.p_t, one.p_randomization) == (other.p_t, other.p_randomization)
    assert 0 < one.p_t <= 1
    assert 0 < one.p_randomization <= 1
    assert one.p_holm == one.p_randomization
    assert one.difference == -other.difference
    assert one.effect == pytest.approx(-other.effect, nan_ok=True)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    if one.difference:
        assert one.interval == Interval(-other.interval.high, -other.interval.low)


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.sampled_from([9, 60]))
def test_the_order_of_queries_does_not_matter(random: Any, n: int) -> None:
    generator = np.random.default_rng(n)
    rows = list(zip(generator.random(n), generator.random(n), strict=True))
    a, b = zip(*rows, strict=True)
    random.shuffle(rows)
    shuffled = versus(*zip(*rows, strict=True))
    found = versus(a, b)
    assert shuffled.p_randomization == found.p_randomization
    assert shuffled.interval == found.interval
    assert shuffled.difference == found.difference
    assert (shuffled.p_t, shuffled.effect) == pytest.approx((found.p_t, found.effect))


def test_queries_are_matched_by_id() -> None:
    a, b = {"p": 0.1, "q": 0.9}, {"q": 1.0, "p": 0.1}
    assert paired_differences(a, b).tolist() == [0, 0.1]
    with pytest.raises(QueryError, match=r"\(2 and 1 queries, 1 of them in both\)"):
        paired_differences(a, {"p": 0.1})
    with pytest.raises(QueryError, match="2 and 2 queries, 1 of them"):
        paired_differences(a, {"p": 0.1, "r": 0.2})
    with pytest.raises(QueryError, match="0 and 0 queries"):
        paired_differences({}, {})
    with pytest.raises(QueryError, match="query 'q' has no finite value"):
        paired_differences(a, {"p": 0.1, "q": math.nan})


@given(values)
def test_an_interval_lies_among_the_values(row: list[float]) -> None:
    interval = bootstrap_interval(row, resamples=200)
    mean = sum(row) / len(row)
    assert min(row) - 1e-12 <= interval.low <= interval.high <= max(row) + 1e-12
    if len(row) > 1:
        assert interval.low <= mean + 1e-12
        assert mean <= interval.high + 1e-12


def test_intervals_follow_their_arguments() -> None:
    row = np.random.default_rng(3).random(80) ** 4
    interval = bootstrap_interval(row)
    assert interval == bootstrap_interval(row)
    assert interval != bootstrap_interval(row, seed=1)
    assert interval != bootstrap_interval(row, resamples=9_999)
    narrow = bootstrap_interval(row, level=0.5)
    assert interval.low < narrow.low < row.mean() < narrow.high < interval.high
    # Skewed to the right: the interval reaches further there than percentiles would.
    assert interval.high - row.mean() > row.mean() - interval.low


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    generator = np.random.default_rng(9)
    held = 0
    for _ in range(400):
        interval = bootstrap_interval(generator.exponential(1, 50), resamples=1000)
        held += interval.low <= 1 <= interval.high
    assert 0.90 <= held / 400 <= 0.98


def test_false_alarms_are_as_rare_as_promised() -> None:
    generator = np.random.default_rng(4)
    alarms = np.zeros(2)
    for _ in range(1000):
        differences = generator.choice([-1, -0.37, 0, 0, 0.37, 1], 25)
        alarms += t_test(differences) <= 0.05, randomization_test(differences, draws=999) <= 0.05
    assert (alarms / 1000 <= 0.07).all()
    assert (alarms / 1000 >= 0.03).all()


def test_effects() -> None:
    differences = np.array([0.1, 0.2, 0.3])
    assert cohens_d(differences) == pytest.approx(0.2 / 0.1)
    assert cohens_d(-differences) == pytest.approx(-2)

"""Is the second system better than the first, or were its queries kind to it?

Everything here is about the per-query values of one measure, and systems are compared in pairs on
the same queries.  Smucker, Allan and Carterette (CIKM 2007) found the randomization test, the
bootstrap and Student's paired t-test to agree on runs of retrieval systems, and advise against
the Wilcoxon and sign tests; Urbano, Lima and Hanjalic (SIGIR 2019) found the t-test to keep its
promised rate of false alarms.  Sakai (SIGIR Forum 2014) asks for effect sizes and intervals beside
every p-value, and Carterette (TOIS 2012) for a correction where several pairs are tested.

Nothing depends on the order of queries or on the time: random draws are seeded.

The two resampling methods are not those of `scipy.stats`: its permutation test takes a hundred
times as long (1 s for 323 queries and 100,000 draws, here 10 ms), and neither it nor its bootstrap
gives b against a the mirrored result of a against b, or takes sums that differ by rounding for
ties.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lsr.arguments import whole
from lsr.errors import QueryError
from lsr.eval.results import Scores

Values: TypeAlias = npt.NDArray[np.float64]

DRAWS = 100_000  # of sign patterns; a p-value of .05 is then known to .0014 (two deviations)
RESAMPLES = 10_000
SIGNIFICANT = 0.05
EXACT_QUERIES = 20  # with so many that differ, all 2**20 sign patterns take some milliseconds

_DIGITS = 12  # of a difference; what comes after is rounding in the measure's own arithmetic
_CELLS = 2**21  # of a matrix of draws, 16 MiB
_SMALLEST_P = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, both included."""

    low: float
    high: float

    def to_json(self) -> list[float]:
        """Both bounds."""
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Comparison:
    """System `b` against system `a` on the same queries, by one measure.

    Attributes:
        measure: ir-measures' name.
        a, b: names of the systems.
        difference: mean of b - a.
        interval: 95 % bootstrap interval of `difference`.
        effect: Cohen's d of the paired differences (`cohens_d`): infinite where all queries
            differ by the same amount, NaN where that is a single one.
        p_t: Student's paired t-test, two-sided.
        p_randomization: the randomization test, two-sided.
        p_holm: `p_randomization` after Holm's correction over all pairs of this measure.
        wins, ties, losses: number of queries where b is above, equal to and below a.
    """

    measure: str
    a: str
    b: str
    difference: float
    interval: Interval
    effect: float
    p_t: float
    p_randomization: float
    p_holm: float
    wins: int
    ties: int
    losses: int

    @property
    def is_significant(self) -> bool:
        """Whether `p_holm` is below `SIGNIFICANT`."""
        return self.p_holm < SIGNIFICANT

    def to_json(self) -> dict[str, Any]:
        """The attributes as JSON values; the interval is "ci", an effect without a number None."""
        fields = asdict(self)
        del fields["interval"]
        effect = self.effect if math.isfinite(self.effect) else None
        return {**fields, "effect": effect, "ci": self.interval.to_json()}


def compare(scores: Mapping[str, Scores], measures: Sequence[str]) -> list[Comparison]:
    """Every pair of systems in the order of `scores`, measure by measure.

    Args:
        scores: system -> its scores; all over the same queries.
        measures: names that all scores have, as they are written there.

    Raises `QueryError` when two systems were scored on different queries.
    """
    comparisons: list[Comparison] = []
    for measure in measures:
        pairs = list(combinations(scores, 2))
        all_differences = [
            paired_differences(scores[a].per_query[measure], scores[b].per_query[measure])
            for a, b in pairs
        ]
        p_values = [randomization_test(differences) for differences in all_differences]
        for (a, b), differences, p, p_holm in zip(
            pairs, all_differences, p_values, holm(p_values), strict=True
        ):
            wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
            comparisons.append(
                Comparison(
                    measure,
                    a,
                    b,
                    difference=math.fsum(differences) / len(differences),
                    interval=bootstrap_interval(differences),
                    effect=cohens_d(differences),
                    p_t=t_test(differences),
                    p_randomization=p,
                    p_holm=p_holm,
                    wins=wins,
                    ties=len(differences) - wins - losses,
                    losses=losses,
                )
            )
    return comparisons


def paired_differences(a: Mapping[str, float], b: Mapping[str, float]) -> Values:
    """b - a for each query, in the order of `a`, to 12 digits after the point: float64.

    Raises `QueryError` when the queries are not the same, none, or a value is not finite.
    """
    if a.keys() != b.keys() or not a:
        raise QueryError(
            f"systems scored on different queries cannot be compared ({len(a)} and {len(b)} "
            f"queries, {len(a.keys() & b.keys())} of them in both); score both on one set"
        )
    # + 0: a tie has no sign
    values = [round(b[query] - value, _DIGITS) + 0.0 for query, value in a.items()]
    for query, value in zip(a, values, strict=True):
        if not math.isfinite(value):
            raise QueryError(f"query {query!r} has no finite value; choose another measure")
    return np.array(values, np.float64)


def t_test(differences: Values) -> float:
    """The two-sided p-value of Student's paired t-test: is the mean difference 0?

    1 where there is nothing to test: a single query, or no query that differs.  Where all differ
    by the same amount the test's statistic is infinite, and p the smallest positive float64.
    """
    from scipy.special import stdtr

    n = len(differences)
    t = cohens_d(differences) * math.sqrt(n)
    return 1.0 if math.isnan(t) or t == 0 else max(2 * float(stdtr(n - 1, -abs(t))), _SMALLEST_P)


def randomization_test(differences: Values, *, draws: int = DRAWS, seed: int = 0) -> float:
    """The two-sided p-value of Fisher's randomization test of the mean difference.

    If systems do not differ, each query's two values could as well have come from the other
    system: every pattern of signs of the differences is as likely.  p is the share of patterns
    whose mean is at least as far from 0 as the one observed.  Queries that do not differ play no
    part.  Up to `EXACT_QUERIES` that do, all patterns are tried and p is exact; beyond, `draws`
    random ones are, and the observed one is counted among them, p = (extreme + 1) / (draws + 1),
    so that p is never 0 (Phipson and Smyth 2010).
    """
    # Patterns of signs are as likely whatever the signs were, so sizes are enough; sorted, they
    # give the same p for every order of queries, and for a against b as for b against a.
    sizes = np.sort(np.abs(differences[differences != 0]))
    # A third and a third are two thirds, also where digits end: such sums are ties.
    threshold = abs(math.fsum(differences)) - len(sizes) * 10.0**-_DIGITS
    if len(sizes) <= EXACT_QUERIES:
        sums = np.zeros(1)
        for size in sizes[1:]:  # the first sign stays: negating a pattern changes no distance
            sums = np.concatenate([sums + size, sums - size])
        return float(np.mean(np.abs(sums + sizes[:1].sum()) >= threshold))
    # A random byte is a pattern of eight signs; what it adds up to is looked up.
    signs = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1
    eights = np.pad(sizes, (0, -len(sizes) % 8)).reshape(-1, 8)
    tables = eights @ signs.T
    every = np.arange(len(tables))
    draws = whole("draws", draws)
    generator = np.random.default_rng(whole("seed", seed, 0))
    extreme = 0
    for rows in _chunks(draws, len(tables)):
        patterns = generator.integers(0, 256, (rows, len(tables)), np.uint8)
        extreme += int((np.abs(tables[every, patterns].sum(axis=1)) >= threshold).sum())
    return (extreme + 1) / (draws + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the order given.

    The i-th smallest of m, from 0, is multiplied by m - i; none is below a smaller one's, none
    above 1.  Rejecting those up to .05 has at most a chance of .05 of any false alarm.
    """
    values = np.array(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    values[order] = np.maximum.accumulate(np.minimum(1.0, values[order] * factors))
    return list(values.tolist())


def cohens_d(differences: Values) -> float:
    """Mean difference by its standard deviation over queries (n - 1).

    0 where no query differs.  Infinite, with the sign of the difference, where all differ by the
    same amount, for then the deviation is 0; NaN for a single query, which has none.
    """
    if not differences.any():
        return 0.0
    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) == 0:  # a deviation computed from equal values need not be 0
        return math.copysign(math.inf, differences[0])
    return math.fsum(differences) / len(differences) / float(np.std(differences, ddof=1))


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The bootstrap interval of the mean, bias-corrected and accelerated (BCa, Efron 1987).

    Queries are drawn with replacement; where their values are skewed, as those of most measures
    are, BCa moves the percentiles of the means accordingly.  Of a single query, or of equal
    values, the interval is that value alone: such data say nothing about others.

    Args:
        values: one a query, finite, at least one.
        level: how often intervals made in this way hold the true mean, 0 to 1.
        resamples: how many means are drawn.
        seed: of the draws.
    """
    from scipy.special import ndtr, ndtri

    data = np.sort(np.asarray(values, np.float64))
    mean = math.fsum(data) / len(data)
    if np.ptp(data) == 0:
        return Interval(float(data[0]), float(data[0]))
    if mean < 0:  # b against a is exactly a against b with the signs changed
        mirrored = bootstrap_interval(-data, level=level, resamples=resamples, seed=seed)
        return Interval(-mirrored.high, -mirrored.low)
    resamples = whole("resamples", resamples)
    generator = np.random.default_rng(whole("seed", seed, 0))
    means = np.concatenate(
        [
            data[generator.integers(0, len(data), (rows, len(data)))].mean(axis=1)
            for rows in _chunks(resamples, len(data))
        ]
    )
    slack = 10.0**-_DIGITS
    below = (np.mean(means < mean - slack) + np.mean(means <= mean + slack)) / 2  # ties count half
    bias = ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    deviations = data - mean
    # The jackknife's acceleration, which for a mean is its values' skewness by 6 sqrt(n).
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    z = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(means, ndtr(bias + z / (1 - acceleration * z)))
    return Interval(float(low), float(high))


def _chunks(rows: int, columns: int) -> list[int]:
    """Heights of the pieces in which a matrix of so many rows is made, of bounded size."""
    height = max(1, _CELLS // columns)
    return [min(height, rows - start) for start in range(0, rows, height)]

"""The figures of a report, computed once for every form it is written in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lsr.errors import LsrError
from lsr.eval.comparison import QueryDifference
from lsr.eval.report.cards import Card, cards
from lsr.eval.report.figures import figure
from lsr.eval.report.references import Difference, differences
from lsr.eval.results import Result
from lsr.eval.statistics import (
    Comparison,
    Interval,
    bootstrap_interval,
    compare,
    paired_differences,
)
from lsr.progress import Progress, Silent

SIGNIFICANT = 0.05
CHANGES = 5  # queries shown that won most, and that lost most


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean of a measure over the queries of one dataset.

    Attributes:
        value: the mean.
        interval: its 95 % bootstrap interval; None for a mean over datasets, which are no
            sample of anything.
        best: whether no encoder of the row prints a higher figure.
        sign: 1 where it is significantly above the first encoder, -1 below, else 0.
    """

    value: float
    interval: Interval | None
    best: bool
    sign: int


@dataclass(frozen=True, slots=True)
class Table:
    """One measure: for each dataset a cell an encoder, None where it was not measured.

    `mean` is the row of means over all datasets, of the encoders that have them all; empty when
    there is one dataset only.
    """

    measure: str
    rows: dict[str, list[Cell | None]]
    mean: list[Cell | None]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds a query: median and 99th percentile, with the recall they bought."""

    median: float
    p99: float
    recall: float


@dataclass(frozen=True, slots=True)
class Duel:
    """One encoder against the first on one dataset, query by query, by the first measure.

    Attributes:
        dataset, encoder: names.
        points: (value of the first, value of the encoder) of each query.
        won, lost: the queries that gained and lost most, most first.
    """

    dataset: str
    encoder: str
    points: list[tuple[float, float]]
    won: list[QueryDifference]
    lost: list[QueryDifference]

    def counts(self) -> tuple[int, int, int]:
        """Queries above, equal to and below the first."""
        signs = [np.sign(round(other - first, 12)) for first, other in self.points]
        return signs.count(1), signs.count(0), signs.count(-1)


@dataclass(frozen=True, slots=True)
class Summary:
    """All that a report says."""

    command: str
    datasets: dict[str, int]  # name -> number of queries
    encoders: list[str]
    measures: list[str]
    tables: list[Table]
    tests: dict[str, list[Comparison]]  # dataset -> every pair, measure by measure
    recall: str  # the measure that latency is drawn against
    latencies: dict[str, list[Latency | None]]  # dataset -> one an encoder
    duels: list[Duel]
    published: list[Difference]
    cards: list[Card]

    @property
    def first(self) -> str:
        """The encoder that others are compared with."""
        return self.encoders[0]


def summarize(
    results: Sequence[Result], command: str, progress: type[Progress] = Silent
) -> Summary:
    """Compute everything; datasets, encoders and measures keep the order they first appear in.

    Raises `LsrError` when there are no results, or two of one encoder on one dataset;
    `QueryError` when encoders were scored on different queries of a dataset.
    """
    grid = {(result.dataset, result.encoder): result for result in results}
    if not results or len(grid) != len(results):
        pairs = [(result.dataset, result.encoder) for result in results]
        twice = next((pair for pair in pairs if pairs.count(pair) > 1), None)
        raise LsrError(
            f"a report has two results of encoder {twice[1]!r} on {twice[0]!r}; keep one"
            if twice
            else "a report needs results; evaluate at least one encoder"
        )
    datasets = {result.dataset: len(result.queries) for result in results}
    encoders = list(dict.fromkeys(result.encoder for result in results))
    measures = list(dict.fromkeys(name for result in results for name in result.scores.means))
    recall = next((name for name in measures if name.startswith(("R@", "R("))), measures[0])
    rows = {name: [grid.get((name, encoder)) for encoder in encoders] for name in datasets}
    tests = {}
    with progress("Comparing", "datasets", len(rows)) as bar:
        for name, row in rows.items():
            tests[name] = _tests(row, measures)
            bar.advance(1)
    tables = [_table(measure, rows, tests, encoders[0]) for measure in measures]
    return Summary(
        command,
        datasets,
        encoders,
        measures,
        tables,
        tests,
        recall,
        {name: [_latency(result, recall) for result in row] for name, row in rows.items()},
        [
            _duel(row[0], other, measures[0])
            for row in rows.values()
            for other in row[1:]
            if row[0] and other and _has(row[0], measures[0]) and _has(other, measures[0])
        ],
        [difference for table in tables for difference in _published(table)],
        cards(results),
    )


def legend(summary: Summary) -> str:
    """What the tables of measures show."""
    words = ["Means over the judged queries, in brackets their 95 % bootstrap intervals."]
    if len(summary.encoders) > 1:
        words.append(
            "The best of a row is bold. ▲ and ▼: significantly above and below "
            f"{summary.first}, the first encoder, by the randomisation test with Holm's "
            "correction over all pairs of encoders, p < .05."
        )
    if len(summary.datasets) > 1:
        words.append("The last row is the mean of all datasets, for encoders that have them all.")
    return " ".join(words)


def _has(result: Result, measure: str) -> bool:
    return bool(result.scores.per_query.get(measure))


def _tests(row: Sequence[Result | None], measures: Sequence[str]) -> list[Comparison]:
    found = []
    for measure in measures:
        scores = {r.encoder: r.scores for r in row if r is not None and _has(r, measure)}
        found += compare(scores, [measure])
    return found


def _table(
    measure: str,
    rows: Mapping[str, Sequence[Result | None]],
    tests: Mapping[str, Sequence[Comparison]],
    first: str,
) -> Table:
    cells = {}
    for dataset, row in rows.items():
        signs = {
            test.b: int(np.sign(test.difference))
            for test in tests[dataset]
            if test.measure == measure and test.a == first and test.p_holm < SIGNIFICANT
        }
        values = [r.scores.means.get(measure) if r is not None else None for r in row]
        intervals = [
            bootstrap_interval(list(r.scores.per_query[measure].values()))
            if r is not None and _has(r, measure)
            else None
            for r in row
        ]
        cells[dataset] = _cells(
            values, intervals, [signs.get(r.encoder, 0) if r is not None else 0 for r in row]
        )
    if len(rows) < 2:
        return Table(measure, cells, [])
    columns = list(zip(*cells.values(), strict=True))
    means = [
        float(np.mean([cell.value for cell in column if cell])) if all(column) else None
        for column in columns
    ]
    return Table(measure, cells, _cells(means, [None] * len(means), [0] * len(means)))


def _cells(
    values: Sequence[float | None], intervals: Sequence[Interval | None], signs: Sequence[int]
) -> list[Cell | None]:
    known = [value for value in values if value is not None]
    # Figures that print alike are alike to a reader: all of them are best.
    best = figure(max(known)) if len(known) > 1 else None
    return [
        None if value is None else Cell(value, interval, figure(value) == best, sign)
        for value, interval, sign in zip(values, intervals, signs, strict=True)
    ]


def _latency(result: Result | None, recall: str) -> Latency | None:
    """None where nothing was timed, as for a run from a file."""
    if result is None or recall not in result.scores.means:
        return None
    times = np.asarray(result.milliseconds, np.float64)
    times = times[np.isfinite(times)]
    if not len(times):
        return None
    median, p99 = np.percentile(times, [50, 99])
    return Latency(float(median), float(p99), result.scores.means[recall])


def _duel(first: Result, other: Result, measure: str) -> Duel:
    a, b = first.scores.per_query[measure], other.scores.per_query[measure]
    differences = dict(zip(a, paired_differences(a, b).tolist(), strict=True))
    order = sorted(differences, key=lambda query: -abs(differences[query]))  # stable

    def most(queries: Iterable[str]) -> list[QueryDifference]:
        texts = other.queries
        return [QueryDifference(q, texts.get(q, ""), a[q], b[q]) for q in list(queries)[:CHANGES]]

    return Duel(
        other.dataset,
        other.encoder,
        [(a[query], b[query]) for query in a],
        most(query for query in order if differences[query] > 0),
        most(query for query in order if differences[query] < 0),
    )


def _published(table: Table) -> list[Difference]:
    def values(row: Sequence[Cell | None]) -> list[float | None]:
        return [None if cell is None else cell.value for cell in row]

    rows = {dataset: values(row) for dataset, row in table.rows.items()}
    return differences(table.measure, rows, values(table.mean))

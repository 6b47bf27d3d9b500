"""The figures of a report, computed once for every form it is written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np

from lsr.errors import LsrError
from lsr.eval.comparison import QueryDifference, largest_differences
from lsr.eval.published import Reference, published
from lsr.eval.report.cards import Card, cards
from lsr.eval.report.figures import figure
from lsr.eval.results import Result
from lsr.eval.statistics import Comparison, Interval, bootstrap_interval, compare
from lsr.progress import Progress, Silent

CHANGES = 5  # queries shown that won most, and that lost most
MEAN = "mean"  # the dataset of a published figure that is the mean of all

References = Callable[[str, str], list[Reference]]


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
    best: bool = False
    sign: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """One measure: for each dataset a cell an encoder, None where it was not measured.

    `mean` is the row of means over all datasets, of the encoders that have them all; empty when
    there is one dataset only.
    """

    measure: str
    rows: dict[str, list[Cell | None]]
    mean: list[Cell | None]

    @property
    def top(self) -> float:
        """The highest value, with its interval, of any dataset; at least 0."""
        cells = [cell for row in self.rows.values() for cell in row if cell is not None]
        highest = [cell.interval.high if cell.interval else cell.value for cell in cells]
        return max([0.0, *highest]) if cells else 1.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds a query: median and 99th percentile, with the recall they bought."""

    median: float
    p99: float
    recall: float


@dataclass(frozen=True, slots=True)
class PairedComparison:
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
class PublishedDifference:
    """A published figure, and each encoder's difference to it.

    Attributes:
        dataset: its name; for `MEAN`, the figure is the mean of what is published for each.
        measure: ir-measures' name.
        reference: the figure.
        deltas: for each encoder its value minus the published one, None where it has none.
    """

    dataset: str
    measure: str
    reference: Reference
    deltas: list[float | None]


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
    pairs: list[PairedComparison]
    published: list[PublishedDifference]
    cards: list[Card]

    @property
    def first(self) -> str:
        """The encoder that others are compared with."""
        return self.encoders[0]

    @property
    def changed(self) -> list[PairedComparison]:
        """The pairs in which any query changed."""
        return [pair for pair in self.pairs if pair.won or pair.lost]

    @property
    def title(self) -> str:
        """The names of the datasets, as many as fit a title."""
        names = list(self.datasets)
        if len(names) > 5:
            return f"{names[0]}, {names[1]} and {len(names) - 2} more"
        return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)

    @property
    def legend(self) -> str:
        """An explanation of the tables of measures."""
        words = ["Means over the judged queries, in brackets their 95 % bootstrap intervals."]
        if len(self.encoders) > 1:
            words.append(
                "The best of a row is bold. ▲ and ▼: significantly above and below "
                f"{self.first}, the first encoder, by the randomization test with Holm's "
                "correction over all pairs of encoders, p < .05."
            )
        if len(self.datasets) > 1:
            words.append(
                "The last row is the mean of all datasets, for encoders that have them all."
            )
        return " ".join(words)


def summarize(
    results: Sequence[Result],
    command: str,
    progress: type[Progress] = Silent,
    references: References = published,
) -> Summary:
    """Compute everything; datasets, encoders and measures keep the order they first appear in.

    Args:
        references: the published figures of a dataset by a measure.

    Raises `LsrError` when there are no results, or two of one encoder on one dataset;
    `QueryError` when encoders were scored on different queries of a dataset.
    """
    if not results:
        raise LsrError("a report needs results; evaluate at least one encoder")
    grid: dict[tuple[str, str], Result] = {}
    for result in results:
        if grid.setdefault((result.dataset, result.encoder), result) is not result:
            raise LsrError(
                f"a report has two results of encoder {result.encoder!r} on {result.dataset!r}; "
                "keep one"
            )
    datasets = {result.dataset: len(result.queries) for result in results}
    encoders = list(dict.fromkeys(result.encoder for result in results))
    measures = list(dict.fromkeys(name for result in results for name in result.scores.means))
    recall = next((name for name in measures if name.startswith(("R@", "R("))), measures[0])
    rows = {name: [grid.get((name, encoder)) for encoder in encoders] for name in datasets}
    tests = {}
    with progress("Comparing", "datasets", len(rows)) as bar:
        for name, row in rows.items():
            tests[name] = [test for measure in measures for test in _tests(row, measure)]
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
            _paired(row[0], other, measures[0])
            for row in rows.values()
            for other in row[1:]
            if _has(row[0], measures[0]) and _has(other, measures[0])
        ],
        [difference for table in tables for difference in _published(table, references)],
        cards(results),
    )


def _has(result: Result | None, measure: str) -> TypeGuard[Result]:
    return result is not None and bool(result.scores.per_query.get(measure))


def _tests(row: Sequence[Result | None], measure: str) -> list[Comparison]:
    return compare({r.encoder: r.scores for r in row if _has(r, measure)}, [measure])


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
            if test.measure == measure and test.a == first and test.is_significant
        }
        cells[dataset] = _marked([_cell(result, measure, signs) for result in row])
    if len(rows) < 2:
        return Table(measure, cells, [])
    means = [
        Cell(float(np.mean([cell.value for cell in column if cell])), None) if all(column) else None
        for column in zip(*cells.values(), strict=True)
    ]
    return Table(measure, cells, _marked(means))


def _cell(result: Result | None, measure: str, signs: Mapping[str, int]) -> Cell | None:
    if result is None or measure not in result.scores.means:
        return None
    interval = None
    if _has(result, measure):
        interval = bootstrap_interval(list(result.scores.per_query[measure].values()))
    return Cell(result.scores.means[measure], interval, sign=signs.get(result.encoder, 0))


def _marked(cells: list[Cell | None]) -> list[Cell | None]:
    """The cells of a row, the best ones marked: all that print as the highest figure does."""
    values = [cell.value for cell in cells if cell]
    best = figure(max(values)) if len(values) > 1 else None
    return [cell and replace(cell, best=figure(cell.value) == best) for cell in cells]


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


def _paired(first: Result, other: Result, measure: str) -> PairedComparison:
    a, b = first.scores.per_query[measure], other.scores.per_query[measure]
    won, lost = largest_differences(a, b, other.queries, CHANGES)
    points = [(a[query], b[query]) for query in a]
    return PairedComparison(other.dataset, other.encoder, points, won, lost)


def _published(table: Table, references: References) -> list[PublishedDifference]:
    """Every figure published for the datasets, and the mean of the systems that have them all."""

    def difference(
        dataset: str, reference: Reference, cells: Sequence[Cell | None]
    ) -> PublishedDifference:
        deltas = [None if cell is None else cell.value - reference.value for cell in cells]
        return PublishedDifference(dataset, table.measure, reference, deltas)

    rows = [
        difference(dataset, reference, cells)
        for dataset, cells in table.rows.items()
        for reference in references(dataset, table.measure)
    ]
    systems: dict[str, list[Reference]] = {}
    for row in rows:
        systems.setdefault(row.reference.system, []).append(row.reference)
    for figures in systems.values():
        if table.mean and len(figures) == len(table.rows):
            mean = sum(reference.value for reference in figures) / len(figures)
            rows.append(difference(MEAN, replace(figures[-1], value=mean), table.mean))
    return rows

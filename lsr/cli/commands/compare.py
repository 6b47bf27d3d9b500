"""`lsr compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lsr.cli.options import json_option, number_option
from lsr.terminal import cell, columns, echo, note, styled, write_json

if TYPE_CHECKING:
    from lsr.eval.comparison import QueryDifference, RunComparison


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--qrels",
    required=True,
    metavar="FILE_OR_ZIP",
    help="Judgments: a BEIR zip or folder, or a file in BEIR's or TREC's format.",
)
@click.option(
    "--measures",
    metavar="NAMES",
    default="nDCG@10 R@100 RR@10",
    show_default=True,
    help="ir-measures names.",
)
@click.option(
    "--split", metavar="NAME", default="test", show_default=True, help="Split of the judgments."
)
@click.option(
    "--dataset",
    metavar="NAME",
    help="BEIR's name of the dataset, for published figures (default: from the zip or folder).",
)
@number_option(
    "--queries",
    "Show the N queries with the largest gains and losses of the second run.",
    5,
    least=0,
)
@json_option
def compare(
    runs: tuple[Path, ...],
    qrels: str,
    measures: str,
    split: str,
    dataset: str | None,
    queries: int,
    as_json: bool,
) -> None:
    """Test whether runs differ: two or more run files on the same judgments.

    \b
    lsr compare bm25.trec splade.trec --qrels nfcorpus.zip
    lsr compare a.trec b.trec.gz c.trec --qrels test.qrels --measures "nDCG@10 AP" --json
    lsr compare old/run.trec new/run.trec --qrels scifact.zip --queries 20
    """
    from lsr.eval.comparison import as_json as json_of
    from lsr.eval.comparison import compare_runs

    comparison = compare_runs(
        runs, qrels, measures.replace(",", " ").split(), split=split, dataset=dataset
    )
    for name, run in comparison.runs.items():
        if run.missing:
            note(
                f"{name}: {run.missing:,} of {comparison.queries:,} judged queries have no line "
                "in the run and count as empty results"
            )
        if run.unjudged:
            note(f"{name}: {run.unjudged:,} queries of the run have no judgments and are left out")
    if as_json:
        write_json(json_of(comparison, queries))
        return
    for measure in comparison.measures:
        _print_measure(comparison, measure)
    if queries:
        first = comparison.measures[0]
        won, lost = comparison.changes(first, queries)
        _print_queries(f"{first}: largest gains of [2] over [1]", won)
        _print_queries(f"{first}: largest losses of [2] to [1]", lost)


def _print_measure(comparison: RunComparison, measure: str) -> None:
    from lsr.eval.published import published
    from lsr.eval.report.figures import effect

    numbers = {name: f"[{number}]" for number, name in enumerate(comparison.runs, 1)}
    of = f" of {comparison.dataset}" if comparison.dataset else ""
    means = {name: run.means[measure] for name, run in comparison.runs.items()}
    _print_table(
        [f"{measure}, {comparison.queries:,} queries{of}", "mean", "95 % interval"],
        [
            [
                f"  {numbers[name]} {name}",
                _figure(means[name]),
                _between(run.intervals[measure].low, run.intervals[measure].high),
            ]
            for name, run in comparison.runs.items()
        ],
    )
    _print_table(
        ["", "diff.", "95 % interval", "d", "p t", "p rand", "p Holm", "won/tied/lost"],
        [
            [
                f"  {numbers[test.b]}-{numbers[test.a]}",
                _figure(test.difference, "+"),
                _between(test.interval.low, test.interval.high, "+"),
                effect(test.effect, lambda value: f"{value:+.2f}"),
                *map(_chance, (test.p_t, test.p_randomization, test.p_holm)),
                f"{test.wins}/{test.ties}/{test.losses}",
            ]
            for test in comparison.tests
            if test.measure == measure
        ],
    )
    if references := published(comparison.dataset, measure):
        _print_table(
            ["  difference from published", "", *numbers.values()],
            [
                [
                    f"  {reference.system}",
                    _figure(reference.value),
                    *(_figure(mean - reference.value, "+") for mean in means.values()),
                ]
                for reference in references
            ],
        )
    echo()


def _print_queries(title: str, rows: Sequence[QueryDifference]) -> None:
    echo(title, bold=True)
    room = columns()
    if not rows:
        echo("  none")
    longest = max((len(cell(row.query)) for row in rows), default=0)
    for row in rows:
        line = (
            f"  {_figure(row.b - row.a, '+')}  {_figure(row.a)} to {_figure(row.b)}"
            f"  {cell(row.query):<{longest}}  {cell(' '.join(row.text.split()))}"
        ).rstrip()
        echo(line if len(line) <= room else line[: room - 1] + "…")
    echo()


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their contents; the first to the left, the others to the right."""
    lines = [[cell(text) for text in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, row in enumerate(lines):
        cells = [f"{text:>{width}}" for text, width in zip(row[1:], widths[1:], strict=True)]
        line = "  ".join([f"{row[0]:<{widths[0]}}", *cells]).rstrip()
        echo(line if number else styled(line, bold=True))


def _figure(value: float, sign: str = "-") -> str:
    """Four digits after the point, none before it where that is 0."""
    text = f"{round(value, 4) + 0.0:{sign}.4f}"  # + 0: no -.0000
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _between(low: float, high: float, sign: str = "-") -> str:
    return f"{_figure(low, sign)} {_figure(high, sign)}"


def _chance(p: float) -> str:
    return "<.0001" if p < 0.0001 else _figure(p)

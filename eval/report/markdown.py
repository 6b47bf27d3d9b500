"""A report as Markdown: the tables of the page, without its plots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from lsr.eval.comparison import QueryDifference
from lsr.eval.report.figures import (
    counted,
    effect,
    excerpt,
    figure,
    milliseconds,
    probability,
    signed,
    span,
)
from lsr.eval.report.summary import SIGNIFICANT, Cell, Summary, Table, legend
from lsr.eval.statistics import Comparison
from lsr.terminal import printable

_LONGEST_TEXT = 200  # characters of a query
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#|~$&!])")
_MARKS = {1: " ▲", -1: " ▼", 0: ""}


def markdown(summary: Summary) -> str:
    """The whole report as text; plots are on the page only."""
    parts = [
        "# Retrieval evaluation",
        f"{counted(len(summary.datasets), 'dataset')}, "
        f"{counted(len(summary.encoders), 'encoder')}, "
        f"{counted(sum(summary.datasets.values()), 'query')}. The same with plots: report.html.",
        _fenced(summary.command),
        *_measures(summary),
        *_latency(summary),
        *_tests(summary),
        *_queries(summary),
        *_published(summary),
        *_provenance(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _measures(summary: Summary) -> list[str]:
    parts = ["## Measures", _text(legend(summary))]
    for table in summary.tables:
        parts += [f"### {_text(table.measure)}", _table(table, summary)]
    return parts


def _table(table: Table, summary: Summary) -> str:
    rows = [[_text(name), *map(_cell, cells)] for name, cells in table.rows.items()]
    if table.mean:
        rows.append(["mean", *map(_cell, table.mean)])
    return _grid(["", *map(_text, summary.encoders)], rows)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    value = f"**{figure(cell.value)}**" if cell.best else figure(cell.value)
    return value + _MARKS[cell.sign] + ("" if cell.interval is None else f" {span(cell.interval)}")


def _latency(summary: Summary) -> list[str]:
    if not any(any(row) for row in summary.latencies.values()):
        return []
    rows = [
        [
            _text(name),
            *(
                f"{milliseconds(point.median)} / {milliseconds(point.p99)}" if point else ""
                for point in row
            ),
        ]
        for name, row in summary.latencies.items()
    ]
    return [
        "## Latency",
        "Milliseconds for one query alone, encoded and searched: median / 99th percentile.",
        _grid(["", *map(_text, summary.encoders)], rows),
    ]


def _tests(summary: Summary) -> list[str]:
    if not any(summary.tests.values()):
        return []
    parts = [
        "## Paired tests",
        "Every pair of encoders on the same queries: the mean difference with its 95 % bootstrap "
        "interval, Cohen's *d* of the paired differences, the paired *t*-test, the randomisation "
        "test, and the latter after Holm's correction over the pairs of a measure, bold where "
        "below .05.",
    ]
    heads = [
        "", "difference", "effect *d*", "*p* *t*-test", "*p* randomisation", "*p* Holm",
        "won / tied / lost",
    ]  # fmt: skip
    for dataset, tests in summary.tests.items():
        for measure, group in groupby(tests, key=lambda test: test.measure):
            parts += [f"### {_text(dataset)}, {_text(measure)}", _grid(heads, map(_test, group))]
    return parts


def _test(test: Comparison) -> list[str]:
    holm = _text(probability(test.p_holm))
    return [
        f"{_text(test.b)} against {_text(test.a)}",
        f"{signed(test.difference)} {span(test.interval, signed)}",
        effect(test.effect),
        _text(probability(test.p_t)),
        _text(probability(test.p_randomization)),
        f"**{holm}**" if test.p_holm < SIGNIFICANT else holm,
        f"{test.wins:,} / {test.ties:,} / {test.losses:,}",
    ]


def _queries(summary: Summary) -> list[str]:
    parts = [
        "## Queries won and lost",
        f"The queries whose {_text(summary.measures[0])} rose and fell most against "
        f"{_text(summary.first)}.",
    ]
    for duel in summary.duels:
        if duel.won or duel.lost:
            parts += [
                f"### {_text(duel.dataset)}, {_text(duel.encoder)}",
                _grid(
                    ["difference", "from", "to", "query", "id"],
                    map(_change, duel.won + duel.lost),
                    left=2,
                ),
            ]
    return parts if len(parts) > 2 else []


def _change(change: QueryDifference) -> list[str]:
    return [
        signed(change.b - change.a),
        figure(change.a),
        figure(change.b),
        _text(excerpt(change.text, _LONGEST_TEXT)),
        _text(change.query),
    ]


def _published(summary: Summary) -> list[str]:
    if not summary.published:
        return []
    rows = [
        [
            f"{_text(one.dataset)}, {_text(one.measure)}",
            figure(one.value),
            *("" if delta is None else signed(delta) for delta in one.deltas),
            f"{_text(one.system)}: {_text(one.source)}",
        ]
        for one in summary.published
    ]
    return [
        "## Published figures",
        "What others report, and how far each encoder is from it.",
        _grid(["", "published", *map(_text, summary.encoders), "system"], rows, left=1),
    ]


def _provenance(summary: Summary) -> list[str]:
    parts = ["## Provenance"]
    for card in summary.cards:
        lines = (f"{key}: {' '.join(text.split())}" for key, text in card.entries)
        parts += [f"### {_text(card.holds_for)}", _fenced("\n".join(lines))]
    return parts if summary.cards else []


def _grid(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 0) -> str:
    """A table; figures to the right, the first column and the last `left` ones to the left."""
    aligned = ["---", *["--:"] * (len(heads) - 1 - left), *["---"] * left]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, aligned, *rows])


def _text(text: str) -> str:
    """Text from data: no character of it is mark-up, and it stays on its line."""
    return _SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))


def _fenced(text: str) -> str:
    """A block of text as it is, between more backticks than it has in a row."""
    text = printable(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"

"""A report as one HTML page that asks for nothing: styles and plots are in it, scripts are not.

Whatever comes from data goes through `escape`; the page's content security policy forbids
every request besides, so that a mistake here could still fetch nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from lsr.eval.comparison import QueryDifference
from lsr.eval.report import plots
from lsr.eval.report.figures import (
    counted,
    effect,
    escape,
    excerpt,
    figure,
    milliseconds,
    probability,
    shortened,
    signed,
    span,
)
from lsr.eval.report.references import Difference
from lsr.eval.report.summary import SIGNIFICANT, Cell, Summary, Table, legend
from lsr.eval.statistics import Comparison

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_NONE = '<td class="none">&ndash;</td>'
_LONGEST_HEAD = 36  # characters of an encoder's name above a column
_LONGEST_TEXT = 400  # characters of a query
_MARKS = {
    1: '<span class="mark up" title="significantly above {}">▲</span> ',
    -1: '<span class="mark down" title="significantly below {}">▼</span> ',
    0: "",
}


def page(summary: Summary) -> str:
    """The whole page as text."""
    sections = [
        ("measures", "Measures", _measures(summary)),
        ("latency", "Latency", _latency(summary)),
        ("scatter", "Query by query", _scatter(summary)),
        ("tests", "Paired tests", _tests(summary)),
        ("queries", "Queries won and lost", _queries(summary)),
        ("published", "Published figures", _published(summary)),
        ("provenance", "Provenance", _provenance(summary)),
    ]
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in shown)
    body = "".join(
        f'<section id="{key}"><h2>{title}</h2>{content}</section>' for key, title, content in shown
    )
    queries = counted(sum(summary.datasets.values()), "query")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(_title(summary))}</title>
<link rel="icon" href="data:,">
<style>
{Path(__file__).with_name("page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<p class="kind">Retrieval evaluation</p>
<h1>{escape(_title(summary))}</h1>
<p class="facts">{counted(len(summary.datasets), "dataset")} ·
{counted(len(summary.encoders), "encoder")} · {queries}</p>
<nav>{links}</nav>
</header>
<main>{body}</main>
</body>
</html>
"""


def _title(summary: Summary) -> str:
    names = list(summary.datasets)
    if len(names) > 5:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _measures(summary: Summary) -> str:
    return f"<p>{escape(legend(summary))}</p>" + "".join(
        f"<h3>{escape(table.measure)}</h3>{_table(table, summary)}{_bars(table, summary)}"
        for table in summary.tables
    )


def _table(table: Table, summary: Summary) -> str:
    heads = _heads(summary)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}<small>{counted(summary.datasets[name], "query")}'
        f"</small></th>{''.join(_cell(cell, summary.first) for cell in cells)}</tr>"
        for name, cells in table.rows.items()
    )
    if table.mean:
        cells = "".join(_cell(cell, summary.first) for cell in table.mean)
        rows += f'<tr class="mean"><th scope="row">mean</th>{cells}</tr>'
    return _scrolling(f"<thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody>", "figures")


def _heads(summary: Summary) -> str:
    return "".join(
        f'<th scope="col" title="{escape(name)}">{_key(place)}'
        f"{_parted(escape(shortened(name, _LONGEST_HEAD)))}</th>"
        for place, name in enumerate(summary.encoders)
    )


def _parted(name: str) -> str:
    """A name that is rather broken between its parts than within them."""
    return re.sub(r"[:+/,=]", r"\g<0><wbr>", name)


def _key(place: int) -> str:
    return f'<i class="key" style="color:{plots.colour(place)}"></i>'


def _cell(cell: Cell | None, first: str) -> str:
    if cell is None:
        return _NONE
    value = f"<b>{figure(cell.value)}</b>" if cell.best else figure(cell.value)
    interval = "" if cell.interval is None else f"<small>{span(cell.interval)}</small>"
    return f"<td>{_MARKS[cell.sign].format(escape(first))}{value}{interval}</td>"


def _bars(table: Table, summary: Summary) -> str:
    cells = [cell for row in table.rows.values() for cell in row if cell is not None]
    top = max((cell.interval.high if cell.interval else cell.value for cell in cells), default=1)
    return _grid(
        (
            _figure(f"{name}, {table.measure}", plots.bars(summary.encoders, row, max(top, 0)))
            for name, row in table.rows.items()
            if any(row)
        ),
        "bars",
    )


def _latency(summary: Summary) -> str:
    known = [point for row in summary.latencies.values() for point in row if point is not None]
    if not known:
        return ""
    limits = min(point.median for point in known), max(point.p99 for point in known)
    drawings = _grid(
        (
            _figure(name, plots.latency(summary.encoders, row, summary.recall, limits))
            for name, row in summary.latencies.items()
            if any(row)
        ),
        "curves",
    )
    heads = _heads(summary)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            _NONE
            if point is None
            else f"<td>{milliseconds(point.median)}<small>{milliseconds(point.p99)}</small></td>"
            for point in row
        )
        + "</tr>"
        for name, row in summary.latencies.items()
    )
    table = _scrolling(f"<thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody>", "figures")
    return (
        f"<p>{escape(summary.recall)} against the time of one query alone, encoded and searched: a "
        "dot at the median, a line up to the 99th percentile. Left and up is better. The table has "
        f"both times in milliseconds, the median first.</p>{drawings}{table}"
    )


def _scatter(summary: Summary) -> str:
    if not summary.duels:
        return ""
    measure = escape(summary.measures[0])
    values = [value for duel in summary.duels for point in duel.points for value in point]
    top = max(1.0, *values)
    introduction = (
        f"<p>{measure} of each query: <b>{escape(summary.first)}</b> to the right, the other "
        "encoder upwards. Dots above the diagonal are queries that it answers better; larger dots "
        "are several queries. The counts are of queries on either side.</p>"
    )
    drawings = (
        _figure(
            f"{duel.dataset}, {duel.encoder}",
            plots.scatter(duel, summary.first, summary.encoders.index(duel.encoder), top),
        )
        for duel in summary.duels
    )
    return introduction + _grid(drawings, "squares")


def _tests(summary: Summary) -> str:
    if not any(summary.tests.values()):
        return ""
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in (
            "", "difference", "effect <i>d</i>", "<i>p</i> <i>t</i>-test",
            "<i>p</i> randomisation", "<i>p</i> Holm", "won / tied / lost",
        )
    )  # fmt: skip
    parts = [
        "<p>Every pair of encoders on the same queries: the mean difference with its 95 % "
        "bootstrap interval, Cohen's <i>d</i> of the paired differences, the paired "
        "<i>t</i>-test, the randomisation test, and the latter after Holm's correction over the "
        f"pairs of a measure, <b>bold</b> where below {figure(SIGNIFICANT)[:3]}.</p>"
    ]
    for dataset, tests in summary.tests.items():
        bodies = "".join(
            f'<tbody><tr class="group"><th scope="rowgroup" colspan="7">{escape(measure)}</th></tr>'
            f"{''.join(map(_test, group))}</tbody>"
            for measure, group in groupby(tests, key=lambda test: test.measure)
        )
        if tests:
            table = _scrolling(f"<thead><tr>{heads}</tr></thead>{bodies}", "tests")
            parts.append(_folded(dataset, table, opened=len(parts) == 1))
    return "".join(parts)


def _test(test: Comparison) -> str:
    holm = probability(test.p_holm).replace("<", "&lt;")
    return (
        f'<tr><th scope="row">{escape(test.b)} <span>against</span> {escape(test.a)}</th>'
        f"<td>{signed(test.difference)}<small>{span(test.interval, signed)}</small></td>"
        f"<td>{effect(test.effect)}</td>"
        f"<td>{escape(probability(test.p_t))}</td><td>{escape(probability(test.p_randomization))}"
        f"</td><td>{f'<b>{holm}</b>' if test.p_holm < SIGNIFICANT else holm}</td>"
        f"<td>{test.wins:,} / {test.ties:,} / {test.losses:,}</td></tr>"
    )


def _queries(summary: Summary) -> str:
    parts = [
        f"<p>The queries whose {escape(summary.measures[0])} rose and fell most against "
        f"<b>{escape(summary.first)}</b>.</p>"
    ]
    for dataset, duels in groupby(summary.duels, key=lambda duel: duel.dataset):
        content = "".join(
            f"<h4>{_key(summary.encoders.index(duel.encoder))}{escape(duel.encoder)}</h4>"
            f'<div class="changes"><ul>{"".join(map(_change, duel.won))}</ul>'
            f"<ul>{''.join(map(_change, duel.lost))}</ul></div>"
            for duel in duels
            if duel.won or duel.lost
        )
        if content:
            parts.append(_folded(dataset, content, opened=len(parts) == 1))
    return "".join(parts) if len(parts) > 1 else ""


def _change(change: QueryDifference) -> str:
    up = change.b > change.a
    return (
        f'<li><span class="delta {"up" if up else "down"}">{signed(change.b - change.a)}'
        f"<small>{figure(change.a)} → {figure(change.b)}</small></span>"
        f'<span class="text"><bdi>{escape(excerpt(change.text, _LONGEST_TEXT))}</bdi> '
        f"<code>{escape(change.query)}</code></span>"
        "</li>"
    )


def _published(summary: Summary) -> str:
    if not summary.published:
        return ""
    heads = _heads(summary)
    rows = "".join(map(_reference, summary.published))
    return "<p>What others report, and how far each encoder is from it.</p>" + _scrolling(
        '<thead><tr><th></th><th scope="col" class="left">system</th>'
        f'<th scope="col">published</th>{heads}</tr></thead><tbody>{rows}</tbody>',
        "figures",
    )


def _reference(one: Difference) -> str:
    source = escape(one.source)
    if one.url.startswith("https://"):
        source = f'<a href="{escape(one.url)}" rel="noreferrer">{source}</a>'
    deltas = "".join(
        _NONE if delta is None else f"<td>{signed(delta)}</td>" for delta in one.deltas
    )
    return (
        f'<tr><th scope="row">{escape(one.dataset)}<small>{escape(one.measure)}</small></th>'
        f'<td class="left">{escape(one.system)}<small>{source}</small></td>'
        f"<td>{figure(one.value)}</td>{deltas}</tr>"
    )


def _provenance(summary: Summary) -> str:
    blocks = "".join(
        f"<div><h3>{escape(card.holds_for)}</h3><dl>"
        + "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in card.entries)
        + "</dl></div>"
        for card in summary.cards
    )
    return (
        f'<p>To repeat it:</p><pre>{escape(summary.command)}</pre><div class="cards">{blocks}</div>'
    )


def _grid(figures: Iterable[str], kind: str) -> str:
    return f'<div class="grid {kind}">{"".join(figures)}</div>'


def _figure(caption: str, drawing: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawing}</figure>"


def _folded(title: str, content: str, *, opened: bool) -> str:
    return (
        f"<details{' open' if opened else ''}><summary>{escape(title)}</summary>{content}</details>"
    )


def _scrolling(table: str, kind: str) -> str:
    """A table that scrolls sideways by itself on a narrow screen."""
    return f'<div class="scroll" tabindex="0"><table class="{kind}">{table}</table></div>'

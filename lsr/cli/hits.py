"""Hits as `lsr search` prints them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from lsr.terminal import Styled, cell, echo, note

if TYPE_CHECKING:
    from lsr.retrieval.explanation import Explanation
    from lsr.retrieval.hits import Hit, Hits

_SNIPPET = 240
_NARROW = 60  # columns of a terminal on which columns of a table stand close
_LONGEST_BAR, _SHORTEST_BAR = 20, 4  # columns, of the longest bar of a table


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of an explanation; a narrow table drops `numbers`, never `last`.  `fill` is the length
    of its bar, up to 1."""

    name: str
    last: str
    kind: str = ""
    numbers: tuple[str, str] = ("", "")
    fill: float = 0.0
    colour: str = ""
    style: str = ""


def as_json(hit: Hit, explain: bool) -> dict[str, Any]:
    """A hit as JSON values."""
    values = {"id": hit.id, "score": hit.score, "title": hit.title, "text": hit.text}
    return values | (_why_as_json(hit.explain()) if explain else {})


def _why_as_json(why: Explanation | None) -> dict[str, Any]:
    if why is None:
        return {}
    if why.contributions:
        names = ("retriever", "value", "rank", "score")
        return {
            "contributions": [
                {name: getattr(part, name) for name in names} | _why_as_json(part.terms)
                for part in why.contributions
            ]
        }
    terms = [asdict(match) for match in why.terms]
    if why.parts:
        return {"parts": why.parts, "terms": terms}
    for term in terms:
        del term["part"]
    return {"terms": terms}


def snippet(text: str, words: list[str], length: int = _SNIPPET) -> str:
    """A piece of a text around the first of the words that it contains."""
    from lsr.encoders.text.scripts import places

    text = re.sub(r"\s+", " ", text).strip()
    if len(text) <= length:
        return text
    first = min((start for start, _ in places(text, words)), default=0)
    start = max(0, first - length // 4)
    if start:
        start = text.find(" ", start, first) + 1 or _letter(text, start)
    end = len(text)
    if start + length < end:
        # Far from the limit a space is no good end, as in scripts that have few.
        end = text.rfind(" ", start + length // 2, start + length)
        end = end if end > 0 else _letter(text, start + length)
    return ("… " if start else "") + text[start:end] + (" …" if end < len(text) else "")


def _letter(text: str, place: int) -> int:
    """The first place from `place` on that is not a combining mark."""
    while place < len(text) and unicodedata.category(text[place]).startswith("M"):
        place += 1
    return place


def _words(explanation: Explanation) -> list[str]:
    """Words for the snippet; single letters occur too often, and are used only without others."""
    words = [w for w in explanation.literal_words() if len(w) > 2 or not w.isascii()]
    return [word for word in words if len(word) > 1] or words


def _readable(why: Explanation) -> Explanation:
    """The explanation with names that can be printed as cells of a table."""
    return replace(
        why,
        id=cell(why.id),
        terms=[
            replace(match, term=cell(match.term), part=match.part and cell(match.part))
            for match in why.terms
        ],
        contributions=[
            replace(
                part,
                retriever=cell(part.retriever),
                terms=None if part.terms is None else _readable(part.terms),
            )
            for part in why.contributions
        ],
    )


def print_plain(hits: Hits, explain: bool, nothing: str = "") -> None:
    """Print lines for other programs: rank, score, id, title; a snippet; the explanation.

    Without hits, print `nothing` on standard error.
    """
    for rank, hit in enumerate(hits, 1):
        why = hit.explain()
        echo(f"{rank}\t{hit.score:.4f}\t{_name(hit.id)}\t{cell(hit.title)}")
        echo(f"\t{cell(snippet(hit.text, _words(why)))}")
        if explain:
            for line in str(_readable(why)).split("\n")[1:]:
                echo(f"\t{line.removeprefix('  ')}")
    if not len(hits):
        note(nothing)


def _name(identifier: str) -> str:
    """An id on one line; tabs and line ends are shown, for two ids may differ in them alone."""
    return cell(identifier.translate({9: "␉", 10: "␊", 13: "␍"}))


def print_table(hits: Hits, explain: bool, nothing: str = "") -> None:
    """Print a table for a terminal; without hits, print `nothing`."""
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    from lsr.encoders.text.scripts import places

    if not len(hits):
        echo(nothing)
        return
    console = Console(highlight=False)
    gap = 1 if console.width < _NARROW else 2
    scores = [f"{hit.score:.3f}" for hit in hits]
    beside = len(str(len(hits))) + max(*map(len, scores), len("score")) + 4 * gap
    table = Table(show_header=True, header_style="bold", box=None, pad_edge=False, padding=(0, gap))
    table.add_column("", justify="right", style="dim", no_wrap=True)
    table.add_column("score", justify="right", style="cyan", no_wrap=True)
    table.add_column("document", ratio=1)
    for rank, (hit, score) in enumerate(zip(hits, scores, strict=True), 1):
        why = hit.explain()
        title, name = cell(hit.title), _name(hit.id)
        parts: list[Any] = [
            Text.assemble((title, "bold"), ("  " + name, "dim")) if title else Text(name, "bold")
        ]
        words = _words(why)
        body = Text(cell(snippet(hit.text, words)))
        for start, end in places(body.plain, words):
            body.stylize("green", start, end)
        parts.append(body)
        if explain:
            parts += _why(_readable(why), console.width - beside)
        parts.append(Text(""))
        table.add_row(str(rank), score, Group(*parts))
    with console.capture() as drawn:
        console.print(table)
    echo(Styled(drawn.get()), nl=False)


def _why(why: Explanation, room: int) -> list[Any]:
    """The tables behind a score: retrievers' contributions, if any, and the terms of each."""
    if not why.contributions:
        return [_bars(why, "term", room)] if why.terms else []
    tables = [
        _bars(part.terms, part.retriever, room)
        for part in why.contributions
        if part.terms is not None and part.terms.terms
    ]
    return [_contributions(why, room), *tables]


def _contributions(why: Explanation, room: int) -> Any:
    most = max(abs(part.value) for part in why.contributions)
    rows = [
        _Row(
            part.retriever,
            f"{part.value:.4f}",
            numbers=(
                "" if part.rank is None else f"{part.rank:,}",
                "" if part.score is None else f"{part.score:.3f}",
            ),
            fill=part.value / most if most else 0,
            colour="cyan",
        )
        for part in why.contributions
    ]
    rows.append(_Row("sum", f"{why.score:.4f}", style="dim"))
    return _table(("retriever", "", "rank", "score", "contribution"), rows, room)


def _bars(why: Explanation, title: str, room: int) -> Any:
    most = why.terms[0].product
    rows = []
    for part, matches in why.groups():
        if part is not None:
            rows.append(_Row(part, f"{why.parts[part]:.3f}", style="bold"))
        rows += [
            _Row(
                match.term,
                f"{match.product:.3f}",
                match.kind or "",
                (f"{match.query_weight:.3f}", f"{match.document_weight:.3f}"),
                match.product / most if most > 0 else 0,
                "green" if match.kind == "literal" else "yellow",
            )
            for match in matches
        ]
    rows.append(_Row("sum", f"{why.score:.3f}", style="dim"))
    return _table((title, "kind", "query", "document", "product"), rows, room)


def _table(heads: tuple[str, str, str, str, str], rows: Sequence[_Row], room: int) -> Any:
    """A table of names, kinds, three columns of numbers, and bars, in so many columns.

    Where there is no room for all, bars go first, then the first two numbers, then kinds; names
    are broken last, and the last number always stays.
    """
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    lines = [heads, *((row.name, row.kind, *row.numbers, row.last) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    kept = [place for place in range(5) if widths[place]]

    def left() -> int:
        return room - sum(widths[place] for place in kept) - 2 * (len(kept) - 1)

    longest = min(_LONGEST_BAR, left() - 2)
    with_bars = longest >= _SHORTEST_BAR
    for dropped in ((2, 3), (1,)):
        if left() < 0:
            kept = [place for place in kept if place not in dropped]
    table = Table(show_header=True, header_style="dim", box=None, pad_edge=False, padding=(0, 1))
    for place in kept:
        table.add_column(
            Text(heads[place]),
            justify="right" if place > 1 else "left",
            no_wrap=place > 0,
            overflow="fold",
        )
    if with_bars:
        table.add_column("", no_wrap=True)
    for row, line in zip(rows, lines[1:], strict=True):
        bold = "bold" if row.style else ""
        cells = [line[place] for place in kept[1:-1]]
        bar = "█" * max(round(longest * row.fill), int(row.fill > 0))
        table.add_row(
            Text(row.name, row.style),  # a term may look like markup: [unused-7]
            *cells,
            Text(row.last, bold),
            *([Text(bar, row.colour)] if with_bars else []),
        )
    return table

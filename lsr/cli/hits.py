"""How `lsr search` prints hits."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lsr.hits import Explanation, Hit, Hits

_SNIPPET = 240
_BESIDE_BARS = 56  # columns of a table with explanations beside terms and bars


def as_json(hit: Hit, explain: bool) -> dict[str, Any]:
    """A hit as JSON values."""
    found: dict[str, Any] = {
        "id": hit.id,
        "score": hit.score,
        "title": hit.title,
        "text": hit.text,
    }
    if explain:
        why = hit.explain()
        if why.shares:
            found["shares"] = [
                {
                    "retriever": share.retriever,
                    "share": share.share,
                    "rank": share.rank,
                    "score": share.score,
                    **(_terms_as_json(share.terms) if share.terms is not None else {}),
                }
                for share in why.shares
            ]
        else:
            found |= _terms_as_json(why)
    return found


def _terms_as_json(why: Explanation) -> dict[str, Any]:
    return {
        **({"parts": why.parts} if why.parts else {}),
        "terms": [
            {
                "term": match.term,
                "query_weight": match.query_weight,
                "document_weight": match.document_weight,
                "product": match.product,
                "kind": match.kind,
                **({"part": match.part} if match.part is not None else {}),
            }
            for match in why.terms
        ],
    }


def snippet(text: str, words: list[str], length: int = _SNIPPET) -> str:
    """A piece of a text around the first of the words that it contains."""
    from lsr.encoders.scripts import places

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
    """The first place from `place` on that is no mark of the letter before it."""
    while place < len(text) and unicodedata.category(text[place]).startswith("M"):
        place += 1
    return place


def _words(explanation: Explanation) -> list[str]:
    """Words to show a text around; pieces of words stand in too many places."""
    words = [w for w in explanation.literal_words() if len(w) > 2 or not w.isascii()]
    return [word for word in words if len(word) > 1] or words


def print_plain(hits: Hits, explain: bool, nothing: str = "") -> None:
    """Lines for other programs: rank, score, id, title; a snippet; the explanation.

    `nothing` is said where there are no hits.
    """
    for rank, hit in enumerate(hits, 1):
        why = hit.explain()
        click.echo(f"{rank}\t{hit.score:.4f}\t{hit.id}\t{hit.title}")
        click.echo(f"\t{snippet(hit.text, _words(why))}")
        if explain:
            for line in str(why).splitlines()[1:]:
                click.echo(f"\t{line.removeprefix('  ')}")
    if not len(hits):
        click.echo(nothing, err=True)


def print_table(hits: Hits, explain: bool, nothing: str = "") -> None:
    """A table for a terminal; `nothing` is said where there are no hits."""
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    from lsr.encoders.scripts import places

    console = Console(highlight=False)
    if not len(hits):
        console.print(nothing)
        return
    table = Table(show_header=True, header_style="bold", box=None, pad_edge=False, padding=(0, 2))
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right", style="cyan")
    table.add_column("document", ratio=1)
    for rank, hit in enumerate(hits, 1):
        why = hit.explain()
        parts: list[Any] = [
            Text.assemble((hit.title, "bold"), ("  " + hit.id, "dim"))
            if hit.title
            else Text(hit.id, "bold")
        ]
        words = _words(why)
        body = Text(snippet(hit.text, words))
        for start, end in places(body.plain, words):
            body.stylize("green", start, end)
        parts.append(body)
        if explain:
            parts += _why(why, console.width)
        parts.append(Text(""))
        table.add_row(str(rank), f"{hit.score:.3f}", Group(*parts))
    console.print(table)


def _why(why: Explanation, width: int) -> list[Any]:
    """The tables behind a score: the retrievers' shares, if any, and the terms of each."""
    if not why.shares:
        return [_bars(why, "term", width)] if why.terms else []
    tables = [
        _bars(share.terms, share.retriever, width)
        for share in why.shares
        if share.terms is not None and share.terms.terms
    ]
    return [_shares(why, width), *tables]


def _shares(why: Explanation, width: int) -> Any:
    from rich.text import Text

    names = [share.retriever for share in why.shares]
    shares = _table("retriever", "", "rank", "score", "share")
    longest, most = _longest(names, width), max(abs(share.share) for share in why.shares)
    for share in why.shares:
        shares.add_row(
            Text(share.retriever),
            "",
            "" if share.rank is None else f"{share.rank:,}",
            "" if share.score is None else f"{share.score:.3f}",
            f"{share.share:.4f}",
            Text("█" * round(longest * share.share / most) if most else "", "cyan"),
        )
    shares.add_row(Text("sum", "dim"), "", "", "", Text(f"{why.score:.4f}", "bold"), "")
    return shares


def _bars(why: Explanation, title: str, width: int) -> Any:
    from rich.text import Text

    bars = _table(title, "kind", "query", "document", "product")
    names = [title, *why.parts, *(match.term for match in why.terms)]
    longest, most = _longest(names, width), why.terms[0].product
    for part, matches in why.groups():
        if part is not None:
            bars.add_row(Text(part, "bold"), "", "", "", Text(f"{why.parts[part]:.3f}", "bold"))
        for match in matches:
            colour = "green" if match.kind == "literal" else "yellow"
            length = max(1, round(longest * match.product / most)) if longest else 0
            bars.add_row(
                Text(match.term),  # a term may look like markup: [unused-7]
                match.kind or "",
                f"{match.query_weight:.3f}",
                f"{match.document_weight:.3f}",
                f"{match.product:.3f}",
                Text("█" * length, colour),
            )
    bars.add_row(Text("sum", "dim"), "", "", "", Text(f"{why.score:.3f}", "bold"), "")
    return bars


def _table(name: str, kind: str, *numbers: str) -> Any:
    """A table of names, kinds, three columns of numbers, and bars."""
    from rich.table import Table

    table = Table(show_header=True, header_style="dim", box=None, pad_edge=False, padding=(0, 1))
    table.add_column(name, overflow="fold", min_width=8)
    table.add_column(kind, no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    return table


def _longest(names: list[str], width: int) -> int:
    """The length of the longest bar; 0 where the numbers need the room."""
    room = width - _BESIDE_BARS - max(map(len, names))
    return min(20, room) if room >= 4 else 0

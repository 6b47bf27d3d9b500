"""The terms of one text's vector, drawn as bars."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any, get_args

import numpy as np

from lsr.arguments import whole
from lsr.encoders.base import Encoder, MatchKind
from lsr.encoders.registry import load_encoder
from lsr.encoders.text.words import reader
from lsr.errors import EncoderError

SHOWN = 30
_LONGEST_BAR = 40
_BESIDE = 12  # columns of a line beside its word and bar
_KINDS: tuple[MatchKind, ...] = get_args(MatchKind)
_COLOURS = {"literal": "#2e9e5b", "expansion": "#d9902f"}  # readable on white and on black


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a text's vector.

    Attributes:
        kind: "literal" when the text itself contains the term, "expansion" when the encoder
            added it.
    """

    word: str
    weight: float
    kind: MatchKind


@dataclass(frozen=True)
class TermView:
    """The terms of a text's vector, strongest first.

    Printing it, or showing it in a notebook, draws the strongest as bars, literal terms and
    expansion apart.

    Attributes:
        encoder: name of the encoder.
        terms: all of them.
        top: how many are drawn.
    """

    encoder: str
    text: str
    terms: list[Term]
    top: int = SHOWN

    def share(self, kind: MatchKind) -> float:
        """The fraction of the total weight that terms of a kind have."""
        if not self.terms:
            return 0.0
        weight = sum(term.weight for term in self.terms if term.kind == kind)
        return weight / sum(term.weight for term in self.terms)

    def draw(self, columns: int = 80, paint: Callable[[str, MatchKind], str] | None = None) -> str:
        """The bars as text of at most so many columns; `paint` may colour each bar."""
        if not self.terms:
            return f"{self.encoder}: no terms"
        width = max(_columns(term.word) for term in self.terms[: self.top])
        room = max(0, min(_LONGEST_BAR, columns - width - _BESIDE))
        most = self.terms[0].weight
        lines = [f"{self.encoder}: {_count(len(self.terms))}"]
        for kind, heading, drawn, hidden in self._groups():
            lines += ["", heading]
            for term in drawn:
                bar = "█" * max(min(1, room), round(room * term.weight / most))
                bar = paint(bar, kind) if paint is not None and bar else bar
                space = " " * (width - _columns(term.word))
                lines.append(f"  {term.word}{space} {term.weight:7.3f}  {bar}".rstrip())
            if hidden:
                lines.append(f"  … and {hidden:,} weaker")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.draw()

    def _repr_html_(self) -> str:
        """The bars as an HTML fragment that needs nothing beside it."""
        title = f"<b>{html.escape(self.encoder)}</b>: "
        if not self.terms:
            return f"<div>{title}no terms</div>"
        most = self.terms[0].weight
        whole_row = "grid-column:1/-1"
        parts = [  # one grid, so that the bars of both groups begin at the same place
            '<div style="display:grid;grid-template-columns:max-content max-content 1fr;'
            'gap:.1em .8em;align-items:center;max-width:44em">',
            f'<div style="{whole_row}">{title}{_count(len(self.terms))}</div>',
        ]
        for kind, heading, drawn, hidden in self._groups():
            parts.append(f'<div style="{whole_row};margin-top:.6em">{heading}</div>')
            parts += [
                f"<span>{html.escape(term.word)}</span>"
                f'<span style="text-align:right">{term.weight:.3f}</span>'
                f'<span style="height:.75em;width:{100 * term.weight / most:.1f}%;'
                f'min-width:2px;background:{_COLOURS[kind]}"></span>'
                for term in drawn
            ]
            if hidden:
                parts.append(f'<div style="{whole_row};opacity:.7">… and {hidden:,} weaker</div>')
        return "".join([*parts, "</div>"])

    def _groups(self) -> Iterator[tuple[MatchKind, str, list[Term], int]]:
        """Each kind, its heading, its terms that are drawn, and the number of the others."""
        for kind in _KINDS:
            count = sum(term.kind == kind for term in self.terms)
            drawn = [term for term in self.terms[: self.top] if term.kind == kind]
            share = f", {self.share(kind):.0%} of the weight" if count else ""
            yield kind, f"{kind}: {_count(count)}{share}", drawn, count - len(drawn)


def show_terms(
    text: str,
    encoder: str | PathLike[str] | Encoder = "splade-tiny",
    *,
    query: bool = False,
    top: int = SHOWN,
    **settings: Any,
) -> TermView:
    """The terms of a text's vector.

    Args:
        encoder: a name as for `lsr.load_encoder`, or an encoder; that of an index is
            `lsr.open(path).encoder`.
        query: encode the text as a query, not as a document.
        top: number of terms to draw; the view has all of them.
        settings: as for `lsr.load_encoder`, with a name.

    Raises `EncoderError` when the text cannot be encoded, and for an encoder that needs the
    statistics of a collection and has none; `QueryError` for a bad `top`.
    """
    top = whole("top", top)
    if not isinstance(encoder, Encoder):
        encoder = load_encoder(encoder, **settings)
        if encoder.gathers_statistics:
            raise EncoderError(
                f"{encoder.name} needs the statistics of a collection; build an index with it and "
                "use the index's encoder (--index DIR)"
            )
    elif settings:
        raise EncoderError(
            f"{', '.join(settings)} cannot be set here: an encoder that is loaded already has "
            "its settings"
        )
    encode = encoder.encode_queries if query else encoder.encode_documents
    vector = encode([text])
    literal = np.isin(vector.terms, encoder.literal_terms(text))
    order = np.lexsort((vector.terms, -vector.weights))
    read = reader(encoder.vocabulary.find)
    terms = [
        Term(
            read(encoder.vocabulary[int(vector.terms[entry])]),
            float(vector.weights[entry]),
            "literal" if literal[entry] else "expansion",
        )
        for entry in order
        if vector.weights[entry] > 0
    ]
    return TermView(encoder.name, text, terms, top)


def _count(terms: int) -> str:
    return f"{terms:,} term{'' if terms == 1 else 's'}"


def _columns(word: str) -> int:
    """Columns of a terminal that a word takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in word
    )

"""Figures as text, the same in every form of a report."""

from __future__ import annotations

import html
import math
from collections.abc import Callable

from lsr.eval.statistics import Comparison, Interval
from lsr.terminal import printable


def figure(value: float) -> str:
    """A value of a measure: .335, 1.000, 12.3."""
    return _no_zero(f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}")


def signed(value: float) -> str:
    """A difference with its sign: +.012; .000 when it rounds to that."""
    text = figure(abs(value))
    return text if text == ".000" else ("\N{MINUS SIGN}" if value < 0 else "+") + text


def effect(value: float, write: Callable[[float], str] = signed) -> str:
    """An effect size with its sign: +.412; +∞ where all queries differ alike, n/a for one query."""
    if math.isnan(value):
        return "n/a"
    return write(math.copysign(1, value))[0] + "∞" if math.isinf(value) else write(value)


def probability(value: float) -> str:
    """A p-value: <.001, .034, 1."""
    return "<.001" if value < 0.001 else "1" if value >= 0.9995 else figure(value)


def milliseconds(value: float) -> str:
    """At least three digits: .0821, 1.50, 24.1, 1,250."""
    return f"{value:,.0f}" if value >= 99.95 else _no_zero(f"{value:#.3g}")


def tick(value: float) -> str:
    """A round number on an axis: .1, 3, 1,000."""
    return _no_zero(f"{value:,.10g}")


def span(interval: Interval, write: Callable[[float], str] = figure) -> str:
    """The bounds of an interval: [.301, .368]."""
    return f"[{write(interval.low)}, {write(interval.high)}]"


def tally(test: Comparison) -> str:
    """Queries won, tied and lost: 12 / 3 / 1,005."""
    return f"{test.wins:,} / {test.ties:,} / {test.losses:,}"


def counted(count: int, noun: str) -> str:
    """1 query, 2 queries."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else plural}"


def excerpt(text: str, length: int) -> str:
    """The first `length` characters of a text, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[:length].rstrip() + " …"


def shortened(text: str, length: int) -> str:
    """A name with its middle left out where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 1) * 3 // 5
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def escape(text: str) -> str:
    """Text from data as HTML or SVG, with its control characters shown."""
    return html.escape(printable(text))


def _no_zero(text: str) -> str:
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text

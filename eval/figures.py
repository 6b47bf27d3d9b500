"""Figures as text, the same in every form of a report."""

from __future__ import annotations

from collections.abc import Callable

from lsr.eval.statistics import Interval


def figure(value: float) -> str:
    """A value of a measure: .335, 1.000, 12.3."""
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed(value: float) -> str:
    """A difference with its sign: +.012; .000 when it rounds to that."""
    text = figure(abs(value))
    return text if text == ".000" else ("\N{MINUS SIGN}" if value < 0 else "+") + text


def probability(value: float) -> str:
    """A p-value: <.001, .034, 1."""
    return "<.001" if value < 0.001 else "1" if value >= 0.9995 else figure(value)


def milliseconds(value: float) -> str:
    """Three digits: 0.0821, 1.53, 24.1, 1,250."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def span(interval: Interval, write: Callable[[float], str] = figure) -> str:
    """The bounds of an interval: [.301, .368]."""
    return f"[{write(interval.low)}, {write(interval.high)}]"


def counted(count: int, noun: str) -> str:
    """1 query, 2 queries."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else plural}"


def shortened(text: str, length: int) -> str:
    """A name with its middle left out where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 1) * 3 // 5
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"

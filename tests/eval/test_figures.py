"""Figures as text."""

from __future__ import annotations

from lsr.eval.report.figures import (
    counted,
    effect,
    excerpt,
    figure,
    milliseconds,
    probability,
    shortened,
    signed,
    span,
    tick,
)
from lsr.eval.statistics import Interval


def test_figures() -> None:
    assert [figure(value) for value in (0.3349, 1, 0, 9.9994, 12.34, 1234.56)] == [
        ".335", "1.000", ".000", "9.999", "12.3", "1,234.6",
    ]  # fmt: skip
    minus = "\N{MINUS SIGN}"
    assert [signed(value) for value in (0.0124, -0.0124, 0.0004, -0.0004, -1)] == [
        "+.012", f"{minus}.012", ".000", ".000", f"{minus}1.000",
    ]  # fmt: skip
    assert [probability(value) for value in (0.0009, 0.001, 0.05, 0.9994, 0.9996, 1)] == [
        "<.001", ".001", ".050", ".999", "1", "1",
    ]  # fmt: skip
    assert [milliseconds(value) for value in (0, 0.0821, 1.5, 24.06, 99.96, 1250)] == [
        ".00", ".0821", "1.50", "24.1", "100", "1,250",
    ]  # fmt: skip
    assert [tick(value) for value in (0.1, 3.0, 1000.0)] == [".1", "3", "1,000"]
    assert span(Interval(0.1, 0.25)) == "[.100, .250]"
    assert [counted(1, "query"), counted(1200, "query"), counted(2, "encoder")] == [
        "1 query", "1,200 queries", "2 encoders",
    ]  # fmt: skip
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcde…hijk"
    assert excerpt(" ab\n c ", 4) == "ab c"
    assert excerpt("ab cd", 3) == "ab …"
    assert excerpt("abcd", 3) == "abc …"


def test_effects_without_a_number() -> None:
    assert [effect(value) for value in (0.4124, -0.4124, 0.0)] == [
        "+.412",
        "\N{MINUS SIGN}.412",
        ".000",
    ]
    assert effect(float("inf")) == "+∞"
    assert effect(float("-inf")) == "\N{MINUS SIGN}∞"
    assert effect(float("nan")) == "n/a"

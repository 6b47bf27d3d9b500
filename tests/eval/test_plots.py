"""Plots: everything stands where its value says, inside the drawing."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.eval.report import plots
from lsr.eval.report.summary import Cell, Latency, PairedComparison
from lsr.eval.statistics import Interval


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def size(svg: ElementTree.Element) -> tuple[float, float]:
    width, height = svg.attrib["viewBox"].split()[2:]
    return float(width), float(height)


def test_bars_are_as_long_as_their_values() -> None:
    cells = [
        Cell(0.4, Interval(0.3, 0.5), False, 0),
        None,
        Cell(0.8, Interval(0.7, 0.8), True, 1),
        Cell(0.2, None, False, -1),
    ]
    svg = parsed(plots.bars(["a", "missing", "<c>", "d"], cells, 0.8))
    width, height = size(svg)
    drawn = [bar for bar in svg.iter("rect") if bar.get("class") != "track"]
    assert [float(bar.attrib["width"]) / width for bar in drawn] == [0.5, 1, 0.25]
    assert [bar.attrib["fill"] for bar in drawn] == ["var(--c0)", "var(--c2)", "var(--c3)"]
    assert [text.text for text in svg.iter("text")] == [
        "a", ".400", "<c>", "▲ .800", "d", "▼ .200",
    ]  # fmt: skip
    whiskers = [path.attrib["d"] for path in svg.iter("path")]
    assert whiskers == ["M99 22H165M99 18v8M165 18v8", "M231 56H264M231 52v8M264 52v8"]
    assert all(float(bar.attrib["y"]) + 8 < height for bar in drawn)


def test_bars_of_nothing() -> None:
    svg = parsed(plots.bars(["a", "b"], [Cell(0, Interval(0, 0), True, 0), None], 0))
    assert [bar.attrib["width"] for bar in svg.iter("rect")] == ["264", "0"]


def test_values_off_the_scale_stay_inside() -> None:
    svg = parsed(plots.bars(["a", "b"], [Cell(-0.2, Interval(-0.3, 0.9), False, 0),
                                         Cell(1.5, None, False, 0)], 0.8))  # fmt: skip
    widths = [bar.attrib["width"] for bar in svg.iter("rect") if bar.get("class") != "track"]
    assert widths == ["0", "264"]
    assert next(svg.iter("path")).attrib["d"] == "M0 22H264M0 18v8M264 18v8"


def test_scatter_puts_queries_together() -> None:
    points = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.5, 0.25), (0.501, 0.251), (0.499, 0.25)]
    svg = parsed(plots.scatter(PairedComparison("one", "b", points, [], []), "a", 1, 1.0))
    paths = [path for path in svg.iter("path") if path.get("stroke")]
    assert [path.attrib["stroke-width"] for path in paths] == ["4", "6"]
    # x from 32 to 210, y from 184 up to 6
    assert paths[0].attrib["d"] == "M32 184h0M32 6h0M210 184h0"
    assert paths[1].attrib["d"] == "M121 139.5h0"
    assert [text.text for text in svg.iter("text")][:2] == ["1 ▲", "4 ▼"]


def test_scatter_stays_small() -> None:
    points = [(math.sin(n) ** 2, math.cos(n * n) ** 2) for n in range(50_000)]
    svg = plots.scatter(PairedComparison("one", "b", points, [], []), "a", 1, 1.0)
    assert len(svg) < 250_000


def test_latency_is_on_a_logarithmic_axis() -> None:
    points = [Latency(1, 10, 0.5), None, Latency(10, 100, 0.6)]
    svg = parsed(plots.latency(["a", "missing", "c"], points, "R@100", (1, 100)))
    dots = [(float(dot.attrib["cx"]), dot.attrib["fill"]) for dot in svg.iter("circle")]
    tails = [path.attrib["d"] for path in svg.iter("path") if path.get("class") == "tail"]
    (first, _), (second, _) = dots
    assert dots == [(36, "var(--c0)"), (147, "var(--c2)")]
    assert [re.findall(r"M([\d.]+) .*H([\d.]+)m", tail)[0] for tail in tails] == [
        ("36", "147"),
        ("147", "258"),
    ]
    assert first < second
    heights = [float(dot.attrib["cy"]) for dot in svg.iter("circle")]
    assert heights == [150, 12]
    texts = [text.text for text in svg.iter("text")]
    assert texts[-4:] == ["a", "c", "milliseconds a query", "R@100 ↑"]


@given(
    st.lists(
        st.builds(
            Latency, st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0, 2000, allow_subnormal=False)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_latency_never_leaves_its_drawing(points: list[Latency]) -> None:
    names = [f"encoder {place}" for place in range(len(points))]
    limits = min(p.median for p in points), max(p.p99 for p in points)
    svg = parsed(plots.latency(names, points, "R@100", limits))
    width, height = size(svg)
    for dot in svg.iter("circle"):
        assert 0 <= float(dot.attrib["cx"]) <= width
        assert 0 <= float(dot.attrib["cy"]) <= height
    for text in svg.iter("text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_steps_hold_their_range(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    ticks = plots.steps(low, high)
    assert 3 <= len(ticks) <= 6
    assert ticks[0] <= low + 1e-9 * max(1, low)
    assert ticks[-1] >= high - 1e-9 * max(1, high)


@given(st.floats(0, 1e6), st.floats(1, 1e6))
def test_decades_hold_their_range(low: float, times: float) -> None:
    ticks = plots.decades(low, low * times)
    assert 2 <= len(ticks) <= 17
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= max(low, 1e-3) * 1.001
    assert ticks[-1] >= low * times * 0.999


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.15, 6.7, [0.1, 0.3, 1, 3, 10]),
        (1, 1, [1, 3]),
        (2, 2.5, [1, 3]),
        (3, 9, [3, 10]),
        (0.5, 700, [0.1, 1, 10, 100, 1000]),
        (0, 0, [0.001, 0.003]),
    ],
)
def test_decades(low: float, high: float, ticks: list[float]) -> None:
    assert plots.decades(low, high) == pytest.approx(ticks)


@given(st.lists(st.floats(8, 100), max_size=8))
def test_labels_stay_apart_and_in_order(wanted: list[float]) -> None:
    placed = plots.spread(wanted, 15, 8, 8 + 15 * 8)
    pairs = sorted(zip(wanted, placed, strict=True))
    assert sorted(placed) == [place for _, place in pairs] or len(set(wanted)) < len(wanted)
    ordered = sorted(placed)
    assert all(b - a >= 15 - 1e-9 for a, b in pairwise(ordered))
    assert all(8 - 1e-9 <= place <= 8 + 15 * 8 for place in placed)


def test_labels_with_room_stay_where_they_are() -> None:
    assert plots.spread([50, 10, 90], 15, 8, 100) == [50, 10, 90]
    assert plots.spread([50, 50, 90], 15, 8, 100) == [50, 65, 90]
    assert plots.spread([99, 100], 15, 8, 100) == [85, 100]


def test_colours_and_names() -> None:
    assert [plots.colour(place) for place in (0, 1, 8, 9)] == [
        "var(--c0)", "var(--c1)", "var(--c8)", "var(--c1)",
    ]  # fmt: skip
    name = "organisation/a-very-long-<name>-of-a-model"
    svg = parsed(plots.bars([name], [Cell(0.5, None, False, 0)], 1))
    text = next(svg.iter("text"))
    assert text.text == "organisation/a-v…-of-a-model"
    assert text[0].text == name

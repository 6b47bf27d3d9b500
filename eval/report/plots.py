"""Plots as SVG for a page that brings the colours along.

Every plot is text without size: the page decides how wide it is, and its style sheet the colours,
`--c0` of the first encoder, `--c1` … `--c8` of others, and the classes used here.  No plot says
anything by its colour alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from lsr.eval.report.figures import escape, figure, shortened, tick
from lsr.eval.report.summary import Cell, Latency, PairedComparison

COLOURS = 8  # beside the first encoder's; more encoders take them again
_BAR = 264  # units of a plot's own, about a pixel each
_DOTS = 100  # a scatter plot's points are drawn on a raster of so many a side


def colour(position: int) -> str:
    """The colour of the encoder at this position."""
    return f"var(--c{(position - 1) % COLOURS + 1 if position else 0})"


def bars(encoders: Sequence[str], cells: Sequence[Cell | None], top: float) -> Markup:
    """Means of one dataset with their 95 % intervals, one bar an encoder, from 0 to `top`."""
    rows = [
        (position, name, cell)
        for position, (name, cell) in enumerate(zip(encoders, cells, strict=True))
        if cell is not None
    ]
    parts = []
    for row, (position, name, cell) in enumerate(rows):
        y = 34 * row
        mark = {1: "▲ ", -1: "▼ ", 0: ""}[cell.sign]
        parts.append(
            f'<text x="0" y="{y + 12}">{_name(name, 28)}</text>'
            f'<text x="{_BAR}" y="{y + 12}" class="end{" best" if cell.best else ""}">'
            f"{mark}{figure(cell.value)}</text>"
            f'<rect x="0" y="{y + 18}" width="{_BAR}" height="8" rx="2" class="track"/>'
            f'<rect x="0" y="{y + 18}" width="{_n(_share(cell.value, top))}" height="8" rx="2" '
            f'fill="{colour(position)}"/>'
        )
        if cell.interval is not None:
            low, high = (_share(v, top) for v in (cell.interval.low, cell.interval.high))
            parts.append(
                f'<path class="whisker" d="M{_n(low)} {y + 22}H{_n(high)}'
                f'M{_n(low)} {y + 18}v8M{_n(high)} {y + 18}v8"/>'
            )
    return _svg(34 * len(rows), "".join(parts), "Means with 95 % intervals", _BAR)


def scatter(pair: PairedComparison, first: str, position: int, top: float) -> Markup:
    """Each query's value of an encoder above its value of the first; dots grow with queries."""
    left, size = 26, 190
    ahead, _, behind = pair.counts()

    def at(value: float) -> int:
        return round(min(max(value / top, 0), 1) * _DOTS) if top > 0 else 0

    dots = Counter((at(first_value), at(value)) for first_value, value in pair.points)
    sizes: dict[int, list[tuple[int, int]]] = {}
    for dot, count in dots.items():
        sizes.setdefault(min(int(math.log2(count)), 4), []).append(dot)
    paths = []
    for step, of_one_size in sorted(sizes.items()):
        # A line of no length with round ends is a dot in nine bytes.
        line = "".join(
            f"M{_n(left + 6 + x / _DOTS * (size - 12))} {_n(size - 6 - y / _DOTS * (size - 12))}h0"
            for x, y in of_one_size
        )
        paths.append(
            f'<path d="{line}" stroke="{colour(position)}" stroke-width="{4 + 2 * step}"/>'
        )
    return _svg(
        size + 22,
        f'<rect x="{left}" y="0" width="{size}" height="{size}" rx="3" class="track"/>'
        f'<path class="diagonal" d="M{left + 6} {size - 6}L{left + size - 6} 6"/>'
        f'<g class="dots">{"".join(paths)}</g>'
        f'<text x="{left + 8}" y="16" class="count">{ahead} ▲</text>'
        f'<text x="{left + size - 8}" y="{size - 8}" class="count end">{behind} ▼</text>'
        f'<text x="{left}" y="{size + 15}">{_name(first, 26)} →</text>'
        f'<text transform="translate(16 {size}) rotate(-90)">{_name(pair.encoder, 26)} →</text>',
        f"{pair.encoder} against {first}, query by query",
        left + size,
    )


def latency(
    encoders: Sequence[str],
    points: Sequence[Latency | None],
    recall: str,
    limits: tuple[float, float],
) -> Markup:
    """Recall above milliseconds a query: a dot at the median, a line from there to the p99.

    `limits` are the shortest and longest time of all plots of a page, which share an axis.
    """
    known = [(position, point) for position, point in enumerate(points) if point is not None]
    left, right, bottom = 36, 258, max(150, 18 * len(known) + 10)
    ticks_x = decades(*limits)
    start, stop = math.log(ticks_x[0]), math.log(ticks_x[-1])
    ticks_y = steps(min(p.recall for _, p in known), max(p.recall for _, p in known))

    def x(value: float) -> float:
        inside = min(max(value, ticks_x[0]), ticks_x[-1])
        return left + (math.log(inside) - start) / (stop - start) * (right - left)

    def y(value: float) -> float:
        return bottom - (value - ticks_y[0]) / (ticks_y[-1] - ticks_y[0]) * (bottom - 12)

    parts = [
        f'<path class="grid" d="M{left} {_n(y(t))}H{right}"/>'
        f'<text x="{left - 6}" y="{_n(y(t) + 4)}" class="end tick">{figure(t)}</text>'
        for t in ticks_y
    ]
    parts += [
        f'<path class="grid" d="M{_n(x(t))} 12V{bottom}"/>'
        f'<text x="{_n(x(t))}" y="{bottom + 15}" class="middle tick">{tick(t)}</text>'
        for t in ticks_x
    ]
    rows = spread([y(point.recall) for _, point in known], 15, 8, bottom)
    for (position, point), row in zip(known, rows, strict=True):
        height, median, p99 = _n(y(point.recall)), x(point.median), x(point.p99)
        parts.append(
            f'<path class="leader" d="M{_n(p99 + 3)} {height}L{right + 8} {_n(row)}" '
            f'stroke="{colour(position)}"/>'
            f'<path d="M{_n(median)} {height}H{_n(p99)}m0 -3v6" class="tail" '
            f'stroke="{colour(position)}"/>'
            f'<circle cx="{_n(median)}" cy="{height}" r="5" fill="{colour(position)}"/>'
            f'<text x="{right + 12}" y="{_n(row + 4)}">{_name(encoders[position], 18)}</text>'
        )
    return _svg(
        bottom + 34,
        "".join(parts)
        + f'<text x="{right}" y="{bottom + 30}" class="end tick">milliseconds a query</text>'
        + f'<text x="0" y="{bottom + 30}" class="tick">{escape(recall)} ↑</text>',
        f"{recall} against milliseconds a query",
        right + 132,
    )


def decades(low: float, high: float) -> list[float]:
    """1, 3, 10, 30 … (1, 10, 100 … if those are many) from `low` or below to `high` or above."""
    low = max(low, 1e-3)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(max(high, low * 1.001)))
    if last - first > 2:
        return [10.0**power for power in range(first, last + 1)]
    ticks = [digit * 10.0**power for power in range(first, last + 1) for digit in (1, 3)]
    start = max(position for position, tick in enumerate(ticks) if tick <= low * 1.0001)
    stop = min(
        position
        for position, tick in enumerate(ticks)
        if tick >= high * 0.9999 and position > start
    )
    return ticks[start : stop + 1]


def steps(low: float, high: float) -> list[float]:
    """Three to six round values from `low` or below to `high` or above."""
    room = max(high - low, 0.01)
    power = 10.0 ** math.floor(math.log10(room / 3))
    step = next(power * digit for digit in (1, 2, 5, 10) if room / (power * digit) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * count for count in range(first, max(last, first + 2) + 1)]


def spread(wanted: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Places as near to the wanted ones as labels a `gap` apart allow, in the same order."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = [0.0] * len(wanted)
    lowest = top
    for position in order:
        placed[position] = lowest = max(wanted[position], lowest)
        lowest += gap
    highest = bottom
    for position in reversed(order):
        placed[position] = highest = min(placed[position], highest)
        highest -= gap
    return placed


def _share(value: float, top: float) -> float:
    return min(max(value / top, 0), 1) * _BAR if top > 0 else 0


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _name(name: str, length: int) -> str:
    """At most `length` characters of a name, and all of it for who points at it."""
    short = shortened(name, length)
    return escape(short) if short == name else f"{escape(short)}<title>{escape(name)}</title>"


def _svg(height: int, content: str, label: str, width: int) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{content}</svg>"
    )

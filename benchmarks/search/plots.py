"""The two plots: latency against recall, and latency against the size of the collection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.commands import Row
from benchmarks.search.results import title, typical

matplotlib.use("Agg")

# Okabe and Ito's palette, whose colours the colour-blind can tell apart.
COLOURS = {
    "lsr": "#D55E00",
    "plain scan": "#000000",
    "bmp": "#0072B2",
    "impact-index": "#009E73",
    "PISA": "#CC79A7",
    "seismic": "#E69F00",
    "seismic + kNN": "#A67400",
    "kannolo": "#56B4E9",
}
APPROXIMATE = ("seismic", "seismic + kNN", "kannolo")
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "axes.axisbelow": True,
}
GOOD = 0.98  # an approximate engine is represented by its fastest search of at least this recall


def recall_latency(path: Path, rows: list[Row], k: int = 10) -> None:
    """Latency against recall at the largest size: exact engines are points, others curves."""
    size = max((row["size"] for row in rows if row["k"] == k), default=0)
    rows = [row for row in rows if row["k"] == k and row["size"] == size]
    if not rows:
        return
    with _axes(path, f"{size:,} documents, k = {k}: lower and further right is better") as axes:
        for engine, searches in _by_engine(rows).items():
            if engine in APPROXIMATE:
                searches.sort(key=lambda row: float(row["recall"]))
                _draw(axes, engine, searches, "recall", "o-", label=engine)
                continue
            best = _best(searches)
            others = [row for row in searches if row is not best]
            _draw(axes, engine, others, "recall", "o", alpha=0.3, markersize=5, zorder=2)
            _draw(axes, engine, [best], "recall", "o", label=title(best))
        axes.set_xlim(right=1.0)
        axes.set_xlabel(f"recall@{k} against exact float scores")


def growth(path: Path, rows: list[Row], k: int = 10) -> None:
    """Latency against collection size, each engine by its best search at the largest size."""
    rows = sorted((row for row in rows if row["k"] == k), key=lambda row: int(row["size"]))
    sizes = sorted({row["size"] for row in rows})
    if len(sizes) < 2:
        return
    text = f"k = {k}: lsr by default, others at their fastest (recall {GOOD} or more)"
    with _axes(path, text) as axes:
        axes.set_xscale("log")
        for engine, searches in _by_engine(rows).items():
            best = _best([row for row in searches if row["size"] == searches[-1]["size"]])
            line = [row for row in searches if title(row) == title(best)]
            recall = f", recall {best['recall']:.2f}" if engine in APPROXIMATE else ""
            _draw(axes, engine, line, "size", "o-", label=title(best) + recall)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("documents")


@contextmanager
def _axes(path: Path, heading: str) -> Iterator[Axes]:
    """Axes with a logarithmic scale of latency; afterwards the legend, and the file."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(11, 5.6), layout="constrained")
        axes.set_yscale("log")
        axes.set_ylabel("microseconds a query (median), one core")
        figure.suptitle(heading, x=0.01, ha="left")
        yield axes
        axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        # From slow to fast, as the lines end on the right.
        lines = sorted(axes.get_lines(), key=lambda line: -float(line.get_ydata()[-1:].sum()))
        named = [line for line in lines if not line.get_label().startswith("_")]
        figure.legend(
            handles=named, loc="outside right center", labelcolor="linecolor", frameon=False
        )
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _by_engine(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each engine, in the order of the palette."""
    engines = {name: [row for row in rows if row["engine"] == name] for name in COLOURS}
    return {name: searches for name, searches in engines.items() if searches}


def _draw(axes: Axes, engine: str, rows: list[Row], x: str, style: str, **attributes: Any) -> None:
    """Points or a line; lsr stands out, then the baseline."""
    look: dict[str, Any] = {"color": COLOURS[engine], "linewidth": 1.6, "markersize": 6}
    look["clip_on"] = False  # a recall of 1 lies on the edge
    look["zorder"] = 4 if engine == "plain scan" else 3
    if engine == "lsr":
        look |= {"linewidth": 3, "markersize": 10, "zorder": 5}
    values = [row[x] for row in rows], [typical(row) for row in rows]
    axes.plot(*values, style, **look | attributes)


def _best(rows: list[Row]) -> Row:
    """The default of lsr; of others the fastest search, and if approximate the fastest good one."""
    if rows[0]["engine"] == "lsr":
        rows = [row for row in rows if row["search"] == ""]
    good = [row for row in rows if row["engine"] not in APPROXIMATE or row["recall"] >= GOOD]
    return min(good, key=typical) if good else max(rows, key=lambda row: float(row["recall"]))

"""The two plots: latency against recall, and latency against the size of the collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.report import APPROXIMATE, Row, title, typical

matplotlib.use("Agg")

# Okabe and Ito's palette, which colour-blind people tell apart.
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
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "axes.axisbelow": True,
}
GOOD = 0.98  # an approximate engine is drawn at its fastest point of at least this recall


def recall_latency(path: Path, rows: list[Row], k: int = 10) -> None:
    """Latency against recall at the largest size: exact engines are points, others curves."""
    rows = [row for row in rows if row["k"] == k]
    size = max((row["size"] for row in rows), default=0)
    rows = [row for row in rows if row["size"] == size]
    if not rows:
        return
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 5.6), layout="constrained")
        axes.set_yscale("log")
        labels: list[tuple[float, float, str, str]] = []
        starts: list[tuple[float, float, str]] = []
        for engine in engines(rows):
            own = [row for row in rows if row["engine"] == engine]
            colour = COLOURS[engine]
            if engine in APPROXIMATE:
                own.sort(key=lambda row: row["recall"])
                xs, ys = [row["recall"] for row in own], [typical(row) for row in own]
                axes.plot(xs, ys, "o-", color=colour, markersize=5, linewidth=1.6)
                starts.append((ys[0], xs[0], engine))
                continue
            best = chosen(own)
            rest = [row for row in own if row is not best]
            axes.plot(
                [row["recall"] for row in rest],
                [typical(row) for row in rest],
                "o",
                color=colour,
                alpha=0.3,
                markersize=5,
                markeredgewidth=0,
            )
            axes.plot(best["recall"], typical(best), "o", color=colour, **emphasis(engine))
            labels.append((best["recall"], typical(best), f"{short(best)}", engine))
        for y, x, engine in starts:  # the highest curve is named from above, others from below
            above = y == max(starts)[0]
            axes.annotate(
                engine,
                (x, y),
                (0, 8 if above else -8),
                textcoords="offset points",
                color=COLOURS[engine],
                va="bottom" if above else "top",
            )
        axes.set_xlim(right=1.0)
        outside(axes, labels)
        axes.set_xlabel(f"recall@{k} against exact float scores")
        axes.set_ylabel("microseconds a query (median), one core")
        axes.set_title(
            f"{size:,} documents, k = {k}: lower and further right is better", loc="left"
        )
        finish(figure, axes, path)


def growth(path: Path, rows: list[Row], k: int = 10) -> None:
    """Latency against collection size, each engine by its best search at the largest size."""
    rows = [row for row in rows if row["k"] == k]
    sizes = sorted({row["size"] for row in rows})
    if len(sizes) < 2:
        return
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 5.6), layout="constrained")
        axes.set_xscale("log")
        axes.set_yscale("log")
        labels = []
        for engine in engines(rows):
            own = [row for row in rows if row["engine"] == engine]
            best = chosen([row for row in own if row["size"] == max(r["size"] for r in own)])
            line = sorted((row for row in own if title(row) == title(best)), key=by_size)
            xs, ys = [row["size"] for row in line], [typical(row) for row in line]
            look = emphasis(engine)
            axes.plot(
                xs,
                ys,
                "o-",
                color=COLOURS[engine],
                markersize=look["markersize"] * 0.7,
                linewidth=3 if engine == "lsr" else 1.6,
                zorder=look["zorder"],
            )
            recall = f", recall {best['recall']:.2f}" if engine in APPROXIMATE else ""
            labels.append((xs[-1], ys[-1], short(best) + recall, engine))
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlim(sizes[0] / 1.05, sizes[-1] * 1.05)
        outside(axes, labels)
        axes.set_xlabel("documents")
        axes.set_ylabel("microseconds a query (median), one core")
        text = f"k = {k}: lsr by default, others at their fastest (recall {GOOD} or more)"
        axes.set_title(text, loc="left")
        finish(figure, axes, path)


def engines(rows: list[Row]) -> list[str]:
    """Names in the rows, in the order of the palette."""
    present = {row["engine"] for row in rows}
    return [name for name in COLOURS if name in present]


def by_size(row: Row) -> int:
    return int(row["size"])


def chosen(rows: list[Row]) -> Row:
    """lsr's default; of others the fastest search, of approximate ones the fastest good one."""
    if rows[0]["engine"] == "lsr":
        rows = [row for row in rows if row["search"] == ""]
    good = [row for row in rows if row["engine"] not in APPROXIMATE or row["recall"] >= GOOD]
    return min(good, key=typical) if good else max(rows, key=lambda row: row["recall"])


def short(row: Row) -> str:
    """A label: the engine, and how it is searched where that is a choice."""
    parts = [row["engine"], row["build"] if row["engine"] == "bmp" else "", row["search"]]
    if "own bisection" in row["build"]:
        parts.append("bisected")
    if "reordered" in row["build"] and row["engine"] != "bmp":
        parts.append("reordered")
    if "median_us" not in row:
        parts.append("mean")
    return ", ".join(part for part in parts if part)


def emphasis(engine: str) -> dict[str, Any]:
    """Marker size and layer: lsr stands out, then the baseline."""
    if engine == "lsr":
        return {"markersize": 10, "zorder": 5}
    return {"markersize": 7, "zorder": 4 if engine == "plain scan" else 3}


def outside(axes: Axes, labels: list[tuple[float, float, str, str]]) -> None:
    """Labels in the right margin, level with their points or moved apart, with a thin line."""
    low, high = (np.log(limit) for limit in axes.get_ylim())
    ordered = sorted(labels, key=lambda label: label[1])
    wanted = np.array([(np.log(y) - low) / (high - low) for _, y, _, _ in ordered])
    gap, places = 0.05, wanted.copy()
    for _ in range(200):  # push neighbours apart until none overlap
        for i in range(1, places.size):
            lack = gap - (places[i] - places[i - 1])
            if lack > 1e-6:
                places[i - 1 : i + 1] += [-lack / 2, lack / 2]
    for (x, y, text, engine), place in zip(ordered, places, strict=True):
        axes.annotate(
            text,
            (x, y),
            (1.03, place),
            textcoords="axes fraction",
            color=COLOURS[engine],
            weight="bold" if engine == "lsr" else "normal",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS[engine],
                "linewidth": 0.6,
                "shrinkB": 5,
                "shrinkA": 0,
                "relpos": (0, 0.5),
            },
        )


def finish(figure: Any, axes: Axes, path: Path) -> None:
    axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.savefig(path, dpi=150)
    plt.close(figure)

"""Tables of measured rows; `benchmarks.plots` draws them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.measure import quiet

Row = dict[str, Any]

APPROXIMATE = ("seismic", "seismic + kNN", "kannolo")


def title(row: Row) -> str:
    """Engine, build and search in a few words."""
    return ", ".join(part for part in (row["engine"], row["build"], row["search"]) if part)


def typical(row: Row) -> float:
    """Median microseconds a query; the mean where an engine only takes batches."""
    return float(row["median_us" if "median_us" in row else "mean_us"])


def markdown(runs: list[Row], rows: list[Row]) -> Iterable[str]:
    """Circumstances, then for each size the indexes and for each k the searches."""
    used = sorted({row["run"] for row in rows})
    yield "# Search engines on the same vectors\n"
    for number in used:
        run = runs[number]
        yield (
            f"- {run['started']}: {run['cpu']}, one core, {run['system']}, Python {run['python']}, "
            f"NumPy {run['numpy']}; lsr used {run['lsr_isa']}; `{' '.join(run['command'])}`"
        )
    versions = sorted({f"{row['engine']} {row['version']}" for row in rows})
    yield f"- Versions: {', '.join(versions)}"
    yield (
        "\nTimes are microseconds a query, one thread; speed is the plain scan's median over the "
        "engine's, above 1 where the engine is faster (of means where it takes only batches). "
        "Recall is against float64 brute force. "
        "A star: the machine was not quiet when this was measured."
    )
    for size in sorted({row["size"] for row in rows}):
        here = [row for row in rows if row["size"] == size]
        yield f"\n## {size:,} documents\n"
        yield "| index | build s | peak MB | of it input | MB on disk | bytes a posting |"
        yield "|---|---:|---:|---:|---:|---:|"
        for row in {(row["engine"], row["build"]): row for row in here}.values():
            name = ", ".join(part for part in (row["engine"], row["build"]) if part)
            yield (
                f"| {name} | {row['build_s']:,.1f} | {row['build_peak_bytes'] / 1e6:,.0f} | "
                f"{row['input_bytes'] / 1e6:,.0f} | {row['bytes'] / 1e6:,.1f} | "
                f"{row['bytes_per_posting']:.2f} |"
            )
        for k in sorted({row["k"] for row in here}):
            yield f"\n### {size:,} documents, k = {k}\n"
            yield "| search | recall | median | mean | p90 | p99 | speed |"
            yield "|---|---:|---:|---:|---:|---:|---:|"
            yield from searches([row for row in here if row["k"] == k], rows)


def searches(rows: list[Row], everything: list[Row]) -> Iterable[str]:
    """Lines of one table, fastest first."""
    scan = next((row for row in rows if row["engine"] == "plain scan"), None)
    for row in sorted(rows, key=typical):
        cells = [
            f"{row[name]:,.0f}" if name in row else "-"
            for name in ("median_us", "mean_us", "p90_us", "p99_us")
        ]
        measure = "median_us" if "median_us" in row else "mean_us"
        speed = f"{scan[measure] / row[measure]:.2f}" if scan else "-"
        name = f"**{title(row)}**" if row["engine"] == "lsr" else title(row)
        name += "" if quiet(row, everything) else " *"
        yield f"| {name} | {row['recall']:.3f} | {' | '.join(cells)} | {speed} |"

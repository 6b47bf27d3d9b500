"""The rows that were measured, in one JSON file, and their tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import Row, column_table
from benchmarks.machine import circumstances
from benchmarks.timing import quiet, star

INDEX_COLUMNS = {
    "index": ("name", "", 1),
    "build s": ("build_s", ",.1f", 1),
    "peak MB": ("build_peak_bytes", ",.0f", 1e-6),
    "of it input": ("input_bytes", ",.0f", 1e-6),
    "MB on disk": ("bytes", ",.1f", 1e-6),
    "bytes a posting": ("bytes_per_posting", ".2f", 1),
}
SEARCH_COLUMNS = {
    "search": ("name", "", 1),
    "recall": ("recall", ".3f", 1),
    **{name: (f"{name}_us", ",.0f", 1) for name in ("median", "mean", "p90", "p99")},
    "speed": ("speed", ".2f", 1),
}
KEY = ("engine", "build", "search", "size", "k", "content", "version")


class Results:
    """All rows so far, and the circumstances of each run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        saved = json.loads(path.read_text()) if path.exists() else {"runs": [], "rows": []}
        # Rows that are added now belong to this run.
        self.runs: list[Row] = [*saved["runs"], circumstances("search")]
        self._rows: list[Row] = saved["rows"]

    def has(self, wanted: Row, undisturbed: bool) -> bool:
        """Whether a row is there; with `undisturbed`, one from a quiet machine."""
        return any(
            _same(row, wanted) and (not undisturbed or quiet(row, self._rows)) for row in self._rows
        )

    def add(self, row: Row, only_quieter: bool) -> None:
        """Put a row in, in place of an earlier one with the same key, and write the file."""
        same = [old for old in self._rows if _same(old, row)]
        if only_quieter and any(old["reference_us"] <= row["reference_us"] for old in same):
            return
        self._rows = [old for old in self._rows if old not in same]
        self._rows.append(row | {"run": len(self.runs) - 1})
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"runs": self.runs, "rows": self._rows}, indent=1))
        part.replace(self._path)

    def latest(self) -> list[Row]:
        """Rows of the files measured last, each search in the version measured last."""
        rows = [row for row in self._rows if _files(row) == _files(self._rows[-1])]
        unversioned = [key for key in KEY if key not in ("version", "content")]
        return list({tuple(row[key] for key in unversioned): row for row in rows}.values())


def _same(row: Row, other: Row) -> bool:
    return all(row[key] == other[key] for key in KEY)


def _files(row: Row) -> list[str]:
    """The digest of documents and queries, whatever the order of the documents."""
    return str(row["content"]).split("-")[:2]


def title(row: Row, *parts: str) -> str:
    """Engine, build and search in a few words, or some of these."""
    parts = parts or ("engine", "build", "search")
    return ", ".join(row[part] for part in parts if row[part])


def typical(row: Row) -> float:
    """Median microseconds a query; the mean of an engine that only takes batches."""
    return float(row["median_us" if "median_us" in row else "mean_us"])


def markdown(runs: list[Row], rows: list[Row]) -> Iterator[str]:
    """Circumstances, then for each size a table of indexes and for each k one of searches."""
    yield "# Search engines on the same vectors\n"
    for run in (runs[number] for number in sorted({row["run"] for row in rows})):
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
        of_size = [row for row in rows if row["size"] == size]
        indexes = {(row["engine"], row["build"]): row for row in of_size}.values()
        yield f"\n## {size:,} documents\n"
        named = (row | {"name": title(row, "engine", "build")} for row in indexes)
        yield column_table(INDEX_COLUMNS, named)
        for k in sorted({row["k"] for row in of_size}):
            yield f"\n### {size:,} documents, k = {k}\n"
            searches = [row for row in of_size if row["k"] == k]
            yield column_table(SEARCH_COLUMNS, _searches(searches, rows))


def _searches(rows: list[Row], all_rows: list[Row]) -> Iterator[Row]:
    """Rows of one table, fastest first, with name and speed."""
    scan = next((row for row in rows if row["engine"] == "plain scan"), {})
    for row in sorted(rows, key=typical):
        name = f"**{title(row)}**" if row["engine"] == "lsr" else title(row)
        unit = "median_us" if "median_us" in row else "mean_us"
        speed = {"speed": scan[unit] / row[unit]} if scan else {}
        yield row | speed | {"name": name + star(row, all_rows)}

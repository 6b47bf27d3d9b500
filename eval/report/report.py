"""A report of an evaluation: a folder with a page, the same as Markdown, and figures as data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from lsr.errors import LsrError
from lsr.eval.report.per_query import per_query
from lsr.eval.report.render import markdown, page
from lsr.eval.report.summary import Summary, summarize
from lsr.eval.results import Result, rows
from lsr.eval.runs import file_name, suffix_for, write_run
from lsr.progress import Progress, Silent
from lsr.storage.files import write_atomically


def write_report(
    folder: str | PathLike[str],
    results: Iterable[Result],
    command: str,
    *,
    progress: type[Progress] = Silent,
) -> None:
    """Write the report of any mix of datasets and encoders into the directory `folder`.

    `report.html` (one page that needs no other file), `report.md`, `results.json`,
    `per_query.parquet` (dataset, encoder, query, measure, value) and, for each result,
    `runs/DATASET.ENCODER.trec` (`.jsonl` where ids have white space).  Each file appears complete
    or not at all, the page last; files of an earlier report are replaced.  The same results give
    the same bytes.

    Args:
        folder: made where it does not exist.
        results: datasets, encoders and measures keep the order in which they first appear; others
            are compared with the first encoder, and queries by the first measure.
        command: the command line that repeats it.
        progress: how to report; silent by default.

    Raises `LsrError` when there are no results, two of one encoder on one dataset, or a file
    cannot be written; `QueryError` when encoders were scored on different queries of a dataset.
    """
    folder, results = Path(folder), list(results)
    summary = summarize(results, command, progress)
    files = {
        "per_query.parquet": per_query(results),
        "results.json": _json(summary, results),
        "report.md": _utf8(markdown(summary)),
        "report.html": _utf8(page(summary)),
    }
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        for result, name in zip(results, _run_names(results), strict=True):
            run = {query: result.run.get(query, {}) for query in result.queries}
            write_run(folder / "runs" / name, rows(run), file_name(result.encoder))
        for name, data in files.items():
            write_atomically(folder / name, data)
    except OSError as error:
        raise LsrError(
            f"the report cannot be written into {folder}: {error.strerror or error}"
        ) from error


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half a surrogate pair, which JSON can hold


def _json(summary: Summary, results: Sequence[Result]) -> bytes:
    def entry(result: Result) -> dict[str, Any]:
        column = summary.encoders.index(result.encoder)
        latency = summary.latencies[result.dataset][column]
        cells = {table.measure: table.rows[result.dataset][column] for table in summary.tables}
        return {
            "dataset": result.dataset,
            "encoder": result.encoder,
            "queries": len(result.queries),
            "measures": dict(result.scores.means),
            "ci": {
                measure: cell.interval.to_json()
                for measure, cell in cells.items()
                if cell is not None and cell.interval is not None
            },
            "milliseconds": latency and {"median": latency.median, "p99": latency.p99},
            "provenance": result.provenance,
        }

    content = {
        "command": summary.command,
        "results": [entry(result) for result in results],
        "tests": [
            {"dataset": dataset, **test.to_json()}
            for dataset, tests in summary.tests.items()
            for test in tests
        ],
    }
    return _utf8(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _run_names(results: Sequence[Result]) -> list[str]:
    """DATASET.ENCODER and what follows, with a number where two would be one file."""
    names: list[str] = []
    taken: set[str] = set()
    for result in results:
        stem = f"{file_name(result.dataset)}.{file_name(result.encoder)}"
        name, count = stem, 1
        while name.lower() in taken:  # some file systems do not tell A from a
            count += 1
            name = f"{stem}~{count}"
        taken.add(name.lower())
        names.append(f"{name}{suffix_for(result.run)}")
    return names

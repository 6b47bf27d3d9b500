"""Results as `lsr eval` prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lsr.terminal import cell, columns, echo

if TYPE_CHECKING:
    from lsr.eval.results import Result


def as_json(result: Result) -> dict[str, Any]:
    """One result as JSON values."""
    import numpy as np

    times, provenance = result.milliseconds, dict(result.provenance)
    values: dict[str, Any] = {
        "dataset": result.dataset,
        "encoder": result.encoder,
        "measures": dict(result.scores.means),
        "counts": provenance.get("dataset", {}).get("counts", {}),
    }
    if "parts" in provenance:
        values["parts"] = provenance.pop("parts")
    if times.size:
        p50, p99 = np.percentile(times, [50, 99]).tolist()
        values["milliseconds"] = {"mean": float(times.mean()), "p50": p50, "p99": p99}
    return values | {"provenance": provenance}


def print_one(result: Result, write: Callable[[str], None] = echo) -> None:
    """Measures of one result, a line each."""
    names = f"{cell(result.dataset)}, {cell(result.encoder)}"
    write(f"{names}, {len(result.queries):,} queries")
    for measure, value in result.scores.means.items():
        write(f"  {measure:<12} {value:.4f}")


def print_table(results: Sequence[Result]) -> None:
    """A table for each measure: a row a dataset, a column an encoder.

    Columns are numbered, with the encoders' names above all, where these are too wide.
    """
    datasets = list(dict.fromkeys(result.dataset for result in results))
    encoders = list(dict.fromkeys(result.encoder for result in results))
    measures = list(dict.fromkeys(m for result in results for m in result.scores.means))
    values = {(r.dataset, r.encoder): r.scores.means for r in results}
    first = max(map(len, [*map(cell, datasets), *measures, "mean"]))
    heads = shown = [cell(encoder) for encoder in encoders]
    if first + sum(max(len(head), 6) + 2 for head in heads) > columns():
        heads = [f"[{number}]" for number in range(1, len(encoders) + 1)]
        for head, encoder in zip(heads, shown, strict=True):
            echo(f"{head} {encoder}")
        echo()
    widths = [max(len(head), 6) for head in heads]
    for number, measure in enumerate(measures):
        if number:
            echo()
        _row(measure, heads, first, widths)
        rows = []
        for dataset in datasets:
            row = [values.get((dataset, encoder), {}).get(measure) for encoder in encoders]
            if any(value is not None for value in row):
                rows.append(row)
                _row(cell(dataset), [_number(value) for value in row], first, widths)
        if len(rows) > 1 and all(None not in row for row in rows):
            by_encoder = zip(*rows, strict=True)
            means = [sum(filter(None, column)) / len(rows) for column in by_encoder]
            _row("mean", [_number(value) for value in means], first, widths)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _row(name: str, cells: Sequence[str], first: int, widths: Sequence[int]) -> None:
    padded = (f"{text:>{width}}" for text, width in zip(cells, widths, strict=True))
    echo("  ".join([f"{name:<{first}}", *padded]).rstrip())

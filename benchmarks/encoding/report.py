"""Tables of `benchmarks.encoding`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from statistics import median

from benchmarks.commands import Row, column_table, table
from benchmarks.encoding.speed import PEER, TUNED

SPEED_COLUMNS = {
    "encoder": ("encoder", "", 1),
    "texts/s, median": ("median", ",.1f", 1),
    "slowest": ("slowest", ",.1f", 1),
    "fastest": ("fastest", ",.1f", 1),
    "times the peer": ("times", ".2f", 1),
    "by the fastest": ("fastest_times", ".2f", 1),
    "others' cores": ("others", ".2f", 1),
}
GAP_COLUMNS = {
    "precision": ("precision", "", 1),
    "largest difference": ("largest", ".2g", 1),
    "mean": ("mean", ".2g", 1),
    "terms": ("terms", ",", 1),
    "in one only": ("alone", ",", 1),
    "its largest weight": ("alone_largest", ".2g", 1),
}
MEMORY_COLUMNS = {
    "model": ("model", "", 1),
    "precision": ("precision", "", 1),
    "texts": ("texts", ",", 1),
    "limit": ("limit", "", 1),
    "peak, MB": ("peak", ",.0f", 1e-6),
    "seconds": ("seconds", ",.1f", 1),
}
QUALITY_COLUMNS = {
    "dataset": ("dataset", "", 1),
    "encoder": ("model", "", 1),
    "precision": ("precision", "", 1),
    "nDCG@10": ("value", ".4f", 1),
    "difference": ("difference", "+.4f", 1),
}


def markdown(results: Row) -> str:
    """Circumstances, then a section for each measurement."""
    run = results["run"]
    versions = ", ".join(f"{name} {run[name]}" for name in run["packages"])
    sections = [
        "# Encoding on a CPU\n",
        f"- {run['started']}: {run['cpu']}, {run['threads']} threads of {run['cores']} cores, "
        f"{run['system']}, Python {run['python']}",
        f"- Versions: {versions}; lsr used {run['lsr_isa']}; `{shlex.join(run['command'])}`",
    ]
    for model in results.get("models", []):
        sections += _speed(model)
    if "memory" in results:
        sections += _memory(results["memory"])
    if "quality" in results:
        sections += _quality(results["quality"])
    return "\n".join(sections)


def _speed(model: Row) -> Iterator[str]:
    """Speed, differences of vectors, and the peer's settings that were tried."""
    texts, peer = model["texts"], model["peer"]
    yield f"\n## {model['model']}\n"
    tokens = model["tokens"] / texts
    yield f"{texts:,} texts, {tokens:.0f} tokens and {model['terms']:.0f} terms each.\n"
    yield column_table(SPEED_COLUMNS, (_speed_row(model, name) for name in model["passes"]))
    for precision, reason in model["skipped"].items():
        yield f"\nlsr, {precision}: not measured: {reason}"
    if model["differences"]:
        yield f"\nWeights of lsr against those of {PEER}:\n"
        gaps = model["differences"].items()
        yield column_table(GAP_COLUMNS, ({"precision": name, **row} for name, row in gaps))
    yield (
        f"\nTexts a second of {PEER} by batch size, dense rows: {peer['plain_batch']} was taken, "
        f"and tuned {peer['batch']} with {peer['chunk'] or 'all'}:\n"
    )
    rates = {(row["chunk"], row["batch"]): row["per_second"] for row in peer["tried"]}
    batches = list(dict.fromkeys(batch for _, batch in rates))
    yield table(
        ("positions pooled at a time", *map(str, batches)),
        (
            (chunk or "all", *(f"{rates[chunk, batch]:,.1f}" for batch in batches))
            for chunk in dict.fromkeys(chunk for chunk, _ in rates)
        ),
    )


def _speed_row(model: Row, encoder: str) -> Row:
    """Speed of one encoder, alone and beside the peer."""
    slowest, typical, fastest = _spread(model["passes"][encoder])
    _, peer_typical, peer_fastest = _spread(model["passes"][PEER])
    return {
        "encoder": encoder if encoder in (PEER, TUNED) else f"**lsr, {encoder}**",
        "median": model["texts"] / typical,
        "slowest": model["texts"] / slowest,
        "fastest": model["texts"] / fastest,
        "times": peer_typical / typical,
        "fastest_times": peer_fastest / fastest,
        "others": max(row["others"] for row in model["passes"][encoder]),
    }


def _spread(passes: list[Row]) -> tuple[float, float, float]:
    """The longest, the median and the shortest time of passes, in seconds."""
    seconds = [row["seconds"] for row in passes]
    return max(seconds), median(seconds), min(seconds)


def _memory(rows: list[Row]) -> Iterator[str]:
    yield "\n## Peak memory of `lsr encode`\n"
    yield "Of one short text it is the memory of Python, libraries and model.\n"
    yield column_table(MEMORY_COLUMNS, rows, text_columns=2)
    yield from (
        f"\nFailed under {row['limit']}: {row['failed']}" for row in rows if "failed" in row
    )


def _quality(rows: list[Row]) -> Iterator[str]:
    yield "\n## nDCG@10 by precision\n"
    exact = {
        (row["dataset"], row["model"]): row["value"]
        for row in rows
        if row["precision"] == "fp32" and "value" in row
    }
    for row in rows:
        base = exact.get((row["dataset"], row["model"]))
        if "value" in row and base is not None and row["precision"] != "fp32":
            row["difference"] = row["value"] - base
    yield column_table(QUALITY_COLUMNS, rows, text_columns=3)
    yield from (
        f"\nFailed in {row['precision']}: {row['failed']}" for row in rows if "failed" in row
    )

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
    "10⁹ multiply-adds/s": ("speed", ",.0f", 1e-9),
    "of the peak": ("peak_share", ".0%", 1),
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
    "peak": ("peak", ",.0f", 1e-6),
    "no weights": ("no weights", ",.0f", 1e-6),
    "above one text": ("above", ",.0f", 1e-6),
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
    before, after = (
        f"{run[name][0]:.1f}" if run[name] else "unknown"
        for name in ("load_average", "load_average_after")
    )
    versions = ", ".join(f"{name} {run[name]}" for name in run["packages"])
    sections = [
        "# Encoding on a CPU\n",
        f"- {run['started']}: {run['cpu']} ({', '.join(run['cpu_flags'])}), {run['threads']} "
        f"threads of {run['cores']} cores, {run['system']}, Python {run['python']}; load average "
        f"{before} before, {after} after",
        f"- Versions: {versions}; lsr used {run['lsr_isa']}; `{shlex.join(run['command'])}`",
    ]
    if "models" in results:
        sections.append("\n## Peak of one core\n")
        peaks = ((kind, f"{peak / 1e9:,.0f}") for kind, peak in results["peaks"].items())
        sections.append(table(("numbers", "multiply-adds a second, 10⁹"), peaks))
        for model in results["models"]:
            sections += _speed(model, results["peaks"], run["threads"])
    if "memory" in results:
        sections += _memory(results["memory"])
    if "quality" in results:
        sections += _quality(results["quality"])
    return "\n".join(sections)


def _speed(model: Row, peaks: Row, threads: int) -> Iterator[str]:
    """Speed, differences of vectors, and the peer's settings that were tried."""
    texts, tokens, work, peer = (model[key] for key in ("texts", "tokens", "multiply_adds", "peer"))
    yield f"\n## {model['model']}\n"
    line = f"{texts:,} texts, {tokens / texts:.0f} tokens and {model['terms']:.0f} terms each"
    if work is not None:
        line += (
            f"; {sum(work) / tokens / 1e6:.1f} million multiply-adds a token, "
            f"{100 * work[1] / sum(work):.0f} % of them in the head"
        )
    yield f"{line}.\n"
    encoders = [_speed_row(model, encoder, peaks, threads) for encoder in model["passes"]]
    yield column_table(SPEED_COLUMNS, encoders)
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


def _speed_row(model: Row, encoder: str, peaks: Row, threads: int) -> Row:
    """Speed of one encoder, beside the peer and the peak of the processor."""
    slowest, typical, fastest = _spread(model["passes"][encoder])
    _, peer_typical, peer_fastest = _spread(model["passes"][PEER])
    is_peer, work = encoder in (PEER, TUNED), model["multiply_adds"]
    row = {
        "encoder": encoder if is_peer else f"**lsr, {encoder}**",
        "median": model["texts"] / typical,
        "slowest": model["texts"] / slowest,
        "fastest": model["texts"] / fastest,
        "times": peer_typical / typical,
        "fastest_times": peer_fastest / fastest,
        "others": max(row["others"] for row in model["passes"][encoder]),
    }
    if work is not None:
        # lsr screens the head in bytes, whatever the precision of the body.
        body, head = (peaks["fp32"],) * 2 if is_peer else (peaks[encoder], peaks["int8"])
        row["speed"] = sum(work) / typical
        row["peak_share"] = (work[0] / body + work[1] / head) / threads / typical
    return row


def _spread(passes: list[Row]) -> tuple[float, float, float]:
    """The longest, the median and the shortest time of passes, in seconds."""
    seconds = [row["seconds"] for row in passes]
    return max(seconds), median(seconds), min(seconds)


def _memory(rows: list[Row]) -> Iterator[str]:
    yield "\n## Peak memory of `lsr encode`\n"
    yield (
        "Resident MB at most (VmHWM); without the model's weights, 4 bytes each; and above the "
        "peak of one short text, which is Python, libraries and model.\n"
    )
    floors = {
        (row["model"], row["precision"]): row.get("peak") for row in rows if row["texts"] == 1
    }
    lines = []
    for row in rows:
        if "peak" in row:
            row = row | {"no weights": row["peak"] - row["weights"]}
            floor = floors[row["model"], row["precision"]]
            row |= {} if floor is None else {"above": row["peak"] - floor}
        lines.append(row)
    yield column_table(MEMORY_COLUMNS, lines, text_columns=2)
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

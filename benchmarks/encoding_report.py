"""Tables of `benchmarks.encoding`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from benchmarks.encoding_speed import PEER, TUNED

Row = dict[str, Any]


def markdown(found: Row) -> Iterator[str]:
    """Circumstances, then a section for each thing that was measured."""
    run = found["run"]
    yield "# Encoding on a CPU\n"
    yield (
        f"- {run['started']}: {run['cpu']} ({', '.join(run['cpu_flags'])}), {run['threads']} "
        f"threads of {run['cores']} cores, {run['system']}, Python {run['python']}; load average "
        f"{average(run['load_average'])} before, {average(run['load_average_after'])} after"
    )
    versions = ", ".join(f"{name} {run[name]}" for name in run["packages"])
    yield f"- Versions: {versions}; lsr used {run['lsr_isa']}; `{shlex.join(run['command'])}`"
    if "models" in found:
        yield from peak_table(found["peaks"])
        for model in found["models"]:
            yield from speed_tables(model, found["peaks"], run["threads"])
    if "memory" in found:
        yield from memory_table(found["memory"])
    if "quality" in found:
        yield from quality_table(found["quality"])
    if "cold" in found:
        yield from cold_lines(found["cold"])


def average(load: list[float]) -> str:
    """The load average of the last minute."""
    return f"{load[0]:.1f}" if load else "unknown"


def peak_table(peaks: Row) -> Iterable[str]:
    yield "\n## Peak of one core\n"
    yield "| numbers | multiply-adds a second, 10⁹ |"
    yield "|---|---:|"
    for kind, peak in peaks.items():
        yield f"| {kind} | {peak / 1e9:,.0f} |"


def speed_tables(model: Row, peaks: Row, threads: int) -> Iterable[str]:
    """Speed, differences of vectors, and what the peer's settings were chosen from."""
    texts, tokens = model["texts"], model["tokens"]
    work = model["multiply_adds"]
    yield f"\n## {model['model']}\n"
    line = f"{texts:,} texts, {tokens / texts:.0f} tokens and {model['terms']:.0f} terms each"
    if work is not None:
        line += (
            f"; {sum(work) / tokens / 1e6:.1f} million multiply-adds a token, "
            f"{100 * work[1] / sum(work):.0f} % of them in the head"
        )
    yield f"{line}.\n"
    yield (
        "| encoder | texts/s, median | slowest | fastest | times the peer | by the fastest | "
        "10⁹ multiply-adds/s | of the peak | others' cores |"
    )
    yield "|---|" + "---:|" * 8
    for encoder, passes in model["passes"].items():
        slowest, typical, fastest = spread(passes)
        _, peer_typical, peer_fastest = spread(model["passes"][PEER])
        theirs = encoder in (PEER, TUNED)
        kind = "fp32" if theirs else encoder
        name = encoder if theirs else f"**lsr, {encoder}**"
        speed, share = "-", "-"
        if work is not None:
            speed = f"{sum(work) / typical / 1e9:,.0f}"
            # lsr screens the head in bytes, whatever the precision of the body.
            body, head = peaks[kind], peaks[kind if theirs else "int8"]
            at_best = (work[0] / body + work[1] / head) / threads
            share = f"{100 * at_best / typical:.0f} %"
        rates = " | ".join(f"{texts / seconds:,.1f}" for seconds in (typical, slowest, fastest))
        yield (
            f"| {name} | {rates} | {peer_typical / typical:.2f} | {peer_fastest / fastest:.2f} | "
            f"{speed} | {share} | {max(row['others'] for row in passes):.2f} |"
        )
    for precision, reason in model["skipped"].items():
        yield f"| lsr, {precision} | not measured: {reason} | | | | | | | |"
    if model["differences"]:
        yield f"\nWeights of lsr against those of {PEER}:\n"
        yield "| precision | largest difference | mean | terms | in one only | its largest weight |"
        yield "|---|---:|---:|---:|---:|---:|"
        for precision, row in model["differences"].items():
            yield (
                f"| {precision} | {row['largest']:.2g} | {row['mean']:.2g} | {row['terms']:,} | "
                f"{row['alone']:,} | {row['alone_largest']:.2g} |"
            )
    tried = model["peer"]["tried"]
    batches = list(dict.fromkeys(row["batch"] for row in tried))
    peer = model["peer"]
    yield (
        f"\nTexts a second of {PEER} by batch size, dense rows: {peer['plain_batch']} was taken, "
        f"and tuned {peer['batch']} with {peer['chunk'] or 'all'}:\n"
    )
    yield f"| positions pooled at a time | {' | '.join(map(str, batches))} |"
    yield "|---|" + "---:|" * len(batches)
    for chunk in dict.fromkeys(row["chunk"] for row in tried):
        cells = [f"{row['per_second']:,.1f}" for row in tried if row["chunk"] == chunk]
        yield f"| {chunk or 'all'} | {' | '.join(cells)} |"


def spread(passes: list[Row]) -> tuple[float, float, float]:
    """The longest, the median and the shortest time of passes, in seconds."""
    seconds = [row["seconds"] for row in passes]
    return max(seconds), median(seconds), min(seconds)


def memory_table(rows: list[Row]) -> Iterable[str]:
    yield "\n## Peak memory of `lsr encode`\n"
    yield (
        "Resident MB at most (VmHWM); without the model's weights, 4 bytes each; and above what "
        "one short text takes, which is Python, libraries and model.\n"
    )
    yield "| model | precision | texts | limit | peak | no weights | above one text | seconds |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    floor = None
    for row in rows:
        start = f"| {row['model']} | {row['precision']} | {row['texts']:,} | {row['limit']} | "
        if row["texts"] == 1:
            floor = row.get("peak")
        if "failed" in row:
            yield f"{start}failed: {row['failed']} | | | |"
            continue
        above = "-" if floor is None else f"{(row['peak'] - floor) / 1e6:,.0f}"
        yield (
            f"{start}{row['peak'] / 1e6:,.0f} | {(row['peak'] - row['weights']) / 1e6:,.0f} | "
            f"{above} | {row['seconds']:,.1f} |"
        )


def quality_table(rows: list[Row]) -> Iterable[str]:
    yield "\n## nDCG@10 by precision\n"
    yield "| dataset | encoder | precision | nDCG@10 | difference |"
    yield "|---|---|---|---:|---:|"
    for row in rows:
        start = f"| {row['dataset']} | {row['model']} | {row['precision']} | "
        if "failed" in row:
            yield f"{start}failed: {row['failed']} | |"
            continue
        base = next((r["value"] for r in rows if same(r, row) and r["precision"] == "fp32"), None)
        gap = (
            f"{row['value'] - base:+.4f}"
            if base is not None and row["precision"] != "fp32"
            else "-"
        )
        yield f"{start}{row['value']:.4f} | {gap} |"


def same(one: Row, other: Row) -> bool:
    """Whether two rows are about the same dataset and model, and the first was measured."""
    return "value" in one and all(one[key] == other[key] for key in ("dataset", "model"))


def cold_lines(row: Row) -> Iterable[str]:
    yield "\n## One search from cold\n"
    spent = [1000 * second for second in row["seconds"]]
    yield (
        f'`lsr search {row["index"]} "{row["question"]}"`: {median(spent):,.0f} ms, the median of '
        f"{len(spent)} processes ({min(spent):,.0f} to {max(spent):,.0f}), files in the system's "
        f"cache. Of the heavy libraries it imports {', '.join(row['heavy']) or 'none'}."
    )

"""Peak memory of `lsr encode`."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.commands import Row, progress
from benchmarks.encoding.checkpoints import lengths
from benchmarks.machine import alone, peak_memory
from lsr import LsrError

PASSAGE = 512  # tokens of a passage


def peaks_under(
    limits: Sequence[str],
    name: str,
    folder: Path,
    texts: Sequence[str],
    scratch: Path,
    *,
    threads: int,
    precisions: Sequence[str],
) -> list[Row]:
    """The most memory that `lsr encode` has resident under each of several limits.

    Args:
        limits: values of --max-memory.
        texts: joined into as many passages of 512 tokens.

    Each precision also encodes one short text: the memory of Python, the libraries and the model.
    """
    if not Path("/proc/self/status").exists():
        raise LsrError("peak memory is read from /proc, which this system lacks; use Linux")
    long, short = scratch / "long.jsonl", scratch / "short.jsonl"
    _write(long, passages(folder, texts))
    _write(short, ["one short text"])
    rows = []
    for precision in precisions:
        for corpus, limit in [(short, limits[0]), *((long, limit) for limit in limits)]:
            progress.print(f"{name}, {precision}: {corpus.stem} texts under {limit}")
            row: Row = {"model": name, "precision": precision, "limit": limit}
            row["texts"] = len(texts) if corpus == long else 1
            output, log = scratch / "vectors", scratch / "log"
            shutil.rmtree(output, ignore_errors=True)
            command = ["encode", str(corpus), "-o", str(output)]
            command += ["--encoder", str(folder), "--max-length", str(PASSAGE)]
            command += ["--threads", str(threads), "--precision", precision]
            try:
                row |= alone(_run, [*command, "--max-memory", limit], log=log)
            except SystemExit:
                row["failed"] = (log.read_text().strip().splitlines() or ["no message"])[-1]
            rows.append(row)
    return rows


def _run(command: list[str]) -> Row:
    """Peak memory and seconds of a command of lsr."""
    from lsr.cli import main

    start = time.perf_counter()
    try:
        main(command)
    except SystemExit as ended:
        if ended.code:
            raise
    return {"peak": peak_memory(), "seconds": time.perf_counter() - start}


def passages(folder: Path, texts: Sequence[str]) -> Iterator[str]:
    """As many passages of 512 tokens or more, by joining texts; the first follows the last."""
    sizes = lengths(folder, texts, PASSAGE)
    sized_texts = itertools.cycle(zip(texts, sizes.tolist(), strict=True))
    for _ in texts:
        parts: list[str] = []
        size = 0
        while size < PASSAGE:
            text, tokens = next(sized_texts)
            parts.append(text)
            size += tokens - 2  # without [CLS] and [SEP]
        yield " ".join(parts)


def _write(file: Path, texts: Iterable[str]) -> None:
    with file.open("w") as lines:
        for number, text in enumerate(texts):
            lines.write(json.dumps({"_id": str(number), "text": text}) + "\n")

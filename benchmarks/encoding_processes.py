"""`lsr` as a process of its own: its peak memory while encoding, its time from cold."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.checkpoints import lengths
from benchmarks.machine import memory
from lsr import LsrError

Row = dict[str, Any]

PASSAGE = 512  # tokens of a passage that memory is measured on
RUNS = 10  # of a cold search; the first two are not counted
HEAVY = ("torch", "transformers", "numba", "sentence_transformers")

# Peak memory is asked for from inside: what wait4 tells of a child counts its parent's, too.
_ENCODE = """
import sys
from pathlib import Path
from lsr.cli import main
try:
    main(["encode", *sys.argv[2:]])
finally:
    Path(sys.argv[1]).write_text(Path("/proc/self/status").read_text())
"""
_SEARCH = """
import sys
from lsr.cli import main
try:
    main(["search", *sys.argv[1:]])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def peak_memory(
    name: str,
    folder: Path,
    texts: Sequence[str],
    scratch: Path,
    *,
    count: int,
    threads: int,
    precisions: Sequence[str],
    limits: Sequence[str],
    say: Callable[[str], None],
) -> list[Row]:
    """The most memory that `lsr encode` has resident under each of several limits.

    Args:
        texts: joined into `count` passages of 512 tokens.
        limits: values of --max-memory.

    Each precision also encodes one short text: what Python, the libraries and the model take
    before there is anything to hold.
    """
    if not Path("/proc/self/status").exists():
        raise LsrError("peak memory is read from /proc, which this system lacks; use Linux")
    long, short = scratch / "long.jsonl", scratch / "short.jsonl"
    _write(long, passages(folder, texts, count))
    _write(short, ["one short text"])
    weights = 4 * numbers(folder)
    rows = []
    for precision in precisions:
        options = ["--encoder", str(folder), "--max-length", str(PASSAGE)]
        options += ["--threads", str(threads), "--precision", precision]
        runs = [(short, limits[0]), *((long, limit) for limit in limits)]
        for corpus, limit in runs:
            say(f"{name}, {precision}: {corpus.stem} texts under {limit}")
            row = {"model": name, "precision": precision, "limit": limit, "weights": weights}
            row["texts"] = count if corpus == long else 1
            found = _encoded(corpus, scratch, [*options, "--max-memory", limit])
            rows.append(row | found)
    return rows


def passages(folder: Path, texts: Sequence[str], count: int) -> Iterator[str]:
    """Texts joined until each has 512 tokens or more; begins again where they run out."""
    sizes = lengths(folder, texts, PASSAGE)
    held: list[str] = []
    size = made = 0
    for text, tokens in itertools.cycle(zip(texts, sizes.tolist(), strict=True)):
        if made == count:
            return
        held.append(text)
        size += tokens - 2  # without [CLS] and [SEP]
        if size >= PASSAGE:
            yield " ".join(held)
            held, size, made = [], 0, made + 1


def cold(index: Path, question: str) -> Row:
    """Wall seconds of `lsr search INDEX QUESTION`, and which heavy modules it imports.

    The files it reads are in the system's cache: runs before have read them.
    """
    command = [str(Path(sysconfig.get_path("scripts")) / "lsr"), "search", str(index), question]
    seconds = []
    for _ in range(RUNS + 2):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        if done.returncode:
            raise LsrError(f"lsr search failed: {_last_line(done.stderr)}")
    # -P: the folders at the root of the repository must not be imported by their own names.
    imported = subprocess.run(
        [sys.executable, "-P", "-c", _SEARCH, str(index), question],
        capture_output=True,
        text=True,
        check=True,
    ).stderr.split()
    return {
        "index": str(index),
        "question": question,
        "seconds": seconds[2:],
        "heavy": [name for name in HEAVY if name in imported],
    }


def numbers(folder: Path) -> int:
    """How many numbers the weights of a checkpoint are."""
    from safetensors import safe_open

    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                count += math.prod(file.get_slice(name).get_shape())
    return count


def _encoded(corpus: Path, scratch: Path, options: list[str]) -> Row:
    """Peak memory and seconds of one `lsr encode`; or why it failed."""
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        status, output = Path(place) / "status", Path(place) / "vectors.parquet"
        command = [sys.executable, "-P", "-c", _ENCODE, str(status)]
        command += [str(corpus), "-o", str(output), *options]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            return {"failed": _last_line(done.stderr)}
        return {"peak": memory(status.read_text(), "VmHWM"), "seconds": seconds}


def _write(file: Path, texts: Sequence[str] | Iterator[str]) -> None:
    with file.open("w") as lines:
        for number, text in enumerate(texts):
            lines.write(json.dumps({"_id": str(number), "text": text}) + "\n")


def _last_line(errors: str) -> str:
    return (errors.strip().splitlines() or ["it said nothing"])[-1]

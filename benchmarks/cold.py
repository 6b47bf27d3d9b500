"""Time of commands in new processes: what a user waits for on the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.commands import argument, command, option, table


@dataclass(frozen=True)
class Options:
    index: Path = argument()
    query: str = option("Query of `lsr search`.", "why do language models make up facts")
    runs: int = option("Timed runs of each command.", 11)


@command(Options)
def main(options: Options) -> None:
    """Print milliseconds of `import lsr`, `lsr --help` and `lsr search INDEX` in new processes.

    Commands run in turn.  The first round is not timed: it brings the files into the system's
    cache and compiles Python's bytecode.

    \b
    lsr index arxiv-cs -o demo/arxiv-cs
    python -m benchmarks.cold demo/arxiv-cs
    """
    python, lsr = [sys.executable], [sys.executable, "-m", "lsr"]
    commands = {
        "Python alone": [*python, "-c", "pass"],
        "import lsr": [*python, "-c", "import lsr"],
        "lsr --help": [*lsr, "--help"],
        "lsr search": [*lsr, "search", str(options.index), options.query],
        "lsr search --explain": [*lsr, "search", str(options.index), options.query, "--explain"],
    }
    _, *rounds = [[_milliseconds(c) for c in commands.values()] for _ in range(options.runs + 1)]
    rows = (
        [name, *(f"{value:,.0f}" for value in (np.median(times), min(times), max(times)))]
        for name, *times in zip(commands, *rounds, strict=True)
    )
    click.echo(table(("command", "median", "fastest", "slowest"), rows))


def _milliseconds(arguments: list[str]) -> float:
    """The wall time of a command, which must succeed."""
    start = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()

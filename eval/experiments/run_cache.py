"""Runs that are cached beside their index, so that no query is encoded twice.

    INDEX.runs = built.json  (KEY.jsonl.gz KEY.json)*

A run is JSON lines (`lsr.eval.runs`), which hold any id.  Its KEY.json is written last, names the
checksum of the file and holds the milliseconds of each query and the circumstances of the
measurement.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.errors import LsrError
from lsr.eval.results import Run, rows
from lsr.eval.runs import read_run, write_run
from lsr.storage.files import checksum_bytes, checksum_file
from lsr.storage.manifest import read_sealed, write_sealed
from lsr.version import __version__

_FORMAT, _VERSION = "lsr-kept-run", 1


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A run that was searched.

    Attributes:
        run: for each query that has hits.
        milliseconds: float64, one a query.
        circumstances: JSON values: when, on which machine, with what versions.
    """

    run: Run
    milliseconds: npt.NDArray[np.float64]
    circumstances: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _About:
    """The file beside a run: the run's checksum, and whether any query has hits."""

    run: str
    found: bool
    milliseconds: list[float]
    circumstances: dict[str, Any]


class RunCache:
    """The cached runs of the index at a path; `folder` is where they are."""

    def __init__(self, index: Path) -> None:
        index = index.absolute()
        self.folder = index.with_name(f"{index.name}.runs")

    def store(self, key: str, timed: TimedRun) -> None:
        """Write a run; it is there when this returns, or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{key}.jsonl.gz"
        write_run(file, rows(timed.run), "lsr")
        about = _About(
            checksum_file(file),
            any(timed.run.values()),
            timed.milliseconds.tolist(),
            timed.circumstances,
        )
        head = {"format": _FORMAT, "format_version": _VERSION}
        write_sealed(self.folder / f"{key}.json", head, asdict(about))

    def load(self, key: str, queries: Collection[str]) -> TimedRun | None:
        """The run of a key; None when there is none, or it is not as it was written."""
        try:
            about = read_sealed(
                self.folder / f"{key}.json",
                _FORMAT,
                (_VERSION,),
                _About,
                lambda _, what: LsrError(what),
                "format_version",
            )
            file = self.folder / f"{key}.jsonl.gz"
            if checksum_file(file) != about.run:
                return None
            run = read_run(file) if about.found else {}  # no lines are an error elsewhere
            milliseconds = np.array(about.milliseconds, np.float64)
            if milliseconds.shape != (len(queries),) or not run.keys() <= set(queries):
                return None
            return TimedRun(run, milliseconds, about.circumstances)
        except (OSError, LsrError):
            return None


def run_key(edition: str, *parts: Any) -> str:
    """The key of a run: a digest of the index's edition, of lsr's version, and of `parts`, JSON
    values."""
    return checksum_bytes(json.dumps([__version__, edition, *parts]).encode())


def can_write(folder: Path) -> bool:
    """Make a folder; whether a file can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False

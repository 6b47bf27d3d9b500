"""Runs that are kept beside their index, so that no query is encoded twice.

    INDEX.runs = built.json  (KEY.jsonl.gz KEY.json)*

A run is JSON lines (`lsr.eval.runs`), which hold any id.  Its KEY.json is written last, names the
checksum of the file and holds the milliseconds of each query and the circumstances of the
measurement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import lsr
from lsr.errors import LsrError
from lsr.eval.results import Run
from lsr.eval.runs import read_run, write_run
from lsr.storage.files import checksum_bytes, checksum_file
from lsr.storage.manifest import read_sealed, write_sealed

_FORMAT, _VERSION = "lsr-kept-run", 1


@dataclass(frozen=True, slots=True)
class KeptRun:
    """What searching gave.

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
    """What stands beside a run: its file's checksum, and whether any query has hits."""

    run: str
    found: bool
    milliseconds: list[float]
    circumstances: dict[str, Any]


def folder_of(index: Path) -> Path:
    """Where the runs of an index are kept."""
    index = index.absolute()
    return index.with_name(f"{index.name}.runs")


def key_of(edition: str, *parts: Any) -> str:
    """The key of a run: a digest of the index's edition, of lsr's version, and of `parts`, JSON
    values."""
    return checksum_bytes(json.dumps([lsr.__version__, edition, *parts]).encode())


def keep(index: Path, key: str, found: KeptRun) -> None:
    """Keep a run; it is there when this returns, or not at all."""
    folder = folder_of(index)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{key}.jsonl.gz"
    write_run(file, ((q, list(row), row.values()) for q, row in found.run.items()), "lsr")
    about = _About(
        checksum_file(file),
        any(found.run.values()),
        found.milliseconds.tolist(),
        found.circumstances,
    )
    head = {"format": _FORMAT, "format_version": _VERSION}
    write_sealed(folder / f"{key}.json", head, asdict(about))


def kept(index: Path, key: str, queries: Sequence[str]) -> KeptRun | None:
    """The run of a key; None when there is none, or it is not as it was written."""
    folder = folder_of(index)
    try:
        about = read_sealed(
            folder / f"{key}.json",
            _FORMAT,
            (_VERSION,),
            _About,
            lambda _, what: LsrError(what),
            "format_version",
        )
        file = folder / f"{key}.jsonl.gz"
        if checksum_file(file) != about.run:
            return None
        found = read_run(file) if about.found else {}  # no lines are an error elsewhere
        milliseconds = np.array(about.milliseconds, np.float64)
        if milliseconds.shape != (len(queries),) or not found.keys() <= set(queries):
            return None
        return KeptRun(found, milliseconds, about.circumstances)
    except (OSError, LsrError):
        return None

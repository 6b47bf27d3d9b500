"""The directory beside an index where it is built.

    INDEX.partial = lock job.json shards/N.arrow … index/   [old/]

Nothing in it is taken for an index; a process holds its lock while it builds.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from lsr.errors import IndexExists, LsrError
from lsr.files import sync_directory
from lsr.index.format import MANIFEST

# All there is in INDEX.partial, with the temporary files of `replacing`.
_OURS = re.compile(r"lock|job\.json|shards|index|old|\.job\.json\.\d+\.tmp")


@contextmanager
def workplace(path: Path, force: bool) -> Iterator[Path]:
    """The directory beside `path` where it is built, locked against other processes.

    What remains of it on failure is what the next build can use, or nothing.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        foreign = [file for file in partial.iterdir() if not _OURS.fullmatch(file.name)]
        if foreign:
            raise IndexExists(
                f"{path} would be built in {partial}, but {foreign[0].name} there is not the work "
                "of an earlier build; move it or choose another place"
            )
        with _locked(partial, path):
            check_target(path, force)
            yield partial
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise LsrError(
            f"{path} cannot be written: {error.strerror or error}{place}; make room or choose "
            "another place"
        ) from error


@contextmanager
def _locked(partial: Path, path: Path) -> Iterator[None]:
    lock = filelock.FileLock(partial / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise IndexExists(
            f"{path} is being built by another process; wait for it or choose another place"
        ) from None
    try:
        _recover(partial, path)
        yield
    finally:
        _recover(partial, path)
        _tidy(partial)
        lock.release()


def _recover(partial: Path, path: Path) -> None:
    """Undo a `publish` that was stopped half-way; remove what no later build can use."""
    old = partial / "old"
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(partial / "index", ignore_errors=True)


def _tidy(partial: Path) -> None:
    """Remove the workplace unless it has shards worth keeping."""
    if not (read_job(partial) and any((partial / "shards").glob("*.arrow"))):
        shutil.rmtree(partial, ignore_errors=True)


def check_target(path: Path, force: bool) -> None:
    """Raise `IndexExists` when an index must not be written at `path`."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / MANIFEST).is_file():
        raise IndexExists(f"{path} exists and is not an index; choose another place")
    if not force:
        raise IndexExists(f"{path} is an index already; add --force (force=True) to replace it")


def publish(partial: Path, path: Path) -> None:
    """Give the finished index its name; the old one, if any, goes when the new one is there."""
    if path.exists() and any(path.iterdir()):
        path.rename(partial / "old")
    (partial / "index").rename(path)
    sync_directory(path.parent)
    shutil.rmtree(partial / "old", ignore_errors=True)
    shutil.rmtree(partial / "shards", ignore_errors=True)


def read_job(partial: Path) -> dict[str, Any] | None:
    """What the shards in `partial` were made with; None when that cannot be told."""
    try:
        job = json.loads((partial / "job.json").read_bytes())
    except (OSError, ValueError):
        return None
    return job if isinstance(job, dict) else None

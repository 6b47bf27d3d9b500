"""The directory beside an index where it is built.

    INDEX.partial = lock  vectors/  spool.arrow  index/  [old/]

`vectors` is a folder of encoded vectors, which the next build can use.  Nothing in it is taken
for an index; a process holds its lock while it builds.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsr.errors import IndexExists, LsrError
from lsr.files import sync_directory
from lsr.index.format import MANIFEST
from lsr.locks import Lock
from lsr.vector_manifest import is_vector_folder

VECTORS = "vectors"
SPOOL = "spool.arrow"
INDEX = "index"
# All there is in INDEX.partial.
_OURS = re.compile(r"lock|vectors|spool\.arrow|index|old")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses while something is written to `path`, as one sentence."""
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise LsrError(
            f"{path} cannot be written: {error.strerror or error}{place}; make room or choose "
            "another place"
        ) from error


@contextmanager
def workplace(path: Path, force: bool) -> Iterator[Path]:
    """The directory beside `path` where it is built, locked against other processes.

    What remains of it on failure is what the next build can use, or nothing.
    """
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        partial.mkdir(parents=True, exist_ok=True)
        foreign = [file for file in partial.iterdir() if not _OURS.fullmatch(file.name)]
        if foreign:
            raise IndexExists(
                f"{path} would be built in {partial}, but {foreign[0].name} there is not the work "
                "of an earlier build; move it or choose another place"
            )
        lock = Lock(partial / "lock")
        if not lock.take():
            raise IndexExists(
                f"{path} is being built by another process; wait for it or choose another place"
            )
        try:
            _recover(partial, path)
            check_target(path, force)
            yield partial
        finally:
            try:
                _recover(partial, path)
                if not (partial / VECTORS).exists():
                    shutil.rmtree(partial, ignore_errors=True)
            finally:
                lock.release()


def _recover(partial: Path, path: Path) -> None:
    """Undo a `publish` that was stopped half-way; remove what no later build can use."""
    old = partial / "old"
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(partial / INDEX, ignore_errors=True)
    (partial / SPOOL).unlink(missing_ok=True)


def check_target(path: Path, force: bool) -> None:
    """Raise `IndexExists` when an index must not be written at `path`."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / MANIFEST).is_file() or is_vector_folder(path):
        raise IndexExists(f"{path} exists and is not an index; choose another place")
    if not force:
        raise IndexExists(f"{path} is an index already; add --force (force=True) to replace it")


def publish(partial: Path, path: Path) -> None:
    """Give the finished index its name; the old one, if any, goes when the new one is there."""
    if path.exists() and any(path.iterdir()):
        path.rename(partial / "old")
    (partial / INDEX).rename(path)
    sync_directory(path.parent)
    shutil.rmtree(partial / "old", ignore_errors=True)
    shutil.rmtree(partial / VECTORS, ignore_errors=True)

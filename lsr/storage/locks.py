"""Locks between processes, which the operating system releases when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsr.errors import LsrError


class Lock:
    """A lock on a file that is there for that alone.

    Several processes may hold it `shared`, or one holds it exclusively; that one may remove the
    file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, *, shared: bool = False) -> bool:
        """Take the lock if that is possible now; whether it was."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(
                    descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
                )
                # A holder may have removed the file since it was opened here: then it is locked
                # for nobody who comes later.
                if _is_at(descriptor, self._path):
                    self._descriptor = descriptor
                    return True
            except BlockingIOError:
                return False
            finally:
                if self._descriptor != descriptor:
                    os.close(descriptor)

    def release(self) -> None:
        """Let it go, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def holding(path: Path, busy: LsrError) -> Iterator[None]:
    """Hold the lock on a file, which is removed at the end; raises `busy` when another holds it."""
    lock = Lock(path)
    if not lock.take():
        raise busy
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

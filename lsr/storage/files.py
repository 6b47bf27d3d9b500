"""Writing files so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from lsr.errors import LsrError, SystemCallError

T = TypeVar("T")


def read_file(path: Path, largest: int | None = None) -> bytes:
    """The bytes of a file; none of one that is larger than it can be.

    Raises `FileNotFoundError` or `NotADirectoryError` when there is none, and `SystemCallError`
    for every other refusal of the system, which says nothing about the file's contents.
    """
    with _reading(path):
        if largest is not None and path.stat().st_size > largest:
            return b""
        return path.read_bytes()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise SystemCallError("read", path, error) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn refusals of the system, while something is written at `path`, into one sentence."""
    try:
        yield
    except OSError as error:
        raise SystemCallError("written", path, error) from error


def steady(commit: Path, attempt: Callable[[], T]) -> T:
    """The result of `attempt`, which opens the files of a directory, as of one moment.

    Args:
        commit: the file whose replacement publishes a new edition of the directory.
        attempt: opens what it needs, reading `commit` first.

    Another process may publish an edition and remove the files of the old one while `attempt`
    runs.  What it opened then may be of two editions, and a file that it misses is no damage: so
    when `commit` was replaced meanwhile, neither counts, and it runs again.
    """
    while True:
        before = _identity(commit)
        try:
            result = attempt()
        except (LsrError, OSError):
            if _identity(commit) == before:
                raise
        else:
            if _identity(commit) == before:
                return result


def remove_unlisted(folder: Path, pattern: re.Pattern[str], listed: Collection[str | None]) -> None:
    """Remove the files and folders in `folder` whose names match and are not listed.

    They are of editions that were replaced, or never published.  `folder` need not be there.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name in listed or not pattern.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Tells a file from the one that replaces it; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def checksum_bytes(data: bytes) -> str:
    """BLAKE2b-128 in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def checksum_file(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes in hexadecimal, read in pieces.

    Raises as `read_file`.
    """
    digest = hashlib.blake2b(digest_size=16)
    with _reading(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` for writing that takes its place at the end.

    On any failure the temporary file is removed and `path` stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path`, all or nothing."""
    with replacing(path) as file:
        file.write(data)


def sync(path: Path) -> None:
    """Make a file's bytes durable, or the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

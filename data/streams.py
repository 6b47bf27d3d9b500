"""Byte lines of plain, gzip and zstd files, of members of a BEIR zip, of pipes and standard input.

Nothing is extracted or read whole: a line is at most `MAX_LINE` bytes, and of a longer one
only its first bytes are kept.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from lsr.errors import CorpusError, refusal

MAX_LINE = 64 * 2**20

_BUFFER = 2**18
_COMPRESSED = ("", ".gz", ".zst")
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
# What needs its end first, and so cannot come through a pipe.
_WHOLE_FILES = {b"PK\x03\x04": "a zip", b"PAR1": "a Parquet file"}
_WHOLE_SUFFIXES = {".zip": "a zip", ".parquet": "a Parquet file"}


class LineStream:
    """The lines of one file, of one member of a zip, or (`path` None) of standard input.

    `where` names it in messages; `once` says that it can be read a single time, as standard input
    and pipes.  It opens when `lines` is iterated and closes after.
    """

    def __init__(self, path: Path | None, member: str | None = None) -> None:
        self._path = None if path is None else path.absolute()  # whatever folder is current later
        self._member = member
        self._tell: Callable[[], int] | None = None
        self._size = 0
        self._finished = False
        self.once = path is None or (member is None and is_pipe(path))
        if path is None:
            self.where = "standard input"
        else:
            self.where = str(path) if member is None else f"{path}/{member}"

    @property
    def suffix(self) -> str:
        """The suffix of the file's name, less .gz or .zst: ".jsonl" for corpus.jsonl.gz."""
        if self._path is None:
            return ".jsonl"
        name = PurePosixPath((self._member or self._path.name).lower())
        suffix = (name.with_suffix("") if name.suffix in _COMPRESSED else name).suffix
        return suffix or (".jsonl" if self.once else "")  # /dev/stdin, /dev/fd/63

    @property
    def fraction(self) -> float | None:
        """The share of the bytes read so far, 0 to 1; None when the size is unknown."""
        if not self._size:
            return None
        if self._tell is None:
            return float(self._finished)
        return min(1.0, self._tell() / self._size)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield (line number from 1, line with its ending).

        A line of more than `MAX_LINE` bytes comes as its first `MAX_LINE` + 1.  Raises
        `CorpusError` when the file cannot be opened, is truncated or damaged.
        """
        number = 0
        self._finished = False
        try:
            with ExitStack() as closing:
                readline = self._open(closing).readline
                line = readline(MAX_LINE + 1).removeprefix(_BOM)
                while line:
                    number += 1
                    if len(line) > MAX_LINE:
                        _drain(line, readline)
                    yield number, line
                    line = readline(MAX_LINE + 1)
                self._finished = True
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
            reason = getattr(error, "strerror", None)
            raise refusal("read", self.where, error) or CorpusError(
                f"{self.where} cannot be read: {reason}"
                if reason
                else f"{self.where} is truncated or damaged after line {number} ({error}); "
                "fetch or write the file again"
            ) from error
        finally:
            self._tell = None

    def _open(self, closing: ExitStack) -> BinaryIO:
        if self._path is None:
            return _standard_input(closing)
        if self._member is not None:
            return self._open_member(closing, self._path, self._member)
        raw: BinaryIO = closing.enter_context(self._path.open("rb", buffering=_BUFFER))
        name = self._path.name
        if not self.once:
            self._size = os.fstat(raw.fileno()).st_size
            self._tell = raw.tell
        elif PurePosixPath(name.lower()).suffix not in _COMPRESSED[1:]:
            return _flowing(cast(io.BufferedReader, raw), self.where, closing)
        return _decompressed(raw, name, closing)

    def _open_member(self, closing: ExitStack, path: Path, member: str) -> BinaryIO:
        archive = closing.enter_context(zipfile.ZipFile(path))
        info = archive.getinfo(member)
        if info.flag_bits & 1:
            raise CorpusError(f"{self.where} is encrypted; unpack the archive with its password")
        raw = closing.enter_context(archive.open(info))
        self._size = info.file_size
        self._tell = raw.tell
        return _decompressed(_buffered(raw, closing), member, closing)


def is_pipe(path: Path) -> bool:
    """Whether a path is that of a pipe, a socket or a device, which can be read a single time.

    So is what the shell opened, /dev/stdin or /dev/fd/63, even where it is a file: its name says no
    format.
    """
    if str(path.parent) in ("/dev", "/dev/fd", "/proc/self/fd"):
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # opening it says why
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def locate(path: Path, member: str) -> LineStream:
    """The stream of `path`, or, for a BEIR folder or zip, of its file `member`.

    The file inside may be compressed (.gz, .zst); a zip may keep it in one top folder, and
    `path` may go on inside the zip: set.zip/android is a folder of it.
    Raises `CorpusError` when there is no such file.
    """
    try:
        if in_zip(path):
            return locate(path.parent, f"{path.name}/{member}")
        if path.is_dir():
            return _in_folder(path, member)
        if not path.exists():
            raise CorpusError(f"{path} does not exist; check the path")
    except OSError as error:  # a name too long, a folder that may not be entered
        raise CorpusError(f"{path} cannot be opened: {error.strerror}") from error
    if is_pipe(path):
        if kind := _WHOLE_SUFFIXES.get(path.suffix.lower()):
            raise _not_in_pipe(str(path), kind)
    elif path.suffix.lower() == ".zip":
        return LineStream(path, _in_zip(path, member))
    return LineStream(path)


def in_zip(path: Path) -> bool:
    """Whether a path is that of a folder inside a zip."""
    return path.parent.suffix.lower() == ".zip" and path.parent.is_file()


def _in_folder(path: Path, member: str) -> LineStream:
    for compressed in _COMPRESSED:
        if (file := path / (member + compressed)).is_file():
            return LineStream(file)
    raise CorpusError(f"{path} has no {member} in it; give a folder in BEIR's form, or a file")


def _in_zip(path: Path, member: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise refusal("read", path, error) or CorpusError(
            f"{path} is not a readable zip ({error}); fetch it again"
        ) from error
    wanted = {member + compressed for compressed in _COMPRESSED}
    # Archives packed on a Mac repeat each name under __MACOSX with other content.
    members = [
        name
        for name in names
        if not name.startswith("__MACOSX/") and wanted.intersection((name, name.partition("/")[2]))
    ]
    if not members:
        raise CorpusError(f"{path} has no {member} in it; give a zip in BEIR's form")
    if len(members) > 1:
        raise CorpusError(f"{path} has both {members[0]} and {members[1]}; unpack it and name one")
    return members[0]


def _decompressed(raw: BinaryIO, name: str, closing: ExitStack) -> BinaryIO:
    suffix = PurePosixPath(name.lower()).suffix
    if suffix == ".gz":
        return _buffered(gzip.GzipFile(fileobj=raw), closing)
    if suffix == ".zst":
        # Not the zstandard module: its reader takes a truncated frame for the end.
        import pyarrow as pa

        return _buffered(pa.input_stream(raw, compression="zstd"), closing)
    return raw


def compressed(file: IO[bytes], name: str, closing: ExitStack) -> IO[bytes]:
    """A stream that writes to `file` as the suffix of `name` says: .gz, .zst or plainly.

    Leaves `file` open when `closing` ends; the bytes do not depend on the time.
    """
    suffix = PurePosixPath(name.lower()).suffix
    if suffix == ".gz":
        return closing.enter_context(cast(IO[bytes], gzip.GzipFile("", "wb", 6, file, mtime=0)))
    if suffix == ".zst":
        import pyarrow as pa

        # It closes what it writes to.
        copy = closing.enter_context(os.fdopen(os.dup(file.fileno()), "wb"))
        return cast(IO[bytes], closing.enter_context(pa.CompressedOutputStream(copy, "zstd")))
    return file


def _standard_input(closing: ExitStack) -> BinaryIO:
    if sys.stdin is None:
        raise CorpusError("standard input is closed; send documents to it, or name a file")
    reader = io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer), _BUFFER)
    closing.callback(reader.detach)  # or closing the reader would close standard input
    return _flowing(cast(io.BufferedReader, reader), "standard input", closing)


def _flowing(reader: io.BufferedReader, where: str, closing: ExitStack) -> BinaryIO:
    """Lines that come through a pipe, unpacked where they are gzip."""
    first = reader.peek(4)
    if first.startswith(_GZIP_MAGIC):
        return _buffered(gzip.GzipFile(fileobj=reader), closing)
    for magic, kind in _WHOLE_FILES.items():
        if first.startswith(magic):
            raise _not_in_pipe(where, kind)
    return reader


def _not_in_pipe(where: str, kind: str) -> CorpusError:
    return CorpusError(f"{where} brings {kind}, which cannot be read from a pipe; name the file")


def _buffered(stream: object, closing: ExitStack) -> BinaryIO:
    """Give a decompressor a `readline` in C: several times faster than its own."""
    return closing.enter_context(io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER))


def _drain(line: bytes, readline: Callable[[int], bytes]) -> None:
    """Read on to the end of a line that is too long, without keeping it."""
    while line and not line.endswith(b"\n"):
        line = readline(_BUFFER)

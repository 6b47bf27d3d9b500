"""The errors of lsr.  Each message is one sentence: the problem, its location, the remedy."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any


class LsrError(Exception):
    """Base of every error that this library raises on purpose.

    Errors can be pickled: the copy has the class, message and attributes of the original, whatever
    arguments its constructor takes.

    `exit_code` is the exit code of the command line: 1 for a failure, 2 for bad usage.
    """

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited method calls the constructor with `args`, which is only the message.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[LsrError], args: tuple[Any, ...], state: dict[str, Any]) -> LsrError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_REMEDIES = {
    errno.EMFILE: "close other files, or raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "close other files, or raise the system's limit of open files",
    errno.EACCES: "check the permissions of the file and of its folders",
    errno.EPERM: "check the permissions of the file and of its folders",
    errno.ENOMEM: "free memory, or raise the limits of this process (`ulimit -v`, "
    "vm.max_map_count)",
    errno.EIO: "check the disk or the network drive",
    errno.ENOSPC: "make room or choose another place",
    errno.EDQUOT: "make room or choose another place",
    errno.EFBIG: "choose a file system that allows larger files",
    errno.EROFS: "choose a writable place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EEXIST: "choose another place",
    errno.ENOTDIR: "choose another place",
    errno.EISDIR: "choose another place",
}


# Errors of opening and reading that do not come from the contents of the file.
_REFUSALS = (errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EIO)


class SystemCallError(LsrError):
    """The operating system refused an operation on a file that may be sound.

    Attributes:
        call: the operation: "opened", "read", "mapped", "written".
        path: the file or folder.
        errno: the system's error number; None if it gave none.
    """

    def __init__(self, call: str, path: str | Path, error: OSError) -> None:
        self.call, self.path, self.errno = call, Path(path), error.errno
        reason = os.strerror(error.errno) if error.errno else error.strerror or first_line(error)
        named = error.filename
        where = f" ({os.fsdecode(named)})" if named and os.fsdecode(named) != str(path) else ""
        remedy = _REMEDIES.get(error.errno or 0)
        super().__init__(
            f"{path} cannot be {call}: {reason}{where}" + (f"; {remedy}" if remedy else "")
        )


def refusal(call: str, path: str | Path, error: BaseException) -> SystemCallError | None:
    """The `SystemCallError` behind a library's error; None if the error is about the contents.

    Libraries written in Rust give the error number only in their text.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (written := _OS_ERROR.search(str(error))):
        number = int(written[1])
    if number not in _REFUSALS:
        return None
    return SystemCallError(call, path, OSError(number, os.strerror(number)))


class TextWarning(UserWarning):
    """Texts of a collection have no terms under its encoder."""


class CorpusError(LsrError):
    """A collection, a query file or one of its records cannot be read."""


class EncoderError(LsrError):
    """An encoder cannot be found, loaded or applied."""


class EncoderMismatch(EncoderError):
    """The query encoder is not the one the index was built with."""


class VectorError(LsrError):
    """A sparse vector breaks the rules of `lsr.SparseVectors`."""


class RowError(VectorError):
    """One row of vectors breaks the rules: `row` counts from 0, `what` is the problem."""

    def __init__(self, row: int, what: str) -> None:
        self.row, self.what = row, what
        super().__init__(f"row {row} {what}")


class VectorFolderError(LsrError):
    """A folder of encoded vectors is missing, unfinished, damaged, or from another job."""


class QueryError(LsrError):
    """A query or a search parameter is invalid."""

    exit_code = 2


class InstructionSetError(LsrError):
    """`LSR_ISA` names an instruction set that this machine lacks."""

    exit_code = 2


class FusionError(LsrError):
    """A learned fusion cannot be trained, read or applied."""


class IndexError_(LsrError):
    """Base of the errors of index directories."""


class IndexExists(IndexError_):
    """Something exists at the output path, or another process is writing there."""


class IndexFormatError(IndexError_):
    """A directory is not an index, or has a format that this version cannot read."""


class IndexChanged(IndexError_):
    """The edition of a pickled index or of hits is gone, because the index was rebuilt."""


class IndexCorrupt(IndexError_):
    """A file of an index is damaged: `path` is the file, `what` the damage."""

    def __init__(self, path: str | Path, what: str) -> None:
        self.path = Path(path)
        self.what = what
        super().__init__(f"{path} is damaged: {what}; run `lsr verify` and rebuild the index")


class DenseCorrupt(IndexCorrupt):
    """A file of an index's dense side is damaged; the rest of the index can still be used."""

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__(path, what)
        self.args = (
            f"{path} is damaged: {what}; remove the folder {self.path.parent} and make it again "
            "with `lsr index CORPUS -o INDEX --dense ENCODER`; sparse search is unharmed",
        )


def first_line(error: BaseException) -> str:
    """The first line of another library's error, for use in a sentence."""
    return str(error).strip().partition("\n")[0]

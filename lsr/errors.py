"""The errors a user meets.  Each message is one sentence: what is wrong, where, what to do."""

from __future__ import annotations

from pathlib import Path


class LsrError(Exception):
    """Base of every error this library raises on purpose.

    `exit_code` is what the command line ends with: 1 for a failure, 2 for bad usage.
    """

    exit_code = 1


class CorpusError(LsrError):
    """A collection, a query file or one of its records cannot be read."""


class EncoderError(LsrError):
    """An encoder cannot be found, loaded or applied."""


class EncoderMismatch(EncoderError):
    """The query encoder is not the one the index was built with."""


class VectorError(LsrError):
    """A sparse vector breaks the rules of `lsr.SparseVectors`."""


class RowError(VectorError):
    """One row of vectors breaks the rules: `row` counts from 0, `what` says how."""

    def __init__(self, row: int, what: str) -> None:
        self.row, self.what = row, what
        super().__init__(f"row {row} {what}")


class VectorFolderError(LsrError):
    """A folder of encoded vectors is none, unfinished, damaged, or another's work."""


class QueryError(LsrError):
    """A query or a search parameter cannot be served."""

    exit_code = 2


class FusionError(LsrError):
    """A learned fusion cannot be trained, read or applied."""


class IndexError_(LsrError):
    """Base of what goes wrong with an index directory."""


class IndexExists(IndexError_):
    """The place an index should be written to is taken."""


class IndexFormatError(IndexError_):
    """A directory is not an index, or one of a format this version cannot read."""


class IndexCorrupt(IndexError_):
    """A file of an index is damaged: `path` names it, `what` says how."""

    def __init__(self, path: str | Path, what: str) -> None:
        self.path = Path(path)
        self.what = what
        super().__init__(f"{path} is damaged: {what}; run `lsr verify` and rebuild the index")


class DenseCorrupt(IndexCorrupt):
    """A file of an index's dense side is damaged; the rest of the index does not need it."""

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__(path, what)
        self.args = (
            f"{path} is damaged: {what}; remove the folder {self.path.parent} and make it again "
            "with `lsr index CORPUS -o INDEX --dense ENCODER`; sparse search is unharmed",
        )


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line, for a sentence of ours."""
    return str(error).strip().partition("\n")[0]

"""Shared by the formats: where vectors come from, whole-number weights, errors with a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Chunk
from lsr.errors import CorpusError, LsrError, RowError, VectorError
from lsr.progress import Progress
from lsr.vectors import SparseVectors

CHUNK_DOCUMENTS = 2048
CHUNK_POSTINGS = 1 << 20
PASS_POSTINGS = 1 << 26  # 8 bytes each
MOST_IMPACT = 2**31 - 1  # protobuf's int32, and Java's int


class Words(Protocol):
    """The words behind term ids 0 to len - 1."""

    def __len__(self) -> int: ...

    def __getitem__(self, term: int, /) -> str: ...


class Source(Protocol):
    """Encoded documents to be written, in their order; `chunks` starts anew each time."""

    @property
    def documents(self) -> int: ...

    @property
    def postings(self) -> int: ...

    @property
    def words(self) -> Words | None: ...

    def chunks(self) -> Iterator[Chunk]: ...


class Reader(Protocol):
    """Documents of a file; iterating starts from the beginning each time.

    Raises `CorpusError`, naming the line or row, for what breaks the format.
    """

    @property
    def fraction(self) -> float | None:
        """The share read so far, 0 to 1; None when it is unknown."""
        ...

    @property
    def words(self) -> Sequence[str] | None:
        """The words of the term ids, complete when all is read; None when there are none."""
        ...

    def __iter__(self) -> Iterator[Chunk]: ...


def walk(source: Source, what: str, progress: type[Progress]) -> Iterator[Chunk]:
    """The chunks of a source, small enough for 32-bit sizes; reports how far it is."""
    with progress(what, "documents", source.documents) as bar:
        for chunk in source.chunks():
            yield from map(chunk.__getitem__, pieces(chunk.vectors.indptr))
            bar.advance(len(chunk.ids))


def pieces(indptr: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Ranges of rows, each of few rows and few postings, or of one row."""
    start, rows = 0, indptr.size - 1
    while start < rows:
        most = int(np.searchsorted(indptr, indptr[start] + CHUNK_POSTINGS, side="right")) - 1
        stop = min(max(most, start + 1), start + CHUNK_DOCUMENTS, rows)
        yield slice(start, stop)
        start = stop


def passes(starts: npt.NDArray[np.int64]) -> Iterator[range]:
    """Ranges of what starts there, each of at most `PASS_POSTINGS` postings, or of one."""
    first = 0
    while first < starts.size - 1:
        last = int(np.searchsorted(starts, starts[first] + PASS_POSTINGS, side="right")) - 1
        yield range(first, max(last, first + 1))
        first = max(last, first + 1)


def columns(source: Source, progress: type[Progress]) -> int:
    """One more than the largest term id there can be."""
    if source.words is not None:
        return len(source.words)
    chunks = walk(source, "Looking for the largest term", progress)
    return 1 + max((int(chunk.vectors.terms.max(initial=0)) for chunk in chunks), default=-1)


def whole(vectors: SparseVectors, scale: float) -> tuple[SparseVectors, npt.NDArray[np.int64]]:
    """The vectors without zeros, and their weights as impacts: times `scale`, rounded, at least 1.

    Raises `LsrError` when an impact does not fit 31 bits.
    """
    vectors = vectors.where(vectors.weights > 0)
    with np.errstate(over="ignore"):  # it becomes infinite, which is refused
        scaled = np.rint(vectors.weights.astype(np.float64) * scale)
    if scaled.max(initial=0) > MOST_IMPACT:
        raise LsrError(
            f"the weight {vectors.weights.max()} times {scale:g} is more than the {MOST_IMPACT:,} "
            "that readers take; give a smaller --scale"
        )
    return vectors, np.maximum(scaled, 1).astype(np.int64)


def checked(
    where: str,
    numbers: Sequence[int],
    indptr: npt.ArrayLike,
    terms: npt.ArrayLike,
    weights: npt.ArrayLike,
) -> SparseVectors:
    """Rows in ascending order of terms; `CorpusError` names a bad one, as in "FILE, row 7".

    Args:
        where: such as "FILE, row".
        numbers: of the rows there.
    """
    try:
        return SparseVectors.from_unsorted(indptr, terms, weights)
    except RowError as error:
        raise CorpusError(f"{where} {numbers[error.row]} {error.what}") from None
    except VectorError as error:
        raise CorpusError(f"{where}s {numbers[0]} to {numbers[-1]}: {error}") from None


def unique(seen: set[str], identifier: str, where: str, kind: str) -> None:
    """Add an id to those seen; raise `CorpusError` when it was there, "FILE, line 7" being where
    and, for `kind`, "document" what is to have an id of its own."""
    if identifier in seen:
        raise CorpusError(f"{where} repeats the id {identifier!r}; give each {kind} a unique id")
    seen.add(identifier)


def damaged(where: object, problem: str) -> NoReturn:
    """Refuse a file that is not as its format has it."""
    raise CorpusError(f"{where} {problem}; fetch or write the file again")

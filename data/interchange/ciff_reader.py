"""Reading the Common Index File Format, whose grammar is the docstring of `ciff`."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Chunk
from lsr.data.interchange.base import checked, damaged, passes, pieces, unique
from lsr.data.interchange.messages import (
    CUT,
    PROBLEMS,
    count,
    find_bytes,
    find_number,
    place,
    varint,
)
from lsr.data.interchange.vocabulary import Vocabulary
from lsr.data.records import BadRecord, checked_id
from lsr.errors import CorpusError

STEP = "a weight is its impact times "
_STEP = re.compile(re.escape(STEP) + r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\Z")

# Of the header, of a postings list, of a record of a document.
_LISTS, _DOCUMENTS, _DESCRIPTION = 2, 3, 8
_TERM = 1
_NUMBER, _ID = 1, 2

_Bytes = npt.NDArray[np.uint8]


class CiffReader:
    """Documents of a file, its lists inverted; see `lsr.data.interchange.base.Reader`.

    The lists are gone through once to check and count them, then once for each
    `base.PASS_POSTINGS` postings to turn them into rows.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary) -> None:
        self._path, self._vocabulary = path, vocabulary
        self.fraction: float | None = None

    @property
    def words(self) -> Sequence[str]:
        return self._vocabulary.words

    def __iter__(self) -> Iterator[Chunk]:
        data = self._map()
        header, lists_at = self._frame(data, 0, "header")
        lists, documents = header.number(_LISTS), header.number(_DOCUMENTS)
        # A message takes a byte at least, that of its length.
        if min(lists, documents) < 0 or lists + documents > data.size - lists_at:
            damaged(
                self._path,
                f"declares {lists:,} postings lists and {documents:,} documents, which do not "
                f"fit its {data.size:,} bytes",
            )
        step = _STEP.search(header.text(_DESCRIPTION))
        scale = float(step[1]) if step else 1.0
        counts = np.zeros(documents, np.int64)
        terms, ids_at = self._check_lists(data, lists_at, lists, counts)
        ids = self._ids(data, ids_at, documents)
        starts = np.concatenate([[0], np.cumsum(counts)])
        for part in passes(starts):
            indptr = starts[part.start : part.stop + 1] - starts[part.start]
            row_terms, impacts = self._rows(data, lists_at, terms, part.start, indptr)
            for rows in pieces(indptr):
                bounds = indptr[rows.start : rows.stop + 1]
                entries = slice(bounds[0], bounds[-1])
                numbers = range(part.start + rows.start, part.start + rows.stop)
                vectors = checked(
                    f"{self._path}, document",
                    numbers,
                    bounds - bounds[0],
                    row_terms[entries],
                    impacts[entries].astype(np.float64) * scale,
                )
                yield Chunk(ids[numbers.start : numbers.stop], None, None, vectors)
                self.fraction = numbers.stop / documents

    def _map(self) -> _Bytes:
        try:
            with self._path.open("rb") as file:
                if not file.read(1):
                    damaged(self._path, "is empty")
                # The map goes with the last array over it.
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise CorpusError(f"{self._path} cannot be read: {error.strerror}") from error
        return np.frombuffer(mapped, np.uint8)

    def _check_lists(
        self, data: _Bytes, at: int, lists: int, counts: npt.NDArray[np.int64]
    ) -> tuple[list[int], int]:
        """The terms of the lists, and where these end; counts the postings of each document."""
        terms: dict[int, None] = {}
        for number in range(1, lists + 1):
            message, at = self._frame(data, at, f"postings list {number}")
            problem = count(data, message.start, at, counts)
            if problem:
                damaged(message.where, PROBLEMS[problem])
            token = message.text(_TERM)
            try:
                term = self._vocabulary.term(token)
            except BadRecord as error:
                raise CorpusError(f"{message.where} {error}") from None
            if term in terms:
                damaged(message.where, f"is a second one of {token[:80]!r}")
            terms[term] = None
        return list(terms), at

    def _ids(self, data: _Bytes, at: int, documents: int) -> list[str]:
        """The id of each document, after which the file ends."""
        ids: list[str] = [""] * documents
        seen: set[str] = set()
        for number in range(1, documents + 1):
            record, at = self._frame(data, at, f"document record {number}")
            document = record.number(_NUMBER)
            try:
                identifier = checked_id(record.text(_ID))
            except BadRecord as error:
                raise CorpusError(f"{record.where} {error}") from None
            if not 0 <= document < documents or ids[document]:
                damaged(record.where, f"is of document {document}, beyond or again")
            unique(seen, identifier, record.where, "document")
            ids[document] = identifier
        if at != data.size:
            damaged(self._path, f"goes on for {data.size - at:,} bytes after its last document")
        return ids

    def _rows(
        self, data: _Bytes, at: int, terms: list[int], first: int, indptr: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """Terms and impacts of some documents, from `first` on; `indptr` says where they go."""
        row_terms = np.empty(indptr[-1], np.uint32)
        impacts = np.empty(indptr[-1], np.float32)
        nexts = indptr[:-1].copy()
        for term in terms:
            message, at = self._frame(data, at, "postings list")
            place(data, message.start, at, term, first, nexts, row_terms, impacts)
        return row_terms, impacts

    def _frame(self, data: _Bytes, at: int, name: str) -> tuple[_Message, int]:
        """The message whose length stands at `at`, and where it ends."""
        length, start = varint(data, at, data.size)
        if start < 0 or length < 0 or length > data.size - start:
            damaged(f"{self._path}, {name}", PROBLEMS[CUT])
        return _Message(data, start, start + length, f"{self._path}, {name}"), start + length


class _Message(NamedTuple):
    """Part of the file; `where` names it in messages."""

    data: _Bytes
    start: int
    stop: int
    where: str

    def number(self, field: int) -> int:
        """The number of a field; 0 if it has none."""
        number, good = find_number(self.data, self.start, self.stop, field)
        if not good:
            damaged(self.where, PROBLEMS[CUT])
        return number

    def text(self, field: int) -> str:
        """The text of a field; empty if it has none."""
        start, end, good = find_bytes(self.data, self.start, self.stop, field)
        if not good:
            damaged(self.where, PROBLEMS[CUT])
        try:
            return self.data[start:end].tobytes().decode()
        except UnicodeDecodeError:
            damaged(self.where, "has a name that is not UTF-8")

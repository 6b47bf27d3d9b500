"""Reading the Common Index File Format, whose grammar is the docstring of `ciff`."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Chunk
from lsr.data.interchange.base import checked, damaged, passes, pieces
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
        start, lists_at = self._frame(data, 0, "header")
        lists = self._number(data, start, lists_at, _LISTS, "header")
        documents = self._number(data, start, lists_at, _DOCUMENTS, "header")
        # A message takes a byte at least, that of its length.
        if min(lists, documents) < 0 or lists + documents > data.size - lists_at:
            damaged(
                self._path,
                f"speaks of {lists:,} postings lists and {documents:,} documents, which do not "
                f"fit its {data.size:,} bytes",
            )
        step = _STEP.search(self._text(data, start, lists_at, _DESCRIPTION, "header"))
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
            where = f"postings list {number}"
            start, at = self._frame(data, at, where)
            problem = count(data, start, at, counts)
            if problem:
                damaged(f"{self._path}, {where}", PROBLEMS[problem])
            token = self._text(data, start, at, _TERM, where)
            try:
                term = self._vocabulary.term(token)
            except BadRecord as error:
                raise CorpusError(f"{self._path}, {where} {error}") from None
            if term in terms:
                damaged(f"{self._path}, {where}", f"is a second one of {token[:80]!r}")
            terms[term] = None
        return list(terms), at

    def _ids(self, data: _Bytes, at: int, documents: int) -> list[str]:
        """The id of each document, after which the file ends."""
        ids: list[str] = [""] * documents
        seen: set[str] = set()
        for number in range(1, documents + 1):
            where = f"document record {number}"
            start, at = self._frame(data, at, where)
            document = self._number(data, start, at, _NUMBER, where)
            try:
                identifier = checked_id(self._text(data, start, at, _ID, where))
            except BadRecord as error:
                raise CorpusError(f"{self._path}, {where} {error}") from None
            if not 0 <= document < documents or ids[document]:
                damaged(f"{self._path}, {where}", f"is of document {document}, beyond or again")
            if identifier in seen:
                raise CorpusError(
                    f"{self._path}, {where} repeats the id {identifier!r}; give each document an "
                    "id of its own"
                )
            seen.add(identifier)
            ids[document] = identifier
        if at != data.size:
            damaged(self._path, f"goes on for {data.size - at:,} bytes after its last document")
        return ids

    def _rows(
        self,
        data: _Bytes,
        at: int,
        terms: list[int],
        first: int,
        indptr: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """Terms and impacts of some documents, from `first` on; `indptr` says where they go."""
        row_terms = np.empty(indptr[-1], np.uint32)
        impacts = np.empty(indptr[-1], np.float32)
        nexts = indptr[:-1].copy()
        for term in terms:
            start, at = self._frame(data, at, "postings list")
            place(data, start, at, term, first, nexts, row_terms, impacts)
        return row_terms, impacts

    def _frame(self, data: _Bytes, at: int, where: str) -> tuple[int, int]:
        """Start and end of the message whose length stands at `at`."""
        length, start = varint(data, at, data.size)
        if start < 0 or length < 0 or length > data.size - start:
            damaged(f"{self._path}, {where}", PROBLEMS[CUT])
        return start, start + length

    def _number(self, data: _Bytes, at: int, stop: int, field: int, where: str) -> int:
        number, good = find_number(data, at, stop, field)
        if not good:
            damaged(f"{self._path}, {where}", PROBLEMS[CUT])
        return number

    def _text(self, data: _Bytes, at: int, stop: int, field: int, where: str) -> str:
        start, end, good = find_bytes(data, at, stop, field)
        if not good:
            damaged(f"{self._path}, {where}", PROBLEMS[CUT])
        try:
            return data[start:end].tobytes().decode()
        except UnicodeDecodeError:
            damaged(f"{self._path}, {where}", "has a name that is not UTF-8")

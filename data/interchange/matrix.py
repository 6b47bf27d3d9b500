"""Shared by the formats of bare matrices: rows in groups, ids and words in files beside.

    FILE.ids   = (id "\\n")*             the id of each row, which has no line ends in it
    FILE.words = (word "\\n")*           the word of each term id

Both are UTF-8 text.  Without them rows are called by their numbers, from 0, and terms have no
words; a vocabulary given by the user takes the place of FILE.words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Chunk
from lsr.data.interchange.base import Source, checked, damaged, pieces, unique
from lsr.data.interchange.vocabulary import Given, holds_lines, read_words
from lsr.data.records import BadRecord, checked_id, decode
from lsr.data.sources import stop
from lsr.data.streams import LineStream
from lsr.errors import CorpusError, LsrError
from lsr.storage.files import replacing

_IDS, _WORDS = ".ids", ".words"

# First and end of some entries -> their term ids and weights.
Entries = Callable[[int, int], tuple[npt.NDArray[Any], npt.NDArray[Any]]]


def beside(path: Path, suffix: str) -> Path:
    """The file of ids or words that belongs to a matrix."""
    return path.with_name(path.name + suffix)


@contextmanager
def ids_beside(path: Path, source: Source) -> Iterator[tuple[Callable[[Sequence[str]], None], str]]:
    """Write FILE.words, and give what writes ids to FILE.ids: all or nothing.

    Also gives what to tell the user about them.  Raises `LsrError` when there is a FILE.words of
    other vectors and these have none.
    """
    named = source.words
    words = None if named is None else [named[term] for term in range(len(named))]
    ids_file, words_file = beside(path, _IDS), beside(path, _WORDS)
    with ExitStack() as closing:
        if words is not None and holds_lines(words):
            file = closing.enter_context(replacing(words_file))
            file.writelines(f"{word}\n".encode() for word in words)
            note = (
                f"It holds no texts, ids and words: {ids_file} and {words_file} have the two last."
            )
        elif words_file.exists():
            raise LsrError(
                f"{words_file} has words of other vectors, and these have none to put there; "
                "remove it or choose another place"
            )
        else:
            note = f"It holds no texts and no ids: {ids_file} has these."
            if words is not None:
                note += " Its words are left out, as some have line ends in them."
        file = closing.enter_context(replacing(ids_file))
        yield partial(_write_ids, file, ids_file), note


def _write_ids(file: IO[bytes], path: Path, ids: Sequence[str]) -> None:
    if not holds_lines(ids):
        wrong = next(identifier for identifier in ids if not holds_lines([identifier]))
        raise LsrError(
            f"{path} has an id a line and cannot hold {wrong[:80]!r}; export to JSON lines or ciff"
        )
    file.writelines(f"{identifier}\n".encode() for identifier in ids)


class MatrixReader:
    """Rows of a matrix; subclasses open it.  See `lsr.data.interchange.base.Reader`."""

    def __init__(self, path: Path, vocabulary: Given | None) -> None:
        self._path = path
        if vocabulary is None and beside(path, _WORDS).exists():
            vocabulary = read_words(beside(path, _WORDS))
        self._vocabulary = vocabulary
        self.fraction: float | None = None

    @property
    def words(self) -> Sequence[str] | None:
        return None if self._vocabulary is None else self._vocabulary.words

    def _chunks(
        self, indptr: npt.NDArray[np.int64], columns: int, entries: Entries
    ) -> Iterator[Chunk]:
        rows = indptr.size - 1
        ids = _ids(self._path, rows)
        for part in pieces(indptr):
            terms, weights = entries(int(indptr[part.start]), int(indptr[part.stop]))
            starts = indptr[part.start : part.stop + 1] - indptr[part.start]
            numbers = range(part.start, part.stop)
            vectors = checked(f"{self._path}, row", numbers, starts, terms, weights)
            beyond = np.flatnonzero(vectors.terms >= columns)
            if beyond.size:
                row = numbers[int(np.searchsorted(starts, beyond[0], side="right")) - 1]
                term = vectors.terms[beyond[0]]
                damaged(self._path, f"has the term {term} in row {row}, of {columns:,} columns")
            if self._vocabulary is not None:
                self._vocabulary.check(f"{self._path}, row", part.start, vectors)
            yield Chunk([next(ids) for _ in numbers], None, None, vectors)
            self.fraction = part.stop / rows
        for extra in ids:
            raise CorpusError(_miscounted(self._path, f"more ids ({extra!r}) than", rows))

    def _check_starts(self, indptr: npt.NDArray[np.int64], entries: int) -> None:
        ends = (0, entries)
        if not indptr.size or (indptr[0], indptr[-1]) != ends or (np.diff(indptr) < 0).any():
            damaged(self._path, f"has rows that do not add up to its {entries:,} entries")


def _ids(path: Path, rows: int) -> Iterator[str]:
    """The ids of the rows: the lines of FILE.ids, or else their numbers."""
    file = beside(path, _IDS)
    if not file.exists():
        yield from map(str, range(rows))
        return
    seen: set[str] = set()
    for number, line in LineStream(file).lines():
        try:
            identifier = checked_id(decode(line))
        except BadRecord as error:
            stop(f"{file}, line {number}", error)
        unique(seen, identifier, f"{file}, line {number}", "row")
        yield identifier
    if len(seen) < rows:
        raise CorpusError(_miscounted(path, f"{len(seen):,} ids for", rows))


def _miscounted(path: Path, count: str, rows: int) -> str:
    return (
        f"{beside(path, _IDS)} has {count} the {rows:,} rows of {path.name}; give each row one id, "
        "or remove the file to call rows by their numbers"
    )

"""Term ids of the tokens in a file: given by a vocabulary, or in order of first appearance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from lsr.data.records import BadRecord, decode, well_formed
from lsr.data.streams import LineStream
from lsr.data.token_vectors import term_of
from lsr.errors import CorpusError
from lsr.vectors import SparseVectors

_LINE_ENDS = ("\n", "\r")


class Given:
    """The words of term ids 0 to len(words) - 1, all different; `name` is for messages."""

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.name, self.words = name, words
        self._find = {word: term for term, word in enumerate(words)}.get

    def term(self, token: str) -> int:
        """The id of a token, or of an id in digits; `BadRecord` when it is neither."""
        term = term_of(token, self._find, f"{self.name}; give the vocabulary of the vectors")
        if term >= len(self.words):
            raise BadRecord(self._beyond(term))
        return term

    def check(self, where: str, first: int, vectors: SparseVectors) -> None:
        """Raise `CorpusError` for a term id of a row that has no word; `first` is row 0."""
        beyond = np.flatnonzero(vectors.terms >= len(self.words))
        if beyond.size:
            row = first + int(np.searchsorted(vectors.indptr, beyond[0], side="right")) - 1
            raise CorpusError(f"{where} {row} {self._beyond(int(vectors.terms[beyond[0]]))}")

    def _beyond(self, term: int) -> str:
        return (
            f"has the term {term}, beyond the {len(self.words):,} words of {self.name}; give the "
            "vocabulary of the vectors"
        )


class Learned:
    """Tokens get their ids in order of first appearance."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._ids: dict[str, int] = {}

    def term(self, token: str) -> int:
        """The id of a token, a new one for a new token."""
        term = self._ids.get(token)
        if term is None:
            well_formed(token, "token")
            term = self._ids[token] = len(self.words)
            self.words.append(token)
        return term


Vocabulary: TypeAlias = Given | Learned


def read_words(path: Path) -> Given:
    """A text file with one token a line, the line's number less one being its term id.

    Raises `CorpusError` when it cannot be read, or a token is there twice.
    """
    stream = LineStream(path)
    ids: dict[str, int] = {}
    for number, line in stream.lines():
        try:
            word = decode(line)
        except BadRecord as error:
            raise CorpusError(f"{path}, line {number} {error}") from None
        if ids.setdefault(word, number - 1) != number - 1:
            raise CorpusError(
                f"{path}, line {number} repeats the token {word[:80]!r}; give each token one line"
            )
    return Given(str(path), list(ids))


def holds_lines(words: Sequence[str]) -> bool:
    """Whether a text file of one word a line gives the same words back."""
    marked = words[:1] and words[0].startswith("\ufeff")  # which is taken for a file's mark
    return not marked and not any(end in word for word in words for end in _LINE_ENDS)

"""English text to terms: lower case, Lucene's stop words dropped, Snowball stems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import Stemmer

from lsr.vectors import SparseVectors

# What decides the terms of a text, as recorded in an index.
ANALYZER = {"language": "english", "stop_words": "lucene-english", "stemmer": "snowball-english"}

# Runs of two or more letters, digits and underscores, in any script.
WORD = re.compile(r"\b\w\w+\b")

# The English list of Lucene's EnglishAnalyzer (ENGLISH_STOP_WORDS_SET).  It stands here
# because English lists of other packages hold from 33 to 1,333 words, and scores must not
# change with a dependency's release.
# fmt: off
STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is",
    "it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there",
    "these", "they", "this", "to", "was", "will", "with",
))
# fmt: on

_STOP = -1
_UNKNOWN = -2
_CACHED_WORDS = 1 << 19  # about 150 bytes each, so at most some 80 MB
_WORDS_AT_ONCE = 1 << 20  # about 60 bytes each while a batch is counted


class TermIds(dict[str, int]):
    """Lower-cased word -> term id, or negative for a stop word or an unknown one.

    A distinct word is stemmed and resolved once and then remembered.  When the memory is
    full it is emptied: the words in use come back at the price of one stemming each.
    """

    def __init__(self, resolve: Callable[[str], int | None]) -> None:
        super().__init__()
        self._resolve = resolve
        self._stem: Callable[[str], str] = Stemmer.Stemmer("english", 0).stemWord

    def __missing__(self, word: str) -> int:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        if word in STOP_WORDS:
            term = _STOP
        else:
            found = self._resolve(self._stem(word))
            term = _UNKNOWN if found is None else found
        self[word] = term
        return term


class GrowingVocabulary:
    """Words numbered in the order they are first added, after those it is made with."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = list(words)
        self._terms = {word: term for term, word in enumerate(self._words)}

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, term: int, /) -> str:
        return self._words[term]

    def find(self, word: str) -> int | None:
        """The id of a word, or None."""
        return self._terms.get(word)

    def add(self, word: str) -> int:
        """The id of a word, new or not."""
        term = self._terms.setdefault(word, len(self._words))
        if term == len(self._words):
            self._words.append(word)
        return term


def count_terms(texts: Sequence[str], ids: TermIds) -> tuple[SparseVectors, npt.NDArray[np.int64]]:
    """Count the terms of each text.

    Returns the counts of the known terms, one row a text, and the length of each text: its
    words that are not stop words, unknown ones included (int64, one a text).
    """
    parts: list[SparseVectors] = []
    lengths: list[npt.NDArray[np.int64]] = []
    words: list[str] = []
    ends: list[int] = []

    def flush() -> None:
        vectors, length = _count(words, ends, ids)
        parts.append(vectors)
        lengths.append(length)
        words.clear()
        ends.clear()

    for text in texts:
        words += WORD.findall(text.lower())
        ends.append(len(words))
        if len(words) >= _WORDS_AT_ONCE:
            flush()
    flush()
    return SparseVectors.concatenate(parts), np.concatenate(lengths)


def _count(
    words: list[str], ends: list[int], ids: TermIds
) -> tuple[SparseVectors, npt.NDArray[np.int64]]:
    rows = len(ends)
    terms = np.fromiter(map(ids.__getitem__, words), np.int64, len(words))
    bounds = np.array([0, *ends], np.int64)
    row = np.repeat(np.arange(rows), bounds[1:] - bounds[:-1])
    lengths = np.bincount(row[terms != _STOP], minlength=rows)
    known = terms >= 0
    # One sort groups equal terms of a text and leaves the terms of a row ascending.
    entries, counts = np.unique((row[known] << 32) | terms[known], return_counts=True)
    indptr = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(entries >> 32, minlength=rows), out=indptr[1:])
    vectors = SparseVectors.trusted(
        indptr, (entries & 0xFFFFFFFF).astype(np.uint32), counts.astype(np.float32)
    )
    return vectors, lengths

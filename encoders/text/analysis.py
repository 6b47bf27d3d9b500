"""Text to terms: words of every script, stop words dropped, the rest stemmed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import WordList
from lsr.encoders.text.languages import AUTO, ENGLISH, Stem, stemmer_of, stop_words_of
from lsr.encoders.text.scripts import PLAIN_WORD, words
from lsr.errors import EncoderError
from lsr.vectors import SparseVectors

# The rule by which `Analysis.words` cuts texts.  Indexes that record none have the first.
WORD_RULE = 2

_STOP = -1
_UNKNOWN = -2
_CACHED_WORDS = 1 << 19  # about 150 bytes each, so at most some 80 MB
_WORDS_AT_ONCE = 1 << 20  # about 60 bytes each while a batch is counted


@dataclass(frozen=True)
class Analysis:
    """The settings that determine the terms of a text.

    Attributes:
        language: whose stems and stop words, as `lsr.encoders.text.languages.find_language` gives
        it.
        rule: how texts are cut into words: 2 is that of `lsr.encoders.text.scripts`; 1 that of
            indexes made before there was a second, runs of two or more letters, digits and
            underscores.
    """

    language: str = ENGLISH
    rule: int = WORD_RULE

    @property
    def identity(self) -> dict[str, Any]:
        """The analysis as recorded in an index."""
        recorded: dict[str, Any] = {
            "language": self.language,
            "stop_words": "lucene-english" if stop_words_of(self.language) else "none",
            "stemmer": "snowball-by-script"
            if self.language == AUTO
            else f"snowball-{self.language}",
        }
        return recorded if self.rule == 1 else {**recorded, "word_rule": self.rule}

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> Analysis:
        """The recorded analysis; raises `EncoderError` for one of another version."""
        analysis = cls(str(identity.get("language")), identity.get("word_rule", 1))
        recorded = {key: identity.get(key) for key in ("language", "stop_words", "stemmer")}
        recorded |= {key: identity[key] for key in ("word_rule",) if key in identity}
        if recorded != analysis.identity or analysis.rule not in (1, WORD_RULE):
            raise EncoderError(
                f"the index was built with the text analysis {recorded}, which this version does "
                f"not have (its latest is {cls(analysis.language).identity}); rebuild the index"
            )
        return analysis

    def words(self, text: str) -> list[str]:
        """The words of a text, folded, in order."""
        if self.rule == 1:
            return PLAIN_WORD.findall(text.lower())
        if self.language == "turkish":  # whose I is the capital of ı, and whose İ is that of i
            text = normalize("NFKC", text).replace("İ", "i").replace("I", "ı")
        return words(text)

    def stemmer(self) -> Stem:
        """The stemmer, for one thread."""
        return stemmer_of(self.language)


class TermIds(dict[str, int]):
    """Word -> term id, or negative for a stop word or an unknown one.

    A distinct word is stemmed and resolved once and then remembered.  When the memory is
    full it is emptied: the words in use come back at the price of one stemming each.
    """

    def __init__(
        self, resolve: Callable[[str], int | None], analysis: Analysis | None = None
    ) -> None:
        super().__init__()
        self.analysis = analysis or Analysis()
        self._resolve, self._stem = resolve, self.analysis.stemmer()

    def __missing__(self, word: str) -> int:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        stem = self._stem(word)
        if stem is None:
            term = _STOP
        else:
            resolved = self._resolve(stem)
            term = _UNKNOWN if resolved is None else resolved
        self[word] = term
        return term


class GrowingVocabulary(WordList):
    """Words numbered in the order they are first added, after those it is made with."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        numbered = list(words)
        super().__init__(numbered, {word: term for term, word in enumerate(numbered)})

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
    batch: list[str] = []
    ends: list[int] = []

    def flush() -> None:
        vectors, length = _count(batch, ends, ids)
        parts.append(vectors)
        lengths.append(length)
        batch.clear()
        ends.clear()

    cut = ids.analysis.words
    for text in texts:
        batch += cut(text)
        ends.append(len(batch))
        if len(batch) >= _WORDS_AT_ONCE:
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

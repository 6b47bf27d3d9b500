"""Vocabularies and vectors of several encoders side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsr.encoders.base import Vocabulary
from lsr.vectors import SparseVectors


class Joined:
    """The words of parts one after another, as "PART:word"; they may still grow."""

    def __init__(self, parts: Sequence[tuple[str, Vocabulary]]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(vocabulary) for _, vocabulary in self._parts)

    def __getitem__(self, term: int, /) -> str:
        for name, vocabulary in self._parts:
            if term < len(vocabulary):
                return f"{name}:{vocabulary[term]}"
            term -= len(vocabulary)
        raise IndexError(f"there is no term {term}")

    def find(self, word: str) -> int | None:
        """The id of "PART:word", or None."""
        start = 0
        for name, vocabulary in self._parts:
            if word.startswith(f"{name}:"):
                term = vocabulary.find(word.removeprefix(f"{name}:"))
                if term is not None:
                    return start + term
            start += len(vocabulary)
        return None


class Slice:
    """One part's words of a joint vocabulary, without their prefix."""

    def __init__(self, vocabulary: Vocabulary, name: str, start: int, stop: int) -> None:
        self._vocabulary, self._prefix = vocabulary, f"{name}:"
        self._start, self._stop = start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, term: int, /) -> str:
        return self._vocabulary[self._start + term].removeprefix(self._prefix)

    def find(self, word: str) -> int | None:
        """The id of a word among the part's, or None."""
        term = self._vocabulary.find(self._prefix + word)
        return None if term is None or not self._start <= term < self._stop else term - self._start


def join(
    parts: Sequence[SparseVectors], starts: Sequence[int], factors: Sequence[float] | None = None
) -> SparseVectors:
    """Rows of several vectors side by side: each part's terms from its start, times its factor."""
    lengths = np.array([np.diff(part.indptr) for part in parts])
    indptr = np.concatenate([[0], np.cumsum(lengths.sum(axis=0))])
    terms = np.empty(indptr[-1], np.uint32)
    weights = np.empty(indptr[-1], np.float32)
    first = indptr[:-1].copy()  # where the next part's entries of a row go
    for number, part in enumerate(parts):
        places = np.arange(part.terms.size) + np.repeat(first - part.indptr[:-1], lengths[number])
        terms[places] = part.terms + np.uint32(starts[number])
        weights[places] = part.weights * np.float32(factors[number] if factors else 1)
        first += lengths[number]
    return SparseVectors.trusted(indptr, terms, weights)

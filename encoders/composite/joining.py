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
    factors = factors or [1.0] * len(parts)
    terms = [part.terms + np.uint32(start) for part, start in zip(parts, starts, strict=True)]
    weights = [p.weights * np.float32(factor) for p, factor in zip(parts, factors, strict=True)]
    # Stable, so the parts of a row keep their order.
    order = np.argsort(np.concatenate([part.row_of_entry() for part in parts]), kind="stable")
    indptr = np.sum([part.indptr for part in parts], axis=0)
    return SparseVectors.trusted(
        indptr, np.concatenate(terms)[order], np.concatenate(weights)[order]
    )

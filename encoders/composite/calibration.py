"""The scale of an encoder's scores: its mean best score over queries drawn from a collection.

The queries are the first words of some hundred documents, in most collections of their titles.
The source document of a query is left out: a user's query is not quoted from the document that
answers it, and quotations would favour a lexical encoder.

In a collection of a few documents, the others share terms with a query only by chance: the scores
of one encoder may be forty times those of another.  If fewer than `ENOUGH` queries have another
document as a hit, source documents count, too, for all encoders alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lsr.encoders.rows import matrix_of
from lsr.vectors import SparseVectors

QUERIES = 256
# Queries whose mean is trusted: best scores vary by about half their mean, and so this by a tenth.
ENOUGH = 32
WORDS = 8  # a query's length
_SENTENCE_END = re.compile(r"[.!?](?=\s)")
_DOCUMENTS = 256  # scored at once, which bounds the memory for pairs of posting and query


class PseudoQueries:
    """A sample of the first words of texts.

    Those with the least hashes are taken, so the sample does not depend on how texts are batched.
    """

    def __init__(self) -> None:
        # Query -> (its hash, the number of its text).
        self._sample: dict[str, tuple[int, int]] = {}
        self._seen = 0

    def add(self, texts: Sequence[str]) -> None:
        """Let texts take part; those without words are passed over."""
        for number, text in enumerate(texts, self._seen):
            query = opening(text)
            if query and query not in self._sample:
                digest = hashlib.blake2b(query.encode(), digest_size=8).digest()
                self._sample[query] = int.from_bytes(digest, "big"), number
        by_hash = sorted(self._sample.items(), key=lambda entry: entry[1])
        self._sample = dict(by_hash[:QUERIES])
        self._seen += len(texts)

    @property
    def texts(self) -> list[str]:
        """The sample, at most `QUERIES` texts, in a fixed order."""
        return list(reversed(self._sample))

    @property
    def sources(self) -> npt.NDArray[np.int64]:
        """The number of the text that each is from, counted in the order added."""
        return np.array([number for _, number in reversed(self._sample.values())], np.int64)


def opening(text: str) -> str:
    """The first sentence of a text, at most `WORDS` words of it."""
    words = text[: 64 * WORDS].split(maxsplit=WORDS)[:WORDS]
    return _SENTENCE_END.split(" ".join(words), 1)[0]


class BestScores:
    """The best scores of each query among documents that come batch by batch, in order: of all
    documents, and of those that the query is not from.

    Args:
        queries: one row a query.
        sources: of each, the number of the document it is from.
    """

    def __init__(self, queries: SparseVectors, sources: npt.NDArray[np.int64]) -> None:
        self._columns = int(queries.terms.max(initial=0)) + 1  # others score nothing
        self._queries = matrix_of(queries, self._columns).T.tocsr()
        self._sources, self._seen = sources, 0
        self._best: npt.NDArray[np.float64] = np.zeros(len(queries))
        self._best_of_all: npt.NDArray[np.float64] = np.zeros(len(queries))

    def add(self, documents: SparseVectors) -> None:
        """Score documents against all queries."""
        for start in range(0, len(documents), _DOCUMENTS):
            self._score(documents[start : start + _DOCUMENTS])

    @property
    def enough(self) -> bool:
        """Whether enough queries found another document than their own."""
        return bool(np.count_nonzero(self._best) >= ENOUGH)

    def mean(self, *, own: bool) -> float:
        """Over the queries that found any document; 1 when there are none.

        `own`: whether the documents that the queries are from count.
        """
        best = self._best_of_all if own else self._best
        positive = best[best > 0]
        return float(positive.mean()) if positive.size else 1.0

    def _score(self, documents: SparseVectors) -> None:
        matched = documents.where(documents.terms < self._columns)
        scores = (matrix_of(matched, self._columns) @ self._queries).toarray()
        np.maximum(self._best_of_all, scores.max(axis=0, initial=0.0), out=self._best_of_all)
        source_rows = self._sources - self._seen
        sources = np.flatnonzero((source_rows >= 0) & (source_rows < len(documents)))
        scores[source_rows[sources], sources] = 0
        self._seen += len(documents)
        np.maximum(self._best, scores.max(axis=0, initial=0.0), out=self._best)

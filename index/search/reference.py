"""Block-max pruning by the simplest code: the oracle of the compiled kernels.

Ding and Suel, "Faster Top-k Document Retrieval Using Block-Max Indexes" (SIGIR 2011), with
documents visited a block at a time in descending order of their blocks' bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.index.format import BLOCK
from lsr.index.postings.decoding import decode
from lsr.index.postings.quantizer import IntegerQueries
from lsr.jit import compiled
from lsr.storage.arrow import Columns
from lsr.vectors import SparseVectors


class Reference:
    """Searches decoded partitions: the columns of each, and its number of documents.

    Raises `ValueError` when the columns of a partition do not fit each other.
    """

    def __init__(
        self,
        partitions: list[tuple[Columns, int]],
        positions: npt.NDArray[np.uint32],
        alive: npt.NDArray[np.uint8],
    ) -> None:
        self._partitions = [(decode(columns, count), count) for columns, count in partitions]
        for postings, count in self._partitions:
            if (postings.documents >= count).any():  # compiled code checks no bounds
                raise ValueError("the documents of a run leave the partition")
        self._positions = positions
        self._alive = np.unpackbits(alive, bitorder="little")[: positions.size]

    def search(
        self, queries: SparseVectors, integers: IntegerQueries, k: int, exact_floats: bool
    ) -> list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]]:
        """The k best documents of each query: (documents, scores)."""
        hits = []
        for row in range(len(integers)):
            span = slice(integers.indptr[row], integers.indptr[row + 1])
            terms, weights = integers.terms[span], integers.weights[span]
            # By weights as floats, every document that matches is a candidate.
            top = Top(self._positions.size if exact_floats else k)
            first = 0
            for postings, count in self._partitions:
                search_partition(
                    postings.terms,
                    postings.starts,
                    postings.documents,
                    postings.weights,
                    terms,
                    weights,
                    self._alive[first : first + count],
                    self._positions[first : first + count],
                    first,
                    top.scores,
                    top.positions,
                    top.documents,
                    top.state,
                )
                first += count
            kept = int(top.state[0])
            documents, sums = top.documents[:kept], top.scores[:kept]
            scores = sums * integers.steps[row]
            if exact_floats:
                entries = slice(queries.indptr[row], queries.indptr[row + 1])
                floats = dict(zip(queries.terms[entries], queries.weights[entries], strict=True))
                scores = self._float_scores(documents, terms, floats)
                order = np.lexsort((self._positions[documents], -scores))[:k]
                documents, scores = documents[order], scores[order]
            hits.append((documents.astype(np.uint32), scores))
        return hits

    def _float_scores(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32], floats: Any
    ) -> npt.NDArray[np.float64]:
        scores = np.zeros(self._positions.size)
        for term in terms:
            first = 0
            for postings, count in self._partitions:
                run = int(np.searchsorted(postings.terms, term))
                if run < postings.terms.size and postings.terms[run] == term:
                    span = slice(postings.starts[run], postings.starts[run + 1])
                    assert postings.floats is not None
                    weights = postings.floats[span].astype(np.float64)
                    scores[first + postings.documents[span]] += weights * np.float64(floats[term])
                first += count
        return scores[documents]


class Top:
    """The best k so far, sorted: scores, positions, documents; state is (kept, threshold)."""

    def __init__(self, k: int) -> None:
        self.scores = np.zeros(k, np.int64)
        self.positions = np.zeros(k, np.int64)
        self.documents = np.zeros(k, np.uint32)
        self.state = np.array([0, 1], np.int64)


@compiled
def search_partition(
    terms: Any,
    starts: Any,
    documents: Any,
    weights: Any,
    query_terms: Any,
    query_weights: Any,
    living: Any,
    positions: Any,
    first: int,
    top_scores: Any,
    top_positions: Any,
    top_documents: Any,
    state: Any,
) -> None:
    """Search one partition and insert what it finds into the sorted top-k arrays."""
    bounds = np.zeros((living.size + BLOCK - 1) // BLOCK, np.int64)
    runs = np.searchsorted(terms, query_terms)
    for i in range(query_terms.size):
        run = runs[i]
        if run == terms.size or terms[run] != query_terms[i]:
            continue
        maxima = np.zeros(bounds.size, np.int64)
        for p in range(starts[run], starts[run + 1]):
            block = documents[p] // BLOCK
            maxima[block] = max(maxima[block], weights[p])
        bounds += query_weights[i] * maxima

    for block in np.argsort(-bounds, kind="mergesort"):
        # Blocks come by descending bound: none that follows can hold a better document.
        if bounds[block] < state[1]:
            return
        scores = np.zeros(BLOCK, np.int64)
        for i in range(query_terms.size):
            run = runs[i]
            if run == terms.size or terms[run] != query_terms[i]:
                continue
            begin, end = starts[run], starts[run + 1]
            p = begin + np.searchsorted(documents[begin:end], block * BLOCK)
            while p < end and documents[p] // BLOCK == block:
                scores[documents[p] % BLOCK] += np.int64(query_weights[i]) * weights[p]
                p += 1
        for offset in range(BLOCK):
            document = block * BLOCK + offset
            if document < living.size and living[document] and scores[offset] >= state[1]:
                insert(
                    scores[offset],
                    int(positions[document]),
                    first + document,
                    top_scores,
                    top_positions,
                    top_documents,
                    state,
                )


@compiled
def insert(
    score: int,
    position: int,
    document: int,
    top_scores: Any,
    top_positions: Any,
    top_documents: Any,
    state: Any,
) -> None:
    """Put a document where it belongs, by score and then position; raise the threshold."""
    k = top_scores.size
    at = state[0]
    while at > 0 and (
        top_scores[at - 1] < score
        or (top_scores[at - 1] == score and top_positions[at - 1] > position)
    ):
        at -= 1
    if at == k:
        return
    last = min(state[0], k - 1)
    for i in range(last, at, -1):
        top_scores[i] = top_scores[i - 1]
        top_positions[i] = top_positions[i - 1]
        top_documents[i] = top_documents[i - 1]
    top_scores[at], top_positions[at], top_documents[at] = score, position, document
    state[0] = min(state[0] + 1, k)
    if state[0] == k:
        state[1] = max(state[1], top_scores[k - 1])

"""Block-max pruning by the simplest code: the oracle of the compiled kernels.

Ding and Suel, "Faster Top-k Document Retrieval Using Block-Max Indexes" (SIGIR 2011), with
documents visited a block at a time in descending order of their blocks' bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.index.columns import Columns
from lsr.index.format import BLOCK, row_length
from lsr.index.jit import compiled
from lsr.index.quantizer import IntegerQueries


def search(
    windows: list[tuple[Columns, int]],
    positions: npt.NDArray[np.uint32],
    alive: npt.NDArray[np.uint8],
    queries: IntegerQueries,
    k: int,
    floors: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """The k best documents of each query: (indptr, documents, integer scores).

    Args:
        windows: the columns of each window and its number of documents.
        floors: the least score wanted, a value a query.
    """
    living = np.unpackbits(alive, bitorder="little")[: positions.size]
    indptr, all_documents, all_scores = [0], [], []
    for row in range(len(queries)):
        span = slice(queries.indptr[row], queries.indptr[row + 1])
        top = Top(k, int(floors[row]))
        first = 0
        for columns, count in windows:
            search_window(
                columns["terms"],
                columns["starts"],
                columns["rows"],
                columns["documents"],
                columns["weights"],
                columns["blocks"].reshape(-1, row_length(count)),
                queries.terms[span],
                queries.weights[span],
                living[first : first + count],
                positions[first : first + count],
                first,
                top.scores,
                top.places,
                top.documents,
                top.state,
            )
            first += count
        kept = int(top.state[0])
        indptr.append(indptr[-1] + kept)
        all_documents.append(top.documents[:kept])
        all_scores.append(top.scores[:kept])
    return (
        np.array(indptr, np.int64),
        np.concatenate([np.empty(0, np.uint32), *all_documents]).astype(np.uint32),
        np.concatenate([np.empty(0, np.int64), *all_scores]).astype(np.uint32),
    )


class Top:
    """The best k so far, sorted: scores, positions, documents; state is (kept, threshold)."""

    def __init__(self, k: int, floor: int) -> None:
        self.scores = np.zeros(k, np.int64)
        self.places = np.zeros(k, np.int64)
        self.documents = np.zeros(k, np.uint32)
        self.state = np.array([0, max(floor, 1)], np.int64)


@compiled
def search_window(
    terms: Any,
    starts: Any,
    rows: Any,
    documents: Any,
    weights: Any,
    blocks: Any,
    query_terms: Any,
    query_weights: Any,
    living: Any,
    positions: Any,
    first: int,
    top_scores: Any,
    top_places: Any,
    top_documents: Any,
    state: Any,
) -> None:
    """Search one window and insert what it finds into the sorted top-k arrays."""
    bounds = np.zeros(blocks.shape[1], np.int64)
    runs = np.searchsorted(terms, query_terms)
    for i in range(query_terms.size):
        run = runs[i]
        if run == terms.size or terms[run] != query_terms[i]:
            continue
        begin = np.int64(starts[run])
        end = np.int64(starts[run + 1]) if run + 1 < terms.size else documents.size
        if rows[run] >= 0:
            for block in range(bounds.size):
                bounds[block] += np.int64(query_weights[i]) * blocks[rows[run], block]
        else:
            block_maxima = np.zeros(bounds.size, np.int64)
            for p in range(begin, end):
                block = documents[p] // BLOCK
                block_maxima[block] = max(block_maxima[block], np.int64(weights[p]))
            bounds += query_weights[i] * block_maxima

    for block in np.argsort(-bounds, kind="mergesort"):
        # Blocks come by descending bound: none that follows can hold a better document.
        if bounds[block] < state[1]:
            return
        scores = np.zeros(BLOCK, np.int64)
        for i in range(query_terms.size):
            run = runs[i]
            if run == terms.size or terms[run] != query_terms[i]:
                continue
            begin = np.int64(starts[run])
            end = np.int64(starts[run + 1]) if run + 1 < terms.size else documents.size
            p = int(begin + np.searchsorted(documents[begin:end], np.uint16(block * BLOCK)))
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
                    top_places,
                    top_documents,
                    state,
                )


@compiled
def insert(
    score: int,
    place: int,
    document: int,
    top_scores: Any,
    top_places: Any,
    top_documents: Any,
    state: Any,
) -> None:
    """Put a document where it belongs, by score and then position; raise the threshold."""
    k = top_scores.size
    at = state[0]
    while at > 0 and (
        top_scores[at - 1] < score or (top_scores[at - 1] == score and top_places[at - 1] > place)
    ):
        at -= 1
    if at == k:
        return
    last = min(state[0], k - 1)
    for i in range(last, at, -1):
        top_scores[i] = top_scores[i - 1]
        top_places[i] = top_places[i - 1]
        top_documents[i] = top_documents[i - 1]
    top_scores[at], top_places[at], top_documents[at] = score, place, document
    state[0] = min(state[0] + 1, k)
    if state[0] == k:
        state[1] = max(state[1], top_scores[k - 1])

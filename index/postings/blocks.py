"""Dense terms of a partition as blocks: 4-bit maxima and payload (see `lsr.index.format`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.index.format import (
    BLOCK,
    CODEBOOK,
    DENSE_TERM,
    PAYLOAD_PADDING,
    SUPERBLOCK,
    SUPERBLOCK_CODES,
    SUPERBLOCK_DOCUMENTS,
    superblocks_of,
)
from lsr.jit import compiled
from lsr.storage.arrow import Columns

# Edges tried for a codebook.  With all values tried, 1 % fewer blocks would survive their bounds.
_EDGES = 64


@compiled
def codebook(maxima: Any, book: Any) -> None:
    """Fill `book` but its first entry, which stays 0, with the edges that raise `maxima` the least
    in total when each is raised to the next edge; the last edge is the largest of them.

    Dynamic programming over candidate edges: the distinct values, or quantiles of them.
    """
    ordered = np.sort(maxima)
    edges = np.empty(_EDGES, np.int64)
    counts = np.zeros(_EDGES + 1, np.int64)  # values up to each edge
    sums = np.zeros(_EDGES + 1, np.int64)
    distinct = 1
    for i in range(1, ordered.size):
        if ordered[i] != ordered[i - 1]:
            distinct += 1
    size, total = 0, np.int64(0)
    for i in range(ordered.size):
        total += ordered[i]
        last = i + 1 == ordered.size
        if not last and ordered[i + 1] == ordered[i]:
            continue
        share = (i + 1) * _EDGES // ordered.size
        if last or distinct <= _EDGES or share > size:
            edges[size], counts[size + 1], sums[size + 1] = ordered[i], i + 1, total
            size += 1
    if size < CODEBOOK:
        for code in range(1, CODEBOOK):
            book[code] = edges[min(code, size) - 1]
        return
    costs = np.full((CODEBOOK, size + 1), np.inf)
    before = np.zeros((CODEBOOK, size + 1), np.int64)
    costs[0, 0] = 0
    for bins in range(1, CODEBOOK):
        for j in range(bins, size + 1):
            for i in range(bins - 1, j):
                cost = costs[bins - 1, i] + (
                    edges[j - 1] * (counts[j] - counts[i]) - (sums[j] - sums[i])
                )
                if cost < costs[bins, j]:
                    costs[bins, j], before[bins, j] = cost, i
    j = size
    for bins in range(CODEBOOK - 1, 0, -1):
        book[bins] = edges[j - 1]
        j = before[bins, j]


@compiled
def block_maxima(documents: Any, weights: Any, maxima: Any) -> int:
    """Write the largest weight of each block with postings; return how many there are."""
    count = 0
    for i in range(documents.size):
        if i > 0 and documents[i] // BLOCK == documents[i - 1] // BLOCK:
            maxima[count - 1] = max(maxima[count - 1], weights[i])
        else:
            maxima[count] = weights[i]
            count += 1
    return count


@compiled
def write_blocks(
    documents: Any,
    weights: Any,
    planes: int,
    maxima: Any,
    book: Any,
    chunks: Any,
    ranks: Any,
    codes: Any,
    payload: Any,
) -> int:
    """Write one term's blocks; return the bytes of payload.

    `maxima` are its block maxima; `codes` and `payload` begin with zeros.
    """
    posting = block = used = 0
    for superblock in range(chunks.size):
        chunks[superblock], ranks[superblock] = used // planes, posting
        begin = posting
        while posting < documents.size and documents[posting] // SUPERBLOCK_DOCUMENTS == superblock:
            document = documents[posting]
            if posting == begin or document // BLOCK != documents[posting - 1] // BLOCK:
                place = document // BLOCK % SUPERBLOCK
                code = 1 + np.searchsorted(book[1:], maxima[block])
                codes[superblock * SUPERBLOCK_CODES + place % SUPERBLOCK_CODES] |= np.uint8(
                    code << (4 * (place // SUPERBLOCK_CODES))
                )
                block, used = block + 1, used + 1
            payload[used - 1] |= np.uint8(1 << (document % BLOCK))
            posting += 1
        for plane in range(planes):
            for i in range(begin, posting):
                payload[used] = (weights[i] >> (8 * plane)) & 255
                used += 1
        used += used % planes  # the next chunk starts with a whole weight
    return used


@compiled
def write_dense_lists(
    runs: Any,
    starts: Any,
    documents: Any,
    weights: Any,
    planes: int,
    columns: Any,
) -> int:
    """Write the blocks of the given runs; return the bytes of payload.

    Codebooks of zeros are filled first.
    """
    codebooks, chunks, ranks, codes, payload, payload_starts = columns
    fit = codebooks.size > 0 and not codebooks.any()
    paid = 0
    maxima = np.empty(documents.size, weights.dtype)
    for row in range(runs.size):
        begin, end = starts[runs[row]], starts[runs[row] + 1]
        count = block_maxima(documents[begin:end], weights[begin:end], maxima)
        if fit:
            codebook(maxima[:count], codebooks[row])
        payload_starts[row] = paid
        paid += write_blocks(
            documents[begin:end],
            weights[begin:end],
            planes,
            maxima[:count],
            codebooks[row],
            chunks[row],
            ranks[row],
            codes[row],
            payload[paid:],
        )
    return paid


@compiled
def copy_runs(runs: Any, starts: Any, source: Any, target: Any) -> None:
    """Append the postings of the given runs to each other."""
    at = 0
    for run in runs:
        length = starts[run + 1] - starts[run]
        target[at : at + length] = source[starts[run] : starts[run + 1]]
        at += length


def split_terms(
    starts: npt.NDArray[np.int64], count: int, density: int = DENSE_TERM
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The sparse and the dense ones among the terms of a partition of `count` documents.

    Dense are those in at least one of `density` documents.
    """
    dense = np.diff(starts) * density >= count
    return np.flatnonzero(~dense), np.flatnonzero(dense)


def gathered(
    runs: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], source: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """The values of the given runs after each other."""
    target = np.empty(int((starts[runs + 1] - starts[runs]).sum()), source.dtype)
    copy_runs(runs, starts, source, target)
    return target


def _firsts(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    return (np.cumsum(lengths) - lengths).astype(np.uint32)


def partition_columns(
    terms: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.int64],
    maxima: npt.NDArray[Any],
    documents: npt.NDArray[np.uint16],
    weights: npt.NDArray[Any],
    count: int,
    codebooks: npt.NDArray[Any] | None = None,
    density: int = DENSE_TERM,
) -> dict[str, Columns]:
    """The batches of a partition, by file and column.

    Args:
        terms, starts, maxima, documents, weights: its postings (see `Inverted`).
        count: its documents.
        codebooks: 16 values a dense term, to be used instead of the best.
        density: see `split_terms`.
    """
    sparse, dense = split_terms(starts, count, density)
    lengths, dtype = np.diff(starts), weights.dtype
    planes, superblocks = dtype.itemsize, superblocks_of(count)
    postings = int(lengths[dense].sum())

    # A copy, because those of an index are mapped, and compiled code would not take them.
    books = np.zeros(dense.size * CODEBOOK, dtype) if codebooks is None else codebooks.copy()
    books = books.reshape(dense.size, CODEBOOK)
    chunks = np.zeros((dense.size, superblocks), np.uint16)
    ranks = np.zeros_like(chunks)
    codes = np.zeros((dense.size, superblocks * SUPERBLOCK_CODES), np.uint8)
    # No block is without a posting: a mask and the bytes of a weight each, and rounding.
    most_bytes = postings * (1 + planes) + superblocks * dense.size
    payload = np.zeros(most_bytes + PAYLOAD_PADDING, np.uint8)
    payload_starts = np.zeros(dense.size, np.uint32)
    paid = write_dense_lists(
        dense,
        starts,
        documents,
        weights,
        planes,
        (books, chunks, ranks, codes, payload, payload_starts),
    )
    return {
        "sparse_terms": {
            "term": terms[sparse],
            "start": _firsts(lengths[sparse]),
            "maximum": maxima[sparse],
        },
        "sparse_postings": {
            "document": gathered(sparse, starts, documents),
            "weight": gathered(sparse, starts, weights),
        },
        "dense_terms": {
            "term": terms[dense],
            "posting": _firsts(lengths[dense]),
            "payload": payload_starts,
        },
        "codebooks": {"maximum": books.reshape(-1)},
        "chunks": {"start": chunks.reshape(-1)},
        "ranks": {"first": ranks.reshape(-1)},
        "maxima": {"codes": codes.reshape(-1)},
        "payload": {"bytes": payload[: paid + PAYLOAD_PADDING]},
    }

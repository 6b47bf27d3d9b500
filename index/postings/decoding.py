"""The postings of a partition read back from its columns, by the grammar of `lsr.index.format`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.index.format import (
    BLOCK,
    CODEBOOK,
    SUPERBLOCK,
    SUPERBLOCK_CODES,
    superblocks_of,
)
from lsr.index.postings.lists import read_lists
from lsr.jit import compiled
from lsr.storage.arrow import Columns


@dataclass(frozen=True, slots=True)
class Postings:
    """The postings of a partition, by term and document.

    Attributes:
        terms: uint32, ascending.
        starts: int64, first posting of each term, and one more: the number of postings.
        documents: int64, counted from the partition's first.
        weights: int64, as stored; 1 where none are.
        floats: float32, as given, or None when not kept.
    """

    terms: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float32] | None


@compiled
def read_chunk(
    payload: Any, at: Any, blocks: Any, planes: int, documents: Any, weights: Any, size: int
) -> int:
    """Append the postings of a chunk to the first `size` of `documents` and `weights`.

    Returns the new number of postings, or -1 when they leave their columns.

    Args:
        at: where the chunk starts in the payload.
        blocks: int64; those of the partition that have postings in this chunk, ascending.
    """
    if at + blocks.size > payload.size:
        return -1
    first = size
    for i in range(blocks.size):
        for bit in range(BLOCK):
            if payload[at + i] >> bit & 1:
                if size == documents.size:
                    return -1
                documents[size] = blocks[i] * BLOCK + bit
                size += 1
    at += blocks.size
    count = size - first
    if at + planes * count > payload.size:
        return -1
    for i in range(count):
        weights[first + i] = payload[at + i]
        if planes == 2:
            weights[first + i] |= np.int64(payload[at + count + i]) << 8
    return size


@compiled
def decode_term(
    codes: Any, chunks: Any, payload: Any, planes: int, documents: Any, weights: Any
) -> int:
    """Write a dense term's postings; return how many, or -1 when they leave their columns."""
    size = 0
    blocks = np.empty(SUPERBLOCK, np.int64)
    for superblock in range(chunks.size):
        count = 0
        for block in range(SUPERBLOCK):
            byte = codes[superblock * SUPERBLOCK_CODES + block % SUPERBLOCK_CODES]
            if byte >> (4 * (block // SUPERBLOCK_CODES)) & 15:
                blocks[count] = superblock * SUPERBLOCK + block
                count += 1
        at = np.int64(chunks[superblock]) * planes
        size = read_chunk(payload, at, blocks[:count], planes, documents, weights, size)
        if size < 0:
            return -1
    return size


def decode(columns: Columns, count: int) -> Postings:
    """The postings of a partition of `count` documents.

    Raises `ValueError` when the columns do not fit each other.
    """
    if "lists" in columns:
        starts, documents = read_lists(columns, count)
        return Postings(columns["list_terms"], starts, documents, np.ones_like(documents), None)
    superblocks = superblocks_of(count)
    sizes = {"maxima": superblocks * SUPERBLOCK_CODES, "chunks": superblocks}
    return decode_blocks(columns, count, sizes, decode_term)


def decode_blocks(
    columns: Columns, count: int, sizes: dict[str, int], decode_term: Callable[..., int]
) -> Postings:
    """The same for dense terms with other columns.

    Args:
        sizes: two columns for `decode_term`, and their values for a dense term.
    """
    planes = columns["weights"].dtype.itemsize
    dense = columns["dense_terms"].size
    for name, values in {"codebooks": CODEBOOK, **sizes}.items():
        if columns[name].size != dense * values:
            raise ValueError(f"there are more or fewer {name} than dense terms need")
    if columns["sparse_starts"][:1].any() or columns["first_postings"][:1].any():
        raise ValueError("the runs do not cover the postings")
    ends = np.append(columns["first_postings"][1:].astype(np.int64), -1)
    listed = columns["documents"].size  # postings of sparse terms
    sparse_ends = np.append(columns["sparse_starts"][1:], listed).astype(np.int64)
    blocks, chunks = (columns[name].reshape(dense, size) for name, size in sizes.items())
    parts = []
    for row, term in enumerate(columns["sparse_terms"].tolist()):
        begin, end = int(columns["sparse_starts"][row]), int(sparse_ends[row])
        if not begin < end <= listed:
            raise ValueError("the runs do not cover the postings")
        span = slice(begin, end)
        parts.append((term, columns["documents"][span], columns["weights"][span], begin))
    documents, weights = np.empty(count, np.int64), np.empty(count, np.int64)
    for row, term in enumerate(columns["dense_terms"].tolist()):
        payload = columns["payload"][int(columns["payload_starts"][row]) :]
        size = decode_term(blocks[row], chunks[row], payload, planes, documents, weights)
        first = int(columns["first_postings"][row])
        if size < 1 or (ends[row] >= 0 and first + size != ends[row]):
            raise ValueError(f"the blocks of term {term} are damaged")
        parts.append((term, documents[:size].copy(), weights[:size].copy(), listed + first))
    parts.sort(key=lambda part: part[0])
    lengths = [part[1].size for part in parts]
    floats = None
    if "floats" in columns:
        if sum(lengths) != columns["floats"].size:
            raise ValueError("there are more or fewer weights as given than postings")
        spans = [columns["floats"][part[3] : part[3] + part[1].size] for part in parts]
        floats = np.concatenate([np.empty(0, np.float32), *spans])
    return Postings(
        np.array([part[0] for part in parts], np.uint32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part[2] for part in parts)]),
        floats,
    )

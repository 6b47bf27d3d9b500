"""Postings with weights as index formats 2 and 4 store them, converted when they are read.

Their dense terms have a bitmap of the blocks with postings for each superblock, codes of those
blocks alone, and a chunk for each half of a superblock::

    bitmaps     blocks:u64      bit b: block b of the superblock has postings
    records     start:u16       two rows a superblock: offset of the chunk in the term's payload,
                                in weights
    maxima      codes:u8        4-bit indexes of the codebook, low half first, for the blocks with
                                postings; a superblock's codes start with a byte

and 16 entries of a codebook that stand for weights; else they are what `lsr.index.format` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lsr.index.format import superblocks_of
from lsr.index.postings.blocks import gathered, partition_columns, split_terms
from lsr.index.postings.decoding import Postings, decode_blocks, read_chunk
from lsr.index.segments.schema import FLOAT_FILES, PARTITION_FILES
from lsr.jit import compiled
from lsr.storage.arrow import Columns

_HALF = 32  # blocks of a chunk


@compiled
def decode_old_term(
    bitmaps: Any, chunks: Any, payload: Any, planes: int, documents: Any, weights: Any
) -> int:
    """As `lsr.index.postings.decoding.decode_term`."""
    size = 0
    blocks = np.empty(_HALF, np.int64)
    for chunk in range(chunks.size):
        bitmap = bitmaps[chunk // 2] >> np.uint64(_HALF * (chunk % 2))
        count = 0
        for block in range(_HALF):
            if bitmap >> np.uint64(block) & np.uint64(1):
                blocks[count] = chunk * _HALF + block
                count += 1
        at = np.int64(chunks[chunk]) * planes
        size = read_chunk(payload, at, blocks[:count], planes, documents, weights, size)
        if size < 0:
            return -1
    return size


def old_postings(columns: Columns, count: int) -> Postings:
    """The postings of a partition of `count` documents, from the columns of
    `lsr.index.segments.schema.OLD_FILES`.

    Raises `ValueError` when the columns do not fit each other.
    """
    superblocks = superblocks_of(count)
    sizes = {"bitmaps": superblocks, "records": 2 * superblocks}
    return decode_blocks(columns, count, sizes, decode_old_term)


def converted(columns: Columns, count: int) -> Columns:
    """The columns of `lsr.index.segments.schema.PARTITION_FILES`, and floats, of these postings."""
    postings = old_postings(columns, count)
    weights = postings.weights.astype(columns["weights"].dtype)
    maxima = np.maximum.reduceat(weights, postings.starts[:-1]) if weights.size else weights
    files = partition_columns(
        postings.terms,
        postings.starts,
        maxima,
        postings.documents.astype(np.uint16),
        weights,
        count,
    )
    if postings.floats is not None:
        runs = np.concatenate(split_terms(postings.starts, count))
        files["floats"] = {"weight": gathered(runs, postings.starts, postings.floats)}
    tables = PARTITION_FILES | (FLOAT_FILES if postings.floats is not None else {})
    return {
        name: files[file][column]
        for file, columns_ in tables.items()
        for column, (name, _) in columns_.items()
    }

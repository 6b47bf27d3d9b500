"""The postings of an index without weights as coded lists (see `lsr.index.format`).

Gaps are written in exponential Golomb codes (J. Teuhola, "A compression method for clustered
bit-vectors", IPL 1978) of the order that makes the list shortest: small gaps, which an order of
documents by likeness brings, cost few bits, and large ones not many more.  Terms that very many
documents have are bitmaps, a little longer and many times faster to count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.index.format import BITMAP_TERM, LIST_ORDERS, LISTS_PADDING
from lsr.jit import compiled
from lsr.storage.arrow import Columns

_ORDER_BITS = 4
_BITMAP = 0xF0  # instead of an order
# Zeros before the one in the longest code of a sound list: no gap reaches 2^16.
_MOST_ZEROS = 15


@compiled
def _digits(value: int) -> int:
    """The position of the highest one of a number of at least 1."""
    digit = 0
    while value > 1:
        value >>= 1
        digit += 1
    return digit


@compiled
def best_order(documents: Any) -> tuple[int, int]:
    """The order that makes a list shortest, the least of several, and the bits it takes."""
    sizes = np.full(LIST_ORDERS, _ORDER_BITS, np.int64)
    before = -1
    for document in documents:
        gap = document - before - 1
        before = document
        for order in range(LIST_ORDERS):
            sizes[order] += 2 * _digits(gap + (1 << order)) + 1 - order
    order = int(np.argmin(sizes))
    return order, sizes[order]


@compiled
def _put(out: Any, at: int, value: int, bits: int) -> int:
    """Write a number in so many bits, high first; return where the next go."""
    for bit in range(bits):
        if value >> (bits - 1 - bit) & 1:
            out[(at + bit) >> 3] |= np.uint8(128 >> ((at + bit) & 7))
    return at + bits


@compiled
def write_list(documents: Any, order: int, out: Any) -> None:
    """Write a list into bytes that are zero."""
    at = _put(out, 0, order, _ORDER_BITS)
    before = -1
    for document in documents:
        value = document - before - 1 + (1 << order)
        before = document
        digits = _digits(value)
        at = _put(out, at + digits - order, value, digits + 1)


@compiled
def write_bitmap(documents: Any, out: Any) -> None:
    """Write the documents of a term as a bitmap, into bytes that are zero."""
    out[0] = _BITMAP
    for document in documents:
        out[1 + document // 8] |= np.uint8(1 << (document % 8))


@compiled
def read_bitmap(data: Any, documents: Any) -> int:
    """As `read_list`, of a bitmap."""
    size = 0
    for document in range(8 * data.size - 8):
        if data[1 + document // 8] >> (document % 8) & 1:
            if document >= documents.size:
                return -1
            documents[size] = document
            size += 1
    return size


@compiled
def read_list(data: Any, documents: Any) -> int:
    """Write the documents of a list, room for all of the partition; return how many.

    Returns -1 when the bytes are no list, or it has more documents.
    """
    if data.size == 0:
        return -1
    order: Any = np.int64(data[0]) >> 4
    if order == LIST_ORDERS:
        sound = data[0] == _BITMAP and data.size == 1 + (documents.size + 7) // 8
        return read_bitmap(data, documents) if sound else -1
    end = 8 * data.size
    at, size, document = _ORDER_BITS, 0, -1
    while True:
        start = at
        while at < end and not data[at >> 3] & (128 >> (at & 7)):
            at += 1
        if at == end:  # the zeros that fill the last byte
            return size if end - start < 8 else -1
        digits = at - start + order
        if digits - order > _MOST_ZEROS or at + digits + 1 > end or size == documents.size:
            return -1
        value: Any = 0
        for bit in range(at, at + digits + 1):
            value = 2 * value + np.int64(data[bit >> 3] >> (7 - (bit & 7)) & 1)
        at += digits + 1
        document += value - (1 << order) + 1
        documents[size] = document
        size += 1


@compiled
def write_lists(starts: Any, documents: Any, count: int, out: Any, offsets: Any) -> int:
    """Write the lists of all terms one after another; return their bytes.

    Only counts when `out` is empty.
    """
    at = 0
    for term in range(starts.size - 1):
        run = documents[starts[term] : starts[term + 1]]
        bitmap = run.size * BITMAP_TERM >= count
        order, bits = (0, 8 + count) if bitmap else best_order(run)
        size = (bits + 7) // 8
        if out.size:
            offsets[term] = at
            if bitmap:
                write_bitmap(run, out[at : at + size])
            else:
                write_list(run, order, out[at : at + size])
        at += size
    return at


def list_columns(
    terms: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.int64],
    documents: npt.NDArray[np.uint16],
    count: int,
) -> dict[str, Columns]:
    """The batches of a partition of `count` documents, by file and column.

    Args:
        terms, starts, documents: its postings (see `lsr.index.postings.inversion.Inverted`).
    """
    wide = documents.astype(np.int64)
    offsets = np.zeros(terms.size, np.uint32)
    size = write_lists(starts, wide, count, np.empty(0, np.uint8), offsets)
    out = np.zeros(size + LISTS_PADDING, np.uint8)
    write_lists(starts, wide, count, out, offsets)
    return {"list_terms": {"term": terms, "start": offsets}, "lists": {"bytes": out}}


def read_lists(columns: Columns, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first posting of each term, and one more, and the documents of all.

    Raises `ValueError` when the columns of a partition of `count` documents do not fit each other.
    """
    data, offsets = columns["lists"], columns["list_starts"].astype(np.int64)
    if data.size < LISTS_PADDING or offsets[:1].any():
        raise ValueError("the lists do not cover their bytes")
    ends = np.append(offsets, data.size - LISTS_PADDING)
    room = np.empty(count, np.int64)
    parts = []
    for term, begin, end in zip(columns["list_terms"].tolist(), ends, ends[1:], strict=False):
        if not begin < end <= data.size - LISTS_PADDING:
            raise ValueError("the lists do not cover their bytes")
        size = read_list(data[begin:end], room)
        if size < 1:
            raise ValueError(f"the list of term {term} is damaged")
        parts.append(room[:size].copy())
    starts = np.cumsum([0, *(part.size for part in parts)]).astype(np.int64)
    return starts, np.concatenate([np.empty(0, np.int64), *parts])

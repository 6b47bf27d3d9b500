"""The protobuf messages of CIFF in compiled loops: postings read from bytes and written to them.

    message  = (key value)*             key = varint of 8 * field + wire type
    varint   = little-endian groups of 7 bits, the last without the high bit
    value    = varint (wire type 0) | 8 bytes (1) | varint of n, n bytes (2) | 4 bytes (5)

Fields may stand in any order, unknown ones are skipped, missing ones are zero.  Source: protobuf's
"Encoding", https://protobuf.dev/programming-guides/encoding.  Every read is checked against
the end of the message it is in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lsr.jit import compiled

CUT, UNORDERED, NO_DOCUMENT, NO_IMPACT = -1, -2, -3, -4
PROBLEMS = {
    CUT: "is cut short or no protobuf message",
    UNORDERED: "names its documents out of order",
    NO_DOCUMENT: "names a document beyond the last",
    NO_IMPACT: "has an impact that is not above 0",
}
MOST_BYTES = 14  # of a posting: two keys and 5-byte varints, and what frames them

_POSTINGS = 4
_DOCUMENT, _IMPACT = 1, 2


@compiled
def varint(data: Any, at: int, stop: int) -> tuple[int, int]:
    """An unsigned number at `at`, as a signed 64-bit one, and where it ends; CUT if nowhere."""
    value = np.uint64(0)
    for shift in range(0, 70, 7):
        if at >= stop:
            return 0, CUT
        byte = np.uint64(data[at])
        at += 1
        if shift == 63 and byte > 1:
            return 0, CUT
        value |= (byte & np.uint64(127)) << np.uint64(shift)
        if byte < 128:
            return np.int64(value), at  # type: ignore[return-value]
    return 0, CUT


@compiled
def _skip(data: Any, at: int, stop: int, wire: int) -> int:
    """Where a value of a wire type ends; CUT if beyond `stop` or of no known type."""
    if wire == 0:
        return varint(data, at, stop)[1]
    if wire == 2:
        length, at = varint(data, at, stop)
        if at < 0 or length < 0 or length > stop - at:
            return CUT
        return at + length
    if wire == 1 or wire == 5:
        at += 8 if wire == 1 else 4
        return at if at <= stop else CUT
    return CUT


@compiled
def _value(data: Any, at: int, stop: int) -> tuple[int, int, int]:
    """The key at `at`, where its value starts and where that ends; CUT if it is none."""
    key, start = varint(data, at, stop)
    return key, start, _skip(data, start, stop, key & 7) if start >= 0 else CUT


@compiled
def find_number(data: Any, at: int, stop: int, field: int) -> tuple[int, bool]:
    """The number of a field of a message, 0 if it has none; and whether it is a message."""
    number = 0
    while 0 <= at < stop:
        key, start, at = _value(data, at, stop)
        if at >= 0 and key == field << 3:
            number, at = varint(data, start, stop)
    return number, at >= 0


@compiled
def find_bytes(data: Any, at: int, stop: int, field: int) -> tuple[int, int, bool]:
    """Start and end of a field of bytes, alike if it has none; and whether it is a message."""
    first = end = at
    while 0 <= at < stop:
        key, start, at = _value(data, at, stop)
        if at >= 0 and key == (field << 3 | 2):
            first, end = varint(data, start, stop)[1], at
    return first, end, at >= 0


@compiled
def _next(data: Any, at: int, stop: int) -> tuple[int, int, int]:
    """The next posting of a list: where it ends, its gap and impact.

    The end is CUT where there is no message, and beyond `stop` when there is no other posting.
    """
    while 0 <= at < stop:
        key, start, at = _value(data, at, stop)
        if at >= 0 and key == (_POSTINGS << 3 | 2):
            start = varint(data, start, stop)[1]
            gap, good = find_number(data, start, at, _DOCUMENT)
            impact, also = find_number(data, start, at, _IMPACT)
            return (at if good and also else CUT), gap, impact
    return (stop + 1 if at >= 0 else CUT), 0, 0


@compiled
def count(data: Any, at: int, stop: int, counts: Any) -> int:
    """Check a postings list and add 1 to the counts of its documents; return 0 or the problem."""
    document = -1
    while True:
        at, gap, impact = _next(data, at, stop)
        if at < 0:
            return CUT
        if at > stop:
            return 0
        if gap < 0 or (gap == 0 and document >= 0):
            return UNORDERED
        if gap >= counts.size - max(document, 0):
            return NO_DOCUMENT
        if impact <= 0:
            return NO_IMPACT
        document = max(document, 0) + gap
        counts[document] += 1


@compiled
def place(
    data: Any, at: int, stop: int, term: int, first: int, nexts: Any, terms: Any, impacts: Any
) -> None:
    """Give the documents `first` to `first` + `nexts.size` - 1 their postings of a checked list.

    `nexts` says where the next posting of each document goes in `terms` and `impacts`.
    """
    document = 0
    while True:
        at, gap, impact = _next(data, at, stop)
        if at < 0 or at > stop:
            return
        document += gap
        if document >= first + nexts.size:
            return
        if document >= first:
            at_document = nexts[document - first]
            if at_document >= terms.size:  # the file was changed under our hands
                return
            terms[at_document] = term
            impacts[at_document] = impact
            nexts[document - first] += 1


@compiled
def deal(
    rows: Any, ranks: Any, impacts: Any, first: int, nexts: Any, documents: Any, dealt: Any
) -> None:
    """Give the lists of rank `first` to `first` + `nexts.size` - 1 their postings of a chunk.

    `rows` are the documents of the postings; `nexts` says where each list's next posting goes
    in `documents` and `dealt`.
    """
    for entry in range(rows.size):
        rank = ranks[entry] - first
        if 0 <= rank < nexts.size:
            documents[nexts[rank]] = rows[entry]
            dealt[nexts[rank]] = impacts[entry]
            nexts[rank] += 1


@compiled
def put(value: int, out: Any, at: int) -> int:
    """Write a varint; return where it ends."""
    while value > 127:
        out[at] = value & 127 | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@compiled
def encode(documents: Any, impacts: Any, out: Any) -> int:
    """Write the postings of a list into `out`, `MOST_BYTES` of room each; return their bytes."""
    at, before = 0, 0
    for i in range(documents.size):
        length_at = at + 1
        out[at] = _POSTINGS << 3 | 2
        at += 2
        gap = documents[i] - before
        before = documents[i]
        if gap:  # only that of the first can be zero, and zeros are left out
            out[at] = _DOCUMENT << 3
            at = put(gap, out, at + 1)
        out[at] = _IMPACT << 3
        at = put(impacts[i], out, at + 1)
        out[length_at] = at - length_at - 1
    return at

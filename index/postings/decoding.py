"""The postings of a window read back from its columns, by the grammar of `lsr.index.format`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.index.format import BLOCK, CODEBOOK, GROUP, groups_of
from lsr.index.postings.lists import read_lists
from lsr.jit import compiled
from lsr.storage.arrow import Columns

_HALF = GROUP // 2


@dataclass(frozen=True, slots=True)
class Postings:
    """The postings of a window, by term and document.

    Attributes:
        terms: uint32, ascending.
        starts: int64, first posting of each term, and one more: the number of postings.
        documents: int64, counted from the window's first.
        weights: int64, as stored; 1 where none are.
        floats: float32, as given, or None when not kept.
    """

    terms: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float32] | None


@compiled
def decode_term(
    bitmaps: Any, records: Any, payload: Any, planes: int, documents: Any, weights: Any
) -> int:
    """Write a frequent term's postings; return how many, or -1 when they leave their columns."""
    found = 0
    for record in range(records.size):
        at = np.int64(records[record]) * planes
        bitmap = (bitmaps[record // 2] >> np.uint64(_HALF * (record % 2))) & np.uint64(0xFFFFFFFF)
        first = found
        for block in range(_HALF):
            if not (bitmap >> np.uint64(block)) & np.uint64(1):
                continue
            if at >= payload.size:
                return -1
            for bit in range(BLOCK):
                if payload[at] >> bit & 1:
                    if found == documents.size:
                        return -1
                    documents[found] = (record * _HALF + block) * BLOCK + bit
                    found += 1
            at += 1
        count = found - first
        if at + planes * count > payload.size:
            return -1
        for i in range(count):
            weights[first + i] = payload[at + i]
            if planes == 2:
                weights[first + i] |= np.int64(payload[at + count + i]) << 8
    return found


def decode(columns: Columns, count: int) -> Postings:
    """The postings of a window of `count` documents.

    Raises `ValueError` when the columns do not fit each other.
    """
    if "lists" in columns:
        starts, documents = read_lists(columns, count)
        return Postings(columns["list_terms"], starts, documents, np.ones_like(documents), None)
    planes, groups = columns["weights"].dtype.itemsize, groups_of(count)
    frequent = columns["frequent_terms"].size
    for name, size in (("codebooks", CODEBOOK), ("bitmaps", groups), ("records", 2 * groups)):
        if columns[name].size != frequent * size:
            raise ValueError(f"there are more or fewer {name} than frequent terms need")
    if columns["rare_starts"][:1].any() or columns["first_postings"][:1].any():
        raise ValueError("the runs do not cover the postings")
    ends = np.append(columns["first_postings"][1:].astype(np.int64), -1)
    rare_ends = np.append(columns["rare_starts"][1:], columns["documents"].size).astype(np.int64)
    bitmaps = columns["bitmaps"].reshape(frequent, groups)
    records = columns["records"].reshape(frequent, 2 * groups)
    parts = []
    for row, term in enumerate(columns["rare_terms"].tolist()):
        begin, end = int(columns["rare_starts"][row]), int(rare_ends[row])
        if not begin < end <= columns["documents"].size:
            raise ValueError("the runs do not cover the postings")
        span = slice(begin, end)
        parts.append((term, columns["documents"][span], columns["weights"][span], begin))
    documents, weights = np.empty(count, np.int64), np.empty(count, np.int64)
    for row, term in enumerate(columns["frequent_terms"].tolist()):
        payload = columns["payload"][int(columns["payload_starts"][row]) :]
        found = decode_term(bitmaps[row], records[row], payload, planes, documents, weights)
        first = int(columns["first_postings"][row])
        if found < 1 or (ends[row] >= 0 and first + found != ends[row]):
            raise ValueError(f"the blocks of term {term} are damaged")
        place = columns["documents"].size + first
        parts.append((term, documents[:found].copy(), weights[:found].copy(), place))
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

"""The Common Index File Format: postings lists of terms, then records of documents.

    FILE          = Header PostingsList{num_postings_lists} DocRecord{num_docs}
                                       each a protobuf message after its length as a varint
    Header        = 1 version: int32                  1
                    2 num_postings_lists: int32       3 num_docs: int32
                    4 total_postings_lists: int32     5 total_docs: int32
                    6 total_terms_in_collection: int64
                    7 average_doclength: double       8 description: string
    PostingsList  = 1 term: string     2 df: int64    3 cf: int64    4 postings: Posting*
    Posting       = 1 docid: int32     less that of the posting before
                    2 tf: int32        the impact
    DocRecord     = 1 docid: int32     2 collection_docid: string    3 doclength: int32

Source: `CommonIndexFileFormat.proto` of osirrc/ciff; Lin et al., "Supporting Interoperability
Between Open-Source Search Engines with the Common Index File Format", 2020, arXiv:2003.08276.
Lists are written in the byte order of their terms, documents in their order; they are read in
any order.  A length is the sum of impacts.

Impacts are whole numbers: weights times a scale, rounded, at least 1.  The scale is 255 over the
largest weight when none is given: 8 bits, as BMP needs them.  The description ends in "a weight is
its impact times STEP"; where that is read, impacts become weights again, else weights are impacts.

Memory: 8 bytes a posting for up to `base.PASS_POSTINGS` of them, 537 MB, and more passes beyond; 8
bytes a document and the terms for writing, 24 bytes a document and the ids for reading.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from lsr.data.interchange.base import MOST_IMPACT, Source, passes, walk, whole
from lsr.data.interchange.ciff_reader import STEP, CiffReader
from lsr.data.interchange.messages import MOST_BYTES, deal, encode
from lsr.data.interchange.vocabulary import Given, Learned
from lsr.errors import LsrError
from lsr.progress import Progress

Counts = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]  # terms, and documents of each

_LARGEST = 255
_MERGED = 1 << 22  # distinct terms of chunks kept apart before they are merged


def write(
    file: IO[bytes], path: Path, source: Source, scale: float | None, progress: type[Progress]
) -> str:
    """Write all documents; `LsrError` when impacts do not fit the format's integers."""
    step = 1 / scale if scale is not None else _eight_bits(source, progress)
    scale = scale if scale is not None else 1 / step
    terms, frequencies, lengths = _survey(source, scale, progress)
    name = str if source.words is None else source.words.__getitem__
    tokens = [name(term).encode() for term in terms.tolist()]
    order = np.array(sorted(range(len(tokens)), key=tokens.__getitem__), np.int64)
    ranks = np.argsort(order)
    total = int(lengths.sum())
    counts = [terms.size, lengths.size, terms.size, lengths.size]
    description = f"lsr-engine: {STEP}{step!r}".encode()
    file.write(_framed(_message(1, *counts, total, total / max(1, lengths.size), description)))
    starts = np.concatenate([[0], np.cumsum(frequencies[order])])
    for lists in passes(starts):
        postings = starts[lists.start : lists.stop + 1] - starts[lists.start]
        documents = np.empty(postings[-1], np.uint32)
        impacts = np.empty(postings[-1], np.uint32)
        nexts = postings[:-1].copy()
        number = 0
        for chunk in walk(source, "Inverting", progress):
            vectors, integers = whole(chunk.vectors, scale)
            rows = number + vectors.row_of_entry()
            entry_ranks = ranks[np.searchsorted(terms, vectors.terms)]
            deal(rows, entry_ranks, integers, lists.start, nexts, documents, impacts)
            number += len(vectors)
        for rank, (start, stop) in zip(lists, pairwise(postings.tolist()), strict=True):
            file.write(_list(tokens[order[rank]], documents[start:stop], impacts[start:stop]))
    ids = (id for chunk in walk(source, "Writing ids", progress) for id in chunk.ids)
    for number, (id, length) in enumerate(zip(ids, lengths.tolist(), strict=True)):
        file.write(_framed(_message(number, id.encode(), length)))
    return f"It holds no texts and no term ids, and for weights whole impacts: {STEP}{step:.6g}."


def _eight_bits(source: Source, progress: type[Progress]) -> float:
    """The step by which the largest weight is 255."""
    chunks = walk(source, "Looking for the largest weight", progress)
    largest = max((float(chunk.vectors.weights.max(initial=0)) for chunk in chunks), default=0.0)
    return largest / _LARGEST if largest else 1.0


def _survey(
    source: Source, scale: float, progress: type[Progress]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct terms, ascending, their documents, and the sum of impacts of each document."""
    parts: list[Counts] = [(np.empty(0, np.uint32), np.empty(0, np.int64))]
    lengths = [np.empty(0, np.int64)]
    for chunk in walk(source, "Counting", progress):
        vectors, impacts = whole(chunk.vectors, scale)
        sums = np.concatenate([[0], np.cumsum(impacts)])[vectors.indptr]
        lengths.append(np.diff(sums))
        if lengths[-1].max(initial=0) > MOST_IMPACT:
            raise LsrError(
                f"the impacts of document {chunk.ids[int(lengths[-1].argmax())]!r} add up to more "
                f"than the {MOST_IMPACT:,} that CIFF holds; give a smaller --scale"
            )
        parts.append(np.unique(vectors.terms, return_counts=True))
        if sum(terms.size for terms, _ in parts[1:]) > _MERGED:
            parts = [_merged(parts)]
    return *_merged(parts), np.concatenate(lengths)


def _merged(parts: list[Counts]) -> Counts:
    all_terms, all_counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    terms, positions = np.unique(all_terms, return_inverse=True)
    counts = np.zeros(terms.size, np.int64)
    np.add.at(counts, positions, all_counts)
    return terms, counts


def _list(
    token: bytes, documents: npt.NDArray[np.uint32], impacts: npt.NDArray[np.uint32]
) -> bytes:
    """One PostingsList after its length."""
    room = np.empty(MOST_BYTES * documents.size, np.uint8)
    used = encode(documents, impacts, room)
    head = _message(token, documents.size, int(impacts.sum(dtype=np.int64)))
    return _framed(head, room[:used].tobytes())


def _message(*values: int | float | bytes) -> bytes:
    """A message of the fields 1, 2, 3 …; zeros and empty strings are left out, as proto3 does."""
    parts = []
    for field, value in enumerate(values, 1):
        if not value:
            continue
        if isinstance(value, float):
            parts += [_varint(field << 3 | 1), struct.pack("<d", value)]
        elif isinstance(value, int):
            parts += [_varint(field << 3), _varint(value)]
        else:
            parts += [_varint(field << 3 | 2), _framed(value)]
    return b"".join(parts)


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _framed(*parts: bytes) -> bytes:
    return b"".join((_varint(sum(map(len, parts))), *parts))


def reader(path: Path, vocabulary: Given | None) -> CiffReader:
    """The documents of a file; see `CiffReader`."""
    return CiffReader(path, vocabulary or Learned())

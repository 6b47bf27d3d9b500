"""Checking an index: every byte against its checksum, every structure against the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexCorrupt
from lsr.files import checksum_file
from lsr.index.columns import Columns
from lsr.index.format import BLOCK, STORED_BATCH, Manifest, row_length
from lsr.index.segment import Segment, open_vocabulary


def problems(index: Path) -> Iterator[str]:
    """Describe everything wrong with an index, one sentence each; nothing when it is sound.

    Raises `IndexFormatError` when `index` is no index of this version at all.
    """
    try:
        manifest = Manifest.read(index)
    except IndexCorrupt as error:
        yield str(error)
        return
    damaged = False
    for name, entry in manifest.files.items():
        path = index / name
        if not path.is_file():
            what = "is missing"
        elif path.stat().st_size != entry.size:
            what = f"has {path.stat().st_size:,} bytes instead of {entry.size:,}"
        elif checksum_file(path) != entry.checksum:
            what = "does not match its checksum"
        else:
            continue
        damaged = True
        yield f"{path} {what}"
    if damaged:
        return  # the structure of damaged bytes says nothing new
    try:
        yield from _structure(index, manifest)
    except IndexCorrupt as error:
        yield str(error)


def _structure(index: Path, manifest: Manifest) -> Iterator[str]:
    vocabulary = open_vocabulary(index, manifest)
    if vocabulary is not None and not vocabulary[0].in_order():
        yield f"{index}: the words of the vocabulary are not distinct or not in order"
    for entry in manifest.segments:
        segment = Segment(index, entry, manifest)
        if not segment.ids.in_order():
            yield f"{segment.path}: the ids are not distinct or not in order"
        counts = np.zeros(entry.documents, np.uint32)
        first = postings = 0
        for number, documents in enumerate(entry.windows):
            columns = segment.window(number)
            for what in _window(columns, documents, manifest):
                yield f"{segment.path}: window {number}: {what}"
            counts[first : first + documents] += np.bincount(
                columns["documents"], minlength=documents
            )[:documents].astype(np.uint32)
            first += documents
            postings += columns["documents"].size
        if postings != entry.postings or not np.array_equal(counts, segment.active):
            yield f"{segment.path}: the counts of postings do not add up"
        if np.unique(segment.positions).size != entry.documents:
            yield f"{segment.path}: two documents have one position"
        for document in range(0, entry.documents, STORED_BATCH):
            segment.stored(document)  # decompresses and checks the whole batch


def _window(columns: Columns, documents: int, manifest: Manifest) -> Iterator[str]:
    starts = columns["starts"].astype(np.int64)
    postings = columns["documents"].size
    ends = np.append(starts[1:], postings)
    if (starts[:1] != 0).any() or (starts >= ends).any() or (ends > postings).any():
        yield "the runs do not cover the postings"
        return
    if not (np.diff(columns["terms"].astype(np.int64)) > 0).all():
        yield "the terms do not ascend"
    if postings == 0:
        return
    locals_ = columns["documents"].astype(np.int64)
    inside = np.ones(postings, bool)
    inside[starts] = False
    if locals_.max() >= documents or (np.diff(locals_, prepend=0)[inside] <= 0).any():
        yield "the documents of a run do not ascend or leave the window"
        return
    weights = columns["weights"]
    if weights.min() == 0:
        yield "a posting has no weight"
    if not np.array_equal(np.maximum.reduceat(weights, starts), columns["maxima"]):
        yield "a largest weight is wrong"
    yield from _blocks(columns, starts, ends, documents)
    floats = columns.get("floats")
    if floats is not None:
        off = np.abs(floats.astype(np.float64) - weights * manifest.step)
        if not (off <= manifest.error * (1 + 1e-9)).all():
            yield "a weight as given is not the one stored"


def _blocks(
    columns: Columns, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], documents: int
) -> Iterator[str]:
    length = row_length(documents)
    blocks = columns["blocks"].reshape(-1, length)
    rows = columns["rows"]
    dense = np.flatnonzero(rows >= 0)
    if not np.array_equal(np.sort(rows[dense]), np.arange(blocks.shape[0])):
        yield "the rows of block maxima are not all used once"
        return
    for run in dense:
        span = slice(starts[run], ends[run])
        expected = np.zeros(length, blocks.dtype)
        np.maximum.at(expected, columns["documents"][span] // BLOCK, columns["weights"][span])
        if not np.array_equal(blocks[rows[run]], expected):
            yield f"the block maxima of term {columns['terms'][run]} are wrong"
            return

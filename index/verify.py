"""Checking an index: every byte against its checksum, every structure against the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexCorrupt
from lsr.index.format import CODEBOOK, STORED_BATCH, Manifest
from lsr.index.postings.blocks import partition_columns
from lsr.index.postings.decoding import Postings, decode
from lsr.index.postings.lists import list_columns
from lsr.index.segments.reader import Segment, open_vocabulary
from lsr.index.segments.schema import FLOAT_FILES, LIST_FILES, PARTITION_FILES, Files
from lsr.storage.arrow import Columns
from lsr.storage.files import steady
from lsr.storage.manifest import MANIFEST, FileEntry


def problems(index: Path) -> list[str]:
    """Everything wrong with an index, a sentence each; nothing when it is sound.

    Raises `IndexFormatError` when `index` is no index of this version at all, and
    `SystemCallError` when the system does not let a file be read.
    """
    return steady(index / MANIFEST, lambda: list(_problems(index)))


def _problems(index: Path) -> Iterator[str]:
    try:
        manifest = Manifest.read(index)
    except IndexCorrupt as error:
        yield str(error)
        return
    damaged = False
    for name, entry in manifest.files.items():
        path = index / name
        try:
            written = FileEntry.of(path)  # not by a mapping, where a bad disk ends the process
        except (FileNotFoundError, NotADirectoryError):
            problem = "is missing"
        else:
            if written == entry:
                continue
            problem = "does not match its checksum"
            if written.size != entry.size:
                problem = f"has {written.size:,} bytes instead of {entry.size:,}"
        damaged = True
        yield f"{path} {problem}"
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
        if segment.alive.size != -(-entry.documents // 8):
            yield f"{segment.path}: the bitmap of living documents has another length"
        counts = np.zeros(entry.documents, np.uint32)
        first = total = 0
        for number, documents in enumerate(entry.partitions):
            columns = segment.partition(number)
            try:
                postings = decode(columns, documents)
            except ValueError as error:
                yield f"{segment.path}: partition {number}: {error}"
                return
            for problem in _partition(columns, postings, documents, manifest):
                yield f"{segment.path}: partition {number}: {problem}"
            counts[first : first + documents] += np.bincount(
                postings.documents, minlength=documents
            )[:documents].astype(np.uint32)
            total += postings.documents.size
            first += documents
        if total != entry.postings or not np.array_equal(counts, segment.active):
            yield f"{segment.path}: the counts of postings do not add up"
        if np.unique(segment.positions).size != entry.documents:
            yield f"{segment.path}: two documents have one position"
        for document in range(0, entry.documents, STORED_BATCH):
            segment.stored(document)  # decompresses and checks the whole batch


def _partition(
    columns: Columns, postings: Postings, documents: int, manifest: Manifest
) -> Iterator[str]:
    lists = "lists" in columns
    for name in ("list_terms",) if lists else ("sparse_terms", "dense_terms"):
        if not (np.diff(columns[name].astype(np.int64)) > 0).all():
            yield f"the {name.replace('_', ' ')} do not ascend"
            return
    if not lists and np.intersect1d(columns["sparse_terms"], columns["dense_terms"]).size:
        yield "a term is both sparse and dense"
        return
    if postings.documents.size == 0:
        return
    inside = np.ones(postings.documents.size, bool)
    inside[postings.starts[:-1]] = False
    if (
        postings.documents.max() >= documents
        or (np.diff(postings.documents, prepend=0)[inside] <= 0).any()
    ):
        yield "the documents of a run do not ascend or leave the partition"
        return
    if lists:
        yield from _differing(
            columns,
            LIST_FILES,
            list_columns(
                postings.terms, postings.starts, postings.documents.astype(np.uint16), documents
            ),
        )
        return
    if postings.weights.min() == 0:
        yield "a posting has no weight"
        return
    maxima = np.maximum.reduceat(postings.weights, postings.starts[:-1])
    books = columns["codebooks"].reshape(-1, CODEBOOK).astype(np.int64)
    largest = maxima[np.searchsorted(postings.terms, columns["dense_terms"])]
    if (np.diff(books, axis=1) < 0).any() or not np.array_equal(books[:, -1], largest):
        yield "a codebook does not ascend to the term's largest weight"
        return
    files = _rewritten(columns, postings, maxima, documents)
    yield from _differing(columns, PARTITION_FILES | FLOAT_FILES, files)
    if postings.floats is not None:
        off = np.abs(postings.floats.astype(np.float64) - postings.weights * manifest.step)
        if not (off <= manifest.error * (1 + 1e-9)).all():
            yield "a weight as given is not the one stored"


def _rewritten(
    columns: Columns, postings: Postings, maxima: npt.NDArray[np.int64], documents: int
) -> dict[str, Columns]:
    """The columns that the builder writes for these postings and codebooks."""
    dtype = columns["weights"].dtype
    return partition_columns(
        postings.terms,
        postings.starts,
        maxima.astype(dtype),
        postings.documents.astype(np.uint16),
        postings.weights.astype(dtype),
        documents,
        columns["codebooks"],
    )


def _differing(columns: Columns, kinds: Files, files: dict[str, Columns]) -> Iterator[str]:
    """Whether the columns are those that the builder writes."""
    for file, names in kinds.items():
        for name, (column, _) in names.items():
            if file not in files or column not in columns:
                continue
            if not np.array_equal(files[file][name], columns[column]):
                yield f"{file}.arrow does not follow from the postings"
                return

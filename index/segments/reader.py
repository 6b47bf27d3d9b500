"""A segment opened for reading: mapped files, nothing copied, no postings read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lsr.errors import IndexCorrupt, first_line
from lsr.index.format import (
    PARTITION,
    SEGMENTS,
    STORED_BATCH,
    Manifest,
    SegmentEntry,
)
from lsr.index.segments.schema import (
    DOCUMENTS,
    STORED,
    old_files,
    partition_files,
    partition_types,
)
from lsr.storage.arrow import ArrowFile, Columns, SortedStrings
from lsr.storage.manifest import MANIFEST, FileEntry
from lsr.storage.vocabulary import read_vocabulary


class Segment:
    """The files of one segment.

    Attributes:
        entry: its line in the manifest.
        ids: external ids, both ways.
        positions: uint32, a document's position in the collection as given.
        active: uint32, postings of each document.
        alive: uint8, the bitmap of documents that exist.
    """

    def __init__(self, index: Path, entry: SegmentEntry, manifest: Manifest) -> None:
        self.path = index / SEGMENTS / entry.id
        self.entry = entry
        self._manifest = manifest
        if not all(0 < documents <= PARTITION for documents in entry.partitions):
            raise IndexCorrupt(index, f"segment {entry.id} has a partition of an impossible size")
        self._documents = documents = self._open("documents", 1)
        columns = documents.numbers(
            0, **{name: kind.to_pandas_dtype() for name, kind in DOCUMENTS.items() if name != "id"}
        )
        self.positions: npt.NDArray[np.uint32] = columns["position"]
        self.active: npt.NDArray[np.uint32] = columns["terms"]
        self.ids = SortedStrings(documents.strings(0, "id"), columns["by_id"])
        if not len(self.ids) == self.positions.size == entry.documents:
            raise IndexCorrupt(documents.path, "its length is not the segment's")
        self.alive: npt.NDArray[np.uint8] = self._open("alive", 1).numbers(0, bits=np.uint8)["bits"]
        partitions = len(entry.partitions)
        self._old = manifest.has_old_blocks
        self._files = partition_files(manifest.bits, "floats" in manifest.kept)
        if self._old:
            self._files = old_files("floats" in manifest.kept)
        self._columns = {name: self._open(name, partitions) for name in self._files}
        self._stored = (
            self._open("stored", -(-entry.documents // STORED_BATCH))
            if "text" in manifest.kept
            else None
        )

    def partition(self, number: int) -> Columns:
        """The columns of a partition, named as the kernels take them; "floats" when kept."""
        columns: Columns = {}
        for file, names in self._files.items():
            types = partition_types(self._manifest.bits, names)
            values = self._columns[file].numbers(number, **types)
            columns |= {names[name][0]: values[name] for name in names}
        if not self._old:
            return columns
        from lsr.index.segments.older import converted  # which loads Numba's compiler

        try:
            return converted(columns, self.entry.partitions[number])
        except ValueError as error:
            raise IndexCorrupt(self.path, str(error)) from None

    def id_column(self) -> pa.Array:
        """All external ids, large_string over the mapped file."""
        batch = self._documents.read(0)
        try:
            batch.validate(full=True)  # offsets and UTF-8, before anything goes by them
        except pa.ArrowException as error:
            raise IndexCorrupt(self._documents.path, first_line(error)) from None
        return batch.column("id")

    def stored(self, document: int) -> tuple[str, str] | None:
        """Title and text of a document, or None when the index keeps no text."""
        if self._stored is None:
            return None
        row = document % STORED_BATCH
        return self.stored_batch(document // STORED_BATCH, slice(row, row + 1))[0]

    def stored_batch(self, number: int, rows: slice = slice(None)) -> list[tuple[str, str]]:
        """Titles and texts of (some of) the `STORED_BATCH` documents that are stored together."""
        assert self._stored is not None
        batch = self._stored.read(number)
        if batch.num_rows != min(STORED_BATCH, self.entry.documents - number * STORED_BATCH):
            raise IndexCorrupt(self._stored.path, "a batch of texts has another length")
        try:
            # Values decompressed from the file: offsets and UTF-8 are checked before use.
            batch.validate(full=True)
            titles, texts = (batch.column(name)[rows].to_pylist() for name in STORED)
        except (ValueError, KeyError) as error:
            raise IndexCorrupt(
                self._stored.path, f"a batch of texts cannot be read ({error})"
            ) from None
        if not all(isinstance(text, str) for text in (*titles, *texts)):
            raise IndexCorrupt(self._stored.path, "a title or text is missing")
        return list(zip(titles, texts, strict=True))

    def _open(self, name: str, batches: int) -> ArrowFile:
        path = self.path / f"{name}.arrow"
        entry = file_entry(self._manifest, f"{SEGMENTS}/{self.entry.id}/{name}.arrow", path)
        return ArrowFile(path, size=entry.size, batches=batches)


def file_entry(manifest: Manifest, name: str, path: Path) -> FileEntry:
    """The manifest's line about a file."""
    entry = manifest.files.get(name)
    if entry is None:
        raise IndexCorrupt(path, "the manifest does not list it")
    return entry


def open_vocabulary(index: Path, manifest: Manifest) -> tuple[SortedStrings, dict[str, Any]] | None:
    """The words of the index and the encoder's further columns, or None when it has none."""
    name = manifest.vocabulary_file
    if name is None:
        if manifest.vocabulary:
            raise IndexCorrupt(index / MANIFEST, "it lists no vocabulary, and there are words")
        return None
    return read_vocabulary(index / name, manifest.files[name].size, manifest.vocabulary)

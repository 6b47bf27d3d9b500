"""A segment opened for reading: mapped files, nothing copied, no postings read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lsr.errors import IndexCorrupt, first_line
from lsr.index.format import (
    SEGMENTS,
    STORED_BATCH,
    WINDOW,
    Manifest,
    SegmentEntry,
)
from lsr.index.postings.quantizer import weight_dtype
from lsr.storage.arrow import ArrowFile, Columns, SortedStrings
from lsr.storage.manifest import MANIFEST, FileEntry
from lsr.storage.vocabulary import read_vocabulary

# File, column, the kernels' name of it and its type; None is the type of weights.
WINDOW_FILES: dict[str, dict[str, tuple[str, Any]]] = {
    "rare_terms": {
        "term": ("rare_terms", np.uint32),
        "start": ("rare_starts", np.uint32),
        "maximum": ("rare_maxima", None),
    },
    "rare_postings": {"document": ("documents", np.uint16), "weight": ("weights", None)},
    "frequent_terms": {
        "term": ("frequent_terms", np.uint32),
        "posting": ("first_postings", np.uint32),
        "maxima": ("maxima_starts", np.uint32),
        "payload": ("payload_starts", np.uint32),
    },
    "codebooks": {"maximum": ("codebooks", None)},
    "bitmaps": {"blocks": ("bitmaps", np.uint64)},
    "records": {"start": ("records", np.uint16)},
    "maxima": {"codes": ("maxima", np.uint8)},
    "payload": {"bytes": ("payload", np.uint8)},
}
FLOAT_FILES: dict[str, dict[str, tuple[str, Any]]] = {
    "floats": {"weight": ("floats", np.float32)},
    "ranks": {"first": ("ranks", np.uint16)},
}

# Of an index without weights.
LIST_FILES: dict[str, dict[str, tuple[str, Any]]] = {
    "list_terms": {"term": ("list_terms", np.uint32), "start": ("list_starts", np.uint32)},
    "lists": {"bytes": ("lists", np.uint8)},
}


def window_files(manifest: Manifest) -> dict[str, dict[str, tuple[str, Any]]]:
    """The files with a batch a window that an index has."""
    if manifest.bits == 1:
        return LIST_FILES
    return WINDOW_FILES | (FLOAT_FILES if "floats" in manifest.kept else {})


class Segment:
    """The files of one segment.

    Attributes:
        entry: its line in the manifest.
        ids: external ids, both ways.
        positions: uint32, a document's place in the collection as given.
        active: uint32, postings of each document.
        alive: uint8, the bitmap of documents that exist.
    """

    def __init__(self, index: Path, entry: SegmentEntry, manifest: Manifest) -> None:
        self.path = index / SEGMENTS / entry.id
        self.entry = entry
        self._manifest = manifest
        if not all(0 < documents <= WINDOW for documents in entry.windows):
            raise IndexCorrupt(index, f"segment {entry.id} has a window of an impossible size")
        self._documents = documents = self._open("documents", 1)
        columns = documents.numbers(0, by_id=np.uint32, position=np.uint32, terms=np.uint32)
        self.positions: npt.NDArray[np.uint32] = columns["position"]
        self.active: npt.NDArray[np.uint32] = columns["terms"]
        self.ids = SortedStrings(documents.strings(0, "id"), columns["by_id"])
        if not len(self.ids) == self.positions.size == entry.documents:
            raise IndexCorrupt(documents.path, "its length is not the segment's")
        self.alive: npt.NDArray[np.uint8] = self._open("alive", 1).numbers(0, bits=np.uint8)["bits"]
        windows = len(entry.windows)
        self._columns = {name: self._open(name, windows) for name in window_files(manifest)}
        self._stored = (
            self._open("stored", -(-entry.documents // STORED_BATCH))
            if "text" in manifest.kept
            else None
        )

    def window(self, number: int) -> Columns:
        """The columns of a window, named as the kernels take them; "floats" when kept."""
        weight = weight_dtype(self._manifest.bits)
        columns: Columns = {}
        for file, names in window_files(self._manifest).items():
            kinds = {name: kind or weight for name, (_, kind) in names.items()}
            values = self._columns[file].numbers(number, **kinds)
            columns |= {names[name][0]: values[name] for name in names}
        return columns

    def id_column(self) -> pa.Array:
        """All external ids, large_string over the mapped file."""
        record = self._documents.read(0)
        try:
            record.validate(full=True)  # offsets and UTF-8, before anything goes by them
        except pa.ArrowException as error:
            raise IndexCorrupt(self._documents.path, first_line(error)) from None
        return record.column("id")

    def stored(self, document: int) -> tuple[str, str] | None:
        """Title and text of a document, or None when the index keeps no text."""
        if self._stored is None:
            return None
        row = document % STORED_BATCH
        return self.stored_batch(document // STORED_BATCH, slice(row, row + 1))[0]

    def stored_batch(self, number: int, rows: slice = slice(None)) -> list[tuple[str, str]]:
        """Titles and texts of (some of) the `STORED_BATCH` documents that are stored together."""
        assert self._stored is not None
        record = self._stored.read(number)
        if record.num_rows != min(STORED_BATCH, self.entry.documents - number * STORED_BATCH):
            raise IndexCorrupt(self._stored.path, "a batch of texts has another length")
        try:
            # Values decompressed from the file: offsets and UTF-8 are checked before use.
            record.validate(full=True)
            titles, texts = (record.column(name)[rows].to_pylist() for name in ("title", "text"))
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

"""The dense side of an index: a vector a document, in the folder `dense` beside the segments.

Grammar (see `lsr.index.format`)::

    INDEX       = …  [dense/DENSE]
    DENSE       = manifest.json  vectors.ID.arrow  [vectors.ID.faiss]  [partial/…]

    vectors     = batch*                 BATCH documents each, in the order of their positions:
                                         row r is of the document with the position r
                  vector:fixed_size_list<f32>   finite
    faiss       = faiss's own format, see `lsr.index.dense.faiss_files`; none for "flat"
    BATCH       = 65,536
    ID          = 16 digits of a digest of the vectors and of what they were made with
    manifest    = JSON, see `DenseManifest`; sealed as an index's
    partial     = the next edition while it is made

It is published as an index is, by replacing the manifest, which names the edition of the index
it belongs to: beside any other edition, it counts as none.  Sizes are compared when it is opened,
the digest of faiss's file before faiss reads it, and all digests by `lsr verify`.  Nothing in the
index outside of it knows of it: without it, or with a damaged one, sparse search is what it was.

Version 1 is read, too: its files are called vectors.arrow and vectors.faiss, and it names the
index by the checksums of the files that give documents their positions.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lsr.errors import DenseCorrupt, IndexFormatError, LsrError
from lsr.index.dense import DENSE
from lsr.index.dense.faiss_files import KINDS
from lsr.index.format import SEGMENTS, Manifest, edition_of
from lsr.storage.files import checksum_bytes, remove_unlisted
from lsr.storage.manifest import MANIFEST, FileEntry, Problem, read_sealed, write_sealed

FORMAT = "lsr-dense"
VERSION = 2
_OLD_VERSIONS = (1,)
BATCH = 65_536

_MOST_DIMENSIONS = 1 << 16
_FILE = re.compile(r"vectors(\.[0-9a-f]{16})?\.(arrow|faiss)")


@dataclass(frozen=True, slots=True)
class DenseManifest:
    """The contents of a dense side.

    Attributes:
        documents, dimensions: the shape of the vectors.
        collection: `collection_of` the index.
        kind: one of `lsr.index.dense.faiss_files.KINDS`.
        norm: the length of the longest vector.
        encoder: identity of the encoder that made the vectors.
        files: every other file of the folder.
    """

    documents: int
    dimensions: int
    collection: str
    kind: str
    norm: float
    encoder: dict[str, Any]
    created_by: str
    files: dict[str, FileEntry]
    version: int = VERSION

    @property
    def edition(self) -> str:
        """A digest of all that decides answers."""
        return edition_of(self.files, self.collection, self.kind, self.encoder)

    @property
    def vectors_file(self) -> str:
        """The name of the file of the vectors."""
        return next(name for name in self.files if name.endswith(".arrow"))

    @property
    def faiss_file(self) -> str | None:
        """The name of the file of the faiss index; None when there is none."""
        return next((name for name in self.files if name.endswith(".faiss")), None)

    def write(self, folder: Path) -> None:
        """Write into `folder`, atomically: the commit of all it names."""
        write_sealed(folder / MANIFEST, {"format": FORMAT}, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> DenseManifest:
        """Read and check the manifest of a dense side.

        Raises `DenseCorrupt` when its bytes are not the ones written, `IndexFormatError` when
        its version is another, and `SystemCallError`.
        """
        path = folder / MANIFEST

        def refusal(problem: Problem, detail: str) -> LsrError:
            if problem == "version":
                return IndexFormatError(
                    f"{folder} has version {detail}, and this lsr reads versions up to {VERSION}; "
                    "update lsr, or remove the folder and make it again"
                )
            if problem in ("unreadable", "format"):
                detail = "it does not describe a dense side"
            return DenseCorrupt(path, detail)

        try:
            manifest = read_sealed(path, FORMAT, (*_OLD_VERSIONS, VERSION), cls, refusal)
        except FileNotFoundError:
            raise DenseCorrupt(path, "the file is missing") from None
        if not _possible(manifest):
            raise DenseCorrupt(path, "a field has an impossible value")
        return manifest


def _possible(manifest: DenseManifest) -> bool:
    """Whether the fields have the ranges of a manifest, and agree with each other."""
    return (
        0 < manifest.dimensions <= _MOST_DIMENSIONS
        and manifest.kind in KINDS
        and all(_FILE.fullmatch(name) for name in manifest.files)  # none leaves the folder
        and sorted(Path(name).suffix for name in manifest.files)
        == [".arrow", *([".faiss"] if manifest.kind != "flat" else [])]
        and manifest.norm >= 0
        and isinstance(manifest.encoder.get("name"), str)
    )


def collection_of(manifest: Manifest, version: int = VERSION) -> str:
    """The name by which a dense side identifies its index."""
    if version == VERSION:
        return manifest.edition
    files = [f"{SEGMENTS}/{segment.id}/documents.arrow" for segment in manifest.segments]
    return checksum_bytes(
        " ".join(manifest.files[name].checksum for name in files if name in manifest.files).encode()
    )


def belongs_to(dense: DenseManifest, index: Manifest) -> bool:
    """Whether a dense side is of the documents of an index."""
    return (
        dense.collection == collection_of(index, dense.version)
        and dense.documents == index.documents
    )


def remove_stale(index: Path) -> None:
    """Remove the dense side of an edition that the index no longer has; for its builder."""
    folder = index / DENSE
    try:
        manifest = DenseManifest.read(folder)
        if belongs_to(manifest, Manifest.read(index)):
            return
    except LsrError:  # nothing says which files are in use
        return
    for name in (MANIFEST, *manifest.files):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # of a folder that is not empty
        folder.rmdir()


def sweep(folder: Path) -> None:
    """Remove the files of a dense side that its manifest does not list; for its builder."""
    listed: Collection[str] = ()
    if (folder / MANIFEST).exists():
        try:
            listed = DenseManifest.read(folder).files
        except LsrError:  # nothing says which files are in use
            return
    remove_unlisted(folder, _FILE, listed)

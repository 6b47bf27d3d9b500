"""The dense side of an index: a vector a document, in the folder `dense` beside the segments.

Grammar (see `lsr.index.format`)::

    INDEX       = …  [dense/DENSE]
    DENSE       = manifest.json  vectors.arrow  [vectors.faiss]

    vectors     = batch*                 BATCH documents each, in the order of their positions:
                                         row r is of the document with the position r
                  vector:fixed_size_list<f32>   finite
    faiss       = faiss's own format, see `lsr.index.faiss_files`; none for "flat"
    BATCH       = 65,536
    manifest    = JSON, see `DenseManifest`; sealed as an index's

The folder appears by a rename, complete.  It names the index it belongs to by the checksums of
the files that give documents their positions.  Sizes are compared when it is opened, the digest
of faiss's file before faiss reads it, and all digests by `lsr verify`.  Nothing in the index
outside of it knows of it: without it, or with a damaged one, sparse search is what it was.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lsr.errors import DenseCorrupt, IndexFormatError
from lsr.files import checksum_bytes, seal_holds, sealed_json, write_atomically
from lsr.index.faiss_files import KINDS
from lsr.index.format import MANIFEST, SEGMENTS, FileEntry, Manifest

FORMAT = "lsr-dense"
VERSION = 1
DENSE = "dense"
VECTORS = "vectors.arrow"
FAISS = "vectors.faiss"
BATCH = 65_536

_MOST_DIMENSIONS = 1 << 16


@dataclass(frozen=True, slots=True)
class DenseManifest:
    """What a dense side consists of.

    Attributes:
        documents, dimensions: the shape of the vectors.
        collection: `collection_of` the index.
        kind: one of `lsr.index.faiss_files.KINDS`.
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

    def write(self, folder: Path) -> None:
        """Write into `folder`, atomically: the commit of all it names."""
        head = {"format": FORMAT, "version": VERSION}
        write_atomically(folder / MANIFEST, sealed_json(head, asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> DenseManifest:
        """Read and check the manifest of a dense side.

        Raises `DenseCorrupt` when its bytes are not the ones written, `IndexFormatError` when
        its version is another.
        """
        path = folder / MANIFEST
        try:
            text = path.read_bytes()
            body = json.loads(text)
            version = body["version"]
            if body["format"] != FORMAT:
                raise ValueError(body["format"])
        except (FileNotFoundError, NotADirectoryError):
            raise DenseCorrupt(path, "the file is missing") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise DenseCorrupt(path, "it does not describe a dense side") from None
        if version != VERSION and isinstance(version, int):
            raise IndexFormatError(
                f"{folder} has version {version}, and this lsr reads version {VERSION}; update "
                "lsr, or remove the folder and make it again"
            )
        if not seal_holds(text):
            raise DenseCorrupt(path, "its checksum does not match its contents")
        try:
            body = {key: body[key] for key in cls.__dataclass_fields__}
            body["files"] = {name: FileEntry(**entry) for name, entry in body["files"].items()}
            manifest = cls(**body)
            # A checksum is no signature: nothing below it is believed either.
            possible = _possible(manifest)
        except (KeyError, TypeError, AttributeError):
            possible = False
        if not possible:
            raise DenseCorrupt(path, "a field is missing or has an impossible value")
        return manifest


def _possible(manifest: Any) -> bool:
    """Whether the fields have the kinds and ranges of a manifest."""
    numbers = [manifest.documents, *(entry.size for entry in manifest.files.values())]
    return (
        all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)
        and all(isinstance(entry.checksum, str) for entry in manifest.files.values())
        and type(manifest.dimensions) is int
        and 0 < manifest.dimensions <= _MOST_DIMENSIONS
        and manifest.kind in KINDS
        and set(manifest.files) == {VECTORS, *([FAISS] if manifest.kind != "flat" else [])}
        and isinstance(manifest.norm, float)
        and 0 <= manifest.norm < math.inf
        and isinstance(manifest.encoder, dict)
        and isinstance(manifest.encoder.get("name"), str)
    )


def collection_of(manifest: Manifest) -> str:
    """BLAKE2b-128 over the checksums of the files that give an index's documents their places."""
    files = [f"{SEGMENTS}/{segment.id}/documents.arrow" for segment in manifest.segments]
    return checksum_bytes(
        " ".join(manifest.files[name].checksum for name in files if name in manifest.files).encode()
    )


def has_dense(index: Path) -> bool:
    """Whether an index has a dense side, sound or not."""
    return (index / DENSE).exists()


def unfinished(index: Path) -> Path:
    """The directory beside an index where its dense side is made."""
    index = index.absolute()
    return index.with_name(index.name + ".dense.partial")


def no_dense(index: Path) -> IndexFormatError:
    """The error of a search that needs the dense side of an index without one."""
    if unfinished(index).exists():
        return IndexFormatError(
            f"the dense side of {index} is unfinished; run the `lsr index … --dense …` that was "
            "making it again"
        )
    return IndexFormatError(
        f"{index} has no dense side; make one with `lsr index CORPUS -o {index} --dense minilm`"
    )

"""Building an index: documents are encoded into a folder of vectors, that becomes segments.

All happens in `INDEX/partial` (`lsr.storage.workspace`):

    INDEX/partial = lock  vectors/  spool.arrow  new/

`vectors` is a folder of encoded vectors.  A build that is interrupted leaves it behind, and the
next build of the same place with the same encoder takes over its sealed shards where the
collection still gives the same documents (`lsr.indexing.encode`).  The finished edition is
published in one step; until then the index is the one before, or none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lsr.arguments import listed, whole, whole_or_none
from lsr.data.collection import Collection, Documents, checked
from lsr.data.vectors.folder import VectorFolder
from lsr.data.vectors.locking import read_job
from lsr.data.vectors.rows import RowsInMemory, RowSource, RowStore
from lsr.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from lsr.errors import LsrError, VectorError
from lsr.index.dense.format import remove_stale
from lsr.index.format import SEGMENTS, Manifest, edition_of, is_index, name_of_edition, sweep
from lsr.index.postings.ordering import MOST_EQUAL, ORDERS, STRONGEST, bisection
from lsr.index.postings.quantizer import step_for
from lsr.index.segments.writer import SegmentWriter
from lsr.indexing.encode import check_size, encode
from lsr.machine import processors
from lsr.progress import Progress, Silent
from lsr.storage.files import sync, write_atomically
from lsr.storage.manifest import FileEntry
from lsr.storage.vocabulary import VOCABULARY
from lsr.storage.workspace import Workspace, check_target, workspace
from lsr.vectors import SparseVectors
from lsr.version import __version__

DEFAULT_MEMORY = 1 << 30
VECTORS = "vectors"
_ROWS = "spool.arrow"
_TAKEN = 4096  # documents brought together at once in the order of the index


@dataclass(frozen=True)
class BuildOptions:
    """Options of writing an index.

    Attributes:
        bits: bits of a stored weight, 8 or 16; or 1 for binary vectors, whose weights are all
            equal and are not stored.
        keep_floats: also store the original weights, for `exact_floats` searches.
        order: "bisection" stores similar documents next to each other, which makes search faster
            and the index smaller; "none" keeps the order given.  Hits are the same.
        threads: for the model, ordering and inverting; None is the encoder's default for the
            model, and one per processor for the rest.
        max_memory: bytes for vectors during the build; the model, external ids and the ordering
            (about 120 bytes a document each, 500 with 1 bit) and the vocabulary are extra.
        force: replace an existing index.
        progress: the class that reports progress; silent by default.
    """

    bits: int = 8
    keep_floats: bool = False
    order: str = "bisection"
    threads: int | None = None
    max_memory: int = DEFAULT_MEMORY
    force: bool = False
    progress: type[Progress] = Silent

    def __post_init__(self) -> None:
        # Numbers of NumPy become Python's.
        for name, number in (
            ("bits", whole("bits", self.bits, error=LsrError)),
            ("threads", whole_or_none("threads", self.threads, error=LsrError)),
            ("max_memory", whole("max_memory", self.max_memory, 1 << 26, error=LsrError)),
        ):
            object.__setattr__(self, name, number)
        if self.bits not in (1, 8, 16):
            raise LsrError(f"weights are stored in 8, 16 or 1 bits, not {self.bits}")
        if self.bits == 1 and self.keep_floats:
            raise LsrError("with 1 bit weights are all equal and exact; leave out keep_floats")
        if self.order not in ORDERS:
            raise LsrError(f"there is no order {self.order!r}; use {' or '.join(ORDERS)}")

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[BuildOptions, dict[str, Any]]:
        """These options of a mapping, and its other items."""
        names = {field.name for field in fields(cls)} & options.keys()
        return cls(**{name: options[name] for name in names}), {
            name: value for name, value in options.items() if name not in names
        }


@dataclass(frozen=True)
class Texts:
    """Documents to be encoded: a source of an index.

    Attributes:
        documents: mappings with "id", optional "title", and "text", read once, in a stream.
        encoder: an `Encoder`, or a name for `lsr.load_encoder`.
        settings: for `lsr.load_encoder` (max_length, document_terms, query_terms, device,
            batch_size, pooling, precision, weights).
    """

    documents: Documents | Collection
    encoder: str | PathLike[str] | Encoder = DEFAULT_ENCODER
    settings: Mapping[str, Any] = field(default_factory=dict)


class Vectors:
    """Vectors in memory: a source of an index.

    Args:
        ids: one a row of `vectors`.
        vectors: what `SparseVectors.of` takes.
    """

    def __init__(self, ids: Iterable[Any], vectors: Any) -> None:
        self.rows = SparseVectors.of(vectors)
        names = listed("ids", ids)
        if len(names) != len(self.rows):
            raise VectorError(
                f"there are {len(names)} ids for {len(self.rows)} vectors; give one each"
            )
        check_size(len(names))
        self.ids = [document.id for document in checked({"id": n, "text": ""} for n in names)]


def build(
    path: str | PathLike[str],
    source: Texts | Vectors | VectorFolder,
    options: BuildOptions | None = None,
) -> None:
    """Write a new index of texts, which are encoded first, or of vectors.

    Args:
        path: the index directory; it must not exist, unless it is an index and `force` is given.

    Raises `CorpusError` for a bad document or a repeated id, `IndexExists` when `path` exists or
    another process is writing there, `VectorFolderError` when a folder of vectors is damaged, and
    `LsrError` when the index cannot be written.
    """
    path = Path(path).absolute()
    options = options or BuildOptions()
    with _workspace(path, options.force) as space:
        if isinstance(source, Vectors):
            _write_index(space.new, RowsInMemory(source.ids, source.rows), None, options)
        else:
            if isinstance(source, Texts):
                source = _encoded(space.folder / VECTORS, source, options)
            rows = RowStore(space.folder / _ROWS, source, options.progress)
            _write_index(space.new, rows, source, options)
        space.publish()


def _encoded(vectors: Path, source: Texts, options: BuildOptions) -> VectorFolder:
    """The documents of a source, encoded into a folder of vectors."""
    encoder = source.encoder
    if not isinstance(encoder, Encoder):
        encoder = load_encoder(encoder, threads=options.threads, **source.settings)
    if read_job(vectors) is None:  # nothing that could be used
        shutil.rmtree(vectors, ignore_errors=True)
    folder, _ = encode(
        vectors, source.documents, encoder, progress=options.progress, alone=True, force=True
    )
    return folder


def check_output(path: Path, force: bool) -> None:
    """Raise `IndexExists` when an index must not be written at `path`."""
    check_target(path, force, "an index", is_index)


def _workspace(path: Path, force: bool) -> AbstractContextManager[Workspace]:
    """Where the next edition of an index is made."""

    def sweep_all() -> None:
        sweep(path)
        remove_stale(path)

    return workspace(
        path,
        check=lambda: check_output(path, force),
        sweep=sweep_all,
        kept=[VECTORS],
        scratch=[_ROWS],
    )


def _write_index(
    directory: Path, rows: RowSource, folder: VectorFolder | None, options: BuildOptions
) -> None:
    """Write a complete edition of one segment into a new `directory`.

    `folder` is where the rows come from, if there is one: encoder, words, whether there is
    text.
    """
    keep_text = folder is not None and folder.keeps_text
    if options.bits == 1 and rows.smallest != rows.largest:
        raise LsrError(
            f"weights of 1 bit must all be equal, and there are {rows.smallest:g} and "
            f"{rows.largest:g}; give 8 or 16 bits"
        )
    step = step_for(rows.largest, options.bits)
    threads = options.threads or processors()
    order = np.arange(len(rows), dtype=np.uint32)
    if options.order == "bisection":
        order = bisection(
            rows.vectors(),
            threads=threads,
            progress=options.progress,
            strongest=MOST_EQUAL if options.bits == 1 else STRONGEST,
        )
    with (
        SegmentWriter(
            directory / SEGMENTS / "0",
            bits=options.bits,
            step=step,
            keep_floats=options.keep_floats,
            keep_text=keep_text,
            max_memory=options.max_memory,
            threads=threads,
        ) as writer,
        options.progress("Writing", "documents", len(rows)) as bar,
    ):
        for start in range(0, order.size, _TAKEN):
            positions = order[start : start + _TAKEN]
            chunk = rows.take(positions)
            writer.add(chunk.ids, chunk.vectors, positions, chunk.titles, chunk.texts)
            bar.advance(positions.size)
        segment = writer.finish()
    words = None if folder is None else folder.words
    if folder is not None and words is not None:
        write_atomically(directory / VOCABULARY, folder.vocabulary_bytes())
    entries = {
        file.relative_to(directory).as_posix(): FileEntry.of(file)
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }
    kept = [name for name, keep in (("floats", options.keep_floats), ("text", keep_text)) if keep]
    encoder = None if folder is None else folder.encoder
    edition = edition_of(entries, options.bits, step, writer.error, encoder, kept)
    # Files get their final names now, which no other edition has.
    name = name_of_edition(edition)
    (directory / SEGMENTS / "0").rename(directory / SEGMENTS / name)
    vocabulary = f"{VOCABULARY}.{name}.arrow"
    if words is not None:
        (directory / VOCABULARY).rename(directory / vocabulary)
    Manifest(
        segments=[replace(segment, id=name)],
        bits=options.bits,
        step=step,
        error=writer.error,
        encoder=encoder,
        vocabulary=0 if words is None else len(words),
        kept=kept,
        created_by=f"lsr-engine {__version__}",
        files={
            vocabulary if file == VOCABULARY else file.replace("/0/", f"/{name}/"): entry
            for file, entry in entries.items()
        },
        edition=edition,
    ).write(directory)
    for part in (directory / SEGMENTS / name, directory / SEGMENTS, directory):
        sync(part)

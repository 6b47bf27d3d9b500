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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

import lsr
from lsr.arguments import listed, whole, whole_or_none
from lsr.data.collection import Documents, Survey, distinct
from lsr.data.vectors.folder import VectorFolder
from lsr.data.vectors.locking import read_job
from lsr.data.vectors.manifest import is_vector_folder
from lsr.data.vectors.spool import Encoded, InMemory, Spool
from lsr.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from lsr.errors import LsrError, VectorError
from lsr.index.dense.format import remove_stale
from lsr.index.format import (
    SEGMENTS,
    Manifest,
    edition_of,
    name_of_edition,
    sweep,
)
from lsr.index.postings.ordering import MOST_EQUAL, ORDERS, STRONGEST, bisection
from lsr.index.postings.quantizer import step_for
from lsr.index.segments.writer import SegmentWriter
from lsr.indexing.encode import encode
from lsr.machine import processors
from lsr.progress import Progress, Silent
from lsr.storage.files import sync, write_atomically
from lsr.storage.manifest import MANIFEST, FileEntry
from lsr.storage.vocabulary import VOCABULARY
from lsr.storage.workspace import Workspace, check_target, workspace
from lsr.vectors import SparseVectors

DEFAULT_MEMORY = 1 << 30
VECTORS = "vectors"
_ROWS = "spool.arrow"
_TAKEN = 4096  # documents brought together at once in the order of the index


def build(
    path: str | PathLike[str],
    documents: Documents,
    encoder: str | PathLike[str] | Encoder = DEFAULT_ENCODER,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    order: str = "bisection",
    threads: int | None = None,
    max_memory: int = DEFAULT_MEMORY,
    force: bool = False,
    survey: Survey | None = None,
    progress: type[Progress] = Silent,
    **settings: Any,
) -> None:
    """Encode documents and write them as a new index.

    Args:
        path: the index directory; must not exist, or be an index and `force` given.
        documents: mappings with "id", optional "title", and "text"; read once, in a stream.
        encoder: an `Encoder`, or a name for `lsr.load_encoder`, which `settings` go to
            (max_length, document_terms, query_terms, device, batch_size, pooling, precision,
            weights).
        bits: of a stored weight, 8 or 16; or 1 to store none, where all are equal, as those of
            binary vectors are.
        keep_floats: also keep the weights as given, for `exact_floats` searches.
        order: how documents are stored: "bisection" puts similar ones next to each other,
            which makes search faster and the index smaller; "none" keeps the order given.
            Hits are the same.
        threads: for the model, ordering and inverting; None leaves the model to its encoder
            and takes the processors there are for the rest.
        max_memory: bytes for the vectors being worked on; the model, external ids and the
            ordering (about 120 bytes a document each, 500 with 1 bit) and the vocabulary come on
            top.
        survey: of the documents, if they were read before, for the time left.
        progress: how to report; silent by default.

    Raises `CorpusError` for a bad document or a repeated id, `IndexExists` when the place is
    taken or being written by another process, `LsrError` when it cannot be written.
    """
    path = Path(path).absolute()
    how = _Options.of(bits, keep_floats, order, threads, max_memory, progress)
    with _workspace(path, force) as space:
        if not isinstance(encoder, Encoder):
            encoder = load_encoder(encoder, threads=threads, **settings)
        vectors = space.folder / VECTORS
        if read_job(vectors) is None:  # nothing that could be used
            shutil.rmtree(vectors, ignore_errors=True)
        folder, _ = encode(
            vectors, documents, encoder, progress=progress, alone=True, force=True, survey=survey
        )
        _write_index(space.new, Spool(space.folder / _ROWS, folder, progress), folder, how)
        space.publish()


def build_folder(
    path: str | PathLike[str],
    folder: VectorFolder,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    order: str = "bisection",
    threads: int | None = None,
    max_memory: int = DEFAULT_MEMORY,
    force: bool = False,
    progress: type[Progress] = Silent,
) -> None:
    """Write the documents of a folder of vectors as a new index.

    The other arguments, and the index, are those of `build` with the encoder of the folder.
    Raises `VectorFolderError` too, when the folder is damaged.
    """
    path = Path(path).absolute()
    how = _Options.of(bits, keep_floats, order, threads, max_memory, progress)
    with _workspace(path, force) as space:
        _write_index(space.new, Spool(space.folder / _ROWS, folder, progress), folder, how)
        space.publish()


def build_vectors(
    path: str | PathLike[str],
    ids: Iterable[Any],
    vectors: Any,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    order: str = "bisection",
    threads: int | None = None,
    max_memory: int = DEFAULT_MEMORY,
    force: bool = False,
    progress: type[Progress] = Silent,
) -> None:
    """Write encoded documents as a new index.

    Args:
        ids: one a row of `vectors`.
        vectors: what `SparseVectors.of` takes.

    The other arguments are those of `build`.
    """
    path = Path(path).absolute()
    how = _Options.of(bits, keep_floats, order, threads, max_memory, progress)
    rows = SparseVectors.of(vectors)
    given = listed("ids", ids)
    if len(given) != len(rows):
        raise VectorError(f"there are {len(given)} ids for {len(rows)} vectors; give one each")
    names = [document.id for document in distinct({"id": name, "text": ""} for name in given)]

    with _workspace(path, force) as space:
        _write_index(space.new, InMemory(names, rows), None, how)
        space.publish()


def check_place(path: Path, force: bool) -> None:
    """Raise `IndexExists` when an index must not be written at `path`."""
    check_target(
        path,
        force,
        "an index",
        lambda path: (path / MANIFEST).is_file() and not is_vector_folder(path),
    )


@contextmanager
def _workspace(path: Path, force: bool) -> Iterator[Workspace]:
    """Where the next edition of an index is made."""

    def sweep_all() -> None:
        sweep(path)
        remove_stale(path)

    with workspace(
        path,
        check=lambda: check_place(path, force),
        sweep=sweep_all,
        kept=[VECTORS],
        scratch=[_ROWS],
    ) as space:
        yield space


@dataclass(frozen=True)
class _Options:
    """How an index is written; see `build`."""

    bits: int
    keep_floats: bool
    order: str
    threads: int
    max_memory: int
    progress: type[Progress]

    @classmethod
    def of(
        cls,
        bits: int,
        keep_floats: bool,
        order: str,
        threads: int | None,
        max_memory: int,
        progress: type[Progress],
    ) -> _Options:
        """Those that a caller gave; raises `LsrError` for what cannot be."""
        if whole("bits", bits, error=LsrError) not in (1, 8, 16):
            raise LsrError(f"weights are stored in 8, 16 or 1 bits, not {bits}")
        if bits == 1 and keep_floats:
            raise LsrError("with 1 bit weights are all equal and exact; leave out keep_floats")
        if order not in ORDERS:
            raise LsrError(f"there is no order {order!r}; use {' or '.join(ORDERS)}")
        wanted = whole_or_none("threads", threads, error=LsrError)
        return cls(
            int(bits),
            keep_floats,
            order,
            processors() if wanted is None else wanted,
            whole("max_memory", max_memory, 1 << 26, error=LsrError),
            progress,
        )


def _check_equal(documents: Encoded, weight: float) -> None:
    """Raise `LsrError` unless every weight is this one."""
    for vectors in documents.vectors():
        others = vectors.weights[(vectors.weights != np.float32(weight)) & (vectors.weights > 0)]
        if others.size:
            raise LsrError(
                f"weights of 1 bit must all be equal, and there are {others[0]:g} and {weight:g}; "
                "give 8 or 16 bits"
            )


def _write_index(
    directory: Path, documents: Encoded, folder: VectorFolder | None, how: _Options
) -> None:
    """Write a complete edition of one segment into a new `directory`.

    `folder` is where the documents come from, if there is one: encoder, words, whether there is
    text.
    """
    keep_text = folder is not None and folder.keeps_text
    # The quantizer is global, so the largest weight comes first.
    largest = max((float(v.weights.max(initial=0)) for v in documents.vectors()), default=0.0)
    if how.bits == 1:
        _check_equal(documents, largest)
    step = step_for(largest, how.bits)
    if how.order == "bisection":
        rows = bisection(
            documents.vectors(),
            threads=how.threads,
            progress=how.progress,
            strongest=MOST_EQUAL if how.bits == 1 else STRONGEST,
        )
    else:
        rows = np.arange(len(documents), dtype=np.uint32)
    with (
        SegmentWriter(
            directory / SEGMENTS / "0",
            bits=how.bits,
            step=step,
            keep_floats=how.keep_floats,
            keep_text=keep_text,
            max_memory=how.max_memory,
            threads=how.threads,
        ) as writer,
        how.progress("Writing", "documents", len(documents)) as bar,
    ):
        for start in range(0, rows.size, _TAKEN):
            positions = rows[start : start + _TAKEN]
            chunk = documents.take(positions)
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
    kept = [name for name, keep in (("floats", how.keep_floats), ("text", keep_text)) if keep]
    encoder = None if folder is None else folder.encoder
    edition = edition_of(entries, how.bits, step, writer.error, encoder, kept)
    # Files get their final names now, which no other edition has.
    name = name_of_edition(edition)
    (directory / SEGMENTS / "0").rename(directory / SEGMENTS / name)
    vocabulary = f"{VOCABULARY}.{name}.arrow"
    if words is not None:
        (directory / VOCABULARY).rename(directory / vocabulary)
    Manifest(
        segments=[replace(segment, id=name)],
        bits=how.bits,
        step=step,
        error=writer.error,
        encoder=encoder,
        vocabulary=0 if words is None else len(words),
        kept=kept,
        created_by=f"lsr-engine {lsr.__version__}",
        files={
            vocabulary if file == VOCABULARY else file.replace("/0/", f"/{name}/"): entry
            for file, entry in entries.items()
        },
        edition=edition,
    ).write(directory)
    for part in (directory / SEGMENTS / name, directory / SEGMENTS, directory):
        sync(part)

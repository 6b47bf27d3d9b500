"""Building an index: documents are encoded into a folder of vectors, that becomes segments.

All happens in `INDEX.partial` (`lsr.workplace`).  A build that is interrupted leaves the folder
behind, and the next build of the same place with the same encoder takes over its sealed shards
where the collection still gives the same documents (`lsr.encoding`).  The finished index is
renamed into place; nothing unfinished ever has the name of an index.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lsr
from lsr.collection import Documents, Survey, distinct
from lsr.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from lsr.encoding import encode
from lsr.errors import LsrError, VectorError
from lsr.files import sync_directory, write_atomically
from lsr.index.format import SEGMENTS, VOCABULARY, FileEntry, Manifest
from lsr.index.ordering import MOST_EQUAL, ORDERS, STRONGEST, bisection
from lsr.index.quantizer import step_for
from lsr.index.writer import SegmentWriter
from lsr.machine import processors
from lsr.progress import Progress, Silent
from lsr.spool import Encoded, InMemory, Spool
from lsr.vector_folder import VectorFolder
from lsr.vector_workplace import read_job
from lsr.vectors import SparseVectors
from lsr.workplace import INDEX, SPOOL, VECTORS, publish, workplace

DEFAULT_MEMORY = 1 << 30
_TAKEN = 4096  # documents brought together at once in the order of the index


def build(
    path: Path,
    documents: Documents,
    encoder: str | Encoder = DEFAULT_ENCODER,
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
    path = path.absolute()
    how = _Options(
        bits, keep_floats, order, processors() if threads is None else threads, max_memory, progress
    )
    with workplace(path, force) as partial:
        if isinstance(encoder, str):
            encoder = load_encoder(encoder, threads=threads, **settings)
        vectors = partial / VECTORS
        if read_job(vectors) is None:  # nothing that could be used
            shutil.rmtree(vectors, ignore_errors=True)
        folder, _ = encode(
            vectors, documents, encoder, progress=progress, alone=True, force=True, survey=survey
        )
        _write_index(partial, Spool(partial / SPOOL, folder, progress), folder, how)
        publish(partial, path)


def build_folder(
    path: Path,
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
    path = path.absolute()
    how = _Options(
        bits, keep_floats, order, processors() if threads is None else threads, max_memory, progress
    )
    with workplace(path, force) as partial:
        _write_index(partial, Spool(partial / SPOOL, folder, progress), folder, how)
        publish(partial, path)


def build_vectors(
    path: Path,
    ids: Sequence[str],
    vectors: SparseVectors,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    order: str = "bisection",
    threads: int | None = None,
    max_memory: int = DEFAULT_MEMORY,
    force: bool = False,
    progress: type[Progress] = Silent,
) -> None:
    """Write encoded documents as a new index; `ids` gives one id a row of `vectors`.

    The other arguments are those of `build`.
    """
    path = path.absolute()
    how = _Options(
        bits, keep_floats, order, processors() if threads is None else threads, max_memory, progress
    )
    if len(ids) != len(vectors):
        raise VectorError(f"there are {len(ids)} ids for {len(vectors)} vectors; give one each")
    names = [document.id for document in distinct({"id": name, "text": ""} for name in ids)]

    with workplace(path, force) as partial:
        _write_index(partial, InMemory(names, vectors), None, how)
        publish(partial, path)


@dataclass(frozen=True)
class _Options:
    """How an index is written; see `build`.  Raises `LsrError` for what cannot be."""

    bits: int
    keep_floats: bool
    order: str
    threads: int
    max_memory: int
    progress: type[Progress]

    def __post_init__(self) -> None:
        if self.bits not in (1, 8, 16):
            raise LsrError(f"weights are stored in 8, 16 or 1 bits, not {self.bits}")
        if self.bits == 1 and self.keep_floats:
            raise LsrError("with 1 bit weights are all equal and exact; leave out keep_floats")
        if self.order not in ORDERS:
            raise LsrError(f"there is no order {self.order!r}; use {' or '.join(ORDERS)}")
        if self.threads < 1:
            raise LsrError(f"threads must be at least 1, not {self.threads}")
        if self.max_memory < 1 << 26:
            raise LsrError(f"max_memory must be at least 64 MB, not {self.max_memory:,} bytes")


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
    partial: Path, documents: Encoded, folder: VectorFolder | None, how: _Options
) -> None:
    """Write a complete index directory of one segment into `partial`.

    `folder` is where the documents come from, if there is one: encoder, words, whether there is
    text.
    """
    directory = partial / INDEX
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
    files = []
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
        files = sorted((directory / SEGMENTS / "0").iterdir())
    if folder is not None and folder.words is not None:
        write_atomically(directory / VOCABULARY, (folder.path / VOCABULARY).read_bytes())
        files.append(directory / VOCABULARY)
    kept = [name for name, keep in (("floats", how.keep_floats), ("text", keep_text)) if keep]
    Manifest(
        segments=[segment],
        bits=how.bits,
        step=step,
        error=writer.error,
        encoder=folder.encoder if folder is not None else None,
        vocabulary=len(folder.words) if folder is not None and folder.words is not None else 0,
        kept=kept,
        created_by=f"lsr-engine {lsr.__version__}",
        files={file.relative_to(directory).as_posix(): FileEntry.of(file) for file in files},
    ).write(directory)
    for part in (directory / SEGMENTS / "0", directory / SEGMENTS, directory):
        sync_directory(part)

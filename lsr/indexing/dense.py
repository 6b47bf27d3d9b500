"""Giving an index its dense side: its documents are encoded, then written beside the segments.

All happens in `INDEX/dense/partial` (`lsr.storage.workspace`):

    INDEX/dense/partial = lock  shards/N-ORIGIN.parquet …  [new/]

Documents are encoded a shard at a time (`lsr.data.vectors.shards.groups`).  A shard appears by a
rename,
complete, and names what it was made of: a digest of its documents, and a hash of the encoder's
identity.  A run keeps the shards that name what it would write, whatever stopped the one before,
so the finished folder has the same bytes.  It is published last, in one step.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import lsr
from lsr.data.collection import Documents, distinct, placed
from lsr.data.corpus import Document
from lsr.data.vectors.shards import Origin, digest_of, groups, shard_name, shard_origin
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.errors import CorpusError, IndexChanged, IndexExists, LsrError, first_line
from lsr.index.dense.faiss_files import Vectors, check_kind
from lsr.index.dense.format import (
    DENSE,
    DenseManifest,
    belongs_to,
    collection_of,
    has_dense,
    sweep,
)
from lsr.index.dense.side import write_dense
from lsr.index.format import STORED_BATCH, Manifest
from lsr.index.segments.reader import Segment
from lsr.machine import processors
from lsr.progress import Progress, Silent
from lsr.storage.files import checksum_bytes, read_file, replacing, steady
from lsr.storage.manifest import MANIFEST
from lsr.storage.workspace import workspace

SHARDS = "shards"


def add_dense(
    path: str | PathLike[str],
    documents: Documents,
    encoder: str | PathLike[str] | DenseEncoder,
    kind: str = "flat",
    *,
    threads: int | None = None,
    force: bool = False,
    progress: type[Progress] = Silent,
) -> None:
    """Encode the documents of an index and write their vectors as its dense side.

    Args:
        path: the index directory.
        documents: those that the index was built from, in the same order; read twice.
        encoder: a `DenseEncoder`, or a name for `load_dense`.
        kind: "flat" to search all vectors, or a faiss index of `lsr.index.dense.faiss_files`.
        threads: for the model and for faiss; None takes the processors there are.
        force: replace a dense side that is there.
        progress: how to report; silent by default.

    An interrupted run goes on where it was when it is repeated.  The index itself is not touched.

    Raises `IndexFormatError` or `IndexCorrupt` when `path` is no sound index, `IndexExists` when
    it has a dense side or another process is at it, `CorpusError` for documents that are not
    those of the index, `EncoderError`, and `LsrError` when it cannot be written.
    """
    path = Path(path).absolute()

    def opened() -> tuple[Manifest, list[Segment]]:
        manifest = Manifest.read(path)
        return manifest, [Segment(path, entry, manifest) for entry in manifest.segments]

    manifest, segments = steady(path / MANIFEST, opened)
    check_kind(kind, manifest.documents)
    if isinstance(documents, Iterator):
        raise LsrError("documents are read twice here; give a list or a corpus, not an iterator")
    if not isinstance(encoder, DenseEncoder):
        encoder = load_dense(encoder, threads=threads)
    folder = path / DENSE

    def check() -> None:
        if has_dense(path) and not force and belongs_to(DenseManifest.read(folder), manifest):
            raise IndexExists(
                f"{path} has a dense side already; add --force (force=True) to replace it"
            )

    with workspace(folder, check=check, sweep=lambda: sweep(folder), kept=[SHARDS]) as space:
        _compare(path, manifest, segments, documents, progress)
        files = encode_shards(
            space.folder / SHARDS, documents, encoder, manifest.documents, progress
        )
        write_dense(
            space.new,
            (read_vectors(file, encoder.dimensions) for file in files),
            dimensions=encoder.dimensions,
            kind=kind,
            collection=collection_of(manifest),
            encoder=encoder.identity,
            created_by=f"lsr-engine {lsr.__version__}",
            threads=processors() if threads is None else threads,
            progress=progress,
        )
        if Manifest.read(path).edition != manifest.edition:
            raise IndexChanged(
                f"{path} was built again while its dense vectors were made; run the command again"
            )
        space.publish()


def _compare(
    path: Path,
    manifest: Manifest,
    segments: list[Segment],
    documents: Documents,
    progress: type[Progress],
) -> None:
    """Raise `CorpusError` unless the documents are those of the index, in its order.

    Both sides of a search must be of the same texts.  The index stores its documents in another
    order, so they are compared by 8 bytes of digest at their places; ids alone where it keeps no
    texts.
    """
    keeps_text = "text" in manifest.kept
    found = array("Q")
    with progress("Comparing", "documents", manifest.documents) as bar:
        for document in distinct(documents):
            found.append(_digest(document, keeps_text))
            bar.advance(1)
    if len(found) != manifest.documents:
        raise CorpusError(
            f"{path} has {manifest.documents:,} documents, and the collection has {len(found):,}; "
            "give the collection the index was built from, or build the index again"
        )
    for segment in segments:
        for start in range(0, segment.entry.documents, STORED_BATCH):
            rows = range(start, min(start + STORED_BATCH, segment.entry.documents))
            texts = [("", "")] * len(rows)
            if keeps_text:
                texts = segment.stored_batch(start // STORED_BATCH)
            for row, (title, text) in zip(rows, texts, strict=True):
                place, id = int(segment.positions[row]), segment.ids[row]
                if place >= len(found) or found[place] != _digest(
                    Document(id, title, text), keeps_text
                ):
                    raise CorpusError(
                        f"document {place + 1:,} of the collection is not {id!r} as {path} has it; "
                        "give the collection the index was built from, or build the index again"
                    )


def _digest(document: Document, keeps_text: bool) -> int:
    """8 bytes of what the index has of a document."""
    if not keeps_text:
        document = Document(document.id, "", "")
    return int(digest_of([document])[:16], 16)


def encode_shards(
    folder: Path,
    documents: Documents,
    encoder: DenseEncoder,
    total: int,
    progress: type[Progress],
) -> list[Path]:
    """Encode into `folder` what is not sealed there yet; the shards in order."""
    folder.mkdir(exist_ok=True)
    job = checksum_bytes(json.dumps(encoder.identity, sort_keys=True).encode())
    files = []
    with progress("Encoding", "documents", total) as bar:
        for place, group in placed(groups(distinct(documents))):
            origin = Origin(place.digest, job)
            file = folder / shard_name(place.number, origin)
            if shard_origin(file) == origin:
                bar.advance(len(group), free=True)
            else:
                texts = [document.indexed_text for document in group]
                _write_shard(file, encoder.encode_documents(texts, bar.advance), origin)
            files.append(file)
    return files


def _write_shard(file: Path, vectors: Vectors, origin: Origin) -> None:
    """Seal a shard of vectors, all or nothing."""
    dimensions = vectors.shape[1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions)
    metadata = {"documents": origin.documents, "job": origin.job}
    schema = pa.schema([("vector", column.type)], metadata)
    # Through memory, so that a full disk is an error of this file and not of Arrow's.
    buffer = pa.BufferOutputStream()
    pq.write_table(
        pa.table({"vector": column}, schema),
        buffer,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    with replacing(file) as out:
        out.write(buffer.getvalue())


def read_vectors(file: Path, dimensions: int) -> Vectors:
    """The vectors of a sealed shard; raises `LsrError` when it is damaged."""
    try:
        data = read_file(file)
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        column = table.column("vector").combine_chunks()
        if column.type != pa.list_(pa.float32(), dimensions) or column.flatten().null_count:
            raise ValueError(f"its vectors are {column.type}")
        flat = column.flatten().to_numpy()
        return np.asarray(flat, np.float32).reshape(-1, dimensions)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise LsrError(
            f"{file} is damaged ({first_line(error)}); remove it and run the command again"
        ) from None

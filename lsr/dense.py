"""Giving an index its dense side: its documents are encoded, then written beside the segments.

All happens in `INDEX.dense.partial`, beside the index::

    INDEX.dense.partial = lock  shards/N.parquet …  [new/]  [old/]

Documents are encoded a shard at a time (`lsr.shards.groups`).  A shard appears by a rename,
complete, and names what it was made of: a digest of its documents, and a hash of the encoder's
identity.  A run keeps the shards that name what it would write, whatever stopped the one before,
so the finished folder has the same bytes.  It gets its name in the index last.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import lsr
from lsr.collection import Documents, distinct, placed
from lsr.data.corpus import Document
from lsr.encoders.dense import DenseEncoder, load_dense
from lsr.errors import CorpusError, IndexExists, LsrError, first_line
from lsr.files import checksum_bytes, replacing, sync_directory
from lsr.index.dense import write_dense
from lsr.index.dense_format import DENSE, collection_of, has_dense, unfinished
from lsr.index.faiss_files import Vectors, check_kind
from lsr.index.format import STORED_BATCH, Manifest
from lsr.index.segment import Segment
from lsr.locks import Lock
from lsr.machine import processors
from lsr.progress import Progress, Silent
from lsr.shards import Origin, digest_of, groups, shard_name, shard_origin
from lsr.workplace import writing

_SHARDS = "shards"
_NEW = "new"
_OLD = "old"


def add_dense(
    path: Path,
    documents: Documents,
    encoder: str | DenseEncoder,
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
        kind: "flat" to search all vectors, or a faiss index of `lsr.index.faiss_files`.
        threads: for the model and for faiss; None takes the processors there are.
        force: replace a dense side that is there.
        progress: how to report; silent by default.

    An interrupted run goes on where it was when it is repeated.  The index itself is not touched.

    Raises `IndexFormatError` or `IndexCorrupt` when `path` is no sound index, `IndexExists` when
    it has a dense side or another process is at it, `CorpusError` for documents that are not
    those of the index, `EncoderError`, and `LsrError` when it cannot be written.
    """
    path = path.absolute()
    manifest = Manifest.read(path)
    check_kind(kind, manifest.documents)
    if isinstance(documents, Iterator):
        raise LsrError("documents are read twice here; give a list or a corpus, not an iterator")
    if isinstance(encoder, str):
        encoder = load_dense(encoder, threads=threads)
    with writing(path), _workplace(path, force) as partial:
        _compare(path, manifest, documents, progress)
        files = encode_shards(partial / _SHARDS, documents, encoder, manifest.documents, progress)
        write_dense(
            partial / _NEW,
            (read_vectors(file, encoder.dimensions) for file in files),
            dimensions=encoder.dimensions,
            kind=kind,
            collection=collection_of(manifest),
            encoder=encoder.identity,
            created_by=f"lsr-engine {lsr.__version__}",
            threads=processors() if threads is None else threads,
            progress=progress,
        )
        if has_dense(path):
            (path / DENSE).rename(partial / _OLD)
        (partial / _NEW).rename(path / DENSE)
        sync_directory(path)
        shutil.rmtree(partial / _SHARDS)


@contextmanager
def _workplace(path: Path, force: bool) -> Iterator[Path]:
    """The directory beside an index where its dense side is made, locked.

    What remains of it on failure is shards that the next run can use, or nothing.
    """
    partial = unfinished(path)
    partial.mkdir(exist_ok=True)
    ours = {"lock", _SHARDS, _NEW, _OLD}
    foreign = [file.name for file in partial.iterdir() if file.name not in ours]
    if foreign:
        raise IndexExists(
            f"the dense side of {path} would be made in {partial}, but {foreign[0]} there is not "
            "the work of an earlier run; move it"
        )
    lock = Lock(partial / "lock")
    if not lock.take():
        raise IndexExists(f"the dense side of {path} is being made by another process; wait for it")
    try:
        _recover(partial, path)
        if has_dense(path) and not force:
            raise IndexExists(
                f"{path} has a dense side already; add --force (force=True) to replace it"
            )
        (partial / _SHARDS).mkdir(exist_ok=True)
        yield partial
    finally:
        try:
            _recover(partial, path)
            if not any((partial / _SHARDS).glob("*.parquet")):
                shutil.rmtree(partial, ignore_errors=True)
        finally:
            lock.release()


def _recover(partial: Path, path: Path) -> None:
    """Undo a replacement that was stopped half-way; remove what no later run can use."""
    if (partial / _OLD).exists() and not has_dense(path):
        (partial / _OLD).rename(path / DENSE)
    for name in (_OLD, _NEW):
        shutil.rmtree(partial / name, ignore_errors=True)


def _compare(
    path: Path, manifest: Manifest, documents: Documents, progress: type[Progress]
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
    for entry in manifest.segments:
        segment = Segment(path, entry, manifest)
        for start in range(0, entry.documents, STORED_BATCH):
            rows = range(start, min(start + STORED_BATCH, entry.documents))
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
    """Encode what is not sealed yet; the shards in order."""
    job = checksum_bytes(json.dumps(encoder.identity, sort_keys=True).encode())
    files = []
    with progress("Encoding", "documents", total) as bar:
        for place, group in placed(groups(distinct(documents))):
            file = folder / shard_name(place.number)
            origin = Origin(place.digest, job)
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
        table = pq.read_table(file, page_checksum_verification=True)
        column = table.column("vector").combine_chunks()
        if column.type != pa.list_(pa.float32(), dimensions) or column.flatten().null_count:
            raise ValueError(f"its vectors are {column.type}")
        flat = column.flatten().to_numpy()
        return np.asarray(flat, np.float32).reshape(-1, dimensions)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise LsrError(
            f"{file} is damaged ({first_line(error)}); remove it and run the command again"
        ) from None

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
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lsr.data.collection import Collection, Documents, Shards, ShardSpan
from lsr.data.corpus import Document
from lsr.data.vectors.shards import Origin, digest_of, seal, shard_name, shard_origin
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.errors import CorpusError, IndexChanged, IndexCorrupt, IndexExists, LsrError, first_line
from lsr.index.dense import DENSE, has_dense
from lsr.index.dense.faiss_files import Vectors, check_kind
from lsr.index.dense.format import DenseManifest, belongs_to, collection_of, sweep
from lsr.index.dense.side import write_dense
from lsr.index.format import STORED_BATCH, Manifest
from lsr.index.segments.reader import Segment
from lsr.machine import processors
from lsr.progress import Progress, Silent
from lsr.storage.files import checksum_bytes, read_file, steady
from lsr.storage.manifest import MANIFEST
from lsr.storage.workspace import workspace
from lsr.version import __version__

SHARDS = "shards"

_REMEDY = "give the collection the index was built from, or build the index again"

CheckShard = Callable[[ShardSpan, list[Document]], None]


def add_dense(
    path: str | PathLike[str],
    documents: Documents | Collection,
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
        documents: those that the index was built from, in the same order; read twice, and once
            if they were scanned.
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
    collection = Collection.of(documents)
    if collection.once:
        raise LsrError("documents are read twice here; give a list or a corpus, not an iterator")
    if not isinstance(encoder, DenseEncoder):
        encoder = load_dense(encoder, threads=threads)
    folder = path / DENSE

    def check() -> None:
        if has_dense(path) and not force and belongs_to(DenseManifest.read(folder), manifest):
            raise IndexExists(
                f"{path} already has a dense side; add --force (force=True) to replace it"
            )

    with workspace(folder, check=check, sweep=lambda: sweep(folder), kept=[SHARDS]) as space:
        total = manifest.documents
        check_shard = _comparison(path, manifest, segments)
        if collection.scan is None:  # what differs must not be found after hours of encoding
            with progress("Comparing", "documents", total) as bar:
                for span, group in collection.shards():
                    check_shard(span, group)
                    bar.advance(len(group))
        assert collection.scan is not None
        if collection.scan.documents != total:
            raise CorpusError(
                f"{path} has {total:,} documents, and the collection has "
                f"{collection.scan.documents:,}; {_REMEDY}"
            )
        files = encode_shards(
            space.folder / SHARDS, _compared(collection, check_shard), encoder, total, progress
        )
        write_dense(
            space.new,
            (read_vectors(file, encoder.dimensions) for file in files),
            dimensions=encoder.dimensions,
            kind=kind,
            collection=collection_of(manifest),
            encoder=encoder.identity,
            created_by=f"lsr-engine {__version__}",
            threads=processors() if threads is None else threads,
            progress=progress,
        )
        if Manifest.read(path).edition != manifest.edition:
            raise IndexChanged(
                f"{path} was built again while its dense vectors were made; run the command again"
            )
        space.publish()


def _comparison(path: Path, manifest: Manifest, segments: list[Segment]) -> CheckShard:
    """A function that raises `CorpusError` for a shard whose documents are not those of the index.

    Both sides of a search must be of the same texts.  Documents are compared by 8 bytes of digest
    at their positions; ids alone where the index keeps no texts.
    """
    keeps_text = "text" in manifest.kept
    digests = np.zeros(manifest.documents, np.uint64)
    positions = np.concatenate([np.empty(0, np.uint32), *(s.positions for s in segments)])
    if not np.array_equal(np.sort(positions), np.arange(manifest.documents)):
        raise IndexCorrupt(path, "two documents have one position")
    for segment in segments:
        for start in range(0, segment.entry.documents, STORED_BATCH):
            rows = range(start, min(start + STORED_BATCH, segment.entry.documents))
            texts = [("", "")] * len(rows)
            if keeps_text:
                texts = segment.stored_batch(start // STORED_BATCH)
            values = [
                _digest(Document(segment.ids[row], title, text), keeps_text)
                for row, (title, text) in zip(rows, texts, strict=True)
            ]
            digests[segment.positions[rows.start : rows.stop]] = np.array(values, np.uint64)

    def check(span: ShardSpan, group: list[Document]) -> None:
        start = span.first - 1
        if span.last > digests.size:
            return  # that there are too many is said when all are counted
        stored = digests[start : span.last].tolist()
        for position, (document, digest) in enumerate(zip(group, stored, strict=True), start):
            if _digest(document, keeps_text) != digest:
                id = next(
                    segment.ids[int(row)]
                    for segment in segments
                    for row in np.flatnonzero(segment.positions == position)
                )
                raise CorpusError(
                    f"document {position + 1:,} of the collection is not {id!r} as {path} has it; "
                    f"{_REMEDY}"
                )

    return check


def _compared(collection: Collection, check_shard: CheckShard) -> Shards:
    for span, group in collection.shards():
        check_shard(span, group)
        yield span, group


def _digest(document: Document, keeps_text: bool) -> int:
    """8 bytes of what the index has of a document."""
    if not keeps_text:
        document = Document(document.id, "", "")
    return int(digest_of([document])[:16], 16)


def encode_shards(
    folder: Path, documents: Shards, encoder: DenseEncoder, total: int, progress: type[Progress]
) -> list[Path]:
    """Encode into `folder` what is not sealed there yet; the shards in order."""
    folder.mkdir(exist_ok=True)
    job = checksum_bytes(json.dumps(encoder.identity, sort_keys=True).encode())
    files = []
    with progress("Encoding", "documents", total) as bar:
        for span, group in documents:
            origin = Origin(span.digest, job)
            file = folder / shard_name(span.number, origin)
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
    seal(file, pa.table({"vector": column}, schema), compression="none")


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

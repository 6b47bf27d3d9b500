"""Shards: some thousand documents with their vectors, sealed in one Parquet file.

A shard appears by a rename, complete or not at all.  Its metadata hold a digest of its documents
and a hash of what it was made with, so that a later run can tell whether it may keep it; its name
holds a digest of both, so that no shard takes the place of another.  The same documents and
vectors always make the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lsr.data.corpus import Chunk, Document
from lsr.data.records import BadRecord, checked_id
from lsr.errors import VectorError, first_line
from lsr.storage.arrow import map_file
from lsr.storage.files import checksum_bytes, write_atomically
from lsr.vectors import SparseVectors

SHARD_DOCUMENTS = 2048
SHARD_CHARACTERS = 1 << 23  # also what a shard's texts take in memory, or a few times it
SHARD_OPEN_POSTINGS = 1 << 24  # taken into a shard of imported vectors; a longer row is one alone
SHARD_POSTINGS = 1 << 28  # the most a shard can hold; 2,048 documents have 131,072 each

_IDS = [("id", pa.string())]
_TEXTS = [("title", pa.string()), ("text", pa.string())]
_VECTORS = [("terms", pa.list_(pa.uint32())), ("weights", pa.list_(pa.float32()))]
# Numbers split into their bytes compress best: terms by a quarter, weights by a tenth more.
_SPLIT = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in ("terms", "weights")}
# What a shard may be and take in memory; a file's header is trusted no further.
_MOST_ROWS = 1 << 20
_MOST_BYTES = 1 << 32


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a shard: a digest of its documents, and a hash of all else."""

    documents: str
    job: str


class ShardDamaged(Exception):
    """A shard cannot be read: the message says why, and the caller where and what to do."""


def groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents by the shard, which is bounded in number and in text."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.title) + len(document.text)
        if len(group) == SHARD_DOCUMENTS or characters >= SHARD_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def regrouped(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The documents of chunks of any sizes by the shard, as `groups`; also bounded in postings."""
    pieces: list[Chunk] = []
    documents = characters = postings = 0
    for chunk in chunks:
        start = 0
        lengths = np.diff(chunk.vectors.indptr).tolist()
        for row, (document, length) in enumerate(zip(chunk.documents(), lengths, strict=True)):
            if documents and (
                documents == SHARD_DOCUMENTS
                or characters >= SHARD_CHARACTERS
                or postings + length > SHARD_OPEN_POSTINGS
            ):
                yield _joined([*pieces, chunk[start:row]])
                pieces, start = [], row
                documents = characters = postings = 0
            documents += 1
            characters += len(document.title) + len(document.text)
            postings += length
        pieces.append(chunk[start:])
    if documents:
        yield _joined(pieces)


def digest_of(documents: Iterable[Document]) -> str:
    """BLAKE2b-128 over ids, titles and texts, in hexadecimal."""
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        for part in (document.id, document.title, document.text):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()


def chain(before: str, digest: str) -> str:
    """The digest of all shards up to one, from that of those before and its own; "" is of none."""
    return checksum_bytes(f"{before} {digest}".encode())


def shard_name(number: int, origin: Origin) -> str:
    """The file name of a shard."""
    digest = checksum_bytes(f"{origin.documents} {origin.job}".encode())
    return f"{number:06}-{digest[:16]}.parquet"


def write_shard(path: Path, chunk: Chunk, origin: Origin) -> None:
    """Seal a shard, all or nothing.

    Raises `VectorError` when the vectors are not one a document, or too many for one file.
    """
    vectors = chunk.vectors
    if len(vectors) != len(chunk.ids):
        raise VectorError(f"there are {len(chunk.ids)} ids for {len(vectors)} vectors")
    if vectors.terms.size > SHARD_POSTINGS:
        raise VectorError(
            f"the {len(vectors):,} documents from {chunk.ids[0]!r} on have {vectors.terms.size:,} "
            f"terms together, and a shard holds {SHARD_POSTINGS:,}; keep fewer a document"
        )
    columns: dict[str, Any] = {"id": chunk.ids}
    if chunk.texts is not None:
        columns |= {"title": chunk.titles, "text": chunk.texts}
    offsets = pa.array(vectors.indptr.astype(np.int32))
    for name in ("terms", "weights"):
        values = pa.array(getattr(vectors, name))
        columns[name] = pa.ListArray.from_arrays(offsets, values)
    metadata = {"documents": origin.documents, "job": origin.job}
    table = pa.table(columns, _schema(chunk.texts is not None).with_metadata(metadata))
    seal(
        path, table, compression="zstd", column_encoding=_SPLIT, row_group_size=max(1, len(vectors))
    )


def seal(path: Path, table: pa.Table, **options: Any) -> None:
    """Write a Parquet file with checksums, all or nothing."""
    # Through memory, so that a full disk is an error of this file and not of Arrow's.
    buffer = pa.BufferOutputStream()
    pq.write_table(
        table,
        buffer,
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
        **options,
    )
    write_atomically(path, buffer.getvalue())


def shard_origin(path: Path) -> Origin | None:
    """The origin of a sealed shard, from its last bytes; None when there is none, or no such
    file.  Raises `SystemCallError`."""
    try:
        metadata = pq.read_metadata(pa.BufferReader(map_file(path))).metadata or {}
        return Origin(metadata[b"documents"].decode(), metadata[b"job"].decode())
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError):
        return None


def read_shard(data: pa.Buffer) -> tuple[Chunk, Origin]:
    """The documents of a sealed shard, from its bytes; raises `ShardDamaged`."""
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            _check_header(file)
            table = file.read().combine_chunks()
        metadata = table.schema.metadata
        origin = Origin(metadata[b"documents"].decode(), metadata[b"job"].decode())
        chunk = _chunk(table)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise ShardDamaged(first_line(error) or type(error).__name__) from None
    except (VectorError, BadRecord) as error:
        raise ShardDamaged(str(error)) from None
    return chunk, origin


def _schema(text: bool) -> pa.Schema:
    return pa.schema(_IDS + (_TEXTS if text else []) + _VECTORS)


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    """One chunk of several, of which all have texts or none has; titles may be missing."""
    vectors = SparseVectors.concatenate(chunk.vectors for chunk in chunks)
    if all(chunk.texts is None for chunk in chunks):
        return Chunk([id for chunk in chunks for id in chunk.ids], None, None, vectors)
    return Chunk.of([document for chunk in chunks for document in chunk.documents()], vectors)


def _check_header(file: pq.ParquetFile) -> None:
    """Compare the columns with those of a shard, and sizes with what one can take."""
    schema = file.schema_arrow.remove_metadata()
    if schema not in (_schema(True), _schema(False)):
        raise ValueError(f"its columns are {', '.join(f'{f.name}: {f.type}' for f in schema)}")
    header = file.metadata
    # The sizes of columns are not asked for: Arrow ends the process where some are inconsistent.
    sizes = [header.row_group(group).total_byte_size for group in range(header.num_row_groups)]
    rows_fit = 0 <= header.num_rows <= _MOST_ROWS
    if not rows_fit or min(sizes, default=0) < 0 or sum(sizes) > _MOST_BYTES:
        raise ValueError("its header has impossible sizes")


def _chunk(table: pa.Table) -> Chunk:
    if any(column.num_chunks > 1 for column in table.columns):
        raise ValueError("its texts are too long")
    columns = {
        name: column.chunk(0) if column.num_chunks else pa.array([], column.type)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    terms, weights = columns["terms"], columns["weights"]
    if any(column.null_count for column in columns.values()):
        raise ValueError("it has empty cells")
    indptr = terms.offsets.to_numpy().astype(np.int64)
    if not np.array_equal(indptr, weights.offsets.to_numpy()):
        raise ValueError("its lists of terms and of weights differ in length")
    vectors = SparseVectors(indptr, terms.values.to_numpy(), weights.values.to_numpy())
    ids = [checked_id(value) for value in columns["id"].to_pylist()]
    if "text" not in columns:
        return Chunk(ids, None, None, vectors)
    return Chunk(ids, columns["title"].to_pylist(), columns["text"].to_pylist(), vectors)

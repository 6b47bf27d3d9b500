"""Shards: some thousand documents with their vectors, sealed in one file.

A shard appears by a rename, complete or not at all, and carries a digest of its documents, so
that a later build can tell whether it may take it over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lsr.data.corpus import Document
from lsr.errors import LsrError, VectorError
from lsr.files import replacing
from lsr.vectors import SparseVectors

SHARD_DOCUMENTS = 2048
SHARD_CHARACTERS = 1 << 25


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring documents with their vectors."""

    ids: list[str]
    titles: list[str] | None
    texts: list[str] | None
    vectors: SparseVectors


def groups(documents: Iterator[Document]) -> Iterator[list[Document]]:
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


def digest_of(group: list[Document]) -> str:
    """BLAKE2b-128 over ids, titles and texts, in hexadecimal."""
    digest = hashlib.blake2b(digest_size=16)
    for document in group:
        for part in (document.id, document.title, document.text):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()


def write_shard(path: Path, group: list[Document], vectors: SparseVectors, digest: str) -> None:
    """Seal a shard: one vector a document."""
    offsets = pa.array(vectors.indptr)
    batch = pa.record_batch(
        {
            "id": pa.array([document.id for document in group], pa.large_string()),
            "title": pa.array([document.title for document in group], pa.large_string()),
            "text": pa.array([document.text for document in group], pa.large_string()),
            "terms": pa.LargeListArray.from_arrays(offsets, pa.array(vectors.terms)),
            "weights": pa.LargeListArray.from_arrays(offsets, pa.array(vectors.weights)),
        }
    ).replace_schema_metadata({"documents": digest})
    with replacing(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def shard_digest(path: Path) -> str | None:
    """The digest of a sealed shard's documents; None when it cannot be read."""
    try:
        with pa.ipc.open_file(path) as file:
            return bytes((file.schema.metadata or {}).get(b"documents", b"")).decode()
    except (pa.ArrowException, OSError):
        return None


def read_shard(path: Path) -> Chunk:
    """A sealed shard, checked; raises `LsrError` when it is damaged."""
    try:
        with pa.memory_map(str(path)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
            batch.validate(full=True)
            terms, weights = batch.column("terms"), batch.column("weights")
            vectors = SparseVectors(
                terms.offsets.to_numpy(), terms.values.to_numpy(), weights.values.to_numpy()
            )
            texts = {name: batch.column(name).to_pylist() for name in ("id", "title", "text")}
    except (pa.ArrowException, KeyError, UnicodeDecodeError, VectorError) as error:
        raise LsrError(
            f"{path} is damaged ({str(error).partition(chr(10))[0]}); remove it and start again"
        ) from None
    return Chunk(texts["id"], texts["title"], texts["text"], vectors)

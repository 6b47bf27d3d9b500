"""Shards: some thousand documents with their vectors, sealed in one file.

A shard appears by a rename, complete or not at all, and carries a digest of its documents, so
that a later build can tell whether it may take it over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lsr.data.corpus import Document
from lsr.errors import LsrError, VectorError
from lsr.files import replacing
from lsr.shards import SHARD_DOCUMENTS, Chunk
from lsr.vectors import SparseVectors


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


class Shards:
    """The documents of sealed shards, mapped: any rows of them, in any order.

    Args:
        paths: in order.
        weigh: gives the vectors to be indexed for those in the shards, row by row.

    Raises `LsrError` when a shard is damaged.
    """

    def __init__(
        self, paths: Sequence[Path], weigh: Callable[[SparseVectors], SparseVectors]
    ) -> None:
        self._batches = [_read_shard(path) for path in paths]
        self._weigh = weigh
        self._firsts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def vectors(self) -> Iterator[SparseVectors]:
        """The vectors to be indexed, a shard at a time."""
        for batch in self._batches:
            yield self._weigh(_vectors(batch))

    def take(self, rows: npt.NDArray[np.uint32]) -> Chunk:
        """The given documents, in the given order."""
        shards = np.searchsorted(self._firsts, rows, side="right") - 1
        by_shard = np.argsort(shards, kind="stable")
        back = np.empty_like(by_shard)
        back[by_shard] = np.arange(rows.size)
        vectors, texts = [], []
        for shard in np.unique(shards).tolist():
            wanted = rows[by_shard][shards[by_shard] == shard] - self._firsts[shard]
            batch = self._batches[shard]
            vectors.append(_vectors(batch).take(wanted))
            texts.append(batch.select(["id", "title", "text"]).take(pa.array(wanted)))
        table = pa.Table.from_batches(texts).take(pa.array(back))
        return Chunk(
            table["id"].to_pylist(),
            table["title"].to_pylist(),
            table["text"].to_pylist(),
            self._weigh(SparseVectors.concatenate(vectors).take(back)),
        )


class Encoded:
    """Encoded documents in memory, without texts; see `Shards`."""

    def __init__(self, ids: Sequence[str], vectors: SparseVectors) -> None:
        self._ids, self._vectors = ids, vectors

    def __len__(self) -> int:
        return len(self._vectors)

    def vectors(self) -> Iterator[SparseVectors]:
        """The vectors, some thousand at a time."""
        for start in range(0, len(self), SHARD_DOCUMENTS):
            yield self._vectors[start : min(start + SHARD_DOCUMENTS, len(self))]

    def take(self, rows: npt.NDArray[np.uint32]) -> Chunk:
        """The given documents, in the given order."""
        ids = [self._ids[row] for row in rows.tolist()]
        return Chunk(ids, None, None, self._vectors.take(rows))


def _vectors(batch: pa.RecordBatch) -> SparseVectors:
    terms, weights = batch.column("terms"), batch.column("weights")
    return SparseVectors.trusted(
        terms.offsets.to_numpy(), terms.values.to_numpy(), weights.values.to_numpy()
    )


def _read_shard(path: Path) -> pa.RecordBatch:
    """A sealed shard, mapped and checked."""
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        batch.validate(full=True)
        vectors = _vectors(batch)
        SparseVectors(vectors.indptr, vectors.terms, vectors.weights)
        batch.select(["id", "title", "text"])
    except (pa.ArrowException, KeyError, UnicodeDecodeError, VectorError) as error:
        raise LsrError(
            f"{path} is damaged ({str(error).partition(chr(10))[0]}); remove it and start again"
        ) from None
    return batch

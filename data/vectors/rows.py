"""Encoded documents in any order: what an index is written from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lsr.data.corpus import Chunk
from lsr.data.vectors.shards import SHARD_DOCUMENTS
from lsr.errors import VectorFolderError
from lsr.progress import Progress
from lsr.storage.arrow import map_file
from lsr.vectors import SparseVectors

_TEXTS = ["title", "text"]


class RowSource(Protocol):
    """Encoded documents by their position in the collection.

    Attributes:
        smallest, largest: of the positive weights; 0 where there is none.
    """

    smallest: float
    largest: float

    def __len__(self) -> int: ...

    def vectors(self) -> Iterator[SparseVectors]:
        """The vectors in order, some thousand at a time."""
        ...

    def take(self, rows: npt.NDArray[np.uint32]) -> Chunk:
        """The given documents, in the given order."""
        ...


class RowsInMemory:
    """Encoded documents in memory, without texts."""

    def __init__(self, ids: Sequence[str], vectors: SparseVectors) -> None:
        self._ids, self._vectors = ids, vectors
        self.smallest, self.largest = _extremes(vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def vectors(self) -> Iterator[SparseVectors]:
        for start in range(0, len(self), SHARD_DOCUMENTS):
            yield self._vectors[start : min(start + SHARD_DOCUMENTS, len(self))]

    def take(self, rows: npt.NDArray[np.uint32]) -> Chunk:
        ids = [self._ids[row] for row in rows.tolist()]
        return Chunk(ids, None, None, self._vectors.take(rows))


class ChunkSource(Protocol):
    """Encoded documents that can be had only in order, all of them."""

    path: Path
    documents: int
    keeps_text: bool

    def chunks(self) -> Iterator[Chunk]: ...


class RowStore:
    """The documents of a folder of vectors, unpacked into one mapped Arrow file.

    Rows of compressed shards cannot be taken one by one, and the order of an index takes them
    from everywhere.  The file is worth nothing to anybody else; the caller removes it.

    Raises `VectorFolderError` when a shard is damaged, or an id is there twice.
    """

    def __init__(self, path: Path, source: ChunkSource, progress: type[Progress]) -> None:
        self._columns = ["id", *(_TEXTS if source.keeps_text else [])]
        fields = [(name, pa.large_string()) for name in self._columns]
        fields += [("terms", pa.large_list(pa.uint32())), ("weights", pa.large_list(pa.float32()))]
        schema = pa.schema(fields)
        ids = []
        smallest, largest = math.inf, 0.0
        with (
            path.open("wb") as file,
            pa.ipc.new_file(file, schema) as writer,
            progress("Reading", "documents", source.documents) as bar,
        ):
            for chunk in source.chunks():
                batch = _batch(chunk, schema)
                writer.write_batch(batch)
                least, most = _extremes(chunk.vectors)
                smallest, largest = min(smallest, least or math.inf), max(largest, most)
                ids.append(batch.column("id"))
                bar.advance(batch.num_rows)
        if pc.count_distinct(pa.chunked_array(ids, pa.large_string())).as_py() < source.documents:
            raise VectorFolderError(f"{source.path} has an id twice; write it again with one each")
        del ids
        self.smallest, self.largest = smallest if largest else 0.0, largest
        reader = pa.ipc.open_file(pa.BufferReader(map_file(path)))
        self._batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        self._firsts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def vectors(self) -> Iterator[SparseVectors]:
        for batch in self._batches:
            yield _vectors(batch)

    def take(self, rows: npt.NDArray[np.uint32]) -> Chunk:
        shards = np.searchsorted(self._firsts, rows, side="right") - 1
        by_shard = np.argsort(shards, kind="stable")
        back = np.empty_like(by_shard)
        back[by_shard] = np.arange(rows.size)
        vectors, texts = [], []
        for shard in np.unique(shards).tolist():
            wanted = rows[by_shard][shards[by_shard] == shard] - self._firsts[shard]
            batch = self._batches[shard]
            vectors.append(_vectors(batch).take(wanted))
            texts.append(batch.select(self._columns).take(pa.array(wanted)))
        table = pa.Table.from_batches(texts).take(pa.array(back)).to_pydict()
        return Chunk(
            table["id"],
            table.get("title"),
            table.get("text"),
            SparseVectors.concatenate(vectors).take(back),
        )


def _extremes(vectors: SparseVectors) -> tuple[float, float]:
    """The smallest and the largest positive weight; 0 where there is none."""
    positive = vectors.weights[vectors.weights > 0]
    return (float(positive.min()), float(positive.max())) if positive.size else (0.0, 0.0)


def _batch(chunk: Chunk, schema: pa.Schema) -> pa.RecordBatch:
    offsets = pa.array(chunk.vectors.indptr)
    columns = {
        "id": chunk.ids,
        "title": chunk.titles,
        "text": chunk.texts,
        "terms": pa.LargeListArray.from_arrays(offsets, pa.array(chunk.vectors.terms)),
        "weights": pa.LargeListArray.from_arrays(offsets, pa.array(chunk.vectors.weights)),
    }
    return pa.record_batch([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def _vectors(batch: pa.RecordBatch) -> SparseVectors:
    terms, weights = batch.column("terms"), batch.column("weights")
    return SparseVectors.trusted(
        terms.offsets.to_numpy(), terms.values.to_numpy(), weights.values.to_numpy()
    )

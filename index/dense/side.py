"""The dense side of an index, written and searched; `lsr.index.dense.format` has its files.

Whatever finds candidates, a product with all vectors or an index by faiss, a score is a sum over
the vectors themselves, and equal scores go by the documents' positions.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lsr.arguments import whole
from lsr.errors import DenseCorrupt, IndexCorrupt, IndexFormatError, QueryError
from lsr.index.dense import DENSE, faiss_files, has_dense, no_dense
from lsr.index.dense.faiss_files import Vectors
from lsr.index.dense.format import (
    BATCH,
    DenseManifest,
    belongs_to,
)
from lsr.index.format import Manifest, edition_of, name_of_edition
from lsr.progress import Progress
from lsr.storage.arrow import ArrowFile, arrow_writer, map_file
from lsr.storage.files import checksum_bytes, steady, sync
from lsr.storage.manifest import MANIFEST, FileEntry

_VECTORS, _FAISS = "vectors.arrow", "vectors.faiss"  # until their edition is known
_QUERIES = 64  # multiplied with a batch of vectors at once
_UNIT = 2.0**-23  # twice the largest relative error of a float32 operation

Positions = npt.NDArray[np.int64]


def write_dense(
    folder: Path,
    vectors: Iterable[Vectors],
    *,
    dimensions: int,
    kind: str,
    collection: str,
    encoder: dict[str, Any],
    created_by: str,
    threads: int,
    progress: type[Progress],
) -> None:
    """Write a complete dense side into a new folder.

    Args:
        vectors: of all documents in the order of their positions, in pieces of any size.
        kind: of the faiss index.
        collection: `collection_of` the index.
        encoder: the identity of what made the vectors.
    """
    folder.mkdir()
    documents, norm = 0, 0.0
    schema = pa.schema([("vector", pa.list_(pa.float32(), dimensions))])
    with arrow_writer(folder / _VECTORS, schema) as write:
        for batch in _batches(vectors):
            values = pa.array(batch.ravel())
            write({"vector": pa.FixedSizeListArray.from_arrays(values, dimensions)})
            documents += len(batch)
            norm = max(norm, float(np.sqrt((batch.astype(np.float64) ** 2).sum(axis=1)).max()))
    names = [_VECTORS]
    if kind != "flat":
        mapped = _map(folder / _VECTORS, documents, dimensions, None)
        made = faiss_files.make(kind, mapped, threads=threads, progress=progress)
        faiss_files.write(made, folder / _FAISS)
        with (folder / _FAISS).open("rb") as file:
            os.fsync(file.fileno())
        names.append(_FAISS)
    entries = {name: FileEntry.of(folder / name) for name in names}
    edition = name_of_edition(edition_of(entries, collection, kind, encoder))
    files = {}
    for name, entry in entries.items():
        final = Path(name).with_suffix(f".{edition}{Path(name).suffix}").name
        (folder / name).rename(folder / final)
        files[final] = entry
    DenseManifest(documents, dimensions, collection, kind, norm, encoder, created_by, files).write(
        folder
    )
    sync(folder)


def _batches(vectors: Iterable[Vectors]) -> Iterator[Vectors]:
    """Pieces of any size as batches of `BATCH` rows."""
    held: list[Vectors] = []
    rows = 0
    for piece in vectors:
        held.append(piece)
        rows += len(piece)
        while rows >= BATCH:
            whole = np.concatenate(held)
            yield whole[:BATCH]
            held, rows = [whole[BATCH:]], rows - BATCH
    if rows:
        yield np.concatenate(held)


def _map(path: Path, documents: int, dimensions: int, size: int | None) -> list[Vectors]:
    """The batches of a file of vectors, mapped.  Raises `DenseCorrupt`."""
    count = -(-documents // BATCH)
    try:
        file = ArrowFile(path, size=path.stat().st_size if size is None else size, batches=count)
        batches = [file.vectors(number, "vector", dimensions) for number in range(count)]
    except IndexCorrupt as error:
        raise DenseCorrupt(path, error.what) from None
    lengths = [len(batch) for batch in batches]
    if sum(lengths) != documents or any(length != BATCH for length in lengths[:-1]):
        raise DenseCorrupt(path, f"it does not hold the vectors of {documents:,} documents")
    return batches


class DenseSide:
    """The vectors of an index, open for searching; safe to use from several threads.

    A document is named by its position in the collection as given, int64.

    Attributes:
        path: its folder.
        documents, dimensions: the shape of the vectors.
        kind: "flat" searches all vectors; other kinds find candidates by faiss.
        encoder: the identity of the encoder that made the vectors.
    """

    def __init__(self, path: Path, manifest: DenseManifest) -> None:
        self.path, self.manifest = path, manifest
        self.documents, self.dimensions = manifest.documents, manifest.dimensions
        self.kind, self.encoder = manifest.kind, manifest.encoder
        self._vectors_path = path / manifest.vectors_file
        size = manifest.files[manifest.vectors_file].size
        self._batches = _map(self._vectors_path, self.documents, self.dimensions, size)
        self._faiss_path, self._faiss_bytes = None, None
        if manifest.faiss_file is not None:
            self._faiss_path = path / manifest.faiss_file
            # Mapped with the rest, so that both are of one edition; read when it is needed.
            self._faiss_bytes = _map_bytes(self._faiss_path, manifest.files[manifest.faiss_file])

    @cached_property
    def _faiss(self) -> Any:
        """The index of faiss; None for "flat"."""
        path, data = self._faiss_path, self._faiss_bytes
        if path is None or data is None:
            return None
        # The digest first: faiss trusts all it reads.
        if checksum_bytes(data) != self.manifest.files[path.name].checksum:
            raise DenseCorrupt(path, "it does not match its checksum")
        shape = (self.documents, self.dimensions)
        return faiss_files.read(np.frombuffer(data, np.uint8), path, self.kind, shape)

    @classmethod
    def open(cls, index: str | os.PathLike[str]) -> DenseSide:
        """Open the dense side of an index directory.

        Raises `IndexFormatError` when there is none, or it is of another version or of another
        index, `DenseCorrupt` when a file is missing, cut short or not what it should be, and
        `SystemCallError`.
        """
        path = Path(index).absolute()
        side = steady(path / MANIFEST, lambda: cls.find(path, Manifest.read(path)))
        if side is None:
            raise no_dense(path)
        return side

    @classmethod
    def find(cls, path: Path, manifest: Manifest) -> DenseSide | None:
        """The dense side of an index with this manifest; None when it has none.

        Raises as `open`.
        """
        folder = path / DENSE

        def attempt() -> DenseSide | None:
            if not has_dense(path):
                return None
            dense = DenseManifest.read(folder)
            return cls(folder, dense) if belongs_to(dense, manifest) else None

        return steady(folder / MANIFEST, attempt)

    def search(
        self, queries: Vectors, k: int, *, threads: int = 1
    ) -> list[tuple[Positions, npt.NDArray[np.float32]]]:
        """The k documents of the largest inner product with each query.

        Args:
            queries: float32, (queries, dimensions).
            threads: that faiss takes; products of "flat" go by those of NumPy.

        Returns for each query positions, and scores as `score` gives them, best first, equal scores
        by ascending position.  "flat" gives exactly the k best of all documents; other kinds those
        of their candidates, which may be fewer than k.

        Raises `QueryError` for queries of another shape or not finite, and `DenseCorrupt` for
        vectors that are not finite.
        """
        k, threads = whole("k", k), whole("threads", threads)
        queries = self._checked(queries)
        if not self.documents:
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
        k = min(k, self.documents)
        if self._faiss is None:
            candidates = [
                positions
                for start in range(0, len(queries), _QUERIES)
                for positions in self._all(queries[start : start + _QUERIES], k)
            ]
        else:
            candidates = faiss_files.candidates(self._faiss, self.kind, queries, k, threads)
        return [
            self._best(query, positions, k)
            for query, positions in zip(queries, candidates, strict=True)
        ]

    def score(self, query: Vectors, positions: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The inner products of a query (dimensions,) with some documents, float32.

        Products and sums are in float64 and each sum is rounded once, so that a document's score
        does not depend on the documents beside it.
        """
        (row,) = self._checked(np.asarray(query)[None])
        with np.errstate(over="ignore", invalid="ignore"):
            # By the row, as a product of matrices need not be; and without its temporary arrays.
            exact = np.einsum(
                "ij,j->i", self.vectors(positions).astype(np.float64), row.astype("f8")
            )
            scores = exact.astype(np.float32)
        if not np.isfinite(scores).all():
            raise self._not_finite()
        return np.asarray(scores)

    def vectors(self, positions: npt.ArrayLike) -> Vectors:
        """The vectors of some documents, float32, (positions, dimensions)."""
        wanted = np.asarray(positions, np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.documents:
            raise QueryError(f"{self.path} has positions 0 to {self.documents - 1:,} only")
        if len(self._batches) == 1:
            return self._batches[0][wanted]
        rows = np.empty((wanted.size, self.dimensions), np.float32)
        for number in np.unique(wanted // BATCH):
            mask = wanted // BATCH == number
            rows[mask] = self._batches[number][wanted[mask] % BATCH]
        return rows

    def _all(self, queries: Vectors, k: int) -> list[Positions]:
        """The documents that may be the k best of each query, by the products of all.

        A product in float32 differs from `score` by its rounding, which depends on how it was
        added up.  So all documents within twice the bound of that error of the k-th are kept:
        whatever `score` makes of them, the k best are among them, and ties are settled there.
        """
        lengths = np.sqrt((queries.astype(np.float64) ** 2).sum(axis=1))
        bounds = 2 * (self.dimensions + 1) * _UNIT * lengths * self.manifest.norm + 1e-37
        kept = [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
        for number, batch in enumerate(self._batches):
            with np.errstate(over="ignore", invalid="ignore"):
                products = queries @ batch.T
            if not np.isfinite(products).all():
                raise self._not_finite()
            for row, scores in enumerate(products):
                # The k-th of some is no better than the k-th of all.
                near = np.flatnonzero(scores >= _kth(scores, k) - bounds[row])
                positions = np.concatenate([kept[row][0], near + number * BATCH])
                values = np.concatenate([kept[row][1], scores[near]])
                wanted = values >= _kth(values, k) - bounds[row]
                kept[row] = (positions[wanted], values[wanted])
        return [positions for positions, _ in kept]

    def _best(
        self, query: Vectors, positions: Positions, k: int
    ) -> tuple[Positions, npt.NDArray[np.float32]]:
        if positions.size and not 0 <= positions.min() <= positions.max() < self.documents:
            path = self._faiss_path or self._vectors_path
            raise DenseCorrupt(path, "it names documents that do not exist")
        scores = self.score(query, positions)
        order = np.lexsort((positions, -scores))[:k]
        return positions[order], scores[order]

    def _checked(self, queries: Vectors) -> Vectors:
        queries = np.asarray(queries)
        if queries.ndim != 2 or queries.shape[1] != self.dimensions:
            raise QueryError(
                f"the queries have the shape {queries.shape}, and the vectors of {self.path} have "
                f"{self.dimensions} dimensions; encode queries with {self.encoder['name']}"
            )
        queries = np.ascontiguousarray(queries, np.float32)
        if not np.isfinite(queries).all():
            raise QueryError("a query's vector has numbers that are not finite")
        return queries

    def _not_finite(self) -> DenseCorrupt:
        return DenseCorrupt(self._vectors_path, "it has numbers that are not finite")


def _kth(values: npt.NDArray[np.float32], k: int) -> float:
    """The k-th largest value; of fewer, none is too small."""
    return (
        float(np.partition(values, values.size - k)[values.size - k])
        if values.size > k
        else -math.inf
    )


def _map_bytes(path: Path, entry: FileEntry) -> pa.Buffer:
    """The bytes of a file, mapped, if there are as many as were written."""
    try:
        data = map_file(path)
    except FileNotFoundError:
        raise DenseCorrupt(path, "the file is missing") from None
    if data.size != entry.size:
        raise DenseCorrupt(path, f"it has {data.size:,} bytes instead of {entry.size:,}")
    return data


def problems(index: Path) -> list[str]:
    """Everything wrong with the dense side of an index, if it has one, a sentence each."""
    return steady(
        index / MANIFEST, lambda: steady(index / DENSE / MANIFEST, lambda: _problems(index))
    )


def _problems(index: Path) -> list[str]:
    try:
        side = DenseSide.find(index, Manifest.read(index))
        if side is None:
            return []
        path = side._vectors_path
        if FileEntry.of(path) != side.manifest.files[path.name]:
            raise DenseCorrupt(path, "it does not match its checksum")
        for batch in side._batches:
            if not np.isfinite(batch).all():
                raise side._not_finite()
        _ = side._faiss  # compares its digest, and reads it
    except FileNotFoundError as error:
        return [str(DenseCorrupt(Path(error.filename), "the file is missing"))]
    except (IndexCorrupt, IndexFormatError) as error:
        return [str(error)]
    return []

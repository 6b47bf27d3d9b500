"""Encoded documents and queries from Parquet, and longer queries made of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lsr import SparseVectors


def load(path: Path, count: int | None = None) -> SparseVectors:
    """Read the columns `terms` (lists of integers) and `weights` (lists of floats).

    Args:
        count: number of rows to read; None reads all.
    """
    # In batches: a small part of a large file should not take the memory of all of it.
    batches, rows = [], 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["terms", "weights"]):
            if count is not None and rows + batch.num_rows >= count:
                batches.append(batch.slice(0, count - rows))
                break
            batches.append(batch)
            rows += batch.num_rows
    table = pa.Table.from_batches(batches)
    terms, weights = (table[name].combine_chunks() for name in ("terms", "weights"))
    offsets = terms.offsets.to_numpy().astype(np.int64)
    values = weights.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    nonzero = values != 0  # some engines refuse a weight of zero
    # A slice of a table keeps the whole table's offsets.
    indptr = np.concatenate([[0], np.cumsum(nonzero)])[offsets - offsets[0]]
    vectors = SparseVectors(
        indptr, terms.flatten().to_numpy(zero_copy_only=False)[nonzero], values[nonzero]
    )
    del table, terms, weights, batches
    pa.default_memory_pool().release_unused()  # it would count as memory of a build
    return vectors


def join(queries: SparseVectors, count: int) -> SparseVectors:
    """Merge consecutive queries until each has `count` terms; a term keeps its larger weight."""
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    merged: dict[int, float] = {}
    for query in queries:
        for term, weight in zip(query.terms.tolist(), query.weights.tolist(), strict=True):
            merged[term] = max(weight, merged.get(term, 0.0))
        if len(merged) >= count:
            terms = np.array(sorted(merged), np.uint32)
            rows.append((terms, np.array([merged[t] for t in terms.tolist()], np.float32)))
            merged = {}
    return SparseVectors.from_rows(rows)


def digest(*paths: Path) -> str:
    """16 hexadecimal digits that identify the contents of files."""
    total = hashlib.blake2b(digest_size=8)
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "blake2b").digest())
    return total.hexdigest()

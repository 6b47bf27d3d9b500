"""Indexes of bare vectors for tests, and brute force over them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np

from lsr.index.format import SEGMENTS, Manifest, edition_of
from lsr.index.postings.quantizer import step_for
from lsr.index.search.searcher import Searcher
from lsr.index.segments.reader import Segment
from lsr.index.segments.schema import FLOAT_FILES, PARTITION_FILES
from lsr.index.segments.writer import SegmentWriter
from lsr.storage.arrow import Columns
from lsr.storage.manifest import FileEntry
from lsr.vectors import SparseVectors

# Thousands of small indexes are written; on a disk that takes most of the time.
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_numbers = itertools.count()


def write_index(
    root: Path,
    vectors: SparseVectors,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    positions: np.ndarray | None = None,
    cuts: tuple[int, ...] = (),
    max_memory: int = 1 << 30,
    **limits: int,
) -> tuple[Path, Manifest]:
    """Write an index of bare vectors, split into segments at `cuts`; `limits` are the writer's."""
    index = root / f"index-{next(_numbers)}"
    step = step_for(float(vectors.weights.max(initial=0)), bits)
    if positions is None:
        positions = np.arange(len(vectors), dtype=np.uint32)
    edges = [0, *cuts, len(vectors)]
    entries, error = [], 0.0
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        with SegmentWriter(
            index / SEGMENTS / str(number),
            bits=bits,
            step=step,
            keep_floats=keep_floats,
            keep_text=False,
            max_memory=max_memory,
            **limits,
        ) as writer:
            ids = [f"d{d}" for d in range(start, stop)]
            writer.add(ids, vectors[start:stop], positions[start:stop])
            entries.append(writer.finish())
            error = max(error, writer.error)
    files = {
        str(path.relative_to(index)): FileEntry.of(path) for path in sorted(index.rglob("*.arrow"))
    }
    manifest = Manifest(
        segments=entries,
        bits=bits,
        step=step,
        error=error,
        encoder=None,
        vocabulary=0,
        kept=["floats"] if keep_floats else [],
        created_by="a test",
        files=files,
        edition=edition_of(files),
    )
    manifest.write(index)
    return index, manifest


def open_searcher(index: Path, alive: np.ndarray | None = None) -> Searcher:
    """Open an index; `alive`, a value a document, replaces the bitmaps of its segments."""
    manifest = Manifest.read(index)
    segments = [Segment(index, entry, manifest) for entry in manifest.segments]
    if alive is not None:
        ends = np.cumsum([segment.entry.documents for segment in segments])
        for segment, part in zip(segments, np.split(alive, ends[:-1]), strict=True):
            segment.alive = np.packbits(part, bitorder="little")
    return Searcher(segments, manifest)


def as_mapped(files: dict[str, Columns]) -> Columns:
    """The batches of a partition, by file and column, as `Segment.partition` names them."""
    return {
        column: files[file][name]
        for file, names in (PARTITION_FILES | FLOAT_FILES).items()
        if file in files
        for name, (column, _) in names.items()
    }


def stored_integers(vectors: SparseVectors, manifest: Manifest) -> np.ndarray:
    """The integer weight of every entry, by the formula of the format."""
    exact = vectors.weights.astype(np.float64) / manifest.step
    integers = np.clip(np.rint(exact), 1, 2**manifest.bits - 1).astype(np.int64)
    integers[vectors.weights == 0] = 0
    return integers


def brute_force(
    vectors: SparseVectors,
    weights: np.ndarray,
    query_terms: np.ndarray,
    query_weights: np.ndarray,
    k: int,
    positions: np.ndarray | None = None,
    alive: np.ndarray | None = None,
) -> tuple[list[int], list[float]]:
    """(documents, scores) of the best k: all products, summed a document at a time."""
    owners = np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr))
    rows = np.searchsorted(query_terms, vectors.terms)
    rows = np.minimum(rows, query_terms.size - 1)
    factors = np.zeros(vectors.terms.size)
    if query_terms.size:
        factors = np.where(query_terms[rows] == vectors.terms, query_weights[rows], 0)
    scores = np.bincount(owners, factors * weights.astype(np.float64), len(vectors))
    if positions is None:
        positions = np.arange(len(vectors))
    found = np.flatnonzero((scores > 0) & (True if alive is None else alive.astype(bool)))
    order = np.lexsort((positions[found], -scores[found]))[:k]
    return found[order].tolist(), scores[found[order]].tolist()

"""Indexes of bare vectors for tests, and brute force over them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from lsr.index.format import SEGMENTS, FileEntry, Manifest
from lsr.index.quantizer import step_for
from lsr.index.searcher import Searcher
from lsr.index.segment import Segment
from lsr.index.writer import SegmentWriter
from lsr.vectors import SparseVectors

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
) -> tuple[Path, Manifest]:
    """Write an index of bare vectors, split into segments at `cuts`."""
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
    )
    manifest.write(index)
    return index, manifest


def open_searcher(index: Path, alive: np.ndarray | None = None) -> Searcher:
    """Open an index; `alive` replaces the bitmap of its only segment."""
    manifest = Manifest.read(index)
    segments = [Segment(index, entry, manifest) for entry in manifest.segments]
    if alive is not None:
        (segment,) = segments
        segment.alive = np.packbits(alive, bitorder="little")
    return Searcher(segments, bits=manifest.bits, step=manifest.step, error=manifest.error)


def brute_force(
    vectors: SparseVectors,
    searcher: Searcher,
    manifest: Manifest,
    queries: SparseVectors,
    k: int,
    positions: np.ndarray | None = None,
    alive: np.ndarray | None = None,
) -> list[tuple[list[int], list[int]]]:
    """(documents, integer scores) of each query, from dense integer products."""
    integers = searcher.quantize(queries)
    stored = np.clip(
        np.rint(vectors.weights.astype(np.float64) / manifest.step), 1, 2**manifest.bits - 1
    ).astype(np.int64)
    stored[vectors.weights == 0] = 0
    owners = np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr))
    if positions is None:
        positions = np.arange(len(vectors))
    results = []
    for row in range(len(queries)):
        span = slice(integers.indptr[row], integers.indptr[row + 1])
        weight_of = dict(
            zip(integers.terms[span].tolist(), integers.weights[span].tolist(), strict=True)
        )
        scores = [0] * len(vectors)
        for owner, term, weight in zip(
            owners.tolist(), vectors.terms.tolist(), stored.tolist(), strict=True
        ):
            scores[owner] += weight_of.get(term, 0) * weight
        hits = [d for d, s in enumerate(scores) if s > 0 and (alive is None or alive[d])]
        hits.sort(key=lambda d: (-scores[d], positions[d]))
        results.append((hits[:k], [scores[d] for d in hits[:k]]))
    return results

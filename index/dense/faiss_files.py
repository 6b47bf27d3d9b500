"""The faiss indexes of a dense side, which are made of its vectors and return candidates.

    ivf     IVFn,SQ8    n lists of neighbours, of which some are looked through
    hnsw    HNSW32,SQ8  a graph of 32 neighbours a vector, which is walked
    sq8     SQ8         all vectors, a byte a number
    pq      PQm         all vectors, a byte for every 8 numbers or so

"flat" has none: the vectors themselves are read.  None of these keeps the vectors a second time,
for what they find is scored by the vectors themselves (`lsr.index.dense.side`); so they answer for
which documents are candidates alone.  Distances are inner products.

The same vectors always make the same bytes: faiss's random numbers have a fixed seed, and a
graph is grown by one thread.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.errors import DenseCorrupt, LsrError, first_line
from lsr.progress import Progress

Vectors = npt.NDArray[np.float32]

KINDS = ("flat", "ivf", "hnsw", "sq8", "pq")

# What faiss calls them.
_TYPES = {
    "ivf": "IndexIVFScalarQuantizer",
    "hnsw": "IndexHNSWSQ",
    "sq8": "IndexScalarQuantizer",
    "pq": "IndexPQ",
}
_CENTROIDS = 256  # of a byte of PQ
_POINTS = 39  # training vectors a centroid, faiss's own least
_TRAINING = 64 * _CENTROIDS  # vectors that PQ and SQ8 learn from, at most
_PER_LIST = 256  # training vectors a list of IVF, at most
_ROUNDS = 10  # of k-means for PQ, whose 25 by default make no difference that rescoring leaves
# Least width of the search: lists of IVF, and candidates of HNSW's walk.
_PROBES = 16
_SHARE = 8  # one list of so many
_TIMES = 8  # lists that hold so many times the candidates wanted
_WALK = 128


def check_kind(kind: str, documents: int) -> None:
    """Raise `LsrError` for an unknown kind of index, or too few documents for it."""
    if kind not in KINDS:
        raise LsrError(f"there is no faiss index {kind!r}; give one of {', '.join(KINDS)}")
    least = {"pq": _CENTROIDS, "ivf": _POINTS}.get(kind, 0)
    if documents < least:
        raise LsrError(
            f"the faiss index {kind} needs at least {least} documents, and there are {documents}; "
            "give flat"
        )


def make(
    kind: str,
    batches: list[Vectors],
    *,
    threads: int,
    progress: type[Progress],
) -> Any:
    """The index of a kind other than "flat" over all vectors.

    Args:
        batches: of vectors, which may be mapped files; all but the last of one length.
        threads: for training, and for adding where that does not change the result.
    """
    faiss = _faiss()
    documents, dimensions = sum(map(len, batches)), batches[0].shape[1]
    lists = max(1, min(round(4 * math.sqrt(documents)), documents // _POINTS))
    subspaces = dimensions // _least_divisor(dimensions, min(8, dimensions))
    name = {
        "ivf": f"IVF{lists},SQ8",
        "hnsw": "HNSW32_SQ8",
        "sq8": "SQ8",
        "pq": f"PQ{subspaces}x8",
    }[kind]
    index = faiss.index_factory(dimensions, name, faiss.METRIC_INNER_PRODUCT)
    if kind == "pq":
        # Below 39 training vectors a centroid faiss prints a warning; candidates are rescored.
        index.pq.cp.min_points_per_centroid = 1
        index.pq.cp.niter = _ROUNDS
    wanted = lists * _PER_LIST if kind == "ivf" else _TRAINING
    with _threads(faiss, threads):
        index.train(_sample(batches, documents, wanted))
    with (
        _threads(faiss, 1 if kind == "hnsw" else threads),
        progress("Indexing", "vectors", documents) as bar,
    ):
        for batch in batches:
            for start in range(0, len(batch), 4096):
                piece = np.ascontiguousarray(batch[start : start + 4096])
                index.add(piece)
                bar.advance(len(piece))
    return index


def write(index: Any, path: Path) -> None:
    """Write an index in faiss's own format; raises `OSError`."""
    try:
        _faiss().write_index(index, str(path))
    except RuntimeError as error:  # faiss's way to say that a disk is full
        raise OSError(0, first_line(error), str(path)) from None


def read(data: npt.NDArray[np.uint8], path: Path, kind: str, shape: tuple[int, int]) -> Any:
    """The index in the bytes of a file, whose digest has been compared.

    Raises `DenseCorrupt` naming `path` when they are no index of this kind over `shape`
    (documents, dimensions).
    """
    faiss = _faiss()
    try:
        index = faiss.deserialize_index(data)
    except (RuntimeError, MemoryError) as error:
        raise DenseCorrupt(path, f"faiss cannot read it ({first_line(error)})") from None
    actual = (type(index).__name__, index.ntotal, index.d, index.metric_type)
    if actual != (_TYPES[kind], *shape, faiss.METRIC_INNER_PRODUCT):
        raise DenseCorrupt(path, f"it holds another index than {kind} of {shape[0]:,} vectors")
    return index


def candidates(
    index: Any, kind: str, queries: Vectors, k: int, threads: int
) -> list[npt.NDArray[np.int64]]:
    """The documents that may be the k best of each query, in no order, more than k of them.

    Codes are not the vectors, so that the order near the k-th is not certain.
    """
    faiss = _faiss()
    depth = min(index.ntotal, 4 * k + 256 if kind == "pq" else k + k // 4 + 16)
    options: dict[str, Any] = {}
    if kind == "ivf":
        enough = -(-_TIMES * depth * index.nlist // index.ntotal)
        probes = max(_PROBES, index.nlist // _SHARE, enough)
        probes = min(probes, index.nlist)
        options["params"] = faiss.SearchParametersIVF(nprobe=probes)
    elif kind == "hnsw":
        options["params"] = faiss.SearchParametersHNSW(efSearch=max(_WALK, 2 * depth))
    with _threads(faiss, threads):
        _, rows = index.search(queries, depth, **options)
    return [row[row >= 0] for row in rows]


def _sample(batches: list[Vectors], documents: int, most: int) -> Vectors:
    """At most so many vectors, evenly spaced."""
    step = -(-documents // most)
    return np.concatenate([batch[::step] for batch in batches])


def _least_divisor(number: int, least: int) -> int:
    """The least divisor of a number that is at least `least`."""
    return next(n for n in range(least, number + 1) if number % n == 0)


@contextmanager
def _threads(faiss: Any, threads: int) -> Iterator[None]:
    """OpenMP's threads for what this thread asks of faiss."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _faiss() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the binding's types, on Python 3.12 and later
        import faiss
    return faiss

"""The order in which documents are stored.

Recursive graph bisection puts documents with common terms next to each other, so that the
bounds of blocks come close to the scores in them; it also lets blocks share cache lines and
shortens the index.  Positions in the collection as given break ties, so hits are the same in
every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from lsr import kernels
from lsr.progress import Progress
from lsr.vectors import SparseVectors

ORDERS = ("bisection", "none")
# Terms of a document that take part: with all of them the order is hardly better, and takes
# several times as long.
STRONGEST = 32
# Of equal weights none are the strongest: the first would be those of one part of the vocabulary.
MOST_EQUAL = 128
# A part of so many documents is ordered to the end by one thread.
_PART = 8192


def bisection(
    chunks: Iterable[SparseVectors],
    *,
    threads: int,
    progress: type[Progress],
    strongest: int = STRONGEST,
) -> npt.NDArray[np.uint32]:
    """The numbers of the documents of `chunks` in the order of a recursive graph bisection.

    Memory: 4 bytes for each of the `strongest` terms of each document.  The order does not depend
    on `threads`.
    """
    graph = kernels.index.Bisection(strongest)
    count = 0
    for chunk in chunks:
        graph.add(chunk.indptr, chunk.terms, chunk.weights)
        count += len(chunk)
    order = np.arange(count, dtype=np.uint32)
    parts = [(0, count)]
    levels = max(0, (max(count, 1) - 1).bit_length() - 3)  # down to blocks of 8
    pool = ThreadPoolExecutor(threads)
    try:
        with progress("Ordering", "placements", count * levels) as bar:
            while parts[0][1] - parts[0][0] > _PART:
                for begin, end in _each(pool, graph.split, order, parts):
                    bar.advance(end - begin)
                parts = [half for part in parts for half in _halves(*part)]
                levels -= 1
            for begin, end in _each(pool, graph.finish, order, parts):
                bar.advance((end - begin) * levels)
    finally:
        pool.shutdown(cancel_futures=True)
    return order


def _halves(begin: int, end: int) -> list[tuple[int, int]]:
    """The parts that a split leaves."""
    middle = begin + (end - begin) // 2
    return [(begin, middle), (middle, end)]


def _each(
    pool: ThreadPoolExecutor,
    arrange: Callable[[npt.NDArray[np.uint32], int, int], None],
    order: npt.NDArray[np.uint32],
    parts: list[tuple[int, int]],
) -> Iterator[tuple[int, int]]:
    """Arrange the parts of an order, several at once; yields each when it is done."""

    def one(part: tuple[int, int]) -> tuple[int, int]:
        arrange(order, *part)
        return part

    return pool.map(one, parts)

"""E6: what does recursive graph bisection cost, and what do its settings change?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
from lsr.index.ordering import STRONGEST

from benchmarks import vectors
from benchmarks.studies import common
from benchmarks.studies.common import Array
from lsr import SparseVectors
from lsr.index import _kernels
from lsr.index.format import BLOCK, groups_of

TERMS = (16, 32, 64)
VARIED = 98_304  # documents on which rounds and gains are varied, in compiled Python
LEAST_SWAPPED = 200  # stop when fewer than one document in so many moved


@common.study("24576,98304,196608")
def main(
    documents: Path,
    queries: Path,
    sizes: list[int],
    questions: int,
    ks: list[int],
    orders: Path | None,
) -> None:
    """Print seconds, blocks left and bytes of each way to order documents."""
    asked = vectors.load(queries)[:questions]
    rows: list[tuple[str, ...]] = []
    for size in sizes:
        given = vectors.load(documents, size)
        for name, order, seconds in arranged(given):
            inverted = common.invert(given, order)
            maxima, blocks = common.largest(inverted), common.coarser(inverted, BLOCK)
            frequent = inverted.frequent
            entries = np.diff(blocks.starts)[frequent].sum()
            groups = np.array([groups_of(int(count)) for count in inverted.documents])
            size_of = (8 * (frequent * groups[:, None]).sum() + entries) / inverted.units.size
            blocks = common.raised(blocks, frequent, common.codebook_of)
            left = []
            for query in common.integer_queries(asked, maxima, given):
                scores = common.sums(inverted, query)
                bounds, unit = common.rounded_bounds(blocks, maxima, query)
                left.append([(bounds * unit >= common.kth(scores, k)).sum() for k in ks])
            cells = f"{seconds:.1f}", common.several(np.mean(left, axis=0)), f"{size_of:.3f}"
            rows.append((f"{size:,}", name, *cells))
    print("Orders of documents, bounds as in the index, queries as given")
    heads = ("documents", "order", "seconds", f"blocks left, k = {common.several(ks)}")
    common.table((*heads, "bytes of bitmaps and masks a posting"), rows)


def arranged(given: SparseVectors) -> Iterator[tuple[str, Array, float]]:
    """Orders, and the processor seconds that each took."""
    yield "as given", np.arange(len(given), dtype=np.uint32), 0
    for terms in TERMS:
        start = time.process_time()
        graph, order = _kernels.Bisection(terms), np.arange(len(given), dtype=np.uint32)
        graph.add(given.indptr, given.terms, given.weights)
        graph.finish(order, 0, len(given))
        yield f"strongest {terms} terms", order, time.process_time() - start
    if len(given) != VARIED:
        return
    strongest = given.strongest(STRONGEST)
    numbers, same = strongest.terms.astype(np.int64), np.ones_like(strongest.weights)
    vocabulary = int(numbers.max()) + 1
    bisect(strongest.indptr, numbers, same, vocabulary, 1, BLOCK)  # compiles
    for label, factors, rounds in (
        ("4 rounds", same, 4),
        ("8 rounds", same, 8),
        ("20 rounds", same, 20),
        ("8 rounds, gains times weights", strongest.weights, 8),
    ):
        start = time.process_time()
        order = bisect(strongest.indptr, numbers, factors, vocabulary, rounds, len(given))
        yield f"in compiled Python, {label}", order, time.process_time() - start


@numba.njit(nogil=True)
def bisect(indptr, terms, factors, vocabulary, rounds, count):  # type: ignore[no-untyped-def]
    """The kernels' bisection of the first `count` documents, with other rounds and gains: a term
    counts as often as its factor says."""
    logs = np.log2(np.maximum(np.arange(count + 2), 1)).astype(np.float32)
    # Documents of a term in the halves, and what moving one of them saves, once a round.
    degrees, gains = np.zeros((vocabulary, 2), np.int64), np.zeros((vocabulary, 2), np.float32)
    computed = np.zeros(vocabulary, np.int64)
    order, now = np.arange(count).astype(np.uint32), 0
    parts = [(0, count)]
    while len(parts) > 0:
        begin, end = parts.pop()
        size, middle = end - begin, begin + (end - begin) // 2
        if size <= BLOCK:
            continue
        for i in range(begin, end):
            for j in range(indptr[order[i]], indptr[order[i] + 1]):
                degrees[terms[j], int(i >= middle)] += 1
        widths = logs[middle - begin], logs[end - middle]
        of_places = np.zeros(size, np.float32)
        for _ in range(rounds):
            now += 1
            for i in range(size):
                of_places[i] = 0
                for j in range(indptr[order[begin + i]], indptr[order[begin + i] + 1]):
                    term = terms[j]
                    if computed[term] != now:
                        computed[term] = now
                        left, right = degrees[term]
                        same = _cost(left, right, widths, logs)
                        if left > 0:
                            gains[term, 0] = _cost(left - 1, right + 1, widths, logs) - same
                        if right > 0:
                            gains[term, 1] = _cost(left + 1, right - 1, widths, logs) - same
                    of_places[i] += factors[j] * gains[term, int(begin + i >= middle)]
            half = middle - begin
            lefts = np.argsort(of_places[:half], kind="mergesort")
            rights = np.argsort(of_places[half:], kind="mergesort") + half
            swapped = 0
            while swapped < half and of_places[lefts[swapped]] + of_places[rights[swapped]] < 0:
                a, b = begin + lefts[swapped], begin + rights[swapped]
                for place, side in ((a, 0), (b, 1)):
                    for j in range(indptr[order[place]], indptr[order[place] + 1]):
                        degrees[terms[j], side] -= 1
                        degrees[terms[j], 1 - side] += 1
                order[a], order[b] = order[b], order[a]
                swapped += 1
            if swapped * LEAST_SWAPPED < size:
                break
        for i in range(begin, end):
            for j in range(indptr[order[i]], indptr[order[i] + 1]):
                degrees[terms[j]] = 0
        parts.append((begin, middle))
        parts.append((middle, end))
    return order


@numba.njit(nogil=True, inline="always")
def _cost(left, right, widths, logs):  # type: ignore[no-untyped-def]
    return left * (widths[0] - logs[left + 1]) + right * (widths[1] - logs[right + 1])


if __name__ == "__main__":
    main()

"""E1: how much of a collection do the bounds of blocks leave, by size of block, order and code?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numba
import numpy as np

from benchmarks import vectors
from benchmarks.studies import common
from benchmarks.studies.common import Array, IntegerQuery, Inverted
from lsr.index.format import BLOCK

UNITS = (8, 16, 32, 64, 128, 512)


@common.study("24576,98304,196608")
def main(
    documents: Path,
    queries: Path,
    sizes: list[int],
    questions: int,
    ks: list[int],
    orders: Path | None,
) -> None:
    """Print the shares of units left, and what coarser maxima leave of blocks of 8."""
    asked = common.classes(vectors.load(queries), questions)
    shares: list[tuple[str, ...]] = []
    codes: list[tuple[str, ...]] = []
    for size in sizes:
        given = vectors.load(documents, size)
        for order in ("shuffled", "bisection"):
            inverted = common.invert(
                given, common.ordered(given, orders) if order == "bisection" else None
            )
            maxima = common.largest(inverted)
            # A query and the k-th scores.
            batches = {
                name: [
                    (query, np.array([common.kth(common.sums(inverted, query), k) for k in ks]))
                    for query in common.integer_queries(batch, maxima, given)
                ]
                for name, batch in asked.items()
            }
            left: dict[str, list[str]] = {name: [] for name in batches}
            blocks = units = common.coarser(inverted, BLOCK)
            for unit in UNITS:
                units = common.coarser(units, unit // units.size)
                for name, batch in batches.items():
                    found = [reached(common.sums(units, query), ts) for query, ts in batch]
                    left[name].append(
                        common.several(100 / units.count * np.mean(found, axis=0), ".3g")
                    )
            shares += [(f"{size:,}", order, name, *cells) for name, cells in left.items()]
        for name, raised, bytes_ in variants(blocks, inverted.frequent):
            for bounds, rounding in (
                (partial(exact, raised), "no"),
                (partial(common.rounded_bounds, raised, maxima), "1/250"),
            ):
                cells = [
                    common.several(np.mean([count_left(bounds, *pair) for pair in batch], axis=0))
                    for batch in batches.values()
                ]
                size_of = f"{bytes_ / inverted.units.size:.2f}"
                codes.append((f"{size:,}", name, size_of, rounding, *cells))
    heads = f"k = {common.several(ks)}"
    print(f"Percent of units whose exact bound reaches the k-th score, {heads}")
    common.table(("documents", "order", "queries", *map(str, UNITS)), shares)
    print(f"\nBlocks of 8 left after bisection, {heads}")
    common.table(("documents", "maxima", "bytes a posting", "rounding", *asked), codes)


def reached(bounds: Array, thresholds: Array) -> Array:
    """How many bounds reach each threshold."""
    return np.array([(bounds >= threshold).sum() for threshold in thresholds])


def exact(units: Inverted, query: IntegerQuery) -> tuple[Array, int]:
    """Bounds, and the unit they are counted in."""
    return common.sums(units, query), 1


def count_left(
    bounds: Callable[[IntegerQuery], tuple[Array, int]], query: IntegerQuery, thresholds: Array
) -> Array:
    """How many units each threshold leaves."""
    found, unit = bounds(query)
    return reached(found, -(-thresholds // unit))


def variants(blocks: Inverted, frequent: Array) -> Iterator[tuple[str, Inverted, float]]:
    """Ways to keep the maxima of frequent terms: blocks with what they turn into, and bytes."""
    runs = int(frequent.sum())
    cells = int(np.diff(blocks.starts)[frequent].sum())
    yield "8 bits", blocks, cells
    yield "4 bits, uniform", common.raised(blocks, frequent, uniform), cells / 2 + runs
    books = cells / 2 + 16 * runs
    yield "4 bits, the index's codebook", common.raised(blocks, frequent, common.codebook_of), books
    best = partial(best_edges, entries=16)
    yield "4 bits, best codebook", common.raised(blocks, frequent, best), books
    best = partial(best_edges, entries=32)
    yield "5 bits, best codebook", common.raised(blocks, frequent, best), cells * 5 / 8 + 32 * runs


def uniform(maxima: Array) -> Array:
    """16 edges at equal distances, rounded up."""
    return -(-np.arange(1, 17) * int(maxima.max()) // 16)


def best_edges(maxima: Array, entries: int) -> Array:
    """The edges that raise the maxima the least in total, of all there are."""
    values, counts = np.unique(maxima, return_counts=True)
    values = values.astype(np.int64)
    return values if values.size <= entries else _best_edges(values, counts, entries)


@numba.njit(nogil=True)
def _best_edges(values, counts, entries):  # type: ignore[no-untyped-def]
    costs = np.full((entries + 1, values.size + 1), np.int64(1) << 60)
    before = np.zeros((entries + 1, values.size + 1), np.int64)
    costs[0, 0] = 0
    for bins in range(1, entries + 1):
        for end in range(bins, values.size + 1):
            raising = np.int64(0)
            for begin in range(end - 1, bins - 2, -1):  # values[begin:end] rise to the last
                raising += counts[begin] * (values[end - 1] - values[begin])
                inside = costs[bins - 1, begin] + raising
                if inside < costs[bins, end]:
                    costs[bins, end], before[bins, end] = inside, begin
    edges, end = np.zeros(entries, np.int64), values.size
    for bins in range(entries, 0, -1):
        edges[bins - 1] = values[end - 1]
        end = before[bins, end]
    return edges


if __name__ == "__main__":
    main()

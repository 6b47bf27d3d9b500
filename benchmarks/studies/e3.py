"""E3: how should the postings of frequent terms lie, and which terms are frequent?"""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np

from benchmarks import vectors
from benchmarks.studies import common
from benchmarks.studies.common import Array, IntegerQuery, Inverted
from lsr.index.format import BLOCK, CODEBOOK, WINDOW, groups_of

LINE = 64  # bytes
FREQUENTS = (32, 64, 96, 128, 192)
LAYOUTS = ("lists", "slices of 256", "records of 256", "records of 512", "blocks with their terms")


@common.study("196608")
def main(
    documents: Path,
    queries: Path,
    sizes: list[int],
    questions: int,
    ks: list[int],
    orders: Path | None,
) -> None:
    """Print bytes and cache lines by layout, then bytes by what counts as frequent."""
    asked = common.classes(vectors.load(queries), questions)
    for size in sizes:
        given = vectors.load(documents, size)
        inverted = common.invert(given, common.ordered(given, orders))
        maxima, blocks, frequent = (
            common.largest(inverted),
            common.coarser(inverted, BLOCK),
            inverted.frequent,
        )
        bounded = common.raised(blocks, frequent, common.codebook_of)
        layouts = Layouts(inverted, blocks, frequent)
        batches = {
            name: common.integer_queries(batch, maxima, given) for name, batch in asked.items()
        }
        cells: list[list[str]] = [[f"{share:.2f}"] for share in layouts.bytes_a_posting]
        left_of = []
        for batch in batches.values():
            counts = np.zeros((len(batch), len(ks), 1 + len(LAYOUTS)))
            for row, query in enumerate(batch):
                scores = common.sums(inverted, query)
                bounds, unit = common.rounded_bounds(bounded, maxima, query)
                for at, k in enumerate(ks):
                    left = bounds * unit >= common.kth(scores, k)
                    counts[row, at] = left.sum(), *layouts.lines(query, left)
            left_of.append(common.several(counts[:, :, 0].mean(axis=0)))
            for layout, lines in enumerate(counts[:, :, 1:].mean(axis=0).T):
                cells[layout].append(common.several(lines))
        print(f"\nCache lines a query, {size:,} documents, k = {common.several(ks)}")
        rows = [(name, *found) for name, found in zip(LAYOUTS, cells, strict=True)]
        common.table(
            ("layout", "bytes a posting", *asked), [*rows, ("blocks scored", "", *left_of)]
        )
        print(f"\nWhat is frequent, {size:,} documents")
        heads = [f"{what}, {name}" for name in asked for what in ("rare", "maxima")]
        common.table(
            ("in one of", "rare %", "bytes a posting", *heads),
            [by_share(inverted, blocks, share, list(batches.values())) for share in FREQUENTS],
        )


def by_share(
    inverted: Inverted, blocks: Inverted, share: int, batches: list[list[IntegerQuery]]
) -> tuple[str, ...]:
    """Bytes a posting of everything, and a query's rare postings and maxima."""
    frequent = inverted.commoner_than(share)
    postings, cells = np.diff(inverted.starts), np.diff(blocks.starts)
    rare = np.where(frequent, 0, postings)
    groups = np.array([groups_of(int(count)) for count in inverted.documents])
    size = rare.sum() * 3 + (rare > 0).sum() * 9
    size += postings[frequent].sum() + cells[frequent].sum() * 1.5  # weights; masks and codes
    size += frequent.sum() * (16 + CODEBOOK)
    size += (frequent * groups[:, None]).sum() * (8 + 2 * 2)  # a bitmap and two places a group
    found = []
    for batch in batches:
        terms = np.concatenate([query[0] for query in batch])
        for counts in (rare, np.where(frequent, cells, 0)):
            found.append(f"{counts[:, terms].sum() / len(batch):,.0f}")
    whole = inverted.units.size
    return str(share), f"{100 * rare.sum() / whole:.1f}", f"{size / whole:.3f}", *found


class Layouts:
    """Where each layout has the postings of a block and a frequent term.

    Every layout is given the bitmaps of the index: only blocks that have a term are searched.
    Places count rare postings too, so that they follow from those in `inverted` and `blocks`.
    """

    def __init__(self, inverted: Inverted, blocks: Inverted, frequent: Array) -> None:
        self._blocks, self._frequent, self._queries = blocks, frequent, 0
        new = np.ones(inverted.units.size + 1, np.bool_)
        new[1:-1] = np.diff(inverted.units // BLOCK) != 0
        new[inverted.starts.ravel()] = True
        self._units, self._firsts = inverted.units, np.flatnonzero(new)
        self._starts = inverted.starts
        cells, lengths = np.diff(blocks.starts), np.diff(inverted.starts)
        entries, postings = int(cells[frequent].sum()), int(lengths[frequent].sum())
        places = int((frequent * -(-inverted.documents // 256)[:, None]).sum())
        sizes = (
            3 * postings,
            2 * postings + 2 * places,
            postings + entries + 2 * places,
            postings + entries + places,
            postings + 5 * entries + 4 * blocks.count,
        )
        self.bytes_a_posting = [size / postings for size in sizes]
        self._forward = _forward(blocks.starts, blocks.units, self._firsts, frequent, blocks.count)
        # For each layout and line the last query that touched it; places are kept apart.
        last = 6 * inverted.units.size + 4 * blocks.count
        self._stamps = np.zeros((2 * len(LAYOUTS), last // LINE + frequent.size * 8), np.uint32)

    def lines(self, query: IntegerQuery, left: Array) -> Array:
        """Cache lines that scoring the blocks in `left` touches, by layout."""
        self._queries += 1
        runs = (self._starts, self._units, self._blocks.starts, self._blocks.units, self._firsts)
        shared = (self._frequent, query[0], left, *self._forward, self._stamps, self._queries)
        found: Array = _lines(*runs, *shared)
        return found


@numba.njit(nogil=True)
def _forward(starts, units, firsts, frequent, count):  # type: ignore[no-untyped-def]
    """For each block the entries and the bytes of its data; for each entry those before it."""
    entries, data = np.zeros(count, np.int64), np.zeros(count, np.int64)
    rank, before = np.zeros(units.size, np.int64), np.zeros(units.size, np.int64)
    for window in range(starts.shape[0]):
        for term in range(starts.shape[1] - 1):
            if not frequent[window, term]:
                continue
            for i in range(starts[window, term], starts[window, term + 1]):
                block = units[i]
                rank[i], before[i] = entries[block], data[block]
                entries[block] += 1
                data[block] += 1 + firsts[i + 1] - firsts[i]
    bases = np.zeros(count, np.int64)
    bases[1:] = np.cumsum(4 * entries + data)[:-1]
    return entries, bases, rank, before


@numba.njit(nogil=True)
def _touch(stamps, now, first, last):  # type: ignore[no-untyped-def]
    """Count the lines of the bytes from first to before last that are new to this query."""
    new = 0
    for line in range(first // LINE, (last - 1) // LINE + 1):
        new += stamps[line] != now
        stamps[line] = now
    return new


@numba.njit(nogil=True)
def _lines(  # type: ignore[no-untyped-def]
    starts,
    ids,
    block_starts,
    blocks,
    firsts,
    frequent,
    terms,
    left,
    entries,
    bases,
    rank,
    before,
    stamps,
    now,
):
    found = np.zeros(5, np.int64)
    for block in np.flatnonzero(left):
        found[4] += _touch(stamps[4], now, bases[block], bases[block] + 2 * entries[block])
    for window in range(starts.shape[0]):
        for term in terms:
            if not frequent[window, term]:
                continue
            low, high = starts[window, term], starts[window, term + 1]
            end = block_starts[window, term + 1]
            for layout, documents in ((2, 256), (3, 512)):
                span = documents // BLOCK
                places = (window * frequent.shape[1] + term) * (WINDOW // documents)
                begin = stop = block_starts[window, term]  # of the record
                for i in range(begin, end):
                    if i == stop:
                        begin = i
                        while stop < end and blocks[stop] // span == blocks[i] // span:
                            stop += 1
                    if not left[blocks[i]]:
                        continue
                    first, last, start = firsts[i], firsts[i + 1], firsts[begin]
                    place = 2 * (places + blocks[i] // span % (WINDOW // documents))
                    found[layout] += _touch(stamps[5 + layout], now, place, place + 2)
                    masks, weights = start + begin, stop - begin - start
                    found[layout] += _touch(stamps[layout], now, masks, masks + i - begin + 1)
                    weights += masks
                    found[layout] += _touch(stamps[layout], now, first + weights, last + weights)
                    if layout == 3:
                        continue
                    found[1] += _touch(stamps[6], now, place, place + 2)
                    found[1] += _touch(stamps[1], now, 2 * start, start + last)
                    weights = firsts[stop]  # ids of the slice come first
                    found[1] += _touch(stamps[1], now, first + weights, last + weights)
                    at, length = low, high - low
                    while length > 1:
                        half = length // 2
                        found[0] += _touch(stamps[0], now, 2 * (at + half), 2 * (at + half) + 2)
                        at += half if ids[at + half] <= ids[first] else 0
                        length -= half
                    found[0] += _touch(stamps[0], now, 2 * first, 2 * last)
                    found[0] += _touch(stamps[5], now, first, last)
                    block = bases[blocks[i]] + 2 * entries[blocks[i]]
                    found[4] += _touch(stamps[4], now, block + 2 * rank[i], block + 2 * rank[i] + 2)
                    block += 2 * entries[blocks[i]] + before[i]
                    found[4] += _touch(stamps[4], now, block, block + 1 + last - first)
    return found


if __name__ == "__main__":
    main()

"""E2: where should the threshold come from before blocks are visited in order of documents?"""

from __future__ import annotations

import heapq
from pathlib import Path

import numba
import numpy as np

from benchmarks import vectors
from benchmarks.studies import common
from benchmarks.studies.common import Array, IntegerQuery, Inverted
from lsr.index.format import BLOCK, GROUP

GROUPS = (4, 8, 16, 64)  # best groups visited first
LIFT = 64  # blocks scored before the threshold is looked at again


@common.study("24576,196608")
def main(
    documents: Path,
    queries: Path,
    sizes: list[int],
    questions: int,
    ks: list[int],
    orders: Path | None,
) -> None:
    """Print the blocks visited by each way to begin."""
    asked = vectors.load(queries)
    rows: list[tuple[str, ...]] = []
    for size in sizes:
        given = vectors.load(documents, size)
        inverted = common.invert(given, common.ordered(given, orders))
        maxima = common.largest(inverted)
        blocks = common.raised(
            common.coarser(inverted, BLOCK), inverted.frequent, common.codebook_of
        )
        for name, batch in common.classes(asked, questions).items():
            found: dict[str, list[list[int]]] = {}
            for query in common.integer_queries(batch, maxima, given):
                scores = common.sums(inverted, query)
                bounds, unit = common.rounded_bounds(blocks, maxima, query)
                stored = stored_kth(inverted, query, ks)
                for at, k in enumerate(ks):
                    for way, count in visits(scores, bounds * unit, k, stored[at]):
                        found.setdefault(way, [[] for _ in ks])[at].append(count)
            for way, counts in found.items():
                rows.append((f"{size:,}", name, way, common.several(np.mean(counts, axis=1))))
    print("Blocks visited, bisection, bounds as in the index")
    common.table(("documents", "queries", "threshold from", f"k = {common.several(ks)}"), rows)


def visits(scores: Array, bounds: Array, k: int, stored: int) -> list[tuple[str, int]]:
    """Blocks visited by each way to begin."""
    everything = np.arange(bounds.size)
    peaks = np.zeros(-(-bounds.size // GROUP), np.int64)
    np.maximum.at(peaks, everything // GROUP, bounds)
    best = np.sort(peaks)[::-1]

    def rounds(*groups: int, threshold: int = 0) -> int:
        """Blocks as good as the best so many groups, then more of them, then the rest."""
        cuts = [int(best[min(g, best.size - 1)]) for g in groups]
        return int(visit(scores, bounds, k, threshold, np.array([*cuts, 0])))

    found = [("0", rounds()), ("the terms' k-th weights", rounds(threshold=stored))]
    for groups in GROUPS:
        # Groups as a whole: their blocks count as the best there are.
        whole = np.where(
            peaks[everything // GROUP] >= best[min(groups, best.size) - 1], TOP, bounds
        )
        found.append((f"all blocks of the best {groups} groups", visit(scores, whole, k, 0, WHOLE)))
    found += [(f"blocks as good as the best {g} groups", rounds(g)) for g in GROUPS]
    few, many = k // 8 + 8, k // 8 + 64
    found += [
        ("the same, k/8 + 8, then k/8 + 64", rounds(few, many)),
        ("the same, and the terms' k-th weights", rounds(few, many, threshold=stored)),
        ("k/8 + 8, then k + 64", rounds(few, k + 64)),
        ("k/8 + 8, k/8 + 64, then k/2 + 64", rounds(few, many, k // 2 + 64)),
        ("k/8 + 8, k/4 + 64, then k + 64", rounds(few, k // 4 + 64, k + 64)),
    ]
    found.append(("the true k-th score", int((bounds >= common.kth(scores, k)).sum())))
    return found


TOP = np.int64(1) << 62
WHOLE = np.array([TOP, 0])


@numba.njit(nogil=True)
def visit(scores, bounds, k, threshold, cuts):  # type: ignore[no-untyped-def]
    """Rounds in order of documents over the blocks not visited whose bounds reach the round's cut
    and the threshold; the number visited."""
    heap, done, seen = [np.int64(0) for _ in range(k)], np.zeros(bounds.size, np.bool_), 0
    for cut in cuts:
        for block in range(bounds.size):
            if done[block] or bounds[block] < max(cut, threshold, 1):
                continue
            done[block] = True
            seen += 1
            for score in scores[block * BLOCK : (block + 1) * BLOCK]:
                if score > heap[0]:
                    heapq.heapreplace(heap, score)
            if seen % LIFT == 0:
                threshold = max(threshold, heap[0])
        threshold = max(threshold, heap[0])
    return seen


def stored_kth(inverted: Inverted, query: IntegerQuery, ks: list[int]) -> list[int]:
    """The largest product of a query weight and its term's k-th weight, for each k."""
    found = [0] * len(ks)
    for term, integer in zip(*query, strict=True):
        runs = [slice(s, e) for s, e in inverted.starts[:, term : term + 2]]
        weights = np.sort(np.concatenate([inverted.weights[run] for run in runs]))[::-1]
        for at, k in enumerate(ks):
            if weights.size >= k:
                found[at] = max(found[at], int(integer) * int(weights[k - 1]))
    return found


if __name__ == "__main__":
    main()

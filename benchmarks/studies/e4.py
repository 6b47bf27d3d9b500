"""E4: would a coarser level of bounds, above blocks of 8, skip anything?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import vectors
from benchmarks.studies import common
from lsr.index.format import BLOCK

UNITS = (64, 512, 4096)


@common.study("24576,98304,196608")
def main(
    documents: Path,
    queries: Path,
    sizes: list[int],
    questions: int,
    ks: list[int],
    orders: Path | None,
) -> None:
    """Print the shares of groups that cannot be skipped."""
    asked = vectors.load(queries)
    rows: list[tuple[str, ...]] = []
    for size in sizes:
        given = vectors.load(documents, size)
        for order in ("shuffled", "bisection"):
            inverted = common.invert(
                given, common.ordered(given, orders) if order == "bisection" else None
            )
            maxima = common.largest(inverted)
            blocks = units = common.coarser(inverted, BLOCK)
            groups = [units := common.coarser(units, unit // units.size) for unit in UNITS]
            for name, batch in common.classes(asked, questions).items():
                bounded, needed = [], []
                for query in common.integer_queries(batch, maxima, given):
                    scores, fine = common.sums(inverted, query), common.sums(blocks, query)
                    coarse = [common.sums(group, query) for group in groups]
                    for k in ks:
                        threshold = common.kth(scores, k)
                        left = np.flatnonzero(fine >= threshold) * BLOCK
                        bounded.append([np.mean(bounds >= threshold) for bounds in coarse])
                        needed.append([np.unique(left // g.size).size / g.count for g in groups])
                shape = (-1, len(ks), len(UNITS))
                means = [
                    100 * np.reshape(found, shape).mean(axis=0).T for found in (bounded, needed)
                ]
                cells = [common.several(row, ".3g") for found in means for row in found]
                rows.append((f"{size:,}", order, name, *cells))
    print(f"Percent of groups, k = {common.several(ks)}")
    heads = [
        f"{unit:,}, {what}" for what in ("bounds reach", "with such a block") for unit in UNITS
    ]
    common.table(("documents", "order", "queries", *heads), rows)


if __name__ == "__main__":
    main()

"""E5: how many bits does a query weight need?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import truth, vectors
from benchmarks.studies import common
from benchmarks.studies.common import Array, IntegerQuery
from lsr import SparseVectors

BITS = (5, 7, 10, 14)


@common.study("196608", questions=999)
def main(
    documents: Path,
    queries: Path,
    sizes: list[int],
    questions: int,
    ks: list[int],
    orders: Path | None,
) -> None:
    """Print recall against exact search on the weights as given."""
    rows: list[tuple[str, ...]] = []
    for size in sizes:
        given = vectors.load(documents, size)
        eight_bits, floats = common.invert(given), common.invert(given, integers=False)
        maxima = common.largest(eight_bits)
        for name, batch in common.classes(vectors.load(queries), questions).items():
            found, scores = truth.exact(given, batch, max(ks) + truth.SPARE)
            for label, asked in precisions(batch, maxima, given):
                cells = []
                for inverted in (eight_bits, floats):
                    answers = [best(common.sums(inverted, query), max(ks)) for query in asked]
                    shares = [truth.recall(answers, found, scores, k) for k in ks]
                    cells.append(common.several(shares, ".4f"))
                rows.append((f"{size:,}", name, label, *cells))
    print(f"Recall at k = {common.several(ks)}")
    common.table(("documents", "queries", "query bits", "documents of 8 bits", "as given"), rows)


def precisions(
    queries: SparseVectors, maxima: Array, given: SparseVectors
) -> Iterator[tuple[str, list[IntegerQuery]]]:
    """Queries with weights of fewer and more bits, and as given."""
    for bits in BITS:
        yield str(bits), common.integer_queries(queries, maxima, given, levels=2**bits - 1)
    known = [query.terms < maxima.size for query in queries]
    yield (
        "as given",
        [
            (query.terms[kept].astype(np.int64), query.weights[kept].astype(np.float64))
            for query, kept in zip(queries, known, strict=True)
        ],
    )


def best(scores: Array, k: int) -> list[int]:
    """The k best documents, of equal ones the first."""
    places = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    found: list[int] = places[np.lexsort((places, -scores[places]))][:k].tolist()
    return found


if __name__ == "__main__":
    main()

"""Search time of an encoder of several parts beside its parts' own, query by query.

    lsr index scifact.zip -o both --encoder bm25+splade-tiny      # and: words, model
    taskset -c 0 python -m benchmarks.composite scifact.zip both words model

Queries are encoded beforehand; searches take one thread, through the public Python call.  Of each
index the fastest of `PASSES` passes counts, after one to warm up; passes take turns, so that a busy
neighbour meets all indexes alike.
"""

from __future__ import annotations

import gc
import time

import click
import numpy as np
import numpy.typing as npt

import lsr
from lsr.eval.dataset import load_dataset

PASSES = 5


@click.command()
@click.argument("dataset")
@click.argument("indexes", nargs=-1, required=True)
@click.option("-k", default=10, show_default=True)
def main(dataset: str, indexes: tuple[str, ...], k: int) -> None:
    """Print median and p99 microseconds a query for INDEXES with the judged queries of DATASET."""
    texts = list(load_dataset(dataset).queries.values())
    opened = [lsr.open(path) for path in indexes]
    rows = [list(index.encoder.encode_queries(texts)) for index in opened]
    best: list[npt.NDArray[np.float64] | None] = [None] * len(opened)
    gc.disable()
    for number in range(PASSES + 1):
        for place, (index, vectors) in enumerate(zip(opened, rows, strict=True)):
            times = np.empty(len(vectors))
            for row, vector in enumerate(vectors):
                start = time.perf_counter_ns()
                index.search_vectors(vector, k)
                times[row] = (time.perf_counter_ns() - start) / 1000
            fastest = best[place]
            if number and (fastest is None or times.sum() < fastest.sum()):
                best[place] = times
    for index, vectors, times_ in zip(opened, rows, best, strict=True):
        assert times_ is not None
        terms = float(np.mean([vector.terms.size for vector in vectors]))
        click.echo(
            f"{index.encoder.name:<20} {len(index):,} documents, {index.manifest.postings:,} "
            f"postings, {terms:.1f} terms a query: median {np.median(times_):.0f}, "
            f"p99 {np.percentile(times_, 99):.0f} microseconds"
        )


if __name__ == "__main__":
    main()

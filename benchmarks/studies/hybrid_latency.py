"""What a hybrid costs beside its parts, query by query, encoding included.

    taskset -c 0 python -m benchmarks.studies.hybrid_latency nfcorpus.zip indexes/nfcorpus

The lists of all are 1,000 deep.  Each question is asked of the terms, of the dense vectors and of
both in turn, so that a busy neighbour meets all alike; of `PASSES` passes each question's fastest
time counts, after one to warm up.
"""

from __future__ import annotations

import gc
import time

import click
import numpy as np

import lsr
from lsr.eval.dataset import load_dataset
from lsr.fusion.methods import METHODS

PASSES = 15


@click.command()
@click.argument("dataset")
@click.argument("index")
@click.option("--queries", default=200, show_default=True, help="At most so many.")
@click.option("--rescore", is_flag=True, help="Let both score what either found.")
def main(dataset: str, index: str, queries: int, rescore: bool) -> None:
    """Print milliseconds of INDEX for the judged queries of DATASET."""
    texts = list(load_dataset(dataset).queries.values())[:queries]
    opened = lsr.open(index)
    systems = {
        "terms": opened.hybrid("none", retrievers="terms"),
        "dense": opened.hybrid("none", retrievers="dense"),
        **{name: opened.hybrid(name, rescore=rescore) for name in METHODS},
    }
    best = np.full((len(systems), len(texts)), np.inf)
    gc.disable()
    for number in range(PASSES + 1):
        for column, text in enumerate(texts):
            for row, system in enumerate(systems.values()):
                start = time.perf_counter_ns()
                system.search(text, 10)
                spent = (time.perf_counter_ns() - start) / 1e6
                if number:
                    best[row, column] = min(best[row, column], spent)
    slower = best[:2].max(axis=0)
    click.echo(f"{opened!r}, {len(texts)} questions: milliseconds")
    click.echo(f"{'':<8}{'median':>8}{'mean':>8}{'p99':>8}{'above the slower part':>24}")
    for name, times in zip(systems, best, strict=True):
        above = 100 * (np.median(times) / np.median(slower) - 1)
        shown = f"{above:+.1f} %" if name in METHODS else ""
        click.echo(
            f"{name:<8}{np.median(times):8.2f}{times.mean():8.2f}{np.percentile(times, 99):8.2f}"
            f"{shown:>24}"
        )


if __name__ == "__main__":
    main()

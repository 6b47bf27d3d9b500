"""DSR's slices and its hybrid with a cut dense vector, exactly and through the inverted index.

    lsr index nfcorpus.zip -o nfcorpus --encoder dsr:splade-tiny --dense minilm
    python -m benchmarks.gated nfcorpus.zip nfcorpus --weight 10

Prints nDCG@10 with each weight of the dense numbers, all documents scored; with `--candidates`,
also what the inverted index leaves to be scored: its nDCG@10, and the share of the 10 and 100 best
that it has.
"""

from __future__ import annotations

import time

import click
import numpy as np

import lsr
from lsr.eval.dataset import load_dataset
from lsr.eval.measures import scores
from lsr.fusion.methods import Ranked
from lsr.retrieval.gated import GatedVectors

MEASURE = "nDCG@10"
DEEP = 100


@click.command()
@click.argument("dataset")
@click.argument("index")
@click.option("--dimensions", default=128, show_default=True)
@click.option("--weight", "weights", default=[0.0, 10.0], multiple=True, type=float)
@click.option("--candidates", multiple=True, type=int)
def main(
    dataset: str,
    index: str,
    dimensions: int,
    weights: tuple[float, ...],
    candidates: tuple[int, ...],
) -> None:
    """Print a line for each weight and number of candidates."""
    judged, opened = load_dataset(dataset), lsr.open(index)
    vectors = GatedVectors(opened, dimensions)
    texts = list(judged.queries.values())

    def value(found: list[Ranked]) -> float:
        run = {
            query: {
                vectors.ids[place]: score
                for place, score in zip(hits.places.tolist(), hits.scores.tolist(), strict=True)
            }
            for query, hits in zip(judged.queries, found, strict=True)
        }
        return scores(judged.qrels, run, [MEASURE]).means[MEASURE]

    for weight in weights:
        start = time.perf_counter()
        every = vectors.search(texts, DEEP, weight=weight)
        seconds = time.perf_counter() - start
        click.echo(
            f"{judged.name}, {dimensions} dimensions, weight {weight:g}: {value(every):.4f}, "
            f"{1e3 * seconds / len(texts):.1f} ms a query, encoded and searched"
        )
        for count in candidates:
            found = vectors.search(texts, DEEP, weight=weight, candidates=count)
            shares = [
                np.mean(
                    [
                        np.isin(a.places[:k], b.places[:k]).mean()
                        for a, b in zip(every, found, strict=True)
                    ]
                )
                for k in (10, DEEP)
            ]
            click.echo(
                f"    {count} candidates: {value(found):.4f}, {shares[0]:.3f} of the 10 best, "
                f"{shares[1]:.3f} of the {DEEP} best"
            )


if __name__ == "__main__":
    main()

"""DSR's slices and its hybrid with a cut dense vector, exactly and through the inverted index."""

from __future__ import annotations

import time
from dataclasses import dataclass

import click
import numpy as np

import lsr
from benchmarks.commands import argument, command, option
from benchmarks.judged import DEPTH, MEASURE, mean
from lsr.eval.dataset import load_dataset
from lsr.fusion.lists import Ranked
from lsr.retrieval.gated import DIMENSIONS, GatedVectors


@dataclass(frozen=True)
class Options:
    dataset: str = argument()
    index: str = argument()
    dimensions: int = option("Dimensions of the dense vectors; 0 for none.", DIMENSIONS, type=int)
    weights: tuple[float, ...] = option("Weights of the dense numbers.", (0.0, 10.0))
    candidates: tuple[int, ...] = option(
        "Numbers of candidates of the inverted index to score alone, besides.", ()
    )


@command(Options)
def main(options: Options) -> None:
    """Print nDCG@10 of INDEX on DATASET for each weight, all documents scored.

    With --candidates also that of candidates of the inverted index, and their shares of the 10 and
    of the 100 best documents.

    \b
    lsr index nfcorpus.zip -o nfcorpus --encoder dsr:splade-tiny --dense minilm
    python -m benchmarks.studies.gated nfcorpus.zip nfcorpus --weights 40 --candidates 1000
    """
    dataset = load_dataset(options.dataset)
    vectors = GatedVectors(lsr.open(options.index), options.dimensions)
    texts = list(dataset.queries.values())

    def value(lists: list[Ranked]) -> float:
        run = {
            query: {
                vectors.ids[position]: score
                for position, score in zip(
                    hits.positions.tolist(), hits.scores.tolist(), strict=True
                )
            }
            for query, hits in zip(dataset.queries, lists, strict=True)
        }
        return mean(dataset, run)

    for weight in options.weights:
        start = time.perf_counter()
        exact = vectors.search(texts, DEPTH, weight=weight)
        seconds = time.perf_counter() - start
        click.echo(
            f"{dataset.name}, {options.dimensions} dimensions, weight {weight:g}: {MEASURE} "
            f"{value(exact):.4f}, {1e3 * seconds / len(texts):.1f} ms a query, encoded and searched"
        )
        for count in options.candidates:
            lists = vectors.search(texts, DEPTH, weight=weight, candidates=count)
            of_10, of_all = (
                np.mean(
                    [
                        np.isin(best.positions[:k], candidates.positions[:k]).mean()
                        for best, candidates in zip(exact, lists, strict=True)
                    ]
                )
                for k in (10, DEPTH)
            )
            click.echo(
                f"    {count} candidates: {MEASURE} {value(lists):.4f}, {of_10:.3f} of the 10 "
                f"best, {of_all:.3f} of the {DEPTH} best"
            )


if __name__ == "__main__":
    main()

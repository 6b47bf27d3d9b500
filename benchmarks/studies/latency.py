"""Search time of several indexes, or of a hybrid and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
import numpy as np

import lsr
from benchmarks.commands import argument, command, option, table
from benchmarks.machine import pin
from benchmarks.timing import Call, passes, spread
from lsr.eval.dataset import load_dataset
from lsr.fusion import METHODS


@dataclass(frozen=True)
class Options:
    dataset: str = argument()
    indexes: tuple[str, ...] = argument()
    hybrid: bool = option("Time hybrids, encoding included.")
    rescore: bool = option("Rescore the candidates of a hybrid.")
    queries: int = option("Number of queries.", 1000)
    k: int = option("Number of hits.", 10)
    passes: int = option("Timed passes over the queries.", 15)
    core: int | None = option("Processor core to run on.  [default: the last one]", type=int)


@command(Options)
def main(options: Options) -> None:
    """Print microseconds a query of INDEXES for the judged queries of DATASET, on one core.

    Queries are encoded beforehand, and searches take one thread through the public Python call.
    With --hybrid, the terms of each index, its dense vectors and every fusion of both search by
    the text, encoding included, with lists 1,000 deep.

    Other processes disturb all systems alike: indexes pass over the queries in turn, and the
    fastest pass counts; hybrids and their parts answer each query in turn, and its fastest time
    counts.

    \b
    lsr index scifact.zip -o both --encoder bm25+splade-tiny      # and: words, model
    python -m benchmarks.studies.latency scifact.zip both words model
    python -m benchmarks.studies.latency nfcorpus.zip indexes/nfcorpus --hybrid --queries 200
    """
    pin(options.core)
    texts = list(load_dataset(options.dataset).queries.values())[: options.queries]
    systems: dict[str, list[Call]] = {}
    for path in options.indexes:
        index = lsr.open(path)
        if options.hybrid:
            click.echo(f"{index!r}\n")
            for name, hybrid in hybrids(index, options.rescore).items():
                systems[f"{path}, {name}"] = [
                    (lambda text, h=hybrid: h.search(text, options.k), text) for text in texts
                ]
        else:
            vectors = index.encoder.encode_queries(texts)
            click.echo(
                f"{path}: {index.encoder.name}, {len(index):,} documents, "
                f"{index.manifest.postings:,} postings, {vectors.terms.size / len(texts):.1f} "
                "terms a query\n"
            )
            systems[path] = [
                (lambda row, index=index: index.search_vectors(row, options.k), row)
                for row in vectors
            ]
    turns = zip(*systems.values(), strict=True) if options.hybrid else systems.values()
    _, *timed = passes([call for turn in turns for call in turn], options.passes + 1)
    if options.hybrid:
        best = np.min([timed_pass.times for timed_pass in timed], axis=0).reshape(len(texts), -1).T
    else:
        times = np.array([timed_pass.times.reshape(len(systems), -1) for timed_pass in timed])
        best = times[times.sum(axis=2).argmin(axis=0), np.arange(len(systems))]
    rows = (
        [name, *(f"{value:,.0f}" for value in spread(of_system).values())]
        for name, of_system in zip(systems, best, strict=True)
    )
    click.echo(table(("system", "median", "mean", "p90", "p99"), rows))


def hybrids(index: lsr.Index, rescore: bool) -> dict[str, Any]:
    """Each retriever alone, and every fusion of both."""
    alone = {name: index.hybrid("none", retrievers=name) for name in ("terms", "dense")}
    return alone | {name: index.hybrid(name, rescore=rescore) for name in METHODS}


if __name__ == "__main__":
    main()

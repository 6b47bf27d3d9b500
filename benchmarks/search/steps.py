"""The steps of measuring one build of an engine, each for a process of its own.

So an engine starts clean, has one core, cannot disturb the next one, and crashes alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import vectors
from benchmarks.commands import FOLDER, CommaList, Row, TimingOptions, option
from benchmarks.engines import DEFAULT, FAMILIES, Engine, builds
from benchmarks.machine import forget_peak, peak_memory
from benchmarks.search import truth
from benchmarks.timing import latency


@dataclass(frozen=True, kw_only=True)
class Options(TimingOptions):
    documents: Path = option("Parquet file with columns terms and weights.")
    queries: Path = option("Parquet file with columns terms and weights.")
    sizes: tuple[int, ...] = option("Numbers of documents, from the beginning of the file.")
    questions: int | None = option("Number of queries.  [default: all]")
    engines: tuple[str, ...] = option(
        f"Engines to measure, of {', '.join(FAMILIES)}.", DEFAULT, type=CommaList(str, FAMILIES)
    )
    order: Path | None = option("Permutation (.npy) for bmp, impact-index and PISA.")
    disturbed: bool = option("Repeat the measurements marked with a star.")
    fresh: bool = option("Repeat the measurements in --out.")
    out: Path = option("Folder for the results.", type=FOLDER)


@dataclass(frozen=True)
class Job:
    """One build of an engine, and its measurement.

    Attributes:
        family, build: the engine; `build` counts the builds of a family from 0.
        size: number of documents.
        searches: pairs of a search's label and k.
        truth: the file of the exact answers.
        directory: the folder of the index.
    """

    options: Options
    family: str
    build: int
    size: int
    searches: tuple[tuple[str, int], ...]
    truth: Path
    directory: Path

    def engine(self) -> Engine:
        """A new instance of the engine."""
        return builds(self.family)[self.build]()


def describe(family: str) -> list[Row] | str:
    """The builds of a family and their searches, or why its package cannot be imported."""
    try:
        engines = [make() for make in builds(family)]
    except ImportError as error:
        return f"pip install {FAMILIES[family][1]} ({error})"
    return [
        {
            "engine": engine.name,
            "build": engine.settings,
            "searches": list(engine.searches),
            "version": engine.version,
            "keeps_order": engine.keeps_order,
            "batched": engine.batched,
        }
        for engine in engines
    ]


def find_truth(job: Job) -> Row:
    """Write the exact answers, unless they are there; figures of documents and queries."""
    documents = vectors.load(job.options.documents, job.size)
    queries = vectors.load(job.options.queries, job.options.questions)
    truth.cached(job.truth, documents, queries, max(k for _, k in job.searches))
    return {"postings": documents.terms.size, "query_terms": queries.terms.size / len(queries)}


def build(job: Job) -> Row:
    """Time, peak memory and size of a build, without reading the Parquet file."""
    engine = job.engine()
    documents = vectors.load(job.options.documents, job.size)
    postings = documents.terms.size
    order = _outer_order(job, engine)
    if order is not None:
        documents = documents.take(order)
    forget_peak()
    before = peak_memory()
    start = time.perf_counter()
    engine.build(documents, job.directory)
    seconds = time.perf_counter() - start
    sizes = engine.sizes(job.directory)
    return {
        "build_s": seconds,
        "build_peak_bytes": peak_memory(),
        "input_bytes": before,
        "bytes": sum(sizes.values()),
        "bytes_by_part": sizes,
        "bytes_per_posting": sum(sizes.values()) / postings,
    }


def search(job: Job) -> list[Row]:
    """Latency and recall of each search: one pass over all queries, then timed ones."""
    engine = job.engine()
    queries = list(vectors.load(job.options.queries, job.options.questions))
    order = _outer_order(job, engine)
    with np.load(job.truth) as arrays:
        documents, scores = arrays["documents"], arrays["scores"]
    start = time.perf_counter()
    engine.open(job.directory)
    opened = time.perf_counter() - start
    prepared: list[Any] = [engine.prepare(query) for query in queries]
    rows = []
    for label, k in job.searches:
        ask = partial(engine.search, k=k, **engine.searches[label])
        if engine.batched:
            answers = engine.documents(ask(prepared))
            batch = latency(ask, [prepared], job.options.passes)
            figures = {name: batch[name] for name in ("core_share", "reference_us")}
            figures["mean_us"] = batch["mean_us"] / len(prepared)
        else:
            answers = [engine.documents(ask(query)) for query in prepared]
            figures = latency(ask, prepared, job.options.passes)
        if order is not None:
            answers = [order[np.array(answer, np.int64)].tolist() for answer in answers]
        recall = truth.recall(answers, documents, scores, k)
        rows.append({"search": label, "k": k, "open_s": opened, **figures, "recall": recall})
    return rows


def _outer_order(job: Job, engine: Engine) -> np.ndarray | None:
    """The order of the documents for an engine that keeps it, without those beyond `size`."""
    if job.options.order is None or not engine.keeps_order:
        return None
    order: np.ndarray = np.load(job.options.order).astype(np.int64)
    return order[order < job.size]

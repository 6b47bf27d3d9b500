"""A judged dataset, and an index measured on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsr.data.corpus import open_corpus
from lsr.data.queries import Query, read_queries
from lsr.errors import CorpusError
from lsr.eval.measures import evaluate, parse_measures
from lsr.eval.qrels import read_qrels
from lsr.eval.runs import write_run
from lsr.retrieval import Index


@dataclass(frozen=True, slots=True)
class Dataset:
    """The judged queries of a collection and what to measure on them."""

    name: str
    queries: list[Query]
    qrels: dict[str, dict[str, int]]
    measures: Sequence[str]


def load_dataset(source: str, split: str, measures: Sequence[str]) -> Dataset:
    """Queries and judgments of a BEIR folder or zip; only judged queries are kept.

    Raises `CorpusError` when they cannot be read or no query is judged, `QueryError` for a
    name that is no measure.
    """
    parse_measures(measures)  # a wrong name must not be found after an hour of encoding
    qrels = read_qrels(source, split)
    queries = [query for query in read_queries(source) if query.id in qrels]
    if not queries:
        raise CorpusError(f"{source}: no query of it is judged in qrels/{split}.tsv")
    return Dataset(open_corpus(source).name, queries, qrels, measures)


def evaluate_index(
    index: Index, dataset: Dataset, *, k: int, threads: int = 1, run_file: Path | None = None
) -> dict[str, float]:
    """Search every query of a dataset and return its measures by ir-measures name."""
    hits = index.search([query.text for query in dataset.queries], k, threads=threads)
    run = {
        query.id: dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
        for query, found in zip(dataset.queries, hits, strict=True)
    }
    if run_file is not None:
        write_run(run_file, ((q, list(row), row.values()) for q, row in run.items()), "lsr")
    return evaluate(dataset.qrels, run, dataset.measures)

"""Values of hits on judged datasets."""

from __future__ import annotations

from collections.abc import Iterable

from lsr.eval.dataset import Dataset
from lsr.eval.measures import scores
from lsr.retrieval.hits import Hits

MEASURE = "nDCG@10"
DEPTH = 100  # documents of a run that is measured

Run = dict[str, dict[str, float]]  # query -> document -> score


def run_of(dataset: Dataset, hits: Iterable[Hits]) -> Run:
    """The run of hits for all queries of a dataset; without a query's own document, by BEIR's
    protocol for some datasets."""
    run = {
        query: dict(zip(answer.ids.tolist(), answer.scores.tolist(), strict=True))
        for query, answer in zip(dataset.queries, hits, strict=True)
    }
    if dataset.leaves_out_own:
        for query, answers in run.items():
            answers.pop(query, None)
    return run


def values(dataset: Dataset, run: Run, measure: str = MEASURE) -> dict[str, float]:
    """Each query's value of a measure."""
    return dict(scores(dataset.qrels, run, [measure]).per_query[measure])


def mean(dataset: Dataset, run: Run) -> float:
    """The mean of nDCG@10."""
    return float(scores(dataset.qrels, run, [MEASURE]).means[MEASURE])

"""Choosing a fusion for the lists of an index on a judged dataset; see `tuning`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from lsr.arguments import whole
from lsr.eval.dataset import Dataset
from lsr.eval.measures import parse_measures
from lsr.eval.results import Scores
from lsr.eval.statistics import Comparison, compare
from lsr.eval.tuning.tuning import (
    Fold,
    Tuned,
    Weights,
    cross_validate,
    fuse_candidates,
    grid,
    split,
    tune,
    values_of,
)
from lsr.fusion import DEFAULT_FUSION, LEARNED, Missing
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.lists import Ranked
from lsr.progress import Progress, Silent
from lsr.retrieval.hybrid import Candidates, Hybrid
from lsr.retrieval.index import Index

_BATCH = 64  # queries searched together
_DEEPER = 10  # than its cutoff a measure sees a list, so that ties are cut as in a whole run


@dataclass(frozen=True)
class FusionChoice:
    """A way to fuse, and its value on queries that had no part in the choice.

    Attributes:
        retrievers: their names.
        fusion: the method, or "learned".
        baseline: the method with equal weights that it is compared with.
        tuned: the weights, and values of queries.
        learned: the fusion that was learned on all queries.
    """

    retrievers: list[str]
    fusion: str
    baseline: str
    tuned: Tuned
    learned: LearnedFusion | None

    @property
    def equal(self) -> float:
        """The mean of the baseline."""
        return float(np.mean(list(self.tuned.equal.values())))

    @property
    def held_out(self) -> float:
        """The mean of the choice on the other folds."""
        return float(np.mean(list(self.tuned.held_out.values())))

    @cached_property
    def comparison(self) -> Comparison:
        """`held_out` against `equal`, query by query."""
        measure = self.tuned.measure
        values = {"equal": self.tuned.equal, "chosen": self.tuned.held_out}
        scores = {name: Scores({}, {measure: of_queries}) for name, of_queries in values.items()}
        return compare(scores, [measure])[0]

    @property
    def is_better(self) -> bool:
        """Whether it is significantly better than equal weights."""
        return self.comparison.is_significant and self.comparison.difference > 0

    def by_name(self, weights: Weights) -> dict[str, float]:
        """The weight of each retriever; empty for a learned fusion."""
        return dict(zip(self.retrievers, weights, strict=bool(weights)))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        test = self.comparison
        return {
            "retrievers": self.retrievers,
            "fusion": self.fusion,
            "measure": self.tuned.measure,
            "weights": self.by_name(self.tuned.weights),
            "held_out": self.held_out,
            "baseline": {"fusion": self.baseline, "mean": self.equal},
            "difference": {
                "mean": test.difference,
                "interval": test.interval.to_json(),
                "p_randomization": test.p_randomization,
                "p_t": test.p_t,
            },
            "folds": [
                {"queries": f.queries, "weights": self.by_name(f.weights), "mean": f.mean}
                for f in self.tuned.folds
            ],
        }


def choose(
    index: Index,
    dataset: Dataset,
    *,
    fusion: str = DEFAULT_FUSION,
    retrievers: str = "terms,dense",
    missing: Missing = "zero",
    measure: str = "nDCG@10",
    folds: int = 5,
    seed: int = 0,
    progress: type[Progress] = Silent,
) -> FusionChoice:
    """Weights for a fusion, or a learned fusion, by the judged queries of a dataset.

    Args:
        fusion: a method of `lsr.fusion.methods`, or "learned".
        retrievers: see `lsr.retrieval.named.build_hybrid`.
        missing: see `lsr.fusion.methods.fuse`; a learned fusion sees what is missing itself.
        folds, seed: of the cross-validation.

    Raises `QueryError` and `IndexFormatError` for what does not fit the index or the dataset,
    `FusionError` when nothing can be learned.
    """
    baseline: Any = DEFAULT_FUSION if fusion == LEARNED else fusion
    (parsed,) = parse_measures([measure])
    measure = str(parsed)
    folds = whole("folds", folds)
    split(dataset.queries, folds, seed)  # what cannot be cut must not be found after searching
    hybrid = index.hybrid(baseline, retrievers=retrievers)
    docids = index.reader.docids_of(np.arange(len(index))).tolist()
    positions = {index.reader.id_of(docid): position for position, docid in enumerate(docids)}
    ids = list(positions)
    qrels = {query: dataset.qrels[query] for query in dataset.queries}
    lists = _search(hybrid, dataset, positions, progress)
    depth = _DEEPER * parsed.params.get("cutoff", 100)
    if fusion != LEARNED:
        with progress("Tuning", "weights", len(grid(len(hybrid.names)))) as bar:
            options = {"folds": folds, "seed": seed, "k": depth, "advance": bar.advance}
            tuned = tune(lists, qrels, ids, baseline, measure, missing=missing, **options)
        return FusionChoice(hybrid.names, fusion, baseline, tuned, None)
    with progress("Learning", "fusions", folds + 1) as bar:

        def train(queries: Iterable[str]) -> LearnedFusion:
            examples = ((lists[query].lists, grades(query)) for query in queries)
            trained = LearnedFusion.train(hybrid.names, examples)
            bar.advance(1)
            return trained

        def grades(query: str) -> dict[int, int]:
            """By position; documents that are judged but not in the index are left out."""
            return {positions[id]: grade for id, grade in qrels[query].items() if id in positions}

        def ranker(queries: list[str]) -> Callable[[Sequence[Ranked]], Ranked]:
            return partial(train(queries).rank, k=depth)

        held_out = cross_validate(lists, qrels, ids, ranker, measure, folds=folds, seed=seed)
        learned = train(qrels)

    fused = (fuse_candidates(lists[query], baseline, None, missing, depth) for query in held_out)
    equal = values_of(list(held_out), qrels, ids, measure, fused)
    cut = [
        Fold(queries, (), float(np.mean([held_out[query] for query in queries])))
        for queries in split(qrels, folds, seed)
    ]
    tuned = Tuned(measure, (), held_out, equal, cut)
    return FusionChoice(hybrid.names, fusion, baseline, tuned, learned)


def _search(
    hybrid: Hybrid, dataset: Dataset, positions: Mapping[str, int], progress: type[Progress]
) -> dict[str, Candidates]:
    """The lists to fuse for each query, without its own document where that is left out."""

    def without(ranked: Ranked, position: int) -> Ranked:
        others = ranked.positions != position
        return Ranked(ranked.positions[others], ranked.scores[others])

    queries = list(dataset.queries)
    candidates: dict[str, Candidates] = {}
    with progress("Searching", "queries", len(queries)) as bar:
        for start in range(0, len(queries), _BATCH):
            batch = queries[start : start + _BATCH]
            texts = [dataset.queries[query] for query in batch]
            for query, (lists, minima) in zip(batch, hybrid.candidates(texts), strict=True):
                if dataset.leaves_out_own:
                    lists = [without(ranked, positions.get(query, -1)) for ranked in lists]
                candidates[query] = Candidates(lists, minima)
            bar.advance(len(batch))
    return candidates

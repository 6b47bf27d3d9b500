"""Choosing how to fuse the lists of an index, on a judged dataset; see `lsr.eval.tuning.tuning`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lsr.arguments import whole
from lsr.eval.dataset import Dataset
from lsr.eval.measures import parse_measures
from lsr.eval.results import Scores
from lsr.eval.statistics import Comparison, compare
from lsr.eval.tuning.tuning import Fold, Weights, cross_validate, grid, split, tune
from lsr.fusion import DEFAULT_FUSION, LEARNED, Missing
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.lists import Ranked
from lsr.progress import Progress, Silent
from lsr.retrieval.hybrid import Candidates
from lsr.retrieval.index import Index
from lsr.retrieval.named import build_hybrid

_STEPS = 10
_BATCH = 64  # queries searched together
_DEEPER = 10  # than its cutoff a measure sees a list, so that ties are cut as in a whole run


@dataclass(frozen=True, slots=True)
class Chosen:
    """How to fuse, and what it is worth on queries that had no part in choosing it.

    Attributes:
        retrievers: their names.
        fusion: the method, or "learned".
        measure: ir-measures' name.
        weights: the best on all queries; none of a learned fusion.
        learned: the fusion that was learned on all queries.
        baseline: the method with equal weights that it is compared with.
        equal, held_out: the means of that, and of what was chosen on the other folds.
        comparison: of the two, query by query.
        folds: of the cross-validation.
    """

    retrievers: list[str]
    fusion: str
    measure: str
    weights: Weights
    learned: LearnedFusion | None
    baseline: str
    equal: float
    held_out: float
    comparison: Comparison
    folds: list[Fold]

    @property
    def is_better(self) -> bool:
        """Whether it is significantly better than equal weights, at .05."""
        return self.comparison.p_randomization < 0.05 and self.comparison.difference > 0

    def named(self, weights: Weights) -> str:
        """Weights as the command line takes them."""
        pairs = zip(self.retrievers, weights, strict=bool(weights))
        return ",".join(f"{name}={weight:.3g}" for name, weight in pairs)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        test = self.comparison
        return {
            "retrievers": self.retrievers,
            "fusion": self.fusion,
            "measure": self.measure,
            "weights": dict(zip(self.retrievers, self.weights, strict=bool(self.weights))),
            "held_out": self.held_out,
            "baseline": {"fusion": self.baseline, "mean": self.equal},
            "difference": {
                "mean": test.difference,
                "interval": [test.interval.low, test.interval.high],
                "p_randomization": test.p_randomization,
                "p_t": test.p_t,
            },
            "folds": [
                {
                    "queries": fold.queries,
                    "weights": dict(zip(self.retrievers, fold.weights, strict=bool(fold.weights))),
                    "mean": fold.mean,
                }
                for fold in self.folds
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
) -> Chosen:
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
    depth = _DEEPER * parsed.params.get("cutoff", 100)
    folds = whole("folds", folds)
    split(dataset.queries, folds, seed)  # what cannot be cut must not be found after searching
    names = build_hybrid(index, baseline, retrievers=retrievers).names
    ids = [
        index.reader.id_of(number)
        for number in index.reader.docids_of(np.arange(len(index))).tolist()
    ]
    lists = _search(index, dataset, retrievers, ids, progress)
    qrels = {query: dataset.qrels[query] for query in dataset.queries}
    steps = 1 if fusion == LEARNED else _STEPS
    with progress("Tuning", "weights", len(grid(len(names), steps))) as bar:
        tuned = tune(
            lists,
            qrels,
            ids,
            baseline,
            measure,
            folds=folds,
            seed=seed,
            steps=steps,
            missing=missing,
            k=depth,
            advance=bar.advance,
        )
    weights, held_out, cut = tuned.weights, tuned.held_out, tuned.folds
    learned = None
    if fusion == LEARNED:
        places = {id: place for place, id in enumerate(ids)}

        def train(queries: Sequence[str]) -> LearnedFusion:
            examples = ((lists[query].lists, _grades(qrels[query], places)) for query in queries)
            return LearnedFusion.train(names, examples)

        with progress("Learning", "fusions", folds + 1) as bar:

            def ranker(queries: list[str]) -> Callable[[Sequence[Ranked]], Ranked]:
                trained = train(queries)
                bar.advance(1)
                return lambda found: trained.rank(found, depth)

            held_out = cross_validate(lists, qrels, ids, ranker, measure, folds=folds, seed=seed)
            learned = train(list(qrels))
            bar.advance(1)
        weights = ()
        cut = [
            Fold(queries, (), float(np.mean([held_out[query] for query in queries])))
            for queries in split(qrels, folds, seed)
        ]
    (comparison,) = compare(
        {"equal": _scores(tuned.measure, tuned.equal), "chosen": _scores(tuned.measure, held_out)},
        [tuned.measure],
    )
    return Chosen(
        names,
        fusion,
        tuned.measure,
        weights,
        learned,
        baseline,
        float(np.mean(list(tuned.equal.values()))),
        float(np.mean(list(held_out.values()))),
        comparison,
        cut,
    )


def _search(
    index: Index, dataset: Dataset, retrievers: str, ids: Sequence[str], progress: type[Progress]
) -> dict[str, Candidates]:
    """What would be fused for each query, without its own document where that is left out."""
    hybrid = build_hybrid(index, "none", retrievers=retrievers)
    queries = list(dataset.queries)
    found: dict[str, Candidates] = {}
    with progress("Searching", "queries", len(queries)) as bar:
        for start in range(0, len(queries), _BATCH):
            batch = queries[start : start + _BATCH]
            candidates = hybrid.candidates([dataset.queries[query] for query in batch])
            found.update(zip(batch, candidates, strict=True))
            bar.advance(len(batch))
    if dataset.leaves_out_own:
        places = {id: place for place, id in enumerate(ids)}
        for query, (lists, minima) in found.items():
            own = places.get(query, -1)
            others = [ranked.positions != own for ranked in lists]
            kept = [
                Ranked(ranked.positions[other], ranked.scores[other])
                for ranked, other in zip(lists, others, strict=True)
            ]
            found[query] = Candidates(kept, minima)
    return found


def _grades(judged: Mapping[str, int], places: Mapping[str, int]) -> dict[int, int]:
    """Grades by place; documents that are judged but not in the index are left out."""
    return {places[id]: grade for id, grade in judged.items() if id in places}


def _scores(measure: str, values: Mapping[str, float]) -> Scores:
    return Scores({measure: float(np.mean(list(values.values())))}, {measure: dict(values)})

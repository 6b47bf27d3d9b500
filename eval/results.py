"""Results of an evaluation: runs, their measures and their provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]  # query id -> document id -> grade
Run: TypeAlias = Mapping[str, Mapping[str, float]]  # query id -> document id -> score

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scores:
    """Measures of one run against judgments.

    Attributes:
        means: ir-measures' name -> value over all judged queries.
        per_query: the same name -> query id -> value, for every judged query; a query that
            retrieved nothing is worth what ir-measures makes of that, mostly 0.
    """

    means: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Result:
    """One encoder on one dataset.

    Attributes:
        dataset: its name.
        encoder: its name, with weights where they were given.
        queries: judged query id -> text.
        run: for each of these queries.
        scores: of the run.
        milliseconds: float64, for each of `queries` in order: encoding and searching it alone.
        provenance: all that decides the figures, as JSON: versions, digests, settings.
    """

    dataset: str
    encoder: str
    queries: Mapping[str, str]
    run: Run
    scores: Scores
    milliseconds: npt.NDArray[np.float64]
    provenance: Mapping[str, Any]


def rows(run: Run) -> Iterator[tuple[str, list[str], list[float]]]:
    """Each query with its documents, best first, and their scores, for `lsr.eval.runs.write_run`.

    Documents of one score keep their order.
    """
    for query, hits in run.items():
        ranked = sorted(hits.items(), key=lambda hit: -hit[1])
        yield query, [document for document, _ in ranked], [score for _, score in ranked]


def joined(name: str, results: Sequence[Result]) -> Result:
    """The result on a dataset of several parts: the mean over them; queries as PART/ID."""
    first = results[0]
    parts = {result.dataset.rpartition("/")[2]: result for result in results}

    def by_part(values: Iterable[Mapping[str, T]]) -> dict[str, T]:
        return {
            f"{part}/{query}": value
            for part, of_part in zip(parts, values, strict=True)
            for query, value in of_part.items()
        }

    counts = Counter[str]()
    for result in results:
        counts.update(result.provenance["dataset"]["counts"])
    measures = first.scores.means
    return Result(
        name,
        first.encoder,
        by_part(result.queries for result in results),
        by_part(result.run for result in results),
        Scores(
            {m: float(np.mean([r.scores.means[m] for r in results])) for m in measures},
            {m: by_part(r.scores.per_query[m] for r in results) for m in measures},
        ),
        np.concatenate([result.milliseconds for result in results]),
        {
            **first.provenance,
            "dataset": {**first.provenance["dataset"], "name": name, "counts": dict(counts)},
            "index": {part: result.provenance["index"] for part, result in parts.items()},
            "parts": {part: dict(result.scores.means) for part, result in parts.items()},
            "remarks": [
                f"{part}: {remark}"
                for part, result in parts.items()
                for remark in result.provenance["remarks"]
            ],
        },
    )

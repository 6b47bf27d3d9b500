"""What an evaluation gives: runs, their measures, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]  # query id -> document id -> grade
Run: TypeAlias = Mapping[str, Mapping[str, float]]  # query id -> document id -> score


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

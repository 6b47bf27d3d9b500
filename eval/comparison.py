"""Runs beside each other: means, tests between them, queries that make the difference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lsr.arguments import listed, whole
from lsr.data.queries import read_queries
from lsr.data.streams import locate
from lsr.errors import CorpusError, QueryError
from lsr.eval.measures import parse_measures, scores
from lsr.eval.published import published
from lsr.eval.qrels import read_qrels
from lsr.eval.results import Qrels, Scores
from lsr.eval.runs import read_judged_run
from lsr.eval.statistics import (
    Comparison,
    Interval,
    bootstrap_interval,
    compare,
    paired_differences,
)


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run file and what it is worth.

    Attributes:
        file: its path.
        scores: for all judged queries.
        means: measure -> mean over these queries.
        intervals: measure -> 95 % bootstrap interval of its mean.
        missing: judged queries that the run does not answer.
        unjudged: queries of the run without judgments, which count nowhere.
    """

    file: Path
    scores: Scores
    means: Mapping[str, float]
    intervals: Mapping[str, Interval]
    missing: int
    unjudged: int


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs on the same judgments.

    Attributes:
        dataset: its name, "" where nothing tells it.
        texts: query id -> text, empty where the judgments come without queries.
        queries: number of judged queries.
        measures: ir-measures' names.
        runs: name -> run, in the order given.
        tests: every pair, measure by measure.
    """

    dataset: str
    texts: Mapping[str, str]
    queries: int
    measures: Sequence[str]
    runs: Mapping[str, JudgedRun]
    tests: Sequence[Comparison]

    def changes(
        self, measure: str, count: int
    ) -> tuple[list[QueryDifference], list[QueryDifference]]:
        """The queries that the second run wins and loses by most against the first."""
        first, second = (run.scores.per_query[measure] for run in list(self.runs.values())[:2])
        return largest_differences(first, second, self.texts, count)


@dataclass(frozen=True, slots=True)
class QueryDifference:
    """The value of one query in each of two runs."""

    query: str
    text: str
    a: float
    b: float


def compare_runs(
    files: Iterable[str | PathLike[str]],
    judgments: str | PathLike[str],
    measures: Sequence[str],
    *,
    split: str = "test",
    dataset: str | None = None,
) -> RunComparison:
    """Score runs against judgments and test every pair of them.

    Args:
        files: two runs or more, for `read_run`.
        judgments: a BEIR folder or zip, or a file of judgments.
        measures: names for `parse_measures`.
        split: which judgments of a folder or zip.
        dataset: the name of the dataset; else that of the folder or zip.

    Raises `QueryError` for wrong measures and fewer than two runs, `CorpusError` for files that
    cannot be read and for a run without any of the judged queries.
    """
    paths = [Path(file) for file in listed("runs", files)]
    if len(paths) < 2:
        raise QueryError("a comparison needs two runs or more; name another")
    wanted = list(dict.fromkeys(str(measure) for measure in parse_measures(measures)))
    if not wanted:
        raise QueryError("there is no measure to compare by; give one, such as nDCG@10")
    qrels = read_qrels(judgments, split)
    runs = {
        name: _judged(file, qrels, judgments, wanted)
        for name, file in zip(run_names(paths), paths, strict=True)
    }
    source = Path(judgments)
    whole = source.is_dir() or source.suffix.lower() == ".zip"
    return RunComparison(
        dataset=dataset or (source.resolve().stem if whole else ""),
        texts=_texts(source) if whole else {},
        queries=len(qrels),
        measures=wanted,
        runs=runs,
        tests=compare({name: run.scores for name, run in runs.items()}, wanted),
    )


def _judged(
    file: Path, qrels: Qrels, judgments: str | PathLike[str], measures: Sequence[str]
) -> JudgedRun:
    run, missing, unjudged = read_judged_run(file, qrels, judgments)
    values = scores(qrels, run, measures)
    by_measure = {name: list(row.values()) for name, row in values.per_query.items()}
    return JudgedRun(
        file,
        values,
        # Not values.means: ir-measures adds up counts such as NumRet.
        means={name: math.fsum(row) / len(row) for name, row in by_measure.items()},
        intervals={name: bootstrap_interval(row) for name, row in by_measure.items()},
        missing=len(missing),
        unjudged=len(unjudged),
    )


def run_names(files: Sequence[Path]) -> list[str]:
    """The stems of files; equal ones with their folder; those still equal numbered."""
    stems = [_stem(file) for file in files]
    names = [
        stem if stems.count(stem) == 1 else f"{file.resolve().parent.name}/{stem}"
        for stem, file in zip(stems, files, strict=True)
    ]
    repeated, seen = Counter(names), Counter[str]()
    for position, name in enumerate(names):
        if repeated[name] > 1:
            seen[name] += 1
            names[position] = f"{name} ({seen[name]})"
    return names


def largest_differences(
    a: Mapping[str, float], b: Mapping[str, float], texts: Mapping[str, str], count: int
) -> tuple[list[QueryDifference], list[QueryDifference]]:
    """The queries, with their texts, that b wins and loses by most against a, largest first."""
    differences = paired_differences(a, b)
    rows = [QueryDifference(query, texts.get(query, ""), a[query], b[query]) for query in a]
    order = np.argsort(-differences, kind="stable")  # equal ones in the order of the judgments
    won = [rows[position] for position in order if differences[position] > 0]
    order = np.argsort(differences, kind="stable")
    lost = [rows[position] for position in order if differences[position] < 0]
    return won[:count], lost[:count]


def as_json(comparison: RunComparison, count: int) -> dict[str, Any]:
    """The comparison as JSON values, with `count` queries won and lost most by each measure."""
    runs, measures = comparison.runs, comparison.measures
    count = whole("count", count, 0)
    changes = {measure: comparison.changes(measure, count) for measure in measures}
    return {
        "dataset": comparison.dataset,
        "queries": comparison.queries,
        "runs": [
            {"run": name, "file": str(run.file), "missing": run.missing, "unjudged": run.unjudged}
            for name, run in runs.items()
        ],
        "measures": {
            measure: [
                {"run": name, "mean": run.means[measure], "ci": run.intervals[measure].to_json()}
                for name, run in runs.items()
            ]
            for measure in measures
        },
        "tests": [test.to_json() for test in comparison.tests],
        "won": {measure: [asdict(row) for row in won] for measure, (won, _) in changes.items()},
        "lost": {measure: [asdict(row) for row in lost] for measure, (_, lost) in changes.items()},
        "published": {
            measure: [asdict(reference) for reference in published(comparison.dataset, measure)]
            for measure in measures
        },
    }


def _stem(file: Path) -> str:
    name = file.name
    for suffix in (".gz", ".zst"):
        name = name.removesuffix(suffix)
    return Path(name).stem


def _texts(source: Path) -> dict[str, str]:
    try:
        locate(source, "queries.jsonl")
    except CorpusError:  # judgments alone are enough
        return {}
    return {query.id: query.text for query in read_queries(str(source))}

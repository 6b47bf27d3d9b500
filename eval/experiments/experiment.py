"""One encoder on one dataset: a run, its measures, and where they come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lsr.arguments import named
from lsr.data.datasets import entry_of
from lsr.data.sources import IRDS
from lsr.errors import CorpusError, LsrError
from lsr.eval.dataset import Dataset, read_judgments
from lsr.eval.experiments import provenance
from lsr.eval.experiments.run_cache import RunCache, TimedRun, can_write, run_key
from lsr.eval.measures import parse_measures, scores
from lsr.eval.results import Result
from lsr.eval.runs import read_judged_run
from lsr.progress import Progress, Silent
from lsr.retrieval.hits import Hits
from lsr.retrieval.index import Index
from lsr.retrieval.named import learned_file
from lsr.retrieval.retrievers import SparseRetriever
from lsr.storage.files import checksum_file
from lsr.terminal import utf8

_WARM_UP = 5  # queries
_NAMED = ("weights", "prf")  # of the arguments for a hybrid, those in the name of a result
_NOT_OF_VECTORS = ("batch_size", "device", "threads")  # settings that decide no vector


@dataclass(frozen=True, slots=True)
class Experiment:
    """An encoder to measure, and how its index is searched.

    Attributes:
        encoder: its name; None is the encoder of the index, or the usual one for a new index.
        dense: the name of the encoder of dense vectors; None leaves the index as it is.
        weights: of the parts of an encoder of several, for queries.
        settings: those for `lsr.load_encoder`, and `threads`, that differ from the usual.
        k: hits of a query.
        hybrid: arguments for `Index.hybrid`, JSON values; None searches the terms alone.
        fresh: whether to do again what is there.
    """

    encoder: str | None = None
    dense: str | None = None
    weights: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    k: int = 1000
    hybrid: Mapping[str, Any] | None = None
    fresh: bool = False

    @property
    def device(self) -> str | None:
        """Where models run; None for the usual."""
        return self.settings.get("device")

    @property
    def vector_settings(self) -> dict[str, Any]:
        """The settings that decide vectors."""
        return {name: v for name, v in self.settings.items() if name not in _NOT_OF_VECTORS}


def evaluate(
    index: Index,
    dataset: Dataset,
    experiment: Experiment,
    *,
    command: str = "",
    progress: type[Progress] = Silent,
) -> Result:
    """Measure an index on a dataset; `command` is how to repeat it.

    The run is a cached one where there is one.
    """
    dataset = with_documents(dataset, index)
    dense = None
    if experiment.hybrid is None:
        search: Callable[[str, int], Hits] = index.search
        name, details = SparseRetriever(index).name, [experiment.weights]
    else:
        hybrid = index.hybrid(**experiment.hybrid)
        search, name = hybrid.search, ", ".join(hybrid.names)
        details = [experiment.weights, experiment.hybrid["fusion"]]
        details += [value for key, value in experiment.hybrid.items() if key in _NAMED]
        details += ["rescored"] if experiment.hybrid.get("rescore") else []
        dense = index.info()["dense"]
    in_brackets = ", ".join(str(detail) for detail in details if detail is not None)
    timed = _cached_run(index, search, dataset, experiment, progress)
    return Result(
        dataset.name,
        f"{name} ({in_brackets})" if in_brackets else name,
        dataset.queries,
        timed.run,
        scores(dataset.qrels, timed.run, dataset.measures),
        timed.milliseconds,
        {
            "command": command,
            "dataset": provenance.of_dataset(dataset),
            "models": provenance.model_digests(
                index.manifest.encoder, (dense or {}).get("encoder")
            ),
            "index": {**provenance.of_index(index), **({"dense": dense} if dense else {})},
            "search": {
                "k": experiment.k,
                "weights": experiment.weights,
                "hybrid": experiment.hybrid,
                "leaves_out_own": dataset.leaves_out_own,
                "threads": 1,
            },
            "remarks": list(dataset.remarks),
            **timed.circumstances,
        },
    )


def run_queries(
    search: Callable[[str, int], Hits], dataset: Dataset, k: int, progress: type[Progress] = Silent
) -> TimedRun:
    """Encode and search each query alone, and time that: on one thread, after some to warm up.

    `search(text, k)` returns the k best documents.
    """
    depth = k + dataset.leaves_out_own
    milliseconds = np.empty(len(dataset.queries))
    run: dict[str, dict[str, float]] = {}
    for text in list(dataset.queries.values())[:_WARM_UP]:
        search(text, depth)
    with progress("Searching", "queries", len(dataset.queries)) as bar:
        for number, (query, text) in enumerate(dataset.queries.items()):
            began = time.perf_counter()
            hits = search(text, depth)
            milliseconds[number] = 1e3 * (time.perf_counter() - began)
            row = dict(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))
            if dataset.leaves_out_own:
                row.pop(query, None)
            if row:
                run[query] = dict(list(row.items())[:k])
            bar.advance(1)
    return TimedRun(run, milliseconds, provenance.circumstances())


def _cached_run(
    index: Index,
    search: Callable[[str, int], Hits],
    dataset: Dataset,
    experiment: Experiment,
    progress: type[Progress],
) -> TimedRun:
    key = run_key(
        index.manifest.edition,
        list(dataset.queries.items()),
        experiment.k,
        experiment.weights,
        dataset.leaves_out_own,
        experiment.device,
        *([] if experiment.hybrid is None else [experiment.hybrid, *_further_editions(index)]),
    )
    cache = RunCache(index.path)
    if not experiment.fresh and (cached := cache.load(key, dataset.queries)) is not None:
        return cached
    writable = can_write(cache.folder)
    if not writable:
        progress.note(f"The run will not be cached: {cache.folder} cannot be written.")
    timed = run_queries(search, dataset, experiment.k, progress)
    if writable:
        try:
            cache.store(key, timed)
        except (OSError, LsrError) as error:  # a full disk is no reason to lose the results
            progress.note(f"The run is not cached: {error}.")
    return timed


def _further_editions(index: Index) -> list[str | None]:
    """Identifies what a hybrid may search with beside the terms: dense vectors and a learned
    fusion."""
    fusion = learned_file(index)
    return [
        None if index.dense is None else index.dense.manifest.edition,
        checksum_file(fusion) if fusion.exists() else None,
    ]


def with_documents(dataset: Dataset, index: Index) -> Dataset:
    """The dataset with how many judged documents the index lacks, which nothing can find."""
    missing = [
        (query, document)
        for query, judged in dataset.qrels.items()
        for document in judged
        if document not in index
    ]
    count = len({document for _, document in missing})
    remarks = list(dataset.remarks)
    if missing:
        query, document = missing[0]
        remarks.append(
            f"{count:,} judged documents are not in the collection and count as not found, the "
            f"first {document!r} ({dataset.location_of(query, document)})"
        )
    return replace(
        dataset, counts={**dataset.counts, "judged_documents_missing": count}, remarks=remarks
    )


def evaluate_run(
    file: str | PathLike[str],
    judgments: str | PathLike[str],
    split: str | None = None,
    measures: Sequence[str] = (),
) -> Result:
    """Measure a run of `read_run`, with judgments of a BEIR folder or zip, a file, or irds:ID.

    A judged query that the run does not answer counts 0.  Raises `CorpusError` for files that
    cannot be read, and when no query of the run is judged; `QueryError` for what is no measure.
    """
    file, judgments = Path(file), named("a dataset", judgments, error=CorpusError)
    name = judgments.removeprefix(IRDS) if judgments.startswith(IRDS) else Path(judgments).name
    name = utf8(name if judgments.startswith(IRDS) else name.partition(".")[0])
    entry = entry_of(judgments if judgments.startswith(IRDS) else name)
    measures = list(measures) or list(entry.measures)
    parse_measures(measures)
    qrels = read_judgments(judgments, split or entry.split)
    run, missing, unjudged = read_judged_run(file, qrels, judgments)
    remarks = []
    if unjudged:
        remarks.append(
            f"{len(unjudged):,} of {len(run):,} queries have no judgments and are left out, the "
            f"first {unjudged[0]!r}"
        )
    if missing:
        remarks.append(
            f"{len(missing):,} of {len(qrels):,} judged queries are not in the run and count as "
            f"not answered, the first {missing[0]!r}"
        )
    counts = {
        "queries": len(qrels),
        "judgments": sum(map(len, qrels.values())),
        "queries_without_judgments": len(unjudged),
        "judged_queries_missing": len(missing),
    }
    return Result(
        name,
        utf8(file.name.partition(".")[0]),
        dict.fromkeys(qrels, ""),
        run,
        scores(qrels, run, measures),
        np.empty(0),
        {"dataset": {"name": name, "counts": counts}, "run": str(file), "remarks": remarks},
    )

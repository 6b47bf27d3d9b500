"""One encoder on one dataset: a run, its measures, and where they come from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from lsr.arguments import named
from lsr.data.datasets import entry_of
from lsr.data.sources import IRDS
from lsr.errors import CorpusError, LsrError
from lsr.eval.dataset import Dataset, read_judgments
from lsr.eval.experiments import provenance
from lsr.eval.experiments.index_cache import Options
from lsr.eval.experiments.run_cache import KeptRun, folder_of, keep, kept, key_of
from lsr.eval.measures import parse_measures, scores
from lsr.eval.results import Result, Scores
from lsr.eval.runs import read_run
from lsr.progress import Progress, Silent
from lsr.retrieval.index import Index
from lsr.retrieval.named import learned_file
from lsr.retrieval.retrievers import SparseRetriever
from lsr.storage.files import checksum_file
from lsr.terminal import utf8

_WARM_UP = 5  # queries
_NAMED = ("weights", "prf")  # of the arguments for a hybrid, those in the name of a result


def run_queries(
    index: Index, dataset: Dataset, options: Options, progress: type[Progress]
) -> KeptRun:
    """The run of an index for a dataset: a kept one, or each query encoded and searched alone.

    That is timed: on one thread, after some queries to warm up.
    """
    queries = list(dataset.queries.items())
    key = key_of(
        index.manifest.edition,
        queries,
        options.k,
        options.weights,
        dataset.leaves_out_own,
        options.settings.get("device"),
        *([] if options.hybrid is None else [options.hybrid, *_further_editions(index)]),
    )
    if not options.fresh:
        found = kept(index.path, key, list(dataset.queries))
        if found is not None:
            return found
    folder = folder_of(index.path)
    keeps = can_write(folder)
    if not keeps:
        progress.note(f"The run will not be kept: {folder} cannot be written.")
    searcher = index if options.hybrid is None else index.hybrid(**options.hybrid)
    depth = options.k + dataset.leaves_out_own
    milliseconds = np.empty(len(queries))
    run: dict[str, dict[str, float]] = {}
    for _, text in queries[:_WARM_UP]:
        searcher.search(text, depth)
    with progress("Searching", "queries", len(queries)) as bar:
        for number, (query, text) in enumerate(queries):
            began = time.perf_counter()
            hits = searcher.search(text, depth)
            milliseconds[number] = 1e3 * (time.perf_counter() - began)
            found_ids = dict(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))
            if dataset.leaves_out_own:
                found_ids.pop(query, None)
            if found_ids:
                run[query] = dict(list(found_ids.items())[: options.k])
            bar.advance(1)
    circumstances = {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
    }
    result = KeptRun(run, milliseconds, circumstances)
    if keeps:
        try:
            keep(index.path, key, result)
        except (OSError, LsrError) as error:  # a full disk is no reason to lose the results
            progress.note(f"The run is not kept: {error}.")
    return result


def can_write(folder: Path) -> bool:
    """Make a folder; whether a file can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _further_editions(index: Index) -> list[str | None]:
    """What tells apart that which a hybrid may search with beside the terms: dense vectors, and a
    learned fusion."""
    fusion = learned_file(index)
    return [
        None if index.dense is None else index.dense.manifest.edition,
        checksum_file(fusion) if fusion.exists() else None,
    ]


def evaluate(
    index: Index,
    dataset: Dataset,
    options: Options,
    *,
    command: str = "",
    progress: type[Progress] = Silent,
) -> Result:
    """Measure an index on a dataset; `command` is how to repeat it."""
    dataset = with_documents(dataset, index)
    found = run_queries(index, dataset, options, progress)
    dense = index.info()["dense"] if options.hybrid is not None else None
    return Result(
        dataset.name,
        _called(index, options),
        dataset.queries,
        found.run,
        scores(dataset.qrels, found.run, dataset.measures),
        found.milliseconds,
        {
            "command": command,
            "dataset": provenance.of_dataset(dataset),
            "models": provenance.model_digests(
                index.manifest.encoder, (dense or {}).get("encoder")
            ),
            "index": {**provenance.of_index(index), **({"dense": dense} if dense else {})},
            "search": {
                "k": options.k,
                "weights": options.weights,
                "hybrid": options.hybrid,
                "leaves_out_own": dataset.leaves_out_own,
                "threads": 1,
            },
            "remarks": list(dataset.remarks),
            **found.circumstances,
        },
    )


def _called(index: Index, options: Options) -> str:
    """The name of what was measured: encoders, and how they were searched."""
    hybrid = options.hybrid
    if hybrid is None:
        name = SparseRetriever(index).name
        return f"{name} ({options.weights})" if options.weights else name
    how = [options.weights, hybrid["fusion"], *(v for n, v in hybrid.items() if n in _NAMED)]
    if hybrid.get("rescore"):
        how.append("rescored")
    names = index.hybrid(**hybrid).names
    return f"{', '.join(names)} ({', '.join(str(part) for part in how if part is not None)})"


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
            f"first {document!r} ({dataset.place_of(query, document)})"
        )
    return replace(
        dataset, counts={**dataset.counts, "judged_documents_missing": count}, remarks=remarks
    )


def joined(name: str, results: Sequence[Result]) -> Result:
    """The result on a dataset of several parts: the mean over them; queries as PART/ID."""
    first = results[0]
    parts = [result.dataset.rpartition("/")[2] for result in results]
    both = list(zip(parts, results, strict=True))
    means = {
        measure: float(np.mean([result.scores.means[measure] for result in results]))
        for measure in first.scores.means
    }
    per_query = {
        measure: {
            f"{part}/{query}": value
            for part, result in both
            for query, value in result.scores.per_query[measure].items()
        }
        for measure in means
    }
    counts: dict[str, int] = {}
    for result in results:
        for count, value in result.provenance["dataset"]["counts"].items():
            counts[count] = counts.get(count, 0) + value
    return Result(
        name,
        first.encoder,
        {f"{part}/{query}": text for part, r in both for query, text in r.queries.items()},
        {f"{part}/{query}": row for part, r in both for query, row in r.run.items()},
        Scores(means, per_query),
        np.concatenate([result.milliseconds for result in results]),
        {
            **first.provenance,
            "dataset": {**first.provenance["dataset"], "name": name, "counts": counts},
            "index": {part: result.provenance["index"] for part, result in both},
            "parts": {part: dict(result.scores.means) for part, result in both},
            "remarks": [f"{p}: {remark}" for p, r in both for remark in r.provenance["remarks"]],
        },
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
    run = read_run(file)
    unjudged = [query for query in run if query not in qrels]
    missing = [query for query in qrels if query not in run]
    if len(missing) == len(qrels):
        raise CorpusError(
            f"no query of {file} is judged in {judgments}; check that they belong together"
        )
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

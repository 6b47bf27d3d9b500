"""One step of a measurement, in a process of its own: `python -m benchmarks.measure JOB.json`.

`benchmarks.search` writes the job and reads its answer, so that an engine starts clean, has one
core, cannot disturb the next one, and a crash of one is only its own.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import truth, vectors
from benchmarks.engines import FAMILIES, Engine, builds


@dataclass(frozen=True)
class Job:
    """What a process is to do.

    Attributes:
        step: "describe" a family's builds, find the "truth", "build" or "search".
        family, build: which engine; `build` counts the family's builds from 0.
        documents, queries: Parquet files; `size` and `questions` rows of them are used.
        order: a .npy permutation of the documents, for engines that number as they come.
        directory: of the index.
        truth: the file with the exact answers.
        wanted: pairs of a search's label and k.
        passes: of which the fastest counts.
        core: to be pinned to; None leaves it to the system.
        answer: the JSON file to write.
    """

    step: str
    answer: str
    family: str = ""
    build: int = 0
    documents: str = ""
    queries: str = ""
    size: int = 0
    questions: int | None = None
    order: str | None = None
    directory: str = ""
    truth: str = ""
    wanted: tuple[tuple[str, int], ...] = ()
    passes: int = 1
    core: int | None = None

    def changed(self, **values: Any) -> Job:
        """The same job but for some values."""
        return replace(self, **values)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def describe(job: Job) -> Any:
    """Names, settings and searches of a family's builds; or the package that is missing."""
    try:
        engines = [make() for make in builds(job.family)]
    except ImportError as error:
        return {"missing": FAMILIES[job.family][1], "reason": str(error)}
    return [
        {
            "engine": engine.name,
            "build": engine.settings,
            "searches": list(engine.searches),
            "version": engine.version,
            "ordered": engine.ordered,
            "batched": engine.batched,
        }
        for engine in engines
    ]


def find_truth(job: Job) -> Any:
    documents = vectors.load(Path(job.documents), job.size)
    queries = vectors.load(Path(job.queries), job.questions)
    truth.cached(Path(job.truth), documents, queries, max(k for _, k in job.wanted))
    return {"postings": documents.terms.size, "query_terms": queries.terms.size / len(queries)}


def build(job: Job) -> Any:
    """Time, peak memory and size of a build; reading the Parquet file is not part of it."""
    engine = builds(job.family)[job.build]()
    documents = vectors.load(Path(job.documents), job.size)
    postings = documents.terms.size
    order = outer_order(job, engine)
    if order is not None:
        documents = vectors.permuted(documents, order)
    forget_peak()
    before = peak_memory()
    start = time.perf_counter()
    engine.build(documents, Path(job.directory))
    seconds = time.perf_counter() - start
    sizes = engine.sizes(Path(job.directory))
    return {
        "build_s": seconds,
        "build_peak_bytes": peak_memory(),
        "input_bytes": before,
        "bytes": sum(sizes.values()),
        "bytes_by_part": sizes,
        "bytes_per_posting": sum(sizes.values()) / postings,
    }


def search(job: Job) -> Any:
    """Latency and recall of each wanted search: one pass over all queries, then timed ones."""
    engine = builds(job.family)[job.build]()
    queries = list(vectors.load(Path(job.queries), job.questions))
    order = outer_order(job, engine)
    with np.load(job.truth) as arrays:
        found, scores = arrays["found"], arrays["scores"]
    start = time.perf_counter()
    engine.open(Path(job.directory))
    opened = time.perf_counter() - start
    prepared = [engine.prepare(query) for query in queries]
    rows = []
    for label, k in job.wanted:
        how = engine.searches[label]
        answers: Any
        if engine.batched:
            answers = engine.documents(engine.search(prepared, k, **how))
        else:
            answers = [engine.documents(engine.search(query, k, **how)) for query in prepared]
        if order is not None:
            answers = [order[np.array(answer, np.int64)].tolist() for answer in answers]
        row = {"search": label, "k": k, "open_s": opened}
        row |= timed(engine, prepared, k, how, job.passes)
        row["recall"] = truth.recall(answers, found, scores, k)
        rows.append(row)
    return rows


def outer_order(job: Job, engine: Engine) -> np.ndarray | None:
    """The order that documents are handed over in: documents beyond the size drop out of it."""
    if job.order is None or not engine.ordered:
        return None
    order: np.ndarray = np.load(job.order).astype(np.int64)
    return order[order < job.size]


def timed(engine: Engine, prepared: list[Any], k: int, how: Any, passes: int) -> dict[str, float]:
    """`latency` of a search; of a batch only the mean."""

    def ask(query: Any) -> Any:
        return engine.search(query, k, **how)

    if not engine.batched:
        return latency(ask, prepared, passes)
    batch = latency(ask, [prepared], passes)
    spread = ("median_us", "p90_us", "p99_us")
    found = {name: value for name, value in batch.items() if name not in spread}
    return found | {"mean_us": batch["mean_us"] / len(prepared)}


def latency(ask: Callable[[Any], Any], queries: Sequence[Any], passes: int) -> dict[str, float]:
    """Microseconds a query, of the fastest of several passes; and how quiet the machine was.

    `core_share` is the part of the pass spent on the processor, `reference_us` the time of a
    fixed piece of work around the pass: see `quiet`.
    """
    best: dict[str, float] = {}
    gc.collect()
    gc.disable()
    for _ in range(passes):
        before = reference()
        used, marks = time.process_time(), [time.perf_counter_ns()]
        for query in queries:
            ask(query)
            marks.append(time.perf_counter_ns())
        used = time.process_time() - used
        spent = np.diff(marks) / 1e3
        if not best or spent.mean() < best["mean_us"]:
            best = {
                "median_us": float(np.median(spent)),
                "mean_us": float(spent.mean()),
                "p90_us": float(np.percentile(spent, 90)),
                "p99_us": float(np.percentile(spent, 99)),
                "core_share": min(1.0, used * 1e6 / float(spent.sum())),
                "reference_us": max(before, reference()),
            }
    gc.enable()
    return best


def reference() -> float:
    """Microseconds that sorting 2,000 numbers and adding 65,536 take now, the median of 20."""
    numbers, sums, spent = list(range(500, 0, -1)) * 4, np.ones(65_536, np.uint32), []
    for _ in range(20):
        start = time.perf_counter_ns()
        sorted(numbers, key=str)
        sums.sum()
        spent.append(time.perf_counter_ns() - start)
    return float(np.median(spent)) / 1e3


def quiet(row: dict[str, Any], rows: Iterable[dict[str, Any]]) -> bool:
    """Whether nothing slowed a measurement down, to judge by all measured on the machine.

    Below 97 % of its core, something else ran there.  A reference a quarter above the lowest
    tells of work on other cores, in other virtual machines or of a lower clock.
    """
    lowest = min(other["reference_us"] for other in rows)
    return bool(row["core_share"] >= 0.97 and row["reference_us"] <= 1.25 * lowest)


def forget_peak() -> None:
    """Begin to count the peak anew, where the system can: Linux."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most memory this process has had resident, in bytes; on Linux since `forget_peak`."""
    if Path("/proc/self/status").exists():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


STEPS = {"describe": describe, "truth": find_truth, "build": build, "search": search}


def main() -> None:
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    if job.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job.core})
    Path(job.answer).write_text(json.dumps(STEPS[job.step](job)))


if __name__ == "__main__":
    main()

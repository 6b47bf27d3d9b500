"""Compare engines on the same vectors: `python -m benchmarks.search --help`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import vectors
from benchmarks.commands import Row, command, progress
from benchmarks.machine import alone, limit_threads
from benchmarks.search import plots, results, steps
from benchmarks.search.results import Results
from benchmarks.search.steps import Job, Options


@command(Options)
def main(options: Options) -> None:
    """Build and search every engine in a process of its own, pinned to one core.

    Writes results.json, results.md, recall-latency.png and growth.png to --out.  Existing
    rows are not measured again.  LSR_ISA limits the instruction set of lsr.

    \b
    python -m benchmarks.search --documents docs.parquet --queries questions.parquet \\
        --engines lsr,scan,bmp --k 10,100 --sizes 24576,196608 --out results
    """
    limit_threads(1)
    if options.core is None and hasattr(os, "sched_getaffinity"):
        options = replace(options, core=max(os.sched_getaffinity(0)))
    options.out.mkdir(parents=True, exist_ok=True)
    saved = Results(options.out / "results.json")
    complete = all([_measure_family(family, options, saved) for family in options.engines])
    rows = saved.latest()
    report = options.out / "results.md"
    report.write_text("\n".join(results.markdown(saved.runs, rows)) + "\n")
    plots.recall_latency(options.out / "recall-latency.png", rows)
    plots.growth(options.out / "growth.png", rows)
    progress.print(f"{report}")
    if not complete:
        raise SystemExit(1)


def _measure_family(family: str, options: Options, saved: Results) -> bool:
    """Measure what is missing; whether no step failed."""
    described = _step(steps.describe, family, family, options)
    if not isinstance(described, list):
        if described is not None:
            progress.print(f"{family}: skipped; {described}")
        return described is not None
    content = f"{vectors.digest(options.documents, options.queries)}-{options.questions or 'all'}"
    complete = True
    for size in options.sizes:
        for number, build in enumerate(described):
            base = {key: build[key] for key in ("engine", "build", "version")}
            base |= {"size": size, "content": content}
            if options.order and build["keeps_order"]:
                base["build"] += ", reordered"
                base["content"] += f"-{vectors.digest(options.order)}"
            searches = tuple(
                (search, k)
                for search in build["searches"]
                for k in options.k
                if options.fresh
                or not saved.has(base | {"search": search, "k": k}, options.disturbed)
            )
            if not searches:
                continue
            with tempfile.TemporaryDirectory(dir=options.out, prefix="index-") as directory:
                truth = options.out / f"exact-{content}-{size}.npz"
                job = Job(options, family, number, size, searches, truth, Path(directory))
                rows = _measure(job)
            complete &= rows is not None
            for row in rows or []:
                row = base | {"batched": build["batched"]} | row
                saved.add(row, only_quieter=options.disturbed)
                _show(row)
    return complete


def _measure(job: Job) -> list[Row] | None:
    """Truth, build and search of one engine; None if a step failed."""
    name = f"{job.family}-{job.build}-{job.size}"
    built: Row = {}
    for function in (steps.find_truth, steps.build):
        figures = _step(function, job, name, job.options)
        if figures is None:
            return None
        built |= figures
    rows = _step(steps.search, job, name, job.options)
    return None if rows is None else [built | row for row in rows]


def _step(function: Callable[..., Any], value: Any, name: str, options: Options) -> Any:
    """The result of one step in a process of its own, or None after a report that it failed."""
    log = options.out / f"{name}-{function.__name__}.log"
    try:
        result = alone(function, value, core=options.core, log=log)
    except Exception as error:
        with log.open("a") as lines:
            print(error.__cause__ or error, file=lines)
        progress.print(f"[red]{name}: {function.__name__} failed; see {log}[/red]")
        return None
    log.unlink(missing_ok=True)
    return result


def _show(row: Row) -> None:
    unit = "median" if "median_us" in row else "mean"
    progress.print(
        f"{row['size']:>9,}  k {row['k']:<5} {results.title(row):44}"
        f"{f'{unit} {results.typical(row):,.0f}':>14} µs  recall {row['recall']:.3f}  "
        f"built in {row['build_s']:,.1f} s"
    )


if __name__ == "__main__":
    main()

"""Measure engines on the same vectors: `python -m benchmarks.search --help`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import plots, report, vectors
from benchmarks.engines import DEFAULT, FAMILIES
from benchmarks.machine import circumstances
from benchmarks.measure import Job, quiet
from lsr import LsrError

THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")
Row = dict[str, Any]

KEY = ("engine", "build", "search", "size", "k", "content", "version")

console = Console(highlight=False, soft_wrap=True)


def numbers(_: click.Context, option: click.Parameter, value: str) -> list[int]:
    """The value of an option that takes numbers with commas between."""
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter("give whole numbers with commas between", param=option) from None


def names(_: click.Context, option: click.Parameter, value: str) -> list[str]:
    """The value of an option that takes engines with commas between."""
    for name in (given := value.split(",")):
        if name not in FAMILIES:
            raise click.BadParameter(
                f"there is no engine {name!r}; take some of {', '.join(FAMILIES)}", param=option
            )
    return given


passes_option = click.option(
    "--passes", type=click.IntRange(1), default=3, show_default=True, help="The fastest counts."
)
file_option = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--documents", type=file_option, required=True, help="Parquet: terms, weights.")
@click.option("--queries", type=file_option, required=True, help="Parquet: terms, weights.")
@click.option("--engines", callback=names, default=",".join(DEFAULT), show_default=True)
@click.option("--k", "ks", callback=numbers, default="10,100,1000", show_default=True)
@click.option("--sizes", callback=numbers, required=True, help="First so many documents, each.")
@click.option("--questions", type=click.IntRange(1), help="Take the first so many queries.")
@click.option("--order", type=file_option, help="Permutation (.npy) for bmp, impact-index, PISA.")
@click.option("--core", type=int, help="Processor core to pin to; the last one unless given.")
@passes_option
@click.option("--disturbed", is_flag=True, help="Measure again what was marked with a star.")
@click.option("--fresh", is_flag=True, help="Measure again what is already in DIR.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
def main(
    documents: Path,
    queries: Path,
    engines: list[str],
    ks: list[int],
    sizes: list[int],
    questions: int | None,
    order: Path | None,
    core: int | None,
    passes: int,
    disturbed: bool,
    fresh: bool,
    out: Path,
) -> None:
    """Build and search every engine in a process of its own, pinned to one core.

    Writes results.json, results.md, recall-latency.png and growth.png to DIR (--out).  What is
    there already is not measured again.  The instruction set of lsr is chosen by LSR_ISA.

    \b
    python -m benchmarks.search --documents docs.parquet --queries questions.parquet \\
        --engines lsr,scan,bmp --k 10,100 --sizes 24576,196608 --out results
    """
    out.mkdir(parents=True, exist_ok=True)
    if core is None and hasattr(os, "sched_getaffinity"):
        core = max(os.sched_getaffinity(0))
    content = f"{vectors.digest(documents, queries)}-{questions or 'all'}"
    ordered = f"{content}-{vectors.digest(order)}" if order else content
    shared: Row = {
        "documents": str(documents),
        "queries": str(queries),
        "questions": questions,
        "order": str(order) if order else None,
        "passes": passes,
        "core": core,
    }
    results = Results(out / "results.json")
    try:
        results.start()
    except LsrError as error:  # an instruction set that this machine lacks
        raise click.ClickException(str(error)) from None
    failed = False
    for family in engines:
        described = step(out, Job("describe", "", family=family, core=core))
        if described is None or isinstance(described, dict):
            failed |= described is None
            if described:
                package = described["missing"]
                console.print(f"{family}: skipped; pip install {package} ({described['reason']})")
            continue
        for size in sizes:
            for number, build in enumerate(described):
                base = {key: build[key] for key in ("engine", "build", "version")}
                base |= {"size": size, "content": content}
                if order and build["ordered"]:
                    base |= {"build": f"{build['build']}, reordered", "content": ordered}
                wanted = tuple(
                    (search, k)
                    for search in build["searches"]
                    for k in ks
                    if fresh or not results.has(base | {"search": search, "k": k}, disturbed)
                )
                if not wanted:
                    continue
                about = out / f"truth-{content}-{size}.npz"
                job = {**shared, "family": family, "build": number, "size": size}
                found = measure(out, Job("", "", truth=str(about), wanted=wanted, **job))
                failed |= found is None
                for row in found or []:
                    results.add(base | {"batched": build["batched"]} | row, only_quieter=disturbed)
                    show(base | row)
    rows = results.latest()
    text = "\n".join(report.markdown(results.runs, rows)) + "\n"
    out.joinpath("results.md").write_text(text)
    plots.recall_latency(out / "recall-latency.png", rows)
    plots.growth(out / "growth.png", rows)
    console.print(f"{out / 'results.md'}")
    if failed:
        raise SystemExit(1)


class Results:
    """The rows measured so far and the circumstances of each run, in one JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {"runs": [], "rows": []}
        self.runs: list[Row] = kept["runs"]
        self._rows: list[Row] = kept["rows"]

    def start(self) -> None:
        """Begin a run: rows added from now on refer to its circumstances."""
        self.runs.append(circumstances("search"))

    def has(self, wanted: Row, quietly: bool) -> bool:
        """Whether a row is there; when `quietly`, one that nothing slowed down."""
        return any(
            all(row[key] == wanted[key] for key in KEY) and (not quietly or quiet(row, self._rows))
            for row in self._rows
        )

    def add(self, row: Row, only_quieter: bool) -> None:
        """Put a row in, in place of an earlier one with the same key, and write the file."""
        same = [old for old in self._rows if all(old[key] == row[key] for key in KEY)]
        if only_quieter and any(old["reference_us"] <= row["reference_us"] for old in same):
            return
        self._rows = [old for old in self._rows if old not in same]
        self._rows.append(row | {"run": len(self.runs) - 1})
        used = {"runs": self.runs, "rows": self._rows}
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(used, indent=1))
        part.replace(self._path)

    def latest(self) -> list[Row]:
        """Rows of the content measured last, each search in the version measured last."""
        if not self._rows:
            return []
        rows = [row for row in self._rows if files(row) == files(self._rows[-1])]
        unversioned = [key for key in KEY if key not in ("version", "content")]
        return list({tuple(row[key] for key in unversioned): row for row in rows}.values())


def files(row: Row) -> list[str]:
    """What a row was measured on, whatever the order."""
    return str(row["content"]).split("-")[:2]


def measure(out: Path, job: Job) -> list[Row] | None:
    """Truth, build and search of one engine; None when a step failed."""
    with tempfile.TemporaryDirectory(dir=out, prefix="index-") as directory:
        job = job.changed(directory=directory)
        if step(out, job.changed(step="truth")) is None:
            return None
        built = step(out, job.changed(step="build"))
        found = None if built is None else step(out, job.changed(step="search"))
    return None if found is None else [built | row for row in found]


def step(out: Path, job: Job) -> Any:
    """Run one step in a process of its own: its answer, or None after saying what failed."""
    threads = {f"{name}_NUM_THREADS": "1" for name in THREADS}
    with tempfile.TemporaryDirectory(dir=out, prefix="step-") as place:
        order, answer = Path(place) / "job.json", Path(place) / "answer.json"
        job.changed(answer=str(answer)).write(order)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.measure", str(order)],
            env=os.environ | threads,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode == 0:
            return json.loads(answer.read_text())
    log = out / f"{job.family}-{job.build}-{job.size}-{job.step}.log"
    log.write_bytes(done.stdout)
    console.print(f"[red]{job.family}: {job.step} failed ({done.returncode}); see {log}[/red]")
    return None


def show(row: Row) -> None:
    """One line on the terminal."""
    spent = (
        f"median {row['median_us']:,.0f}" if "median_us" in row else f"mean {row['mean_us']:,.0f}"
    )
    console.print(
        f"{row['size']:>9,}  k {row['k']:<5} {report.title(row):44}"
        f"{spent:>14} µs  recall {row['recall']:.3f}  built in {row['build_s']:,.1f} s"
    )


if __name__ == "__main__":
    main()

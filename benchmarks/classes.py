"""lsr's methods beside the plain scan on classes of queries: `python -m benchmarks.classes`."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from benchmarks import vectors
from benchmarks.machine import circumstances
from benchmarks.measure import latency, quiet
from benchmarks.plain_scan import PlainIndex
from benchmarks.search import file_option, numbers, passes_option
from lsr import Index, SparseVectors
from lsr.index.search.searcher import METHODS
from lsr.indexing.build import BuildOptions

Row = dict[str, Any]

console = Console(highlight=False, soft_wrap=True)


@click.command()
@click.option("--documents", type=file_option, required=True, help="Parquet: terms, weights.")
@click.option("--queries", type=file_option, required=True, help="Parquet: terms, weights.")
@click.option("--size", type=click.IntRange(1), help="Take the first so many documents.")
@click.option("--questions", type=click.IntRange(1), help="Take the first so many queries.")
@click.option("--k", "ks", callback=numbers, default="10,100,1000", show_default=True)
@click.option("--orders", default="", help="Values of the build option `order` to compare.")
@passes_option
@click.option("--core", type=int, help="Processor core to pin to; the last one unless given.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
def main(
    documents: Path,
    queries: Path,
    size: int | None,
    questions: int | None,
    ks: list[int],
    orders: str,
    passes: int,
    core: int | None,
    out: Path,
) -> None:
    """Medians of every method, class of queries, k and document order; writes classes.md and .json.

    Every answer of lsr must be the plain scan's, to the last bit, or the command fails.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if core is None else core})
    out.mkdir(parents=True, exist_ok=True)
    given, questions_ = vectors.load(documents, size), vectors.load(queries, questions)
    classes = {
        "as given": questions_,
        "5 strongest terms": vectors.cut(questions_, 5),
        "joined to about 100": vectors.join(questions_, 100),
        "single terms": vectors.cut(questions_, 1),
    }
    plain = PlainIndex.build(given)
    about = circumstances("classes") | {"documents": len(given), "postings": int(given.terms.size)}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=out, prefix="index-") as directory:
        indexes = built(Path(directory), given, [name for name in orders.split(",") if name])
        for name, batch in classes.items():
            if not len(batch):
                console.print(f"{name}: too few queries to make one")
                continue
            sizes = {"terms": batch.terms.size / len(batch), "postings": postings(plain, batch)}
            for k in ks:
                cells = compare(plain, indexes, batch, k, passes)
                rows += [{"queries": name, "k": k, "search": s} | sizes | c for s, c in cells]
                found = ", ".join(f"{s} {c['median_us']:,.0f}" for s, c in cells)
                console.print(f"{name}, k {k}: {found}")
    out.joinpath("classes.json").write_text(json.dumps({"run": about, "rows": rows}, indent=1))
    out.joinpath("classes.md").write_text("\n".join(markdown(about, rows)) + "\n")
    console.print(f"{out / 'classes.md'}")


def markdown(about: Row, rows: list[Row]) -> Iterable[str]:
    """One line a class of queries and k, one column a search."""
    yield "# lsr beside the plain scan, by class of queries\n"
    yield (
        f"{about['documents']:,} documents, {about['cpu']}, one core, {about['lsr_isa']}, "
        f"{about['started']}.  Median microseconds a query; in brackets the plain scan's median "
        "over it, above 1 where lsr is faster.  All answers are the same.  A star: the machine was "
        "not quiet when this was measured.\n"
    )
    searches = list(dict.fromkeys(row["search"] for row in rows))
    yield f"| queries | terms | postings | k | {' | '.join(searches)} |"
    yield "|---|---:|---:|---:|" + "---:|" * len(searches)
    for _, group in groupby(rows, key=lambda row: (row["queries"], row["k"])):
        base, *others = list(group)
        cells = [f"{base['median_us']:,.0f}{'' if quiet(base, rows) else ' *'}"] + [
            f"{row['median_us']:,.0f} ({base['median_us'] / row['median_us']:.2f})"
            + ("" if quiet(row, rows) else " *")
            for row in others
        ]
        yield (
            f"| {base['queries']} | {base['terms']:.1f} | {base['postings']:,.0f} | {base['k']} | "
            f"{' | '.join(cells)} |"
        )


def built(directory: Path, documents: SparseVectors, orders: list[str]) -> dict[str, Index]:
    """Indexes by document order; one by default where no order is asked for."""
    if orders and "order" not in inspect.signature(BuildOptions).parameters:
        raise click.UsageError("this version of lsr has no choice of document order")
    ids = [str(row) for row in range(len(documents))]
    choices = {f", {name}": {"order": name} for name in orders} or {"": {}}
    return {
        name: Index.from_vectors(directory / str(number), ids, documents, **options)
        for number, (name, options) in enumerate(choices.items())
    }


def compare(
    plain: PlainIndex, indexes: dict[str, Index], queries: SparseVectors, k: int, passes: int
) -> list[tuple[str, dict[str, float]]]:
    """Time the plain scan, then each method on the same queries, after checking its answers."""
    rows = [plain.quantize(query) for query in queries]
    expected = [plain.search(terms, integers, k) for terms, integers, _ in rows]
    scan = latency(lambda row: plain.search(row[0], row[1], k), rows, passes)
    cells = [("plain scan", scan)]
    for order, index in indexes.items():
        for method in METHODS:
            if method == "reference":
                continue
            ask = partial(index.search_vectors, k=k, method=method)
            found = [ask(query)[0] for query in queries]
            check(found, expected, [unit for _, _, unit in rows])
            cells.append((f"{method}{order}", latency(ask, list(queries), passes)))
    return cells


def check(found: list[Any], expected: list[Any], units: list[float]) -> None:
    """Raises when a document or a score differs from the plain scan's."""
    for hits, (documents, integers), unit in zip(found, expected, units, strict=True):
        same = np.array_equal(hits.ids.astype(np.int64), documents)
        if not same or not np.array_equal(hits.scores, integers * unit):
            raise click.ClickException("lsr and the plain scan answer a query differently")


def postings(plain: PlainIndex, queries: SparseVectors) -> float:
    """Mean postings of a query's terms."""
    known = queries.terms[queries.terms < plain.maxima.size].astype(np.int64)
    lengths = (plain.starts[:, 1:] - plain.starts[:, :-1]).sum(axis=0)
    return float(lengths[known].sum() / len(queries))


if __name__ == "__main__":
    main()

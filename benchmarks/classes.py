"""lsr beside the plain scan on classes of queries: `python -m benchmarks.classes --help`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import vectors
from benchmarks.commands import FOLDER, Row, TimingOptions, command, option, progress, table
from benchmarks.engines.plain_scan import PlainIndex
from benchmarks.machine import circumstances, pin
from benchmarks.timing import latency, star
from lsr import Index, SparseVectors
from lsr.index.postings.ordering import ORDERS
from lsr.index.search.options import METHODS

QUERIES = 500  # documents that are queries, if no queries are given


@dataclass(frozen=True, kw_only=True)
class Options(TimingOptions):
    documents: Path = option("Parquet file (terms, weights), or folder written by `lsr encode`.")
    queries: Path | None = option(f"The same for queries.  [default: {QUERIES} documents]")
    size: int | None = option("Number of documents.  [default: all]")
    questions: int | None = option("Number of queries.  [default: all]")
    orders: tuple[str, ...] = option("Document orders to compare.", ORDERS[:1])
    binary: bool = option("Replace every weight by 1, and compare 1 bit with 8 bits.")
    out: Path = option("Folder for the results.", type=FOLDER)


@command(Options)
def main(options: Options) -> None:
    """Measure every method, class of queries, k and document order.

    Writes classes.md and classes.json to --out.  Every answer of lsr must be the plain scan's, to
    the last bit, or the command fails; binary scores, which are numbers of shared terms, to 1e-4.

    \b
    python -m benchmarks.classes --documents docs.parquet --queries questions.parquet --out results
    python -m benchmarks.classes --documents VECTORS --binary --out results
    """
    options.out.mkdir(parents=True, exist_ok=True)
    documents = load(options.documents, options.size, options.binary)
    if options.queries is None:
        drawn = np.random.default_rng(0).permutation(len(documents))[: options.questions or QUERIES]
        queries = documents.take(np.sort(drawn))
    else:
        queries = load(options.queries, options.questions, options.binary)
    plain = PlainIndex.build(documents)
    run = circumstances("classes")
    run |= {"documents": len(documents), "postings": int(documents.terms.size)}
    rows: list[Row] = []
    builds: dict[str, dict[str, Any]] = {
        f", {'1 bit' if bits == 1 else f'{bits} bits'}, {order}": {"bits": bits, "order": order}
        for bits in ((1, 8) if options.binary else (8,))
        for order in options.orders
    }
    with tempfile.TemporaryDirectory(dir=options.out, prefix="index-") as directory:
        ids = [str(row) for row in range(len(documents))]
        indexes = {
            name: Index.from_vectors(Path(directory) / str(number), ids, documents, **build)
            for number, (name, build) in enumerate(builds.items())
        }
        run["bytes_per_posting"] = {
            name: {
                part: size / documents.terms.size for part, size in index.info()["sizes"].items()
            }
            for name, index in indexes.items()
        }
        pin(options.core)
        for name, batch in classes(queries, options.binary):
            sizes = {"terms": batch.terms.size / len(batch), "postings": postings(plain, batch)}
            for k in options.k:
                searches = compare(plain, indexes, batch, k, options)
                rows += [
                    {"queries": name, "k": k, "search": search, **sizes, **figures}
                    for search, figures in searches.items()
                ]
                medians = (f"{name} {row['median_us']:,.0f}" for name, row in searches.items())
                progress.print(f"{name}, k {k}: {', '.join(medians)}")
    (options.out / "classes.json").write_text(json.dumps({"run": run, "rows": rows}, indent=1))
    report = "\n".join(markdown(run, rows))
    (options.out / "classes.md").write_text(report + "\n")
    click.echo(report)


def load(path: Path, count: int | None, binary: bool) -> SparseVectors:
    """The vectors of a Parquet file or of a folder of vectors."""
    files = sorted((path / "shards").glob("*.parquet")) if path.is_dir() else [path]
    rows = SparseVectors.concatenate([vectors.load(file, count) for file in files])[:count]
    if binary:
        ones = np.ones(rows.terms.size, np.float32)
        return SparseVectors.trusted(rows.indptr, rows.terms, ones)
    return rows


def classes(queries: SparseVectors, binary: bool) -> Iterator[tuple[str, SparseVectors]]:
    """Queries as given, shorter and longer ones; only the first of binary queries."""
    yield "as given", queries
    if not binary:
        yield "5 strongest terms", queries.strongest(5)
        joined = vectors.join(queries, 100)
        if len(joined):
            yield "joined to about 100", joined
        yield "single terms", queries.strongest(1)


def compare(
    plain: PlainIndex, indexes: dict[str, Index], queries: SparseVectors, k: int, options: Options
) -> dict[str, dict[str, float]]:
    """Time the plain scan, then each method on the same queries, after checking its answers."""
    rows = [plain.quantize(query) for query in queries]
    expected = [plain.search(terms, integers, k) for terms, integers, _ in rows]
    units = [unit for _, _, unit in rows]
    figures = {
        "plain scan": latency(lambda row: plain.search(row[0], row[1], k), rows, options.passes)
    }
    methods = ("auto",) if options.binary else (m for m in METHODS if m != "reference")
    for method in methods:
        for build, index in indexes.items():
            ask = partial(index.search_vectors, k=k, method=method)
            check([ask(query)[0] for query in queries], expected, units, options.binary)
            figures[method + build] = latency(ask, list(queries), options.passes)
    return figures


def check(answers: list[Any], expected: list[Any], units: list[float], binary: bool) -> None:
    """Raise if a document or a score differs from the plain scan's.

    Query weights of the plain scan are integers, so its binary scores are not exactly whole.
    """
    for hits, (documents, integers), unit in zip(answers, expected, units, strict=True):
        same = np.array_equal(hits.ids.astype(np.int64), documents)
        tolerance = 1e-4 if binary else 0.0
        scores = np.rint(integers * unit) if binary else integers * unit
        if not same or not np.allclose(hits.scores, scores, rtol=tolerance, atol=0):
            raise click.ClickException("lsr and the plain scan answer a query differently")


def postings(plain: PlainIndex, queries: SparseVectors) -> float:
    """Mean number of postings of a query's terms."""
    known = queries.terms[queries.terms < plain.maxima.size].astype(np.int64)
    lengths = (plain.starts[:, 1:] - plain.starts[:, :-1]).sum(axis=0)
    return float(lengths[known].sum() / len(queries))


def markdown(run: Row, rows: list[Row]) -> Iterator[str]:
    """Bytes a posting, then a table: one line a class of queries and k, one column a search."""
    yield "# lsr beside the plain scan, by class of queries\n"
    yield (
        f"{run['documents']:,} documents, {run['cpu']}, one core, {run['lsr_isa']}, "
        f"{run['started']}.  Median microseconds a query; in brackets the plain scan's median "
        "over it, above 1 where lsr is faster.  All answers are the same.  A star: the machine was "
        "not quiet when this was measured.\n"
    )
    for name, sizes in run["bytes_per_posting"].items():
        parts = ", ".join(f"{part} {size:.2f}" for part, size in sizes.items() if size > 0.005)
        yield f"Bytes a posting{name}: {sum(sizes.values()):.2f} ({parts})\n"
    searches = dict.fromkeys(row["search"] for row in rows)
    yield table(("queries", "terms", "postings", "k", *searches), _lines(rows))


def _lines(rows: list[Row]) -> Iterator[list[str]]:
    for _, group in groupby(rows, key=lambda row: (row["queries"], row["k"])):
        scan, *others = group
        yield [
            scan["queries"],
            f"{scan['terms']:.1f}",
            f"{scan['postings']:,.0f}",
            str(scan["k"]),
            f"{scan['median_us']:,.0f}{star(scan, rows)}",
            *(
                f"{row['median_us']:,.0f} ({scan['median_us'] / row['median_us']:.2f})"
                f"{star(row, rows)}"
                for row in others
            ),
        ]


if __name__ == "__main__":
    main()

"""Binary vectors: size and speed beside the plain scan: `python -m benchmarks.binary`."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import vectors
from benchmarks.measure import latency
from benchmarks.plain_scan import PlainIndex
from benchmarks.search import numbers, passes_option
from lsr import Index, SparseVectors

place_option = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--documents", type=place_option, required=True, help="Parquet, or `lsr encode`'s.")
@click.option("--queries", type=place_option, help="The same of queries; else 500 documents.")
@click.option("--k", "ks", callback=numbers, default="10,100,1000", show_default=True)
@passes_option
@click.option("--core", type=int, help="Processor core to pin to; the last one unless given.")
def main(
    documents: Path, queries: Path | None, ks: list[int], passes: int, core: int | None
) -> None:
    """Print bytes a posting and medians with 1 and with 8 bits, every weight taken for 1.

    Every score must be the number of terms that a query and a document share, and the documents
    those of the plain scan, or the command fails.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
    given = binary(documents)
    chosen = np.sort(np.random.default_rng(0).permutation(len(given))[:500]).astype(np.uint32)
    asked = binary(queries) if queries is not None else given.take(chosen)
    plain = PlainIndex.build(given)
    used = np.unique(given.terms).size
    click.echo(
        f"{len(given):,} documents of {given.terms.size / len(given):.1f} terms, {used:,} of them "
        f"in use; {len(asked):,} queries of {asked.terms.size / len(asked):.1f}\n"
    )
    with tempfile.TemporaryDirectory() as directory:
        ids = [str(row) for row in range(len(given))]
        indexes = {
            bits: Index.from_vectors(Path(directory) / str(bits), ids, given, bits=bits)
            for bits in (1, 8)
        }
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(cores) if core is None else core})
        for bits, index in indexes.items():
            sizes = {part: size / given.terms.size for part, size in index.info()["sizes"].items()}
            parts = ", ".join(f"{part} {size:.2f}" for part, size in sizes.items() if size > 0.005)
            click.echo(f"bits {bits}: {sum(sizes.values()):.2f} bytes a posting ({parts})")
        click.echo("\n| k | plain scan | 1 bit | 8 bits |\n|---:|---:|---:|---:|")
        for k in ks:
            rows = [plain.quantize(query) for query in asked]
            scan = latency(lambda row, k=k: plain.search(row[0], row[1], k), rows, passes)
            cells = [f"{scan['median_us']:,.0f}"]
            for index in indexes.values():
                ask = partial(index.search_vectors, k=k)
                check(plain, [ask(query)[0] for query in asked], rows, k)
                median = latency(ask, list(asked), passes)["median_us"]
                cells.append(f"{median:,.0f} ({scan['median_us'] / median:.2f})")
            click.echo(f"| {k} | {' | '.join(cells)} |")


def binary(place: Path) -> SparseVectors:
    """The vectors of a Parquet file, or of a folder of vectors, with every weight 1."""
    files = sorted((place / "shards").glob("*.parquet")) if place.is_dir() else [place]
    loaded = SparseVectors.concatenate([vectors.load(file) for file in files])
    ones = np.ones(loaded.terms.size, np.float32)
    return SparseVectors.trusted(loaded.indptr, loaded.terms, ones)


def check(plain: PlainIndex, found: list[Any], rows: list[Any], k: int) -> None:
    """Raises unless documents are the plain scan's and scores numbers of shared terms."""
    for hits, (terms, integers, _) in zip(found, rows, strict=True):
        documents, scores = plain.search(terms, integers, k)
        shared = scores // (255 * int(integers[0])) if integers.size else scores
        if not np.array_equal(hits.ids.astype(np.int64), documents):
            raise click.ClickException("lsr and the plain scan answer a query differently")
        if not np.allclose(hits.scores, shared, rtol=1e-4):
            raise click.ClickException("a score is not the number of shared terms")


if __name__ == "__main__":
    main()

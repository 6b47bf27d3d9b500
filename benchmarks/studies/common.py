"""What the studies share: inverted documents, integer queries, options, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numba
import numpy as np
import numpy.typing as npt

from benchmarks import vectors
from benchmarks.plain_scan import LEVELS, LIMIT
from lsr import SparseVectors
from lsr.index.format import CODEBOOK, FREQUENT, WINDOW
from lsr.index.postings.blocks import codebook
from lsr.index.postings.ordering import bisection
from lsr.index.postings.quantizer import step_for
from lsr.progress import Silent

Array = npt.NDArray[Any]
IntegerQuery = tuple[Array, Array]  # terms, integer weights
JOINED = 100
FARTHEST = 1000  # the largest k asked for


@dataclass(frozen=True, slots=True)
class Inverted:
    """Postings by window, then term, then unit; a unit is a document, or several as one.

    Attributes:
        starts: int64, shape (windows, terms + 1); where a term's postings of a window lie.
        units: uint32, shape (postings,); numbers in the collection.
        weights: uint8, shape (postings,); float32 where they are kept as given.
        size: documents a unit.
        count: units.
        documents: documents of each window.
    """

    starts: Array
    units: Array
    weights: Array
    size: int
    count: int
    documents: Array

    @property
    def frequent(self) -> Array:
        """Whether a term is frequent; bool, shape (windows, terms). Of documents only."""
        return self.commoner_than(FREQUENT)

    def commoner_than(self, share: int) -> Array:
        """Whether one in `share` documents of a window has a term; never for absent ones."""
        lengths = np.diff(self.starts)
        return (lengths > 0) & (lengths * share >= self.documents[:, None])


def invert(given: SparseVectors, order: Array | None = None, integers: bool = True) -> Inverted:
    """Documents in an order, their weights as 8 bits on one linear scale or as given."""
    given = given if order is None else vectors.permuted(given, order)
    weights = given.weights
    if integers:
        step = step_for(float(weights.max()), 8)
        weights = np.maximum(np.rint(weights / step), 1).astype(np.uint8)
    vocabulary, windows = int(given.terms.max()) + 1, -(-len(given) // WINDOW)
    rows = np.repeat(np.arange(len(given), dtype=np.uint32), np.diff(given.indptr))
    places = rows // WINDOW * vocabulary + given.terms
    by_term = np.argsort(places, kind="stable")
    lengths = np.bincount(places, minlength=windows * vocabulary).reshape(windows, vocabulary)
    starts = np.zeros((windows, vocabulary + 1), np.int64)
    ends = np.cumsum(lengths).reshape(windows, vocabulary)
    starts[:, 1:], starts[1:, 0] = ends, ends[:-1, -1]
    documents = np.bincount(np.arange(len(given)) // WINDOW)
    return Inverted(starts, rows[by_term], weights[by_term], 1, len(given), documents)


def coarser(given: Inverted, times: int) -> Inverted:
    """The same with units `times` as large: a posting's weight is the largest in its unit."""
    units, weights = given.units // times, given.weights.copy()
    starts, kept = np.zeros_like(given.starts), np.empty(units.size, np.bool_)
    _merge(given.starts, units, weights, starts, kept)
    count = -(-given.count // times)
    return Inverted(starts, units[kept], weights[kept], given.size * times, count, given.documents)


@numba.njit(nogil=True)
def _merge(starts, units, weights, new_starts, kept):  # type: ignore[no-untyped-def]
    total = 0
    for window in range(starts.shape[0]):
        for term in range(starts.shape[1] - 1):
            new_starts[window, term] = total
            last = -1
            for i in range(starts[window, term], starts[window, term + 1]):
                kept[i] = last < 0 or units[i] != units[last]
                if kept[i]:
                    last, total = i, total + 1
                weights[last] = max(weights[last], weights[i])
        new_starts[window, -1] = total


@numba.njit(nogil=True)
def _add(starts, units, weights, terms, integers, sums):  # type: ignore[no-untyped-def]
    for window in range(starts.shape[0]):
        for place in range(terms.size):
            for i in range(starts[window, terms[place]], starts[window, terms[place] + 1]):
                sums[units[i]] += integers[place] * weights[i]


def sums(inverted: Inverted, query: IntegerQuery) -> Array:
    """Scores of documents, or exact bounds of larger units; shape (units,).

    int64, or float64 where the weights or the query's are floats.
    """
    totals = np.zeros(inverted.count, np.result_type(query[1], inverted.weights))
    _add(inverted.starts, inverted.units, inverted.weights, *query, totals)
    return totals


def rounded_bounds(units: Inverted, maxima: Array, query: IntegerQuery) -> tuple[Array, int]:
    """Bounds as the kernels count them: each product rounded up to about 1/250 of the largest.

    Returns them, and the unit they are counted in. `maxima` are the terms' largest weights.
    """
    terms, weights = query
    products = maxima[terms] * weights
    unit = max(-(-int(products.max()) // 250), -(-int(products.sum()) // 60000), 1)
    scales = -(-(weights << 16) // unit)
    totals = np.zeros(units.count, np.int64)
    _add_rounded(units.starts, units.units, units.weights, terms, scales, totals)
    return totals, unit


@numba.njit(nogil=True)
def _add_rounded(starts, units, weights, terms, scales, sums):  # type: ignore[no-untyped-def]
    for window in range(starts.shape[0]):
        for place in range(terms.size):
            for i in range(starts[window, terms[place]], starts[window, terms[place] + 1]):
                sums[units[i]] += (weights[i] * scales[place] + 65535) >> 16


def kth(scores: Array, k: int) -> int:
    """The k-th best score, or 1 where fewer documents have one."""
    return max(int(np.partition(scores, -k)[-k]), 1) if k <= scores.size else 1


def raised(blocks: Inverted, frequent: Array, edges_of: Callable[[Array], Array]) -> Inverted:
    """Raise the maxima of each frequent run to the next of the edges found for it."""
    weights = blocks.weights.copy()
    for window, term in zip(*np.nonzero(frequent), strict=True):
        run = slice(blocks.starts[window, term], blocks.starts[window, term + 1])
        edges = edges_of(weights[run])
        weights[run] = edges[np.searchsorted(edges, weights[run])]
    return replace(blocks, weights=weights)


def codebook_of(maxima: Array) -> Array:
    """The index's codebook of a run's maxima."""
    book = np.zeros(CODEBOOK, np.uint8)
    codebook(maxima, book)
    return book


def largest(inverted: Inverted) -> Array:
    """The largest weight of each term; int64, shape (terms,)."""
    found = np.zeros(inverted.starts.shape[1] - 1, np.int64)
    terms = np.repeat(
        np.tile(np.arange(found.size), len(inverted.starts)), np.diff(inverted.starts).ravel()
    )
    np.maximum.at(found, terms, inverted.weights)
    return found


def integer_queries(
    queries: SparseVectors, maxima: Array, documents: SparseVectors, levels: int = LEVELS
) -> list[IntegerQuery]:
    """Queries as integers of at most `levels`, scaled by a power of two as `lsr` does it."""
    found: list[IntegerQuery] = []
    step = step_for(float(documents.weights.max()), 8)
    for query in queries:
        known = query.terms < maxima.size
        known[known] = (maxima[query.terms[known]] > 0) & (query.weights[known] > 0)
        terms, exact = query.terms[known].astype(np.int64), query.weights[known] * np.float64(step)
        if terms.size:
            limits = maxima[terms]
            needed = max(exact.max() / levels, (exact * limits).sum() / (LIMIT - limits.sum()))
            unit = 2.0 ** np.ceil(np.log2(needed))
            found.append((terms, np.maximum(np.rint(exact / unit), 1).astype(np.int64)))
    return found


def classes(queries: SparseVectors, count: int) -> dict[str, SparseVectors]:
    """The first `count` queries as given and cut, and as many joined ones as there are."""
    return {
        "as given": queries[:count],
        "strongest 5": vectors.cut(queries[:count], 5),
        f"joined to {JOINED}": vectors.join(queries, JOINED)[:count],
    }


def ordered(given: SparseVectors, kept: Path | None) -> Array:
    """The order of the recursive graph bisection; read from the folder `kept` if it is there."""
    file = kept / f"bisection-{len(given)}.npy" if kept else None
    if file and file.exists():
        found: Array = np.load(file)
        return found
    order = bisection([given], threads=1, progress=Silent)
    if file:
        np.save(file, order)
    return order


def _numbers(_: click.Context, option: click.Parameter, value: str) -> list[int]:
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter("give whole numbers with commas between", param=option) from None


def study(sizes: str, questions: int = 120) -> Callable[[Callable[..., None]], click.Command]:
    """A command with the options that all studies have."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    folder = click.Path(file_okay=False, exists=True, path_type=Path)
    options = [
        click.option("--documents", type=file, required=True, help="terms, weights"),
        click.option("--queries", type=file, required=True, help="terms, weights"),
        click.option("--sizes", callback=_numbers, default=sizes, show_default=True),
        click.option("--questions", type=click.IntRange(1), default=questions, show_default=True),
        click.option("--k", "ks", callback=_numbers, default="10,100,1000", show_default=True),
        click.option("--orders", type=folder, help="Keep document orders here between runs."),
    ]

    def decorate(function: Callable[..., None]) -> click.Command:
        for option in reversed(options):
            function = option(function)
        return click.command()(function)

    return decorate


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table."""
    click.echo("\n| " + " | ".join(columns) + " |")
    click.echo("|---" * len(columns) + "|")
    for row in rows:
        click.echo("| " + " | ".join(map(str, row)) + " |")


def several(values: Iterable[float], form: str = ",.0f") -> str:
    """Values, such as one a k, in one cell."""
    return " / ".join(format(value, form) for value in values)

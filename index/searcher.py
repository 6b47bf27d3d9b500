"""Top-k search over the segments of an index.

Every method promises the same list of `Found` for the same queries:

- a document is found when it is alive and shares a term with the query;
- its score is the integer sum of query weight times stored weight over shared terms;
- the k best come in descending score, equal scores by the documents' positions.

`scan` reads every posting of the query's terms, `pruned` skips blocks of documents whose
bound is too low, `auto` decides between the two window by window; these three are C++.
`reference` is block-max pruning again, in Numba and by the simplest code: the oracle the
kernels are tested against on a machine of any kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexCorrupt, QueryError
from lsr.index import _kernels
from lsr.index.format import Manifest, row_length
from lsr.index.quantizer import SCORE_LIMIT, IntegerQueries, quantize_queries
from lsr.index.segment import Segment
from lsr.vectors import SparseVectors

KERNEL_METHODS = {"auto": 0, "scan": 1, "pruned": 2}
METHODS = (*KERNEL_METHODS, "reference")
ISA_VARIABLE = "LSR_ISA"
MOST_DOCUMENTS = 2**32 - 1

T = TypeVar("T")
Raw = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]


@dataclass(frozen=True, slots=True)
class Found:
    """The hits of one query, best first.

    Attributes:
        documents: uint32, numbers in the index.
        integers: uint32, integer scores; times `step` they are the scores.
        scores: float64.
        step: a power of two (see `lsr.index.quantizer`).
    """

    documents: npt.NDArray[np.uint32]
    integers: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float64]
    step: float


def instruction_set() -> str:
    """The kernels in use: the best this machine has, or the one `LSR_ISA` names."""
    available = _kernels.available_isas()
    wanted = os.environ.get(ISA_VARIABLE)
    if not wanted:
        return available[-1]
    if wanted not in available:
        raise QueryError(
            f"{ISA_VARIABLE}={wanted} cannot be used here: this machine has {', '.join(available)}"
        )
    return wanted


class Searcher:
    """Searches the segments of one index, numbered as one run of documents.

    Args:
        segments: in order; opening them here reads no postings.
        manifest: of the index they belong to.
    """

    def __init__(self, segments: Sequence[Segment], manifest: Manifest) -> None:
        self._segments = segments
        self._step, self._error = manifest.step, manifest.error
        self._has_floats = "floats" in manifest.kept
        self.bases = np.cumsum([0, *(segment.entry.documents for segment in segments)])
        self.positions = _joined([s.positions for s in segments], np.uint32)
        self.alive = (
            segments[0].alive
            if len(segments) == 1
            else np.packbits(
                _joined([_alive_bits(s) for s in segments], np.uint8), bitorder="little"
            )
        )
        try:
            self._postings = _kernels.Postings(self.positions, self.alive, manifest.bits == 16)
            self._add_windows()
        except _kernels.Damaged as error_:
            path = segments[0].path.parent if segments else "the index"
            raise IndexCorrupt(path, str(error_)) from None

    def _add_windows(self) -> None:
        first = number = 0
        for segment in self._segments:
            for window, count in enumerate(segment.entry.windows):
                columns = segment.window(window)
                floats = columns.pop("floats", None)
                self._postings.add(first, count, **columns, row_length=row_length(count))
                if floats is not None:
                    self._postings.add_floats(number, floats)
                first, number = first + count, number + 1

    def search(
        self,
        queries: SparseVectors,
        k: int,
        *,
        method: str = "auto",
        exact_floats: bool = False,
        threads: int = 1,
    ) -> list[Found]:
        """The k best documents of each query.

        Args:
            exact_floats: rank by the float64 inner product of the weights as given, summed
                over ascending terms; needs an index that keeps its floats.
            threads: queries are spread over so many.

        Raises `QueryError` for parameters out of range.
        """
        if k < 1:
            raise QueryError(f"k must be at least 1, not {k}")
        if threads < 1:
            raise QueryError(f"threads must be at least 1, not {threads}")
        if method not in METHODS:
            raise QueryError(f"there is no search method {method!r}; use {', '.join(METHODS)}")
        if exact_floats and not self._has_floats:
            raise QueryError(
                "exact float scores need the weights as given: build the index with --keep-floats"
            )
        integers = self.quantize(queries)
        engine = self._engine(method)
        found = self._spread(engine, integers, k, np.ones(len(integers), np.uint32), threads)
        if exact_floats:
            found = self._exact(engine, queries, integers, found, k, threads)
        return found

    def quantize(self, queries: SparseVectors) -> IntegerQueries:
        """The integer form of queries in this index."""
        maxima = self._postings.term_maxima(np.ascontiguousarray(queries.terms))
        return quantize_queries(queries, maxima, self._step)

    def stored_weights(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.uint32]:
        """Integer weights, shape (documents, terms); 0 where a document lacks a term."""
        values = self._checked(lambda: self._postings.lookup(documents, terms))
        return values.reshape(documents.size, terms.size)

    def given_weights(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.float32]:
        """Weights as given, shape (documents, terms); 0 where a document lacks a term."""
        values = self._checked(lambda: self._postings.lookup_floats(documents, terms))
        return values.reshape(documents.size, terms.size)

    def _engine(self, method: str) -> Callable[[IntegerQueries, int, npt.NDArray[np.uint32]], Raw]:
        if method == "reference":
            # Imported on demand: a search by the kernels needs no Numba.
            from lsr.index import reference

            windows = [
                (segment.window(i), count)
                for segment in self._segments
                for i, count in enumerate(segment.entry.windows)
            ]
            return lambda queries, k, floors: reference.search(
                windows, self.positions, self.alive, queries, k, floors
            )
        code, isa = KERNEL_METHODS[method], instruction_set()
        return lambda queries, k, floors: self._postings.search(
            queries.indptr, queries.terms, queries.weights, k, floors, code, isa
        )

    def _spread(
        self,
        engine: Callable[[IntegerQueries, int, npt.NDArray[np.uint32]], Raw],
        queries: IntegerQueries,
        k: int,
        floors: npt.NDArray[np.uint32],
        threads: int,
    ) -> list[Found]:
        """Run an engine over the queries, a contiguous share a thread."""
        k = min(k, max(1, self.positions.size))

        def share(start: int, stop: int) -> list[Found]:
            part = IntegerQueries(
                queries.indptr[start : stop + 1] - queries.indptr[start],
                queries.terms[queries.indptr[start] : queries.indptr[stop]],
                queries.weights[queries.indptr[start] : queries.indptr[stop]],
                queries.steps[start:stop],
            )
            indptr, documents, integers = self._checked(lambda: engine(part, k, floors[start:stop]))
            return [
                Found(documents[a:b], integers[a:b], integers[a:b] * step, step)
                for (a, b), step in zip(pairwise(indptr), part.steps.tolist(), strict=True)
            ]

        # More shares than threads, so that a share of slow queries does not hold up the end.
        shares = 1 if threads == 1 else min(len(queries), 4 * threads)
        cuts = np.linspace(0, len(queries), shares + 1).astype(int).tolist() if shares else [0]
        if threads == 1:
            return [found for a, b in pairwise(cuts) for found in share(a, b)]
        with ThreadPoolExecutor(threads) as pool:
            return [found for part in pool.map(share, cuts[:-1], cuts[1:]) for found in part]

    def _exact(
        self,
        engine: Callable[[IntegerQueries, int, npt.NDArray[np.uint32]], Raw],
        queries: SparseVectors,
        integers: IntegerQueries,
        found: list[Found],
        k: int,
        threads: int,
    ) -> list[Found]:
        """Rank by the weights as given.

        A float score f and its rounded form s * step differ by at most
        e = Σ |w - ŵ|·d̂ + w·|d - d̂| over the query's terms (w query, d document, hats for the
        rounded).  So the float score of the integer k-th is at least s_k * step - e, and a
        document that beats it has an integer score of at least s_k - 2e / step: all of those
        are fetched and scored again.
        """
        maxima = self._postings.term_maxima(integers.terms).astype(np.float64) * self._step
        floors = np.ones(len(queries), np.uint32)
        for row, hits in enumerate(found):
            if hits.integers.size < k:
                continue  # every matching document is here already
            span = slice(integers.indptr[row], integers.indptr[row + 1])
            given = self._given_query(queries, integers, row)
            rounded = integers.weights[span] * (hits.step / self._step)
            error = float(
                (np.abs(given - rounded) * maxima[span]).sum() + given.sum() * self._error
            )
            floor = int(hits.integers[-1]) - 2 * error * (1 + 1e-9) / hits.step - 1
            floors[row] = min(max(floor, 1), SCORE_LIMIT)
        wide = self._spread(engine, integers, MOST_DOCUMENTS, floors, threads)
        return [
            self._rescored(candidates, self._given_query(queries, integers, row), k, terms)
            for row, candidates in enumerate(wide)
            for terms in [integers.terms[integers.indptr[row] : integers.indptr[row + 1]]]
        ]

    @staticmethod
    def _given_query(
        queries: SparseVectors, integers: IntegerQueries, row: int
    ) -> npt.NDArray[np.float64]:
        """The weights as given of the query terms that the index has."""
        whole = slice(queries.indptr[row], queries.indptr[row + 1])
        kept = slice(integers.indptr[row], integers.indptr[row + 1])
        places = np.searchsorted(queries.terms[whole], integers.terms[kept])
        return queries.weights[whole][places].astype(np.float64)

    def _rescored(
        self,
        candidates: Found,
        weights: npt.NDArray[np.float64],
        k: int,
        terms: npt.NDArray[np.uint32],
    ) -> Found:
        documents = candidates.documents
        given = self.given_weights(documents, terms).astype(np.float64)
        scores = np.zeros(documents.size)
        for column in range(terms.size):  # one order of summation, for reproducible scores
            scores += given[:, column] * weights[column]
        order = np.lexsort((self.positions[documents], -scores))[:k]
        return Found(documents[order], candidates.integers[order], scores[order], candidates.step)

    def _checked(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except _kernels.Damaged as error:
            raise IndexCorrupt(self._segments[0].path, str(error)) from None


def _joined(parts: list[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """One array of many; of one, itself, so that it stays mapped."""
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])


def _alive_bits(segment: Segment) -> npt.NDArray[np.uint8]:
    return np.unpackbits(segment.alive, bitorder="little")[: segment.entry.documents]

"""Top-k search over the segments of an index.

All methods return the same `TopDocs` for the same queries:

- a hit is alive and shares a term with the query;
- its score is the integer sum, over the shared terms, of query weight times stored weight;
- hits are in descending order of score, equal scores in order of position.

`scan` reads every posting of the query's terms, `pruned` skips blocks whose bound is too low, and
`auto` scans if k is so large, or the query so long, that little could be skipped, and otherwise
prunes.  These three are C++.  In an index without weights all three count every posting: bounding
a block, by the number of the query's terms in it, takes as long as counting.
`reference` is block-max pruning by the simplest code, in Numba; tests compare the kernels with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr import kernels
from lsr.errors import IndexCorrupt, QueryError
from lsr.index.format import Manifest
from lsr.index.postings.quantizer import IntegerQueries
from lsr.index.search.options import SearchOptions
from lsr.index.segments.reader import Segment
from lsr.storage.arrow import Columns
from lsr.vectors import SparseVectors

_KERNEL_METHODS = {"auto": 0, "scan": 1, "pruned": 2}
MOST_DOCUMENTS = 2**32 - 1


class TopDocs(NamedTuple):
    """The hits of one query, best first.

    Attributes:
        docids: uint32.
        scores: float64; but for `exact_floats` an integer times the query's step, a power of two
            (see `lsr.index.postings.quantizer`).
    """

    docids: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float64]


class Searcher:
    """Searches the segments of one index, numbered as one run of documents.

    Args:
        segments: in order; opening them here reads no postings.
        manifest: of the index they belong to.
    """

    def __init__(self, segments: Sequence[Segment], manifest: Manifest) -> None:
        self._segments = segments
        self._has_floats = "floats" in manifest.kept
        self.bases = np.cumsum([0, *(segment.entry.documents for segment in segments)])
        self.positions = _joined([s.positions for s in segments], np.uint32)
        self._most = max(1, self.positions.size)  # hits; no k is 0
        self.alive = (
            segments[0].alive
            if len(segments) == 1
            else np.packbits(
                _joined([_alive_bits(s) for s in segments], np.uint8), bitorder="little"
            )
        )
        try:
            self._postings = kernels.index.Postings(
                self.positions, self.alive, manifest.bits, manifest.step, manifest.error
            )
            for columns, count in self._partitions():
                self._postings.add(count, columns)
        except kernels.index.Damaged as error_:
            path = segments[0].path.parent if segments else "the index"
            raise IndexCorrupt(path, str(error_)) from None

    def _partitions(self) -> list[tuple[Columns, int]]:
        """The columns of every partition, and its number of documents."""
        return [
            (segment.partition(number), count)
            for segment in self._segments
            for number, count in enumerate(segment.entry.partitions)
        ]

    def search(self, queries: SparseVectors, options: SearchOptions) -> list[TopDocs]:
        """The best documents of each query.

        Raises `QueryError` for `exact_floats` without the weights as given.
        """
        if options.exact_floats and not self._has_floats:
            raise QueryError(
                "exact float scores need the weights as given: build the index with --keep-floats"
            )
        if options.method == "reference":
            return self._search_reference(queries, options)
        if options.threads == 1 or len(queries) < 2:
            return self._search(queries, options)
        # More shares than threads, so that a share of slow queries does not hold up the end.
        shares = min(len(queries), 4 * options.threads)
        cuts = np.linspace(0, len(queries), shares + 1).astype(int).tolist()
        with ThreadPoolExecutor(options.threads) as pool:
            parts = pool.map(lambda a, b: self._search(queries[a:b], options), cuts[:-1], cuts[1:])
            return [hits for part in parts for hits in part]

    def quantize(self, queries: SparseVectors) -> IntegerQueries:
        """The integer form of queries in this index.

        Raises `QueryError` when a query has so many terms that even weights of 1 could reach
        2**31 (more than 8 million terms at 8 bits, 32,000 at 16).
        """
        with self._errors():
            return IntegerQueries(
                *self._postings.quantize(queries.indptr, queries.terms, queries.weights)
            )

    def vector(
        self, document: int
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """A document's terms, its stored weights, and its weights as given where kept.

        There is no forward index: the document is looked up in every term of its partition.
        """
        with self._errors():
            return self._postings.vector(document)

    def stored_weights(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.uint32]:
        """Integer weights, shape (documents, terms); 0 where a document lacks a term."""
        with self._errors():
            values = self._postings.lookup(documents, terms)
        return values.reshape(documents.size, terms.size)

    def given_weights(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.float32]:
        """Weights as given, shape (documents, terms); 0 where a document lacks a term."""
        with self._errors():
            values = self._postings.lookup_floats(documents, terms)
        return values.reshape(documents.size, terms.size)

    @cached_property
    def isa(self) -> str:
        """The kernels' instruction set, chosen once: reading the environment takes half a
        microsecond."""
        return kernels.instruction_set("index")

    def _search(self, queries: SparseVectors, options: SearchOptions) -> list[TopDocs]:
        # Without `_errors`: a generator takes a microsecond, a tenth of a short search.
        try:
            ends, docids, scores = self._postings.search(
                queries.indptr,
                queries.terms,
                queries.weights,
                min(options.k, self._most),
                _KERNEL_METHODS[options.method],
                self.isa,
                options.exact_floats,
            )
        except (kernels.index.Damaged, kernels.index.QueryTooLong) as error:
            raise self._error(error) from None
        if len(ends) == 1:
            return [TopDocs(docids, scores)]
        return [TopDocs(docids[a:b], scores[a:b]) for a, b in pairwise((0, *ends))]

    def _search_reference(self, queries: SparseVectors, options: SearchOptions) -> list[TopDocs]:
        # Imported on demand: a search by the kernels needs no Numba.
        from lsr.index.search.reference import Reference

        try:
            reference = Reference(self._partitions(), self.positions, self.alive)
        except ValueError as error:  # columns that do not fit each other
            raise IndexCorrupt(self._segments[0].path, str(error)) from None
        k = min(options.k, self._most)
        hits = reference.search(queries, self.quantize(queries), k, options.exact_floats)
        return [TopDocs._make(hit) for hit in hits]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (kernels.index.Damaged, kernels.index.QueryTooLong) as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> Exception:
        """The error of the kernels as one of the package's."""
        if isinstance(error, kernels.index.Damaged):
            return IndexCorrupt(self._segments[0].path, str(error))
        return QueryError(str(error))


def _joined(parts: list[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """One array of many; of one, itself, so that it stays mapped."""
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])


def _alive_bits(segment: Segment) -> npt.NDArray[np.uint8]:
    return np.unpackbits(segment.alive, bitorder="little")[: segment.entry.documents]

"""DSR's hybrid: slices of a sparse vector and numbers of a dense one, as one vector a document.

S.-C. Lin and J. Lin, "A dense representation framework for lexical and semantic matching" (ACM
TOIS 41(4), 2023): a score is the gated inner product of the slices (`lsr.encoders.latent.dsr`)
plus the inner product of short dense vectors.  Theirs are of one model trained for both, which
ends in 128 numbers; here the dense vectors are those of the index's dense side, cut to their first
dimensions and brought to unit length, with a weight.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsr.arguments import listed, real, whole, whole_or_none
from lsr.encoders.latent.dsr import KIND, Slices, densified
from lsr.errors import QueryError
from lsr.fusion.lists import Ranked
from lsr.index.dense import no_dense
from lsr.index.search.options import SearchOptions
from lsr.indexing.read_back import IndexVectors
from lsr.progress import Silent
from lsr.retrieval.context import SearchContext

DIMENSIONS = 128

Floats = npt.NDArray[np.float32]


class GatedVectors:
    """The documents of an index by a `dsr` encoder as vectors of slices and dense numbers.

    All are held in memory, 4,608 bytes a document for the slices.

    Args:
        context: an `Index`, with a dense side where there are `dimensions`.
        dimensions: number of dense dimensions used; 0 for slices alone.

    Attributes:
        ids: of the documents, in the order of the collection as given.

    Raises `QueryError` for an index by another encoder, `IndexFormatError` for one without a dense
    side that would be needed.
    """

    def __init__(self, context: SearchContext, dimensions: int = DIMENSIONS) -> None:
        reader = context.reader
        if (reader.manifest.encoder or {}).get("kind") != KIND:
            raise QueryError(
                f"{reader.path} has no slices; build it with --encoder {KIND}:splade-tiny"
            )
        dimensions = whole("dimensions", dimensions, 0)
        self._context, self._dimensions = context, dimensions
        self._terms = len(context.encoder.vocabulary)
        self.ids: list[str] = []
        pieces = []
        with tempfile.TemporaryDirectory() as folder:
            for chunk in IndexVectors(reader, Path(folder) / "spool", Silent).chunks():
                pieces.append(densified(chunk.vectors, self._terms))
                self.ids += chunk.ids
        self._slices = Slices(
            np.asfortranarray(np.concatenate([piece.values for piece in pieces])),
            np.asfortranarray(np.concatenate([piece.indices for piece in pieces])),
        )
        self._dense = np.empty((len(self.ids), 0), np.float32)
        if dimensions:
            if reader.dense is None:
                raise no_dense(reader.path)
            self._dense = self._cut(reader.dense.vectors(range(len(self.ids))))

    def search(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        weight: float = 1.0,
        candidates: int | None = None,
    ) -> list[Ranked]:
        """The k best documents for each question.

        Args:
            weight: of the dense numbers.
            candidates: score only this many documents, at least k, the best by their slices in the
                inverted index; None scores all documents.

        The weights of documents are those the index stores, or those given to it where it keeps
        them; those of queries are not rounded.  Equal scores go by position.
        """
        k, candidates = whole("k", k), whole_or_none("candidates", candidates)
        weight = real("weight", weight)
        texts = listed("questions", queries)
        sparse = self._context.encoder.encode_queries(texts)
        slices = densified(sparse, self._terms)
        dense = np.empty((len(texts), 0), np.float32)
        if self._dimensions:
            dense = self._cut(self._context.dense_encoder.encode_queries(texts))
        hits = None
        if candidates is not None:
            hits = self._context.reader.search(sparse, SearchOptions(max(k, candidates)))
        lists = []
        for row in range(len(texts)):
            positions, documents = np.arange(len(self.ids)), self._slices
            if hits is not None:
                positions = self._context.reader.positions_of(hits[row].docids)
                documents = documents.take(positions)
            scores = slices.take(np.array([row])).products(documents)[0].astype(np.float64)
            scores += weight * (self._dense[positions].astype(np.float64) @ dense[row])
            ranked = Ranked.sort(positions, scores)
            lists.append(Ranked(ranked.positions[:k], ranked.scores[:k]))
        return lists

    def _cut(self, vectors: Floats) -> Floats:
        cut = np.asarray(vectors)[:, : self._dimensions]
        norms = np.sqrt((cut * cut).sum(axis=1, keepdims=True))
        return np.asarray(cut / np.maximum(norms, np.float32(1e-12)), np.float32)

"""Retrievers: ways to search a collection, whose lists can be fused.

Retrievers identify documents by position in the original collection, so lists from different
retrievers can be joined.  `encode` turns texts into queries, one a row; the other methods take
all rows or a single one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from lsr.arguments import whole
from lsr.errors import QueryError
from lsr.fusion.lists import Positions, Ranked
from lsr.index.dense import no_dense
from lsr.index.reader import IndexReader
from lsr.index.search.options import SearchOptions
from lsr.retrieval import FeedbackKind
from lsr.retrieval.boosting import boost
from lsr.retrieval.context import SearchContext
from lsr.retrieval.explanation import Explanation
from lsr.retrieval.feedback import Feedback, refine_dense
from lsr.retrieval.feedback_documents import changes, refine
from lsr.retrieval.parts import IndexPart, parts_of
from lsr.retrieval.search import explain
from lsr.vectors import SparseVectors

Queries = TypeVar("Queries", SparseVectors, npt.NDArray[np.float32])


class Retriever(ABC, Generic[Queries]):
    """One way to search a collection.

    Attributes:
        name: in weights, explanations and learned fusions.
        reader: of the index it searches.
    """

    name: str
    reader: IndexReader

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Queries:
        """Encode texts as queries, one a row."""

    @abstractmethod
    def search(self, queries: Queries, k: int) -> list[Ranked]:
        """The k best documents for each query, or fewer if there are no more hits."""

    @abstractmethod
    def score(self, query: Queries, positions: Positions) -> Ranked:
        """The given documents that are hits, with the scores of a search."""

    @abstractmethod
    def minimum(self, query: Queries) -> float:
        """The least possible score."""

    @abstractmethod
    def supports_feedback(self, kind: FeedbackKind) -> bool:
        """Whether feedback of a kind changes its queries."""

    @abstractmethod
    def refine(self, query: Queries, top: Ranked, feedback: Feedback) -> Queries:
        """The query after feedback by the first documents of a list."""

    @abstractmethod
    def explain(
        self, text: str | None, query: Queries, position: int, score: float
    ) -> Explanation | None:
        """The terms behind a score of this retriever; None if it has no terms."""


class SparseRetriever(Retriever[SparseVectors]):
    """The terms of an index, or those of one part of its encoder.

    Args:
        context: an `Index`.
        part: the name of a part to search alone; its scores do not depend on weights of parts.
        options: see `SearchOptions`; its k is not used.
    """

    def __init__(
        self, context: SearchContext, part: str | None = None, options: SearchOptions | None = None
    ) -> None:
        self.reader = context.reader
        self._context, self._options = context, options or SearchOptions()
        self._part: IndexPart | None = None
        if part is None:
            encoder = context.manifest.encoder
            self.name = encoder["name"] if encoder else "vectors"
            return
        for candidate in parts_of(context):
            if candidate.name == part:
                self.name, self._part = part, replace(candidate, query_factor=candidate.scale)
        if self._part is None:
            raise QueryError(f"the encoder of {context.path} has no part {part!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        part = None if self._part is None else self._part.name
        return SparseRetriever, (self._context, part, self._options)

    def encode(self, texts: Sequence[str]) -> SparseVectors:
        encode = self._context.encoder.encode_queries if self._part is None else self._part.queries
        return boost(self._context, encode(texts), self._options.boosts)

    def search(self, queries: SparseVectors, k: int) -> list[Ranked]:
        all_hits = self.reader.search(queries, replace(self._options, k=k))
        return [Ranked(self.reader.positions_of(hits.docids), hits.scores) for hits in all_hits]

    def score(self, query: SparseVectors, positions: Positions) -> Ranked:
        scores = self.reader.score(
            query, self.reader.docids_of(positions), exact_floats=self._options.exact_floats
        )
        hits = scores > 0  # without a term of the query a document is never a hit
        return Ranked.sort(positions[hits], scores[hits])

    def minimum(self, query: SparseVectors) -> float:
        return 0.0  # weights are positive

    def supports_feedback(self, kind: FeedbackKind) -> bool:
        return any(changes(part, kind) for part in self._parts())

    def refine(self, query: SparseVectors, top: Ranked, feedback: Feedback) -> SparseVectors:
        docids = self.reader.docids_of(top.positions[: feedback.documents]).tolist()
        return refine(self._context, query, docids, top.scores, feedback, self._parts())

    def explain(
        self, text: str | None, query: SparseVectors, position: int, score: float
    ) -> Explanation:
        docid = int(self.reader.docids_of([position])[0])
        exact_floats = self._options.exact_floats
        why = explain(self._context, text, query, docid, score, exact_floats=exact_floats)
        if self._part is None:
            return why
        return replace(why, terms=[replace(match, part=None) for match in why.terms])

    def _parts(self) -> list[IndexPart]:
        return parts_of(self._context) if self._part is None else [self._part]


class DenseRetriever(Retriever[npt.NDArray[np.float32]]):
    """The dense vectors of an index; raises `IndexFormatError` or `DenseCorrupt` without."""

    def __init__(self, context: SearchContext, threads: int = 1) -> None:
        if context.dense is None:
            raise no_dense(context.path)
        self.reader, self._context, self._side = context.reader, context, context.dense
        self.name, self._threads = self._side.encoder["name"], whole("threads", threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return DenseRetriever, (self._context, self._threads)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return self._context.dense_encoder.encode_queries(texts)

    def search(self, queries: npt.NDArray[np.float32], k: int) -> list[Ranked]:
        all_hits = self._side.search(queries, k, threads=self._threads)
        return [Ranked(positions, scores.astype(np.float64)) for positions, scores in all_hits]

    def score(self, query: npt.NDArray[np.float32], positions: Positions) -> Ranked:
        return Ranked.sort(positions, self._side.score(query[0], positions).astype(np.float64))

    def minimum(self, query: npt.NDArray[np.float32]) -> float:
        """By Cauchy and Schwarz; -1 for vectors of unit length."""
        return -self._side.manifest.norm * float(np.linalg.norm(query.astype(np.float64)))

    def supports_feedback(self, kind: FeedbackKind) -> bool:
        return kind != "rm3"

    def refine(
        self, query: npt.NDArray[np.float32], top: Ranked, feedback: Feedback
    ) -> npt.NDArray[np.float32]:
        documents = self._side.vectors(top.positions[: feedback.documents])
        return refine_dense(query[0], documents, feedback)[None]

    def explain(
        self, text: str | None, query: npt.NDArray[np.float32], position: int, score: float
    ) -> None:
        return None

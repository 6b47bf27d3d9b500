"""Retrievers: each finds documents of one collection its own way, as a list that can be fused.

A document is named by its place in the collection as given, which is the same whatever finds it.
A retriever makes queries of texts, and all else takes these: several, one a row, or one row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from lsr.arguments import whole
from lsr.errors import QueryError
from lsr.fusion.methods import Places, Ranked
from lsr.index.dense.format import no_dense
from lsr.retrieval.boosting import boost
from lsr.retrieval.feedback import Feedback, Kind, refine_dense
from lsr.retrieval.feedback_documents import changes, refine
from lsr.retrieval.hits import Explanation
from lsr.retrieval.index import Index
from lsr.retrieval.parts import IndexPart, parts_of
from lsr.vectors import SparseVectors

Queries = TypeVar("Queries", SparseVectors, npt.NDArray[np.float32])


class Retriever(ABC, Generic[Queries]):
    """One way to find documents.

    Attributes:
        name: what weights, explanations and a learned fusion call it.
        index: whose documents it finds.
    """

    name: str
    index: Index

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Queries:
        """Queries of texts, one a row."""

    @abstractmethod
    def search(self, queries: Queries, k: int) -> list[Ranked]:
        """The k best documents for each query; fewer where it finds no more."""

    @abstractmethod
    def score(self, query: Queries, places: Places) -> Ranked:
        """Those of some documents that it finds, with the scores of a search."""

    @abstractmethod
    def minimum(self, query: Queries) -> float:
        """The least score it can give."""

    @abstractmethod
    def takes(self, kind: Kind) -> bool:
        """Whether feedback of a kind changes its queries."""

    @abstractmethod
    def refine(self, query: Queries, believed: Ranked, feedback: Feedback) -> Queries:
        """The query after feedback by the first of a list."""

    @abstractmethod
    def explain(
        self, text: str | None, query: Queries, place: int, score: float
    ) -> Explanation | None:
        """The terms behind a score of this retriever; None where there are none."""


class SparseRetriever(Retriever[SparseVectors]):
    """The terms of an index, or those of one part of its encoder.

    Args:
        part: the name of a part, whose scores are then its own: weights of the parts play no role.
        boosts: factors of named terms of queries, see `lsr.retrieval.boosting`.
        searching: `method`, `exact_floats` and `threads` of `Index.search_vectors`.
    """

    def __init__(
        self,
        index: Index,
        part: str | None = None,
        boosts: Mapping[str, float] | None = None,
        **searching: Any,
    ) -> None:
        self.index, self._boosts, self._searching = index, boosts or {}, searching
        self._part: IndexPart | None = None
        if part is None:
            self.name = index.manifest.encoder["name"] if index.manifest.encoder else "vectors"
            return
        for found in parts_of(index):
            if found.name == part:
                self.name, self._part = part, replace(found, query_factor=found.scale)
        if self._part is None:
            raise QueryError(f"the encoder of {index.path} has no part {part!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        part = None if self._part is None else self._part.name
        return partial(SparseRetriever, **self._searching), (self.index, part, self._boosts)

    def encode(self, texts: Sequence[str]) -> SparseVectors:
        if self._part is not None:
            queries = self._part.queries(texts)
        else:
            queries = self.index.encoder.encode_queries(texts)
        return boost(self.index, queries, self._boosts)

    def search(self, queries: SparseVectors, k: int) -> list[Ranked]:
        found = self.index.search_vectors(queries, k, **self._searching)
        return [Ranked(self.index.places(hits.documents), hits.scores) for hits in found]

    def score(self, query: SparseVectors, places: Places) -> Ranked:
        numbers = self.index.numbers(places)
        exact_floats = self._searching.get("exact_floats", False)
        scores = self.index.score(query, numbers, exact_floats=exact_floats)
        shared = scores > 0  # without a term of the query a document is never a hit
        return _ranked(places[shared], scores[shared])

    def minimum(self, query: SparseVectors) -> float:
        return 0.0  # weights are positive

    def takes(self, kind: Kind) -> bool:
        return any(changes(part, kind) for part in self._parts())

    def refine(self, query: SparseVectors, believed: Ranked, feedback: Feedback) -> SparseVectors:
        documents = self.index.numbers(believed.places[: feedback.documents])
        return refine(
            self.index, query, documents.tolist(), believed.scores, feedback, self._parts()
        )

    def explain(
        self, text: str | None, query: SparseVectors, place: int, score: float
    ) -> Explanation:
        exact_floats = self._searching.get("exact_floats", False)
        number = int(self.index.numbers([place])[0])
        why = self.index.explain(text, query, number, score, exact_floats=exact_floats)
        if self._part is None:
            return why
        return replace(why, terms=[replace(match, part=None) for match in why.terms])

    def _parts(self) -> list[IndexPart]:
        return parts_of(self.index) if self._part is None else [self._part]


class DenseRetriever(Retriever[npt.NDArray[np.float32]]):
    """The dense vectors of an index; raises `IndexFormatError` or `DenseCorrupt` without."""

    def __init__(self, index: Index, *, threads: int = 1) -> None:
        if index.dense is None:
            raise no_dense(index.path)
        self.index, self._side, self._threads = index, index.dense, whole("threads", threads)
        self.name = self._side.encoder["name"]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(DenseRetriever, threads=self._threads), (self.index,)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return self.index.dense_encoder.encode_queries(texts)

    def search(self, queries: npt.NDArray[np.float32], k: int) -> list[Ranked]:
        found = self._side.search(queries, k, threads=self._threads)
        return [Ranked(places, scores.astype(np.float64)) for places, scores in found]

    def score(self, query: npt.NDArray[np.float32], places: Places) -> Ranked:
        return _ranked(places, self._side.score(query[0], places).astype(np.float64))

    def minimum(self, query: npt.NDArray[np.float32]) -> float:
        """By Cauchy and Schwarz; -1 for vectors of unit length."""
        return -self._side.manifest.norm * float(np.linalg.norm(query.astype(np.float64)))

    def takes(self, kind: Kind) -> bool:
        return kind != "rm3"

    def refine(
        self, query: npt.NDArray[np.float32], believed: Ranked, feedback: Feedback
    ) -> npt.NDArray[np.float32]:
        documents = self._side.vectors(believed.places[: feedback.documents])
        return refine_dense(query[0], documents, feedback)[None]

    def explain(
        self, text: str | None, query: npt.NDArray[np.float32], place: int, score: float
    ) -> None:
        return None


def _ranked(places: Places, scores: npt.NDArray[np.float64]) -> Ranked:
    """Best first, equal scores by ascending place."""
    order = np.lexsort((places, -scores))
    return Ranked(places[order], scores[order])

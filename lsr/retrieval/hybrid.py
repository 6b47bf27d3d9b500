"""Search by several retrievers: feedback, rescoring and fusion of their lists, in this order.

    Hybrid([SparseRetriever(index), DenseRetriever(index)], "rrf").search("a question")

`lsr.retrieval.named` builds a hybrid from the names of an index's retrievers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, overload

import numpy as np

from lsr.arguments import listed, whole
from lsr.errors import FusionError, QueryError
from lsr.fusion import DEFAULT_FUSION, Method, Missing
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.lists import Fused, Ranked, union
from lsr.fusion.methods import check_weights, fuse
from lsr.index.reader import IndexReader
from lsr.retrieval import DEPTH, Interpolate
from lsr.retrieval.explanation import Contribution, Explanation
from lsr.retrieval.feedback import Feedback, search_again
from lsr.retrieval.hits import Hits
from lsr.retrieval.retrievers import Retriever


class Candidates(NamedTuple):
    """The lists to fuse for one query, one a retriever.

    Attributes:
        lists: best first.
        minima: the least score each retriever can give, for tmm.
    """

    lists: list[Ranked]
    minima: list[float]


class _Answer(NamedTuple):
    """The queries and lists of all retrievers for a text, and the fused list."""

    text: str
    queries: list[Any]
    lists: list[Ranked]
    fused: Ranked | Fused


class Hybrid:
    """Retrievers of one collection, and the fusion of their lists.

    Args:
        retrievers: of the same documents in the same order; of one index or of several.
        fusion: a method of `lsr.fusion.methods`, or one that was learned for retrievers of these
            names.
        weights: of the retrievers, see `fuse`; a learned fusion has its own.
        missing: the contribution of a list to a document that it lacks, see `fuse`.
        depth: documents of each list, unless k is larger.
        rescore: every retriever scores the documents of all lists, exactly; then a list lacks only
            documents that cannot be hits of its retriever.
        feedback: retrievers that support it search again with refined queries.
        interpolate: where the other lists contribute then; see
            `lsr.retrieval.feedback.search_again`.

    Raises `QueryError` for arguments that do not fit together, `FusionError` for a fusion that was
    learned for other retrievers.
    """

    def __init__(
        self,
        retrievers: Iterable[Retriever[Any]],
        fusion: Method | LearnedFusion = DEFAULT_FUSION,
        *,
        weights: Iterable[float] | None = None,
        missing: Missing = "zero",
        depth: int = DEPTH,
        rescore: bool = False,
        feedback: Feedback | None = None,
        interpolate: Interpolate = "both",
    ) -> None:
        self.retrievers = list(retrievers)
        self.names = [retriever.name for retriever in self.retrievers]
        self.fusion, self.missing = fusion, missing
        self.weights = None if weights is None else listed("weights", weights)
        self.depth, self.rescore = whole("depth", depth), rescore
        self.feedback, self.interpolate = feedback, interpolate
        if not self.retrievers or len(set(self.names)) < len(self.names):
            raise QueryError(
                f"the retrievers are {', '.join(self.names) or 'none'}; give at least one, each "
                "once"
            )
        if isinstance(fusion, LearnedFusion):
            self._check_learned(fusion)
        else:
            fuse([], fusion, missing=missing, minima=[], k=1)
            check_weights(self.weights, len(self.names), fusion)
        if feedback is not None and not any(
            r.supports_feedback(feedback.kind) for r in self.retrievers
        ):
            raise QueryError(
                f"none of {', '.join(self.names)} has queries that {feedback.kind} refines; use "
                f"{'average or rocchio' if feedback.kind == 'rm3' else 'rm3'}"
            )
        for retriever in self.retrievers[1:]:
            _check_same_documents(self.retrievers[0].reader, retriever.reader)

    @overload
    def search(self, queries: str, k: int = ...) -> Hits: ...  # type: ignore[overload-overlap]  # a str is a sequence of str too

    @overload
    def search(self, queries: Iterable[str], k: int = ...) -> list[Hits]: ...

    def search(self, queries: str | Iterable[str], k: int = 10) -> Hits | list[Hits]:
        """The k best documents for a query, or for each of several queries.

        Scores are fused; `explain` gives the contribution of each retriever.
        """
        k = whole("k", k)
        texts = [queries] if isinstance(queries, str) else listed("questions", queries)
        hits = [self._hits(answer) for answer in self._answers(texts, k, max(k, self.depth))]
        return hits[0] if isinstance(queries, str) else hits

    def candidates(self, queries: Iterable[str]) -> list[Candidates]:
        """The lists to fuse for each question."""
        return [
            Candidates(answer.lists, self._minima(answer.queries))
            for answer in self._answers(listed("questions", queries), 1, self.depth)
        ]

    def _minima(self, queries: Sequence[Any]) -> list[float]:
        return [r.minimum(q) for r, q in zip(self.retrievers, queries, strict=True)]

    def _answers(self, texts: list[str], k: int, depth: int) -> list[_Answer]:
        encoded = [retriever.encode(texts) for retriever in self.retrievers]
        every_list = [
            retriever.search(queries, depth)
            for retriever, queries in zip(self.retrievers, encoded, strict=True)
        ]
        answers = []
        for row, text in enumerate(texts):
            queries = [all_queries[row : row + 1] for all_queries in encoded]
            lists = [of_retriever[row] for of_retriever in every_list]
            if self.feedback is not None:
                lists = self._search_again(lists, queries, self.feedback, depth)
            if self.rescore:
                lists = self._rescored(lists, queries)
            answers.append(_Answer(text, queries, lists, self._fused(lists, queries, k)))
        return answers

    def _search_again(
        self, first: list[Ranked], queries: list[Any], feedback: Feedback, depth: int
    ) -> list[Ranked]:
        """The lists after feedback; `queries` become the refined ones."""

        def again(number: int) -> Callable[[Ranked], Ranked]:
            retriever = self.retrievers[number]

            def search(top: Ranked) -> Ranked:
                queries[number] = retriever.refine(queries[number], top, feedback)
                return retriever.search(queries[number], depth)[0]

            return search

        def fused(lists: Sequence[Ranked]) -> Ranked:
            best = self._fused(lists, queries, feedback.documents)
            return Ranked(best.positions, best.scores)

        changing = [n for n, r in enumerate(self.retrievers) if r.supports_feedback(feedback.kind)]
        return search_again(first, {n: again(n) for n in changing}, fused, self.interpolate)

    def _rescored(self, lists: Sequence[Ranked], queries: Sequence[Any]) -> list[Ranked]:
        positions, _ = union(lists)
        return [
            # An empty list was left out by feedback, or has no hits among these either.
            retriever.score(query, positions) if ranked.positions.size else ranked
            for retriever, query, ranked in zip(self.retrievers, queries, lists, strict=True)
        ]

    def _fused(self, lists: Sequence[Ranked], queries: Sequence[Any], k: int) -> Ranked | Fused:
        if isinstance(self.fusion, LearnedFusion):
            return self.fusion.rank(lists, k)
        minima = self._minima(queries) if self.fusion == "tmm" else None
        return fuse(
            lists, self.fusion, weights=self.weights, missing=self.missing, minima=minima, k=k
        )

    def _hits(self, answer: _Answer) -> Hits:
        reader, fused = self.retrievers[0].reader, answer.fused
        docids = reader.docids_of(fused.positions)
        return Hits(reader, answer.text, docids, fused.scores, partial(self._explain, answer))

    def _explain(self, answer: _Answer, docid: int, score: float) -> Explanation:
        reader, fused = self.retrievers[0].reader, answer.fused
        position = int(reader.positions_of([docid])[0])
        rank = int(np.flatnonzero(fused.positions == position)[0])
        if not isinstance(fused, Fused):  # Shapley values are slow, so only when asked for
            assert isinstance(self.fusion, LearnedFusion)
            fused = self.fusion.fuse(answer.lists, rank + 1)
        contributions = []
        for number, retriever in enumerate(self.retrievers):
            ranked, query = answer.lists[number], answer.queries[number]
            list_rank, list_score, terms = None, None, None
            for i in np.flatnonzero(ranked.positions == position).tolist():
                list_rank, list_score = i + 1, float(ranked.scores[i])
                terms = retriever.explain(answer.text, query, position, list_score)
            value = float(fused.contributions[number, rank])
            contributions.append(Contribution(retriever.name, value, list_rank, list_score, terms))
        return Explanation(reader.id_of(docid), score, [], contributions)

    def _check_learned(self, fusion: LearnedFusion) -> None:
        if list(fusion.retrievers) != self.names:
            raise FusionError(
                f"the fusion was learned for {', '.join(fusion.retrievers)}, and these are "
                f"{', '.join(self.names)}; give the same, in the same order, or train it again"
            )
        if self.weights is not None:
            raise QueryError("a learned fusion has its own weights; leave them out")


def _check_same_documents(one: IndexReader, other: IndexReader) -> None:
    """Raise `QueryError` unless two indexes have the same ids at the same positions."""
    if one is other or one.path == other.path:
        return
    if len(one) != len(other):
        raise QueryError(
            f"{one.path} has {len(one):,} documents and {other.path} {len(other):,}; their lists "
            "can be fused only where both are of the same collection"
        )
    positions = np.arange(len(one))
    pairs = zip(one.docids_of(positions).tolist(), other.docids_of(positions).tolist(), strict=True)
    for position, (a, b) in enumerate(pairs):
        if one.id_of(a) != other.id_of(b):
            raise QueryError(
                f"document {position + 1:,} is {one.id_of(a)!r} in {one.path} and "
                f"{other.id_of(b)!r} in {other.path}; their lists can be fused only where both are "
                "of the same collection"
            )

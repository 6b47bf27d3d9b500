"""Several retrievers, one answer: their lists are refined, rescored and fused, in this order.

    Hybrid([SparseRetriever(index), DenseRetriever(index)], "rrf").search("a question")

`lsr.retrieval.named` makes one of the names of an index's retrievers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np

from lsr.arguments import listed, whole
from lsr.errors import FusionError, QueryError
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.methods import (
    DEFAULT_FUSION,
    Fused,
    Method,
    Missing,
    Ranked,
    check_weights,
    fuse,
    union,
)
from lsr.retrieval.feedback import Feedback, Interpolate, search_again
from lsr.retrieval.hits import Explanation, Hits, Share
from lsr.retrieval.index import Index
from lsr.retrieval.retrievers import Retriever

DEPTH = 1000  # documents of a list


class Candidates(NamedTuple):
    """What is fused for one query, a list a retriever.

    Attributes:
        lists: best first.
        minima: the least score each retriever can give, for tmm.
    """

    lists: list[Ranked]
    minima: list[float]


class _Answer(NamedTuple):
    """What was found for a text: the queries and lists of all retrievers, and the fused list."""

    text: str
    queries: list[Any]
    lists: list[Ranked]
    fused: Ranked | Fused


class Hybrid:
    """Retrievers of one collection, and how their lists become one.

    Args:
        retrievers: of the same documents in the same order; of one index or of several.
        fusion: a method of `lsr.fusion.methods`, or one that was learned for retrievers of these
        names.
        weights: of the retrievers, see `fuse`; a learned fusion has its own.
        missing: what a document that a list lacks has from it, see `fuse`.
        depth: documents of each list, unless more hits are wanted.
        rescore: every retriever scores what any of them found, exactly; so documents are missing
            from a list only where its retriever cannot find them.
        feedback: by which retrievers search again.
        interpolate: where the others come in then, see `lsr.retrieval.feedback.search_again`.

    Raises `QueryError` for what does not fit together, `FusionError` for a fusion learned for
    others.
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
        if feedback is not None and not any(r.takes(feedback.kind) for r in self.retrievers):
            raise QueryError(
                f"none of {', '.join(self.names)} has queries that {feedback.kind} refines; use "
                f"{'average or rocchio' if feedback.kind == 'rm3' else 'rm3'}"
            )
        for retriever in self.retrievers[1:]:
            _check_same_documents(self.retrievers[0].index, retriever.index)

    @overload
    def search(self, queries: str, k: int = ...) -> Hits: ...  # type: ignore[overload-overlap]  # a str is a sequence of str too

    @overload
    def search(self, queries: Iterable[str], k: int = ...) -> list[Hits]: ...

    def search(self, queries: str | Iterable[str], k: int = 10) -> Hits | list[Hits]:
        """The k best documents for a question, or for each of several.

        The scores are fused ones; `explain` says what each retriever gave to them.
        """
        k = whole("k", k)
        texts = [queries] if isinstance(queries, str) else listed("questions", queries)
        hits = [self._hits(answer) for answer in self._answers(texts, k, max(k, self.depth))]
        return hits[0] if isinstance(queries, str) else hits

    def candidates(self, queries: Iterable[str]) -> list[Candidates]:
        """What would be fused for each question."""
        return [
            Candidates(answer.lists, self._minima(answer.queries))
            for answer in self._answers(listed("questions", queries), 1, self.depth)
        ]

    def _minima(self, queries: Sequence[Any]) -> list[float]:
        return [r.minimum(q) for r, q in zip(self.retrievers, queries, strict=True)]

    def _answers(self, texts: list[str], k: int, depth: int) -> list[_Answer]:
        encoded = [retriever.encode(texts) for retriever in self.retrievers]
        found = [
            retriever.search(queries, depth)
            for retriever, queries in zip(self.retrievers, encoded, strict=True)
        ]
        answers = []
        for row, text in enumerate(texts):
            queries = [all_queries[row : row + 1] for all_queries in encoded]
            lists = [of_retriever[row] for of_retriever in found]
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

            def search(believed: Ranked) -> Ranked:
                queries[number] = retriever.refine(queries[number], believed, feedback)
                return retriever.search(queries[number], depth)[0]

            return search

        def fused(lists: Sequence[Ranked]) -> Ranked:
            best = self._fused(lists, queries, feedback.documents)
            return Ranked(best.places, best.scores)

        changing = [n for n, r in enumerate(self.retrievers) if r.takes(feedback.kind)]
        return search_again(first, {n: again(n) for n in changing}, fused, self.interpolate)

    def _rescored(self, lists: Sequence[Ranked], queries: Sequence[Any]) -> list[Ranked]:
        places, _ = union(lists)
        return [
            # A list that is empty is one that feedback left out, or finds nothing here either.
            retriever.score(query, places) if ranked.places.size else ranked
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
        index, fused = self.retrievers[0].index, answer.fused

        numbers = index.numbers(fused.places)
        return Hits(index, answer.text, numbers, fused.scores, _Why(self, answer))

    def _explain(self, answer: _Answer, rank: int) -> Explanation:
        index, place = self.retrievers[0].index, int(answer.fused.places[rank])
        return Explanation(
            index.id_of(int(index.numbers([place])[0])),
            float(answer.fused.scores[rank]),
            [],
            self._shares(answer, rank, place),
        )

    def _shares(self, answer: _Answer, rank: int, place: int) -> list[Share]:
        fused = answer.fused
        if not isinstance(fused, Fused):  # Shapley values are dear, so only when asked for
            assert isinstance(self.fusion, LearnedFusion)
            fused = self.fusion.fuse(answer.lists, rank + 1)
        shares = []
        for number, retriever in enumerate(self.retrievers):
            ranked, query = answer.lists[number], answer.queries[number]
            at = np.flatnonzero(ranked.places == place)
            share = Share(retriever.name, float(fused.shares[number, rank]), None, None, None)
            if at.size:
                score = float(ranked.scores[at[0]])
                terms = retriever.explain(answer.text, query, place, score)
                share = Share(share.retriever, share.share, int(at[0]) + 1, score, terms)
            shares.append(share)
        return shares

    def _check_learned(self, fusion: LearnedFusion) -> None:
        if list(fusion.retrievers) != self.names:
            raise FusionError(
                f"the fusion was learned for {', '.join(fusion.retrievers)}, and these are "
                f"{', '.join(self.names)}; give the same, in the same order, or train it again"
            )
        if self.weights is not None:
            raise QueryError("a learned fusion has its own weights; leave them out")


@dataclass(frozen=True, slots=True)
class _Why:
    """Explains the documents found for one query by their rank."""

    hybrid: Hybrid
    answer: _Answer

    def __call__(self, rank: int) -> Explanation:
        return self.hybrid._explain(self.answer, rank)


def _check_same_documents(one: Index, other: Index) -> None:
    """Raise `QueryError` unless two indexes have the same ids at the same places."""
    if one is other or one.path == other.path:
        return
    if len(one) != len(other):
        raise QueryError(
            f"{one.path} has {len(one):,} documents and {other.path} {len(other):,}; their lists "
            "can be fused only where both are of the same collection"
        )
    places = np.arange(len(one))
    pairs = zip(one.numbers(places).tolist(), other.numbers(places).tolist(), strict=True)
    for place, (a, b) in enumerate(pairs):
        if one.id_of(a) != other.id_of(b):
            raise QueryError(
                f"document {place + 1:,} is {one.id_of(a)!r} in {one.path} and {other.id_of(b)!r} "
                f"in {other.path}; their lists can be fused only where both are of the same "
                "collection"
            )

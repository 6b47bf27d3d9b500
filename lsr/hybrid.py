"""Several retrievers, one answer: their lists are refined, rescored and fused, in this order.

    Hybrid([SparseRetriever(index), DenseRetriever(index)], "rrf").search("a question")

`of_index` makes one by names, for `Index.hybrid` and the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from lsr.encoders import Encoder
from lsr.encoders.names import parse_weights
from lsr.errors import FusionError, QueryError
from lsr.feedback import Feedback, Interpolate, Kind, search_again
from lsr.fusion import (
    DEFAULT_FUSION,
    METHODS,
    Fused,
    Method,
    Missing,
    Ranked,
    check_weights,
    fuse,
    union,
)
from lsr.hits import Explanation, Hits, Share
from lsr.index_parts import parts_of
from lsr.learned_fusion import LearnedFusion
from lsr.retrieval import Index
from lsr.retrievers import DenseRetriever, Retriever, SparseRetriever

DEPTH = 1000  # documents of a list
TERMS, DENSE = "terms", "dense"  # an index's retrievers, whatever their names
LEARNED = "learned"
LEARNED_FILE = "fusion.json"  # in an index


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
        fusion: a method of `lsr.fusion`, or one that was learned for retrievers of these names.
        weights: of the retrievers, see `fuse`; a learned fusion has its own.
        missing: what a document that a list lacks has from it, see `fuse`.
        depth: documents of each list, unless more hits are wanted.
        rescore: every retriever scores what any of them found, exactly; so documents are missing
            from a list only where its retriever cannot find them.
        feedback: by which retrievers search again.
        interpolate: where the others come in then, see `lsr.feedback.search_again`.

    Raises `QueryError` for what does not fit together, `FusionError` for a fusion learned for
    others.
    """

    def __init__(
        self,
        retrievers: Sequence[Retriever[Any]],
        fusion: Method | LearnedFusion = DEFAULT_FUSION,
        *,
        weights: Sequence[float] | None = None,
        missing: Missing = "zero",
        depth: int = DEPTH,
        rescore: bool = False,
        feedback: Feedback | None = None,
        interpolate: Interpolate = "both",
    ) -> None:
        self.retrievers = list(retrievers)
        self.names = [retriever.name for retriever in self.retrievers]
        self.fusion, self.weights, self.missing = fusion, weights, missing
        self.depth, self.rescore = depth, rescore
        self.feedback, self.interpolate = feedback, interpolate
        if not self.retrievers or len(set(self.names)) < len(self.names):
            raise QueryError(
                f"the retrievers are {', '.join(self.names) or 'none'}; give at least one, each "
                "once"
            )
        if depth < 1:
            raise QueryError(f"lists must have a depth of at least 1, not {depth}")
        if isinstance(fusion, LearnedFusion):
            self._check_learned(fusion)
        else:
            fuse([], fusion, missing=missing, minima=[], k=1)
            check_weights(weights, len(self.names), fusion)
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
    def search(self, queries: Sequence[str], k: int = ...) -> list[Hits]: ...

    def search(self, queries: str | Sequence[str], k: int = 10) -> Hits | list[Hits]:
        """The k best documents for a question, or for each of several.

        The scores are fused ones; `explain` says what each retriever gave to them.
        """
        if k < 1:
            raise QueryError(f"k must be at least 1, not {k}")
        texts = [queries] if isinstance(queries, str) else list(queries)
        hits = [self._hits(answer) for answer in self._answers(texts, k, max(k, self.depth))]
        return hits[0] if isinstance(queries, str) else hits

    def candidates(self, queries: Sequence[str]) -> list[Candidates]:
        """What would be fused for each question."""
        return [
            Candidates(answer.lists, self._minima(answer.queries))
            for answer in self._answers(list(queries), 1, self.depth)
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

        def why(rank: int) -> Explanation:
            place = int(fused.places[rank])
            return Explanation(
                index.id_of(int(index.numbers([place])[0])),
                float(fused.scores[rank]),
                [],
                self._shares(answer, rank, place),
            )

        return Hits(index, answer.text, index.numbers(fused.places), fused.scores, why)

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


class Names(NamedTuple):
    """What the retrievers of an index are called.

    Attributes:
        whole: the index's encoder, for all of its terms.
        parts: encoders that make up that one.
        dense: the encoder of the dense vectors; None without any.
    """

    whole: str
    parts: tuple[str, ...]
    dense: str | None

    @classmethod
    def of(cls, index: Index) -> Names:
        """Those of an index."""
        dense = index.dense.encoder["name"] if index.dense is not None else None
        parts = tuple(part.name for part in parts_of(index))
        return cls(SparseRetriever(index).name, parts, dense)

    @classmethod
    def of_encoders(cls, encoder: Encoder, dense: str | None) -> Names:
        """Those of an index yet to be built by an encoder, with dense vectors by another."""
        parts = encoder.identity.get("parts", [{"name": encoder.name}])
        return cls(encoder.name, tuple(part["name"] for part in parts), dense)

    def chosen(self, retrievers: str) -> list[str]:
        """The retrievers in a text, TERMS and DENSE included; see `of_index`.

        A name may hold a comma itself, as bm25:bm25l,k1=1.2 does.  Raises `QueryError` for what is
        none of them.
        """
        known = list(
            dict.fromkeys([TERMS, DENSE, self.whole, *self.parts, *filter(None, [self.dense])])
        )
        names = []
        rest = retrievers
        while rest:
            fitting = [name for name in known if f"{rest},".startswith(f"{name},")]
            if not fitting:
                raise QueryError(
                    f"{rest.partition(',')[0]!r} is no retriever of this index; it has "
                    f"{', '.join(known)}"
                )
            names.append(max(fitting, key=len))
            rest = rest[len(names[-1]) + 1 :]
        return [{self.whole: TERMS, self.dense: DENSE}.get(name, name) for name in names]

    def weights(
        self, chosen: Sequence[str], weights: float | str | Mapping[str, float] | None
    ) -> list[float] | None:
        """The weight of each of the chosen; see `of_index`."""
        if weights is None:
            return None
        names = [{TERMS: self.whole, DENSE: self.dense or DENSE}.get(name, name) for name in chosen]
        if not isinstance(weights, float | int):
            parsed = parse_weights(weights, names)
            return [parsed[name] for name in names]
        if len(chosen) != 2 or chosen.count(DENSE) != 1:
            raise QueryError(
                "one weight is that of dense vectors beside one other retriever; give one for "
                f"each of {', '.join(names)}, as NAME=WEIGHT,…"
            )
        if not 0 <= weights <= 1:
            raise QueryError(f"the weight of the dense vectors must be 0 to 1, not {weights}")
        return [float(weights) if name == DENSE else 1.0 - weights for name in chosen]


def of_index(
    index: Index,
    fusion: str = DEFAULT_FUSION,
    *,
    retrievers: str = f"{TERMS},{DENSE}",
    weights: float | str | Mapping[str, float] | None = None,
    prf: Kind | None = None,
    threads: int = 1,
    method: str = "auto",
    exact_floats: bool = False,
    **how: Any,
) -> Hybrid:
    """Retrievers of one index, by their names.

    Args:
        fusion: a method of `lsr.fusion`, or "learned" for the one that `lsr tune` left in the
            index.
        retrievers: names with commas between: "terms" for all terms of the index, "dense" for its
            dense vectors, or names of encoders, also of a part such as "bm25".
        weights: of every retriever by its name, as a mapping or as text,
            "bm25+splade-tiny=.6,minilm=.4"; a number is that of the dense vectors beside one other
            retriever, which has the rest of 1.
        prf: feedback with the usual numbers; `feedback` of `Hybrid` takes others.
        threads: queries are spread over so many; those of one question run one after another.
        method, exact_floats: of searching the terms, see `Index.search`.
        how: `missing`, `depth`, `rescore`, `feedback` and `interpolate` of `Hybrid`.

    Raises `IndexFormatError` without the dense vectors that are asked for, `QueryError`,
    `EncoderError` and `FusionError` for what does not fit the index.
    """
    if fusion not in (*METHODS, LEARNED):
        raise QueryError(f"there is no fusion {fusion!r}; use {', '.join((*METHODS, LEARNED))}")
    searching = {"method": method, "exact_floats": exact_floats, "threads": threads}
    names = Names.of(index)
    chosen = names.chosen(retrievers)
    made: list[Retriever[Any]] = []
    for name in chosen:
        if name == DENSE:
            made.append(DenseRetriever(index, threads=threads))
        else:
            made.append(SparseRetriever(index, None if name == TERMS else name, **searching))
    if prf is not None:
        how["feedback"] = Feedback.of(prf)
    return Hybrid(
        made,
        LearnedFusion.load(learned_file(index.path)) if fusion == LEARNED else fusion,  # type: ignore[arg-type]  # checked above
        weights=names.weights(chosen, weights),
        **how,
    )


def learned_file(index: Path) -> Path:
    """Where `lsr tune` leaves the learned fusion of an index."""
    return index / LEARNED_FILE


def learned_problems(index: Path) -> Iterator[str]:
    """What is wrong with the learned fusion of an index, if it has one."""
    if not learned_file(index).exists():
        return
    try:
        LearnedFusion.load(learned_file(index))
    except FusionError as error:
        yield str(error)


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

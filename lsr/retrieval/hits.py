"""What a search returns, and why each document was found."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from lsr.encoders.base import MatchKind
    from lsr.retrieval.index import Index


@dataclass(frozen=True, slots=True)
class TermMatch:
    """One term that a query and a document share.

    Attributes:
        term: the word, without the name of its part, as people read it (`lsr.encoders.text.words`).
        query_weight, document_weight: as scored, that is after rounding.
        product: what the term adds to the score.
        kind: "literal" when both texts contain the term, "expansion" when an encoder added
            it to either; None when a text is not at hand.
        part: whose word it is, of an encoder of several parts such as bm25+splade-tiny; None
            for a single encoder.
    """

    term: str
    query_weight: float
    document_weight: float
    product: float
    kind: MatchKind | None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several retrievers gave to a fused score.

    Attributes:
        retriever: its name.
        share: what it adds.
        rank: of the document in its list, from 1; None where the list lacks it.
        score: of the document by that retriever alone; None where the list lacks it.
        terms: the terms behind that score; none of a dense retriever.
    """

    retriever: str
    share: float
    rank: int | None
    score: float | None
    terms: Explanation | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document has its score: a sum of the products of its terms, or of retrievers' shares.

    Products are integers times one power of two, so `sum` of them is the score to the last bit.
    (Scores of an `exact_floats` search are float sums: there the products add up to within
    rounding.)

    Attributes:
        terms: largest product first; none where lists were fused, where `shares` have them.
        shares: one a retriever, in their order, where lists were fused; `sum` of them is the score
            to the last bit, or within 10⁻⁹ of the largest where the fusion was learned.
    """

    id: str
    score: float
    terms: list[TermMatch]
    shares: list[Share] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, float]:
        """What each part of an encoder of several adds to the score, largest first.

        Sums of products, so they add up to the score as the products do; parts that share no
        term are left out, and a single encoder has none.
        """
        totals: dict[str, float] = {}
        for match in self.terms:
            if match.part is not None:
                totals[match.part] = totals.get(match.part, 0.0) + match.product
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def groups(self) -> list[tuple[str | None, list[TermMatch]]]:
        """The terms by part, in the order of `parts`; all under None for a single encoder."""
        names: list[str | None] = [*self.parts] or [None]
        return [(name, [m for m in self.terms if m.part == name]) for name in names]

    def literal_words(self) -> list[str]:
        """The words that both texts contain, by any of the retrievers."""
        inner = [share.terms for share in self.shares if share.terms is not None]
        return [m.term for why in (self, *inner) for m in why.terms if m.kind == "literal"]

    def __str__(self) -> str:
        head = f"{self.id}: {self.score:.3f}"
        lines = self._share_lines() if self.shares else self._term_lines()
        return "\n".join([f"{head} = the sum of", *lines] if lines else [head])

    def _share_lines(self) -> list[str]:
        """A line a retriever, the terms of its score below it."""
        width = max(len(share.retriever) for share in self.shares)
        lines = []
        for share in self.shares:
            why = "not in its list"
            if share.score is not None:
                why = f"rank {share.rank:,}, score {share.score:.3f}"
            terms = share.terms._term_lines() if share.terms is not None else []
            why += " = the sum of" if terms else ""
            lines.append(f"  {share.retriever:<{width}}  {share.share:8.4f}  {why}")
            lines += [f"    {line}" for line in terms]
        return lines

    def _term_lines(self) -> list[str]:
        """A line a term; of parts, a line a part with its terms below it."""
        if not self.terms:
            return []
        most = self.terms[0].product
        totals = self.parts
        indent = "    " if totals else "  "
        # A part's name begins two places to the left of its terms.
        width = max(*(len(match.term) for match in self.terms), *(len(n) - 2 for n in totals), 0)
        lines = []
        for name, matches in self.groups():
            if name is not None:
                lines.append(f"  {name:<{width + 2}}  {totals[name]:8.3f} = the sum of")
            for match in matches:
                bar = "█" * max(1, round(16 * match.product / most)) if most > 0 else ""
                lines.append(
                    f"{indent}{match.term:<{width}}  {match.product:8.3f} = "
                    f"{match.query_weight:6.3f} x {match.document_weight:6.3f}  "
                    f"{match.kind or '':<9}  {bar}".rstrip()
                )
        return lines


class Hits:
    """The documents found for one query, best first; may be fewer than asked for.

    Pickled hits have their ids and scores.  Texts and explanations come from the index, which is
    opened again when one is asked for: `IndexChanged` is raised when its edition is gone.

    Attributes:
        query: the query's text, or None when it was a vector.
        documents: uint32, the documents' numbers in the index.
        scores: float64.
    """

    _pickled: bytes  # of unpickled ones: what `_source` is

    def __init__(
        self,
        index: Index,
        query: str | None,
        documents: npt.NDArray[np.uint32],
        scores: npt.NDArray[np.float64],
        why: Callable[[int], Explanation],
    ) -> None:
        """`why` explains the document at a rank, from 0."""
        self.query, self.documents, self.scores = query, documents, scores
        self._source = index, why  # takes the place of the property
        self._ranks = range(documents.size)  # as `why` has them

    @cached_property
    def ids(self) -> npt.NDArray[np.str_]:
        """External ids, shape (hits,)."""
        index, _ = self._source
        return np.array([index.id_of(d) for d in self.documents.tolist()], dtype=np.str_)

    @cached_property
    def _source(self) -> tuple[Index, Callable[[int], Explanation]]:
        """The index, and what explains a rank; unpickled when first asked for."""
        source: tuple[Index, Callable[[int], Explanation]] = pickle.loads(self._pickled)
        return source

    def __getstate__(self) -> dict[str, Any]:
        return {
            "query": self.query,
            "documents": self.documents,
            "scores": self.scores,
            "ids": self.ids,
            "_ranks": self._ranks,
            # Apart, so that ids and scores can be had when the index is gone.
            "_pickled": self.__dict__.get("_pickled") or pickle.dumps(self._source),
        }

    def __copy__(self) -> Hits:
        return self  # hits never change

    def __deepcopy__(self, memo: object) -> Hits:
        return self

    def __len__(self) -> int:
        return self.documents.size

    @overload
    def __getitem__(self, rank: SupportsIndex) -> Hit: ...

    @overload
    def __getitem__(self, rank: slice) -> Hits: ...

    def __getitem__(self, rank: SupportsIndex | slice) -> Hit | Hits:
        """The hit at a rank, from 0 or, if negative, from the end; those of a slice as `Hits`."""
        if isinstance(rank, slice):
            return self._chosen(rank)
        return Hit(self, self._rank(rank))

    def __iter__(self) -> Iterator[Hit]:
        return (Hit(self, rank) for rank in range(len(self)))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{hit.id} {hit.score:.3f}" for _, hit in zip(range(3), self, strict=False)
        )
        more = ", …" if len(self) > 3 else ""
        return f"Hits({len(self)}: {shown}{more})"

    def explain(self, rank: int) -> Explanation:
        """Why the document at a rank (from 0) has its score."""
        return self._source[1](self._ranks[self._rank(rank)])

    def stored(self, rank: int) -> tuple[str, str]:
        """Title and text of the document at a rank; empty when the index keeps no text."""
        return self._source[0].stored_text(int(self.documents[self._rank(rank)])) or ("", "")

    def _chosen(self, ranks: slice) -> Hits:
        chosen = Hits.__new__(Hits)
        chosen.__dict__.update(self.__dict__)
        chosen._ranks = self._ranks[ranks]
        for name in ("documents", "scores", "ids"):
            if name in self.__dict__:
                chosen.__dict__[name] = self.__dict__[name][ranks]
        return chosen

    def _rank(self, rank: SupportsIndex) -> int:
        number = operator.index(rank)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no hit {number}: {len(self)} were found")
        return number % len(self)


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of `Hits`."""

    hits: Hits
    rank: int

    @property
    def id(self) -> str:
        """External id."""
        return str(self.hits.ids[self.rank])

    @property
    def score(self) -> float:
        """Inner product of query and document, as scored; or the fused score."""
        return float(self.hits.scores[self.rank])

    @property
    def title(self) -> str:
        """Title, or "" when there is none."""
        return self.hits.stored(self.rank)[0]

    @property
    def text(self) -> str:
        """Text, or "" when the index keeps none."""
        return self.hits.stored(self.rank)[1]

    def explain(self) -> Explanation:
        """Why the document has its score."""
        return self.hits.explain(self.rank)

    def __repr__(self) -> str:
        return f"Hit({self.id!r}, {self.score:.3f})"

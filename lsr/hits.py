"""What a search returns, and why each document was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from lsr.index.searcher import Found
    from lsr.retrieval import Index
    from lsr.vectors import SparseVectors

Kind = Literal["literal", "expansion"]


@dataclass(frozen=True, slots=True)
class TermMatch:
    """One term that a query and a document share.

    Attributes:
        term: the word, without the name of its part, as people read it (`lsr.encoders.words`).
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
    kind: Kind | None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document has its score: the products of its terms, largest first.

    The products are integers times one power of two, so `sum` of them is the score to the
    last bit.  (Scores of an `exact_floats` search are float sums: there the products add up
    to within rounding.)
    """

    id: str
    score: float
    terms: list[TermMatch]

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

    def __str__(self) -> str:
        if not self.terms:
            return f"{self.id}: {self.score:.3f}"
        most = self.terms[0].product
        totals = self.parts
        indent = "    " if totals else "  "
        # A part's name begins two places to the left of its terms.
        width = max(*(len(match.term) for match in self.terms), *(len(n) - 2 for n in totals), 0)
        lines = [f"{self.id}: {self.score:.3f} = the sum of"]
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
        return "\n".join(lines)


class Hits:
    """The documents found for one query, best first; may be fewer than asked for.

    Attributes:
        query: the query's text, or None when it was a vector.
        documents: uint32, the documents' numbers in the index.
        scores: float64.
    """

    def __init__(
        self,
        index: Index,
        query: str | None,
        vectors: SparseVectors,
        row: int,
        found: Found,
        exact: bool,
    ) -> None:
        self.query = query
        self.documents: npt.NDArray[np.uint32] = found.documents
        self.scores: npt.NDArray[np.float64] = found.scores
        self._index, self._vectors, self._row, self._exact = index, vectors, row, exact

    @cached_property
    def ids(self) -> npt.NDArray[np.str_]:
        """External ids, shape (hits,)."""
        return np.array([self._index.id_of(d) for d in self.documents.tolist()], dtype=np.str_)

    def __len__(self) -> int:
        return self.documents.size

    def __getitem__(self, rank: int) -> Hit:
        if not -len(self) <= rank < len(self):
            raise IndexError(f"there is no hit {rank}: {len(self)} were found")
        return Hit(self, rank % len(self))

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
        return self._index.explain(
            self.query,
            self._vectors[self._row],
            int(self.documents[rank]),
            float(self.scores[rank]),
            exact_floats=self._exact,
        )

    def stored(self, rank: int) -> tuple[str, str]:
        """Title and text of the document at a rank; empty when the index keeps no text."""
        return self._index.stored_text(int(self.documents[rank])) or ("", "")


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
        """Inner product of query and document, as scored."""
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

"""`Explanation`: the terms behind a score."""

from __future__ import annotations

from dataclasses import dataclass, field

from lsr.encoders.base import MatchKind


@dataclass(frozen=True, slots=True)
class TermMatch:
    """One term that a query and a document share.

    Attributes:
        term: the word, in readable form (`lsr.encoders.text.words`), without the name of its part.
        query_weight, document_weight: as scored: after quantization.
        product: the term's summand of the score.
        kind: "literal" when both texts contain the term, "expansion" when an encoder added
            it to either; None when the index or the caller has no text.
        part: for a composite encoder, such as bm25+splade-tiny, the part that the term belongs
            to; None for a single encoder.
    """

    term: str
    query_weight: float
    document_weight: float
    product: float
    kind: MatchKind | None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Contribution:
    """The summand of a fused score that one of several retrievers adds.

    Attributes:
        retriever: its name.
        value: the summand.
        rank: of the document in the retriever's list, from 1; None where the list lacks it.
        score: of the document by that retriever alone; None where the list lacks it.
        terms: the terms behind that score; None for a dense retriever.
    """

    retriever: str
    value: float
    rank: int | None
    score: float | None
    terms: Explanation | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A score as a sum: of the products of terms, or of the contributions of retrievers.

    Products are integers times one power of two, so `sum` of them is the score to the last bit.
    (Scores of an `exact_floats` search are float sums: there the products add up to within
    rounding.)

    Attributes:
        terms: largest product first; empty where lists were fused: `contributions` have them.
        contributions: where lists were fused, one a retriever, in their order; `sum` of them is
            the score to the last bit, or within 10⁻⁹ of the largest where the fusion was learned.
    """

    id: str
    score: float
    terms: list[TermMatch]
    contributions: list[Contribution] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, float]:
        """The sum of the products of each part of an encoder of several, largest first.

        These add up to the score as the products do.  Parts that share no term are left out, and
        a single encoder has none.
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
        inner = [part.terms for part in self.contributions if part.terms is not None]
        return [m.term for why in (self, *inner) for m in why.terms if m.kind == "literal"]

    def __str__(self) -> str:
        head = f"{self.id}: {self.score:.3f}"
        lines = self._contribution_lines() if self.contributions else self._term_lines()
        return "\n".join([f"{head} = the sum of", *lines] if lines else [head])

    def _contribution_lines(self) -> list[str]:
        """A line a retriever, the terms of its score below it."""
        width = max(len(part.retriever) for part in self.contributions)
        lines = []
        for part in self.contributions:
            why = "not in its list"
            if part.score is not None:
                why = f"rank {part.rank:,}, score {part.score:.3f}"
            terms = part.terms._term_lines() if part.terms is not None else []
            why += " = the sum of" if terms else ""
            lines.append(f"  {part.retriever:<{width}}  {part.value:8.4f}  {why}")
            lines += [f"    {line}" for line in terms]
        return lines

    def _term_lines(self) -> list[str]:
        """A line a term; for several parts, a line a part with its terms below it."""
        if not self.terms:
            return []
        most = self.terms[0].product
        totals = self.parts
        indent = "    " if totals else "  "
        # A part's name begins two columns to the left of its terms.
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

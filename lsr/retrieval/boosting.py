"""Boosting and muting terms of a query by name.

The query's weight of a named term is multiplied by a factor; 0 mutes the term.  A factor above 1
also adds a term that the query lacks, with factor - 1 times the mean weight of the query's terms
(in a composite encoder, of the terms of the same part): with factor 2 it counts as much as the
average term.  A factor of at most 1 has no effect on a term that the query lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from lsr.errors import QueryError
from lsr.retrieval.context import SearchContext
from lsr.vectors import SparseVectors

_SUGGESTED = 5
_ALL_TERMS = 1 << 32


def parse_boosts(texts: Sequence[str]) -> dict[str, float]:
    """The factor of each name, from texts such as "vitamin/fracture/falls=1.5".

    Raises `QueryError` for a text that is not NAME=FACTOR, and for a name given twice.
    """
    boosts: dict[str, float] = {}
    for text in texts:
        name, equals, factor = text.rpartition("=")
        try:
            if not equals or not name or name in boosts:
                raise ValueError
            boosts[name] = float(factor)
        except ValueError:
            raise QueryError(
                f"{text!r} is not a boost; write TERM=FACTOR, each term once, as in "
                "vitamin/fracture/falls=1.5"
            ) from None
    return boosts


def boost(
    context: SearchContext, queries: SparseVectors, factors: Mapping[str, float]
) -> SparseVectors:
    """The vectors of queries with named terms boosted or muted; see the module.

    Args:
        queries: by the encoder of the index.
        factors: finite, at least 0, by the name of a term as explanations show it; a name that
            two parts of an encoder share is written PART:TERM.

    Raises `QueryError` for a name of no term of the index, or of several terms.
    """
    if not factors:
        return queries
    terms = np.array([_term(context, name) for name in factors], np.uint32)
    if np.unique(terms).size < terms.size:
        raise QueryError("a term is boosted twice; give each term once")
    values = np.array(list(factors.values()), np.float64)
    bounds = [_part_bounds(context, term) for term in terms.tolist()]
    return SparseVectors.from_rows(
        _boosted(query.terms, query.weights, terms, values, bounds) for query in queries
    )


def _boosted(
    terms: npt.NDArray[np.uint32],
    weights: npt.NDArray[np.float32],
    named: npt.NDArray[np.uint32],
    factors: npt.NDArray[np.float64],
    bounds: Sequence[tuple[int, int]],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """One query's terms, ascending, and weights."""
    original = {int(t): float(w) for t, w in zip(terms, weights, strict=True) if w > 0}
    boosted = dict(original)
    for term, factor, (start, stop) in zip(named.tolist(), factors.tolist(), bounds, strict=True):
        if term in original:
            boosted[term] = original[term] * factor
        else:  # not above 0, and so dropped, unless the factor is above 1
            in_part = [weight for other, weight in original.items() if start <= other < stop]
            boosted[term] = (factor - 1) * sum(in_part) / len(in_part) if in_part else 0.0
    kept = sorted(term for term, weight in boosted.items() if weight > 0)
    return np.array(kept, np.uint32), np.array([boosted[term] for term in kept], np.float32)


def _part_bounds(context: SearchContext, term: int) -> tuple[int, int]:
    """First term and end of the part that a term belongs to."""
    bounds = ((start, stop) for _, start, stop in context.part_terms if start <= term < stop)
    return next(bounds, (0, _ALL_TERMS))


def _term(context: SearchContext, name: str) -> int:
    find = context.reader.find_term
    candidates = [name, *(f"{part}:{name}" for part, _, _ in context.part_terms)]
    terms = {word: term for word in candidates if (term := find(word)) is not None}
    if name in terms:
        return terms[name]
    if len(terms) == 1:
        return next(iter(terms.values()))
    if terms:
        raise QueryError(f"several parts have a term {name!r}; give {' or '.join(terms)}")
    similar = _similar(context, name)
    hint = f"; it has {', '.join(similar)}" if similar else ""
    raise QueryError(
        f"{context.path} has no term {name!r} to boost{hint}; use a name that --explain shows"
    )


def _similar(context: SearchContext, name: str) -> list[str]:
    """Some terms whose names contain this one."""
    words = context.reader.words
    every = () if words is None else (words[term] for term in range(len(words)))
    return list(islice((word for word in every if name.lower() in word.lower()), _SUGGESTED))

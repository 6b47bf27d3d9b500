"""Boosting and muting terms of a query by name.

A query's weight of a named term is multiplied by a factor: above 1 it counts for more, below 1 for
less, at 0 not at all.  A term that the query lacks has nothing to multiply.  With a factor above 1
it is given factor - 1 times the mean weight of the query's terms (of those of its part, in an
encoder of several): so at a factor of 2 it counts as much as the query's terms do on average, and
with a factor of at most 1 it stays away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from lsr.arguments import real
from lsr.encoders.names import part_slices
from lsr.errors import QueryError
from lsr.retrieval.index import Index
from lsr.vectors import SparseVectors

_SUGGESTED = 5


def parse_boosts(given: Sequence[str]) -> dict[str, float]:
    """The factor of each name, from texts such as "vitamin/fracture/falls=1.5".

    Raises `QueryError` for a text that is not NAME=FACTOR, and for a name given twice.
    """
    boosts: dict[str, float] = {}
    for text in given:
        name, equals, factor = text.rpartition("=")
        try:
            if not equals or not name or name in boosts:
                raise ValueError
            boosts[name] = float(factor)
        except ValueError:
            raise QueryError(
                f"{text!r} boosts nothing; give TERM=FACTOR, each term once, as in "
                "vitamin/fracture/falls=1.5"
            ) from None
    return boosts


def boost(index: Index, queries: SparseVectors, factors: Mapping[str, float]) -> SparseVectors:
    """The vectors of queries with named terms boosted or muted; see the module.

    Args:
        queries: by the encoder of the index.
        factors: by the name of a term, as explanations show it; of an encoder of several, one that
            two parts have is given as PART:TERM.

    Raises `QueryError` for a name that the index has no term of, or several, and for a factor
    that is no finite number of at least 0.
    """
    if not factors:
        return queries
    given = [real(f"the factor of {name}", factor) for name, factor in factors.items()]
    terms = np.array([_term(index, name) for name in factors], np.uint32)
    if np.unique(terms).size < terms.size:
        raise QueryError("a term is boosted twice; give each term once")
    values = np.array(given, np.float64)
    bounds = _bounds(index, terms)
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
    found = {int(t): float(w) for t, w in zip(terms, weights, strict=True) if w > 0}
    changed = dict(found)
    for term, factor, (start, stop) in zip(named.tolist(), factors.tolist(), bounds, strict=True):
        if term in found:
            changed[term] = found[term] * factor
        else:  # not above 0, and so dropped, unless the factor is above 1
            own = [weight for other, weight in found.items() if start <= other < stop]
            changed[term] = (factor - 1) * sum(own) / len(own) if own else 0.0
    kept = sorted(term for term, weight in changed.items() if weight > 0)
    return np.array(kept, np.uint32), np.array([changed[term] for term in kept], np.float32)


def _bounds(index: Index, terms: npt.NDArray[np.uint32]) -> list[tuple[int, int]]:
    """First term and end of the part that each term is of."""
    parts = [(start, stop) for _, start, stop in part_slices(index.manifest.encoder)]
    return [
        next(((start, stop) for start, stop in parts if start <= term < stop), (0, 2**32))
        for term in terms.tolist()
    ]


def _term(index: Index, name: str) -> int:
    whole = index.find_term(name)
    if whole is not None:
        return whole
    parts = [part for part, _, _ in part_slices(index.manifest.encoder)]
    found = [f"{part}:{name}" for part in parts if index.find_term(f"{part}:{name}") is not None]
    if len(found) == 1:
        term = index.find_term(found[0])
        assert term is not None
        return term
    if found:
        raise QueryError(f"several parts have a term {name!r}; give {' or '.join(found)}")
    like = _like(index, name)
    hint = f"; it has {', '.join(like)}" if like else ""
    raise QueryError(
        f"{index.path} has no term {name!r} to boost{hint}; take a name that --explain shows"
    )


def _like(index: Index, name: str) -> list[str]:
    """Some terms whose names have this one's text in them."""
    if index.vocabulary is None:
        return []
    words = index.vocabulary[0]
    every = (words[term] for term in range(len(words)))
    return list(islice((word for word in every if name.lower() in word.lower()), _SUGGESTED))

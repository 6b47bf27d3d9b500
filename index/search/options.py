"""The options of a search: `SearchOptions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from lsr.arguments import real, whole
from lsr.errors import QueryError

METHODS = ("auto", "scan", "pruned", "reference")


class SearchKeywords(TypedDict, total=False):
    """The options of a search but k, as keywords; see `SearchOptions`."""

    method: str
    exact_floats: bool
    threads: int
    boosts: Mapping[str, float]


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search; checked once, here.

    Attributes:
        k: number of hits; a query may have fewer, because a hit shares a term with the query.
        method: "scan" reads all postings of the query's terms, "pruned" skips blocks that cannot
            have a hit, "auto" chooses; "reference" is a slow check in Numba.  All give the same
            hits.
        exact_floats: rank by the float64 inner product of the original weights, summed over
            ascending terms, instead of the quantized weights; needs an index with `keep_floats`.
        threads: number of threads that share the queries.
        boosts: factors of the query's terms by name (`lsr.retrieval.boosting`), applied before
            the search.

    Raises `QueryError` for values out of range.
    """

    k: int = 10
    method: str = "auto"
    exact_floats: bool = False
    threads: int = 1
    boosts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("k", "threads"):
            value = getattr(self, name)
            if (number := whole(name, value)) is not value:
                object.__setattr__(self, name, number)
        if self.method not in METHODS:
            raise QueryError(f"there is no search method {self.method!r}; use {', '.join(METHODS)}")
        if self.boosts:
            boosts = {n: real(f"the factor of {n}", factor) for n, factor in self.boosts.items()}
            object.__setattr__(self, "boosts", boosts)

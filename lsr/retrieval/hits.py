"""The hits of a search."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from lsr.index.reader import IndexReader
from lsr.retrieval.explanation import Explanation


class Hits:
    """The best documents for one query, best first; there may be fewer than k.

    Pickled hits contain ids and scores.  For texts and explanations they open the index again, and
    raise `IndexChanged` when its edition is gone.

    Attributes:
        query: the query's text, or None when it was a vector.
        docids: uint32, shape (hits,), docids in the index.
        scores: float64, shape (hits,).
    """

    _pickled: bytes  # of unpickled hits: their `_source`

    def __init__(
        self,
        reader: IndexReader,
        query: str | None,
        docids: npt.NDArray[np.uint32],
        scores: npt.NDArray[np.float64],
        why: Callable[[int, float], Explanation],
    ) -> None:
        """`why` explains the score of a docid."""
        self.query, self.docids, self.scores = query, docids, scores
        self._source = reader, why  # takes the place of the property

    @cached_property
    def ids(self) -> npt.NDArray[np.str_]:
        """External ids, shape (hits,)."""
        reader, _ = self._source
        return np.array([reader.id_of(docid) for docid in self.docids.tolist()], dtype=np.str_)

    @cached_property
    def _source(self) -> tuple[IndexReader, Callable[[int, float], Explanation]]:
        """The reader, and the function that explains a score; unpickled at first use."""
        source: tuple[IndexReader, Callable[[int, float], Explanation]]
        source = pickle.loads(self._pickled)
        return source

    def __getstate__(self) -> dict[str, Any]:
        return {
            "query": self.query,
            "docids": self.docids,
            "scores": self.scores,
            "ids": self.ids,
            # Apart, so that ids and scores can be had when the index is gone.
            "_pickled": self.__dict__.get("_pickled") or pickle.dumps(self._source),
        }

    def __copy__(self) -> Hits:
        return self  # hits never change

    def __deepcopy__(self, memo: object) -> Hits:
        return self

    def __len__(self) -> int:
        return self.docids.size

    @overload
    def __getitem__(self, rank: SupportsIndex) -> Hit: ...

    @overload
    def __getitem__(self, rank: slice) -> Hits: ...

    def __getitem__(self, rank: SupportsIndex | slice) -> Hit | Hits:
        """The hit at a rank, from 0 or, if negative, from the end; for a slice, `Hits`."""
        if not isinstance(rank, slice):
            return Hit(self, self._rank(rank))
        hits = Hits.__new__(Hits)
        hits.__dict__.update(self.__dict__)
        for name in ("docids", "scores", "ids"):
            if name in self.__dict__:
                hits.__dict__[name] = self.__dict__[name][rank]
        return hits

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
        number = self._rank(rank)
        return self._source[1](int(self.docids[number]), float(self.scores[number]))

    def stored(self, rank: int) -> tuple[str, str]:
        """Title and text of the document at a rank; empty when the index keeps no text."""
        return self._source[0].stored_text(int(self.docids[self._rank(rank)])) or ("", "")

    def _rank(self, rank: SupportsIndex) -> int:
        number = operator.index(rank)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no hit {number}; there are {len(self)} hits")
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

"""impact-index (Piwowarski): MaxScore and WAND over bit-packed blocks, 8-bit weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import impact_index
import numpy as np

from benchmarks.engines import Engine, Searches
from lsr import SparseVectors


class ImpactIndex(Engine):
    name = package = "impact-index"
    searches: ClassVar[Searches] = {
        "MaxScore": {"method": "search_maxscore"},
        "WAND": {"method": "search_wand"},
    }

    def __init__(self, reorder: bool) -> None:
        self._reorder = reorder
        self.keeps_order = not reorder
        self.settings = "8 bit, own bisection" if reorder else "8 bit"

    def build(self, documents: SparseVectors, directory: Path) -> None:
        builder = impact_index.IndexBuilder(str(directory / "raw"))
        for number, row in enumerate(documents):
            builder.add(number, row.terms.astype(np.uintp), row.weights)
        raw = builder.build(False)
        write = raw.reorder if self._reorder else raw.compress
        write(str(directory / "index"), nbits=8)

    def open(self, directory: Path) -> None:
        self._index = impact_index.Index.load(str(directory / "index"), True)

    def prepare(self, query: SparseVectors) -> Any:
        return dict(zip(query.terms.tolist(), query.weights.tolist(), strict=True))

    def search(self, query: Any, k: int, *, method: str) -> Any:
        return getattr(self._index, method)(query, k)

    def documents(self, answer: Any) -> list[int]:
        return [hit.docid for hit in answer]

    def sizes(self, directory: Path) -> dict[str, int]:
        return super().sizes(directory / "index")


BUILDS = {"impact-index": [partial(ImpactIndex, False), partial(ImpactIndex, True)]}

"""kANNolo (Delfino et al., ECIR 2025): sparse HNSW, approximate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from kannolo import SparsePlainHNSW

from benchmarks.engines import Engine, Searches
from lsr import SparseVectors


class Kannolo(Engine):
    name = package = "kannolo"
    settings = "m 32, efConstruction 200"
    searches: ClassVar[Searches] = {f"ef {ef}": {"ef": ef} for ef in (40, 160, 640)}

    def build(self, documents: SparseVectors, directory: Path) -> None:
        terms = documents.terms.astype(np.int32)
        index = SparsePlainHNSW.build_from_arrays(
            terms, documents.weights, documents.indptr, m=32, ef_construction=200
        )
        index.save(str(directory / "index"))

    def open(self, directory: Path) -> None:
        self._index = SparsePlainHNSW.load(str(directory / "index"))

    def prepare(self, query: SparseVectors) -> Any:
        return query.terms.astype(np.int32), query.weights

    def search(self, query: Any, k: int, *, ef: int) -> Any:
        return self._index.search(*query, k, ef_search=max(ef, k))

    def documents(self, answer: Any) -> list[int]:
        return [number for number in answer[1].tolist() if number >= 0]


BUILDS = {"kannolo": [Kannolo]}

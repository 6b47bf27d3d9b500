"""BMP: block-max pruning (Mallia, Suel, Tonellotto, SIGIR 2024), exact on its integers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import bmp

from benchmarks.engines import Engine, Searches, word_rows
from lsr import SparseVectors


class Bmp(Engine):
    name = package = "bmp"
    searches: ClassVar[Searches] = {"": {"alpha": 1.0, "beta": 1.0}}
    keeps_order = True

    def __init__(self, block: int) -> None:
        self._block = block
        self.settings = f"block {block}"

    def build(self, documents: SparseVectors, directory: Path) -> None:
        indexer = bmp.Indexer(str(directory / "index"), self._block, False)
        for number, row in enumerate(word_rows(documents)):
            indexer.add_document(str(number), row)
        indexer.finish()

    def open(self, directory: Path) -> None:
        self._searcher = bmp.Searcher(str(directory / "index"))

    def search(self, query: Any, k: int, *, alpha: float, beta: float) -> Any:
        return self._searcher.search(query, k, alpha, beta)

    def documents(self, answer: Any) -> list[int]:
        return [int(name) for name in answer[0]]


BUILDS = {"bmp": [partial(Bmp, block) for block in (8, 16, 32, 64)]}

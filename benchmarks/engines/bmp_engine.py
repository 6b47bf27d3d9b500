"""BMP: block-max pruning (Mallia, Suel, Tonellotto, SIGIR 2024), exact on its integers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import bmp

from benchmarks.engines import file_sizes, word_rows, words
from lsr import SparseVectors


class Bmp:
    name = "bmp"
    searches: Mapping[str, Mapping[str, Any]] = {"": {"alpha": 1.0, "beta": 1.0}}
    ordered = True
    batched = False
    version = installed("bmp")

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

    def prepare(self, query: SparseVectors) -> Any:
        return dict(zip(words(query.terms), query.weights.tolist(), strict=True))

    def search(self, query: Any, k: int, *, alpha: float, beta: float) -> Any:
        return self._searcher.search(query, k, alpha, beta)

    def documents(self, answer: Any) -> list[int]:
        return [int(name) for name in answer[0]]

    def sizes(self, directory: Path) -> dict[str, int]:
        return file_sizes(directory)


BUILDS = {"bmp": [partial(Bmp, block) for block in (8, 16, 32, 64)]}

"""The plain scan: `benchmarks.plain_scan`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.engines import file_sizes
from benchmarks.plain_scan import PlainIndex
from lsr import SparseVectors


class PlainScan:
    name = "plain scan"
    settings = "8 bit"
    searches: Mapping[str, Mapping[str, Any]] = {"": {}}
    ordered = False
    batched = False
    version = "1"

    def build(self, documents: SparseVectors, directory: Path) -> None:
        PlainIndex.build(documents).save(directory)

    def open(self, directory: Path) -> None:
        self._index = PlainIndex.open(directory)

    def prepare(self, query: SparseVectors) -> Any:
        return self._index.quantize(query)[:2]

    def search(self, query: Any, k: int) -> Any:
        terms, weights = query
        return self._index.search(terms, weights, k)

    def documents(self, answer: Any) -> list[int]:
        return [int(document) for document in answer[0]]

    def sizes(self, directory: Path) -> dict[str, int]:
        return file_sizes(directory)


BUILDS = {"scan": [PlainScan]}

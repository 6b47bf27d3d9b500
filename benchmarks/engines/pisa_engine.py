"""PISA (Mallia et al.) through pyterrier_pisa: 8-bit weights, block_simdbp lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pyterrier_pisa import PisaIndex

from benchmarks.engines import Engine, Searches, word_rows
from lsr import SparseVectors

UNCOMPRESSED = ("inv.docs", "inv.freqs")  # the compressed lists were made from these


class Pisa(Engine):
    name = "PISA"
    package = "pyterrier-pisa"
    settings = "8 bit, all queries in one batch"
    keeps_order = True
    batched = True  # a call costs about a millisecond, whatever the query
    searches: ClassVar[Searches] = {
        "MaxScore": {"algorithm": "maxscore"},
        "block-max MaxScore": {"algorithm": "block_max_maxscore"},
        "WAND": {"algorithm": "wand"},
        "block-max WAND": {"algorithm": "block_max_wand"},
    }

    def build(self, documents: SparseVectors, directory: Path) -> None:
        rows = enumerate(word_rows(documents))
        indexer = self._at(directory).toks_indexer(scale=1.0)
        indexer.index({"docno": str(number), "toks": row} for number, row in rows)
        self._at(directory).quantized()  # compresses the lists

    def open(self, directory: Path) -> None:
        self._index = self._at(directory)
        self._retrievers: dict[tuple[str, int], Any] = {}

    def search(self, query: Any, k: int, *, algorithm: str) -> Any:
        if (algorithm, k) not in self._retrievers:  # made in the pass that warms up
            self._retrievers[algorithm, k] = self._index.quantized(
                num_results=k, query_algorithm=algorithm, threads=1, toks_scale=100.0
            )
        numbers = [str(number) for number in range(len(query))]
        frame = pd.DataFrame({"qid": numbers, "query_toks": query})
        return len(query), self._retrievers[algorithm, k].transform(frame)

    def documents(self, answer: Any) -> list[list[int]]:
        count, frame = answer
        documents: list[list[int]] = [[] for _ in range(count)]
        for query, name in zip(frame["qid"], frame["docno"], strict=True):
            documents[int(query)].append(int(name))
        return documents

    def sizes(self, directory: Path) -> dict[str, int]:
        sizes = super().sizes(directory / "index")
        return {name: size for name, size in sizes.items() if name not in UNCOMPRESSED}

    @staticmethod
    def _at(directory: Path) -> PisaIndex:
        return PisaIndex(
            str(directory / "index"),
            stemmer="none",
            stops="none",
            index_encoding="block_simdbp",
            threads=1,
        )


BUILDS = {"pisa": [Pisa]}

"""Seismic (Bruch, Nardini, Rulli, Venturini, SIGIR 2024; k-NN graph CIKM 2024): approximate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import seismic

from benchmarks.engines import Engine, words
from lsr import SparseVectors

POINTS = ((5, 0.9), (10, 0.8), (20, 0.7), (30, 0.6))  # terms of the query, heap factor


class Seismic(Engine):
    package = "pyseismic-lsr"

    def __init__(self, neighbours: int) -> None:
        self._neighbours = neighbours
        self.name = "seismic + kNN" if neighbours else "seismic"
        self.settings = f"graph of {neighbours}" if neighbours else ""
        self.searches = {
            f"cut {cut}, heap {heap:.1g}": {"query_cut": cut, "heap_factor": heap}
            for cut, heap in POINTS
        }

    def build(self, documents: SparseVectors, directory: Path) -> None:
        data = seismic.SeismicDataset(int(documents.terms.max(initial=0)) + 1)
        names = [str(number) for number in range(len(documents))]
        terms = documents.terms.astype(np.int64)
        data.add_documents_by_id(names, terms, documents.weights, documents.indptr)
        index = seismic.SeismicIndex.build_from_dataset(
            data, n_postings=3500, summary_energy=0.4, nknn=self._neighbours, num_threads=1
        )
        index.save(str(directory / "index"))
        if self._neighbours:
            index.save_knn(str(directory / "index.knn"))

    def open(self, directory: Path) -> None:
        self._index = seismic.SeismicIndex.load(str(directory / "index.index.seismic"))
        if self._neighbours and not self._index.knn_len:
            self._index.load_knn(str(directory / "index.knn"))

    def prepare(self, query: SparseVectors) -> Any:
        names = np.array(words(query.terms), dtype=seismic.get_seismic_string())
        return {"query_components": names, "query_values": query.weights}

    def search(self, query: Any, k: int, *, query_cut: int, heap_factor: float) -> Any:
        return self._index.search(
            query_id="0",
            **query,
            k=k,
            query_cut=query_cut,
            heap_factor=heap_factor,
            n_knn=self._neighbours,
        )

    def documents(self, answer: Any) -> list[int]:
        return [int(name) for _, _, name in answer]


BUILDS = {"seismic": [partial(Seismic, 0)], "seismic-knn": [partial(Seismic, 10)]}

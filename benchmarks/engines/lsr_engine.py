"""This project's engine, by its public Python call, one query a call."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import _lsr

import lsr.index
from benchmarks.engines import Engine, Searches
from lsr import Index, SparseVectors, __version__, kernels
from lsr.index.search.options import METHODS


class Lsr(Engine):
    name = "lsr"
    searches: ClassVar[Searches] = {
        "" if method == "auto" else method: {"method": method}
        for method in METHODS
        if method != "reference"
    }

    def __init__(self) -> None:
        self.settings = f"8 bit, {kernels.instruction_set('index')}"

    @property
    def version(self) -> str:
        """The version and a hash of the engine's code, which changes between releases."""
        code = hashlib.blake2b(digest_size=4)
        sources = [path for folder in lsr.index.__path__ for path in Path(folder).rglob("*.py")]
        for path in [*sorted(sources), Path(_lsr.__file__)]:
            code.update(path.read_bytes())
        return f"{__version__}+{code.hexdigest()}"

    def build(self, documents: SparseVectors, directory: Path) -> None:
        ids = [str(row) for row in range(len(documents))]
        Index.from_vectors(directory / "index", ids, documents)

    def open(self, directory: Path) -> None:
        self._index = Index.open(directory / "index")

    def prepare(self, query: SparseVectors) -> Any:
        return query

    def search(self, query: Any, k: int, *, method: str) -> Any:
        return self._index.search_vectors(query, k, method=method)

    def documents(self, answer: Any) -> list[int]:
        return [int(id) for id in answer[0].ids]

    def sizes(self, directory: Path) -> dict[str, int]:
        sizes: dict[str, int] = Index.open(directory / "index").info()["sizes"]
        return sizes


BUILDS = {"lsr": [Lsr]}

"""This project's engine, by its public Python call, one query a call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lsr.index
from lsr import Index, SparseVectors, __version__
from lsr.index.search.searcher import METHODS, instruction_set


class Lsr:
    name = "lsr"
    ordered = False  # finds an order of its own
    batched = False

    @property
    def settings(self) -> str:
        return f"8 bit, {instruction_set()}"

    @property
    def searches(self) -> Mapping[str, Mapping[str, Any]]:
        fast = [method for method in METHODS if method != "reference"]
        return {"" if method == "auto" else method: {"method": method} for method in fast}

    @property
    def version(self) -> str:
        """With digits that stand for the engine's code, which changes between releases."""
        code = hashlib.blake2b(digest_size=4)
        for folder in sorted(lsr.index.__path__):
            for path in sorted(Path(folder).iterdir()):
                if path.suffix in (".py", ".so"):
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

"""One small adapter an engine, all with the protocol `Engine`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lsr import SparseVectors

# Name on the command line: its module here, and the distribution that pip installs.
FAMILIES: Mapping[str, tuple[str, str]] = {
    "scan": ("scan", "numba"),
    "lsr": ("lsr_engine", "lsr-engine"),
    "bmp": ("bmp_engine", "bmp"),
    "impact-index": ("impact_index_engine", "impact-index"),
    "pisa": ("pisa_engine", "pyterrier-pisa"),
    "seismic": ("seismic_engine", "pyseismic-lsr"),
    "seismic-knn": ("seismic_engine", "pyseismic-lsr"),
    "kannolo": ("kannolo_engine", "kannolo"),
}
DEFAULT = ("scan", "lsr", "bmp", "impact-index", "pisa", "seismic")  # the others build for long


class Engine(Protocol):
    """An index of one kind, built once and searched in one or several ways.

    Attributes:
        name: as in tables.
        settings: how it is built, in words, where that is a choice.
        searches: the ways to search it: a label in words, and keyword arguments of `search`.
        ordered: whether it numbers documents as they come, so that an order from outside pays.
        batched: whether `search` takes all queries at once, so that only a mean can be told.
        version: what was measured.
    """

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> str: ...

    @property
    def searches(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def ordered(self) -> bool: ...

    @property
    def batched(self) -> bool: ...

    @property
    def version(self) -> str: ...

    def build(self, documents: SparseVectors, directory: Path) -> None:
        """Write an index; documents are numbered from 0 in the order given."""

    def open(self, directory: Path) -> None:
        """Make the written index ready for `search`."""

    def prepare(self, query: SparseVectors) -> Any:
        """A query (one row) as `search` takes it; not timed."""

    def search(self, query: Any, k: int, **how: Any) -> Any:
        """Answer one prepared query, or a list of them when `batched`; this is timed."""

    def documents(self, answer: Any) -> Sequence[int]:
        """Document numbers of an answer, best first (a list of such when batched); not timed."""

    def sizes(self, directory: Path) -> dict[str, int]:
        """Bytes on disk that searching needs, by part."""


def builds(family: str) -> list[Callable[[], Engine]]:
    """What makes the engines of a family, one a build.  Raises ImportError without its package."""
    module = import_module(f"benchmarks.engines.{FAMILIES[family][0]}")
    return list(module.BUILDS[family])


def eight_bits(vectors: SparseVectors) -> npt.NDArray[np.uint8]:
    """Weights on one linear scale of 255 levels, at least 1: what `lsr` stores."""
    step = float(vectors.weights.max(initial=0)) / 255 or 1.0
    return np.maximum(np.rint(vectors.weights.astype(np.float64) / step), 1).astype(np.uint8)


def words(terms: npt.NDArray[np.uint32]) -> list[str]:
    """Term numbers as the strings that some engines want."""
    return [str(term) for term in terms.tolist()]


def word_rows(vectors: SparseVectors) -> Iterator[dict[str, int]]:
    """Each document as a dictionary from word to 8-bit weight."""
    names = words(np.arange(int(vectors.terms.max(initial=0)) + 1, dtype=np.uint32))
    weights = eight_bits(vectors)
    for first, last in pairwise(vectors.indptr.tolist()):
        terms, levels = vectors.terms[first:last].tolist(), weights[first:last].tolist()
        yield {names[term]: level for term, level in zip(terms, levels, strict=True)}


def file_sizes(directory: Path) -> dict[str, int]:
    """Bytes of every file below a directory, by name."""
    return {p.name: p.stat().st_size for p in sorted(directory.rglob("*")) if p.is_file()}

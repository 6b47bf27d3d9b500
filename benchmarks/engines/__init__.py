"""One small adapter an engine, all subclasses of `Engine`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version as version_of
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lsr import SparseVectors

# Name on the command line: its module here, and the distribution that pip installs.
FAMILIES: Mapping[str, tuple[str, str]] = {
    "scan": ("plain_scan", "numba"),
    "lsr": ("lsr_engine", "lsr-engine"),
    "bmp": ("bmp_engine", "bmp"),
    "impact-index": ("impact_index_engine", "impact-index"),
    "pisa": ("pisa_engine", "pyterrier-pisa"),
    "seismic": ("seismic_engine", "pyseismic-lsr"),
    "seismic-knn": ("seismic_engine", "pyseismic-lsr"),
    "kannolo": ("kannolo_engine", "kannolo"),
}
DEFAULT = ("scan", "lsr", "bmp", "impact-index", "pisa", "seismic")  # the others build for long

Searches = Mapping[str, Mapping[str, Any]]


class Engine(ABC):
    """An index of one kind, built once and searched in one or several ways.

    Attributes:
        name: its name in tables.
        package: the distribution that `version` is of.
        settings: build settings in words, if there is a choice.
        searches: a label in words for each way to search, and its keyword arguments of `search`.
        keeps_order: whether documents are numbered as they come, so that their order matters.
        batched: whether `search` takes all queries at once, so that only a mean can be measured.
    """

    name: str
    package: ClassVar[str]
    settings = ""
    searches: ClassVar[Searches] = {"": {}}
    keeps_order = False
    batched = False

    @property
    def version(self) -> str:
        """The version that is measured."""
        return version_of(self.package)

    @abstractmethod
    def build(self, documents: SparseVectors, directory: Path) -> None:
        """Write an index; documents are numbered from 0 in the order given."""

    @abstractmethod
    def open(self, directory: Path) -> None:
        """Make the written index ready for `search`."""

    def prepare(self, query: SparseVectors) -> Any:
        """A query (one row) in the form for `search`; not timed."""
        return dict(zip(words(query.terms), query.weights.tolist(), strict=True))

    @abstractmethod
    def search(self, query: Any, k: int, **options: Any) -> Any:
        """Answer one prepared query, or a list of them if `batched`; this is timed."""

    @abstractmethod
    def documents(self, answer: Any) -> Sequence[Any]:
        """Document numbers of an answer, best first (a list a query if `batched`); not timed."""

    def sizes(self, directory: Path) -> dict[str, int]:
        """Bytes on disk that searching needs, by part."""
        files = sorted(directory.rglob("*"))
        return {file.name: file.stat().st_size for file in files if file.is_file()}


def builds(family: str) -> list[Callable[[], Engine]]:
    """A constructor for each build of a family.  Raises ImportError without its package."""
    module = import_module(f"benchmarks.engines.{FAMILIES[family][0]}")
    return list(module.BUILDS[family])


def eight_bits(vectors: SparseVectors) -> tuple[npt.NDArray[np.uint8], float]:
    """Weights in 8 bits as `lsr` stores them, on one linear scale and at least 1, and its step."""
    step = float(vectors.weights.max(initial=0)) / 255 or 1.0
    levels = np.rint(vectors.weights.astype(np.float64) / step)
    return np.maximum(levels, 1).astype(np.uint8), step


def words(terms: npt.NDArray[np.uint32]) -> list[str]:
    """Term numbers as strings, for engines whose terms are words."""
    return [str(term) for term in terms.tolist()]


def word_rows(vectors: SparseVectors) -> Iterator[dict[str, int]]:
    """Each document as a dictionary from word to 8-bit weight."""
    names = words(np.arange(int(vectors.terms.max(initial=0)) + 1, dtype=np.uint32))
    weights, _ = eight_bits(vectors)
    for first, last in pairwise(vectors.indptr.tolist()):
        terms, levels = vectors.terms[first:last].tolist(), weights[first:last].tolist()
        yield {names[term]: level for term, level in zip(terms, levels, strict=True)}

"""Learned sparse retrieval: encoders, a block-max inverted index, explained search.

`import lsr` is light: the module of a name below is imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

from lsr.version import __version__

if TYPE_CHECKING:
    from lsr.encoders import load_encoder
    from lsr.encoders.term_view import Term, TermView, show_terms
    from lsr.errors import LsrError
    from lsr.fusion.lists import Ranked
    from lsr.fusion.methods import fuse
    from lsr.index.reader import StoredDocument
    from lsr.retrieval.explanation import Contribution, Explanation, TermMatch
    from lsr.retrieval.hits import Hit, Hits
    from lsr.retrieval.hybrid import Hybrid
    from lsr.retrieval.index import Index
    from lsr.retrieval.retrievers import DenseRetriever, SparseRetriever
    from lsr.vectors import SparseVectors

_HOME = {
    "Contribution": "lsr.retrieval.explanation",
    "DenseRetriever": "lsr.retrieval.retrievers",
    "Explanation": "lsr.retrieval.explanation",
    "Hit": "lsr.retrieval.hits",
    "Hits": "lsr.retrieval.hits",
    "Hybrid": "lsr.retrieval.hybrid",
    "Index": "lsr.retrieval.index",
    "LsrError": "lsr.errors",
    "Ranked": "lsr.fusion.lists",
    "SparseRetriever": "lsr.retrieval.retrievers",
    "SparseVectors": "lsr.vectors",
    "StoredDocument": "lsr.index.reader",
    "Term": "lsr.encoders.term_view",
    "TermMatch": "lsr.retrieval.explanation",
    "TermView": "lsr.encoders.term_view",
    "fuse": "lsr.fusion.methods",
    "load_encoder": "lsr.encoders",
    "show_terms": "lsr.encoders.term_view",
}

__all__ = [
    "Contribution",
    "DenseRetriever",
    "Explanation",
    "Hit",
    "Hits",
    "Hybrid",
    "Index",
    "LsrError",
    "Ranked",
    "SparseRetriever",
    "SparseVectors",
    "StoredDocument",
    "Term",
    "TermMatch",
    "TermView",
    "__version__",
    "fuse",
    "load_encoder",
    "open",
    "show_terms",
]


def open(path: str | PathLike[str]) -> Index:
    """Open an index for searching: `Index.open`."""
    return __getattr__("Index").open(path)  # type: ignore[no-any-return]  # found by name


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lsr' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__

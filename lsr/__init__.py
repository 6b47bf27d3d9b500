"""Learned sparse retrieval: encoders, a block-max inverted index, explained search.

`import lsr` is light: a name below pulls in its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lsr.encoders import load_encoder
    from lsr.encoders.term_view import Term, TermView, show_terms
    from lsr.errors import LsrError
    from lsr.retrieval.hits import Explanation, Hit, Hits, Share, TermMatch
    from lsr.retrieval.hybrid import Hybrid
    from lsr.retrieval.index import Index, StoredDocument
    from lsr.vectors import SparseVectors

_HOME = {
    "Explanation": "lsr.retrieval.hits",
    "Hit": "lsr.retrieval.hits",
    "Hits": "lsr.retrieval.hits",
    "Hybrid": "lsr.retrieval.hybrid",
    "Index": "lsr.retrieval.index",
    "LsrError": "lsr.errors",
    "Share": "lsr.retrieval.hits",
    "SparseVectors": "lsr.vectors",
    "StoredDocument": "lsr.retrieval.index",
    "Term": "lsr.encoders.term_view",
    "TermMatch": "lsr.retrieval.hits",
    "TermView": "lsr.encoders.term_view",
    "load_encoder": "lsr.encoders",
    "show_terms": "lsr.encoders.term_view",
}

__all__ = [
    "Explanation",
    "Hit",
    "Hits",
    "Hybrid",
    "Index",
    "LsrError",
    "Share",
    "SparseVectors",
    "StoredDocument",
    "Term",
    "TermMatch",
    "TermView",
    "__version__",
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

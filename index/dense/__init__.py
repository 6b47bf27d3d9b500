"""The dense side of an index: a vector a document.  Here is what an index without one needs."""

from __future__ import annotations

from pathlib import Path

from lsr.errors import IndexFormatError
from lsr.storage.manifest import MANIFEST
from lsr.storage.workspace import PARTIAL

DENSE = "dense"


def has_dense(index: Path) -> bool:
    """Whether an index has a dense side, sound or not, of its documents or of others."""
    return (index / DENSE / MANIFEST).exists()


def no_dense(index: Path) -> IndexFormatError:
    """The error of a search that needs the dense side of an index without one."""
    again = f"`lsr index CORPUS -o {index} --dense minilm`"
    if (index / DENSE / PARTIAL).exists():
        return IndexFormatError(
            f"the dense side of {index} is unfinished; run the `lsr index … --dense …` that was "
            "making it again"
        )
    if has_dense(index):
        return IndexFormatError(
            f"{index / DENSE} is of another index or of other documents; remove the folder and "
            f"make it again with {again}"
        )
    return IndexFormatError(f"{index} has no dense side; make one with {again}")

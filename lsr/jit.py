"""Numba's compiler as this package uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.core import event

from lsr.terminal import remark

F = TypeVar("F", bound=Callable[..., object])

_PACKAGE = __name__.partition(".")[0]


def compiled(function: F) -> F:
    """Compile a function to run without the interpreter's lock, and keep it on disk.

    Where no cache can be written (an installation that is read-only, without a home), it is
    compiled anew in each process.
    """
    try:
        cached: F = njit(cache=True, nogil=True)(function)
        return cached
    except RuntimeError:  # "no locator available"
        _Announcer.kept = False
        fresh: F = njit(nogil=True)(function)
        return fresh


class _Announcer(event.Listener):  # type: ignore[misc]  # numba has no types
    """Says, once, that functions of this package are compiled and not taken from the cache."""

    kept = True
    said = False

    def on_start(self, event: Any) -> None:
        """Numba begins to compile a function."""
        module = event.data["dispatcher"].py_func.__module__
        if not _Announcer.said and module.partition(".")[0] == _PACKAGE:
            _Announcer.said = True
            again = "once, kept in the cache" if self.kept else "no cache can be written to keep it"
            remark(f"Compiling, which takes some seconds: {again}")

    def on_end(self, event: Any) -> None:
        """It has ended."""


event.register("numba:compile", _Announcer())

"""Numba's compiler as this package uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function to run without the interpreter's lock, and keep it on disk.

    Where no cache can be written (an installation that is read-only, without a home), it is
    compiled anew in each process.
    """
    try:
        cached: F = njit(cache=True, nogil=True)(function)
        return cached
    except RuntimeError:  # "no locator available"
        fresh: F = njit(nogil=True)(function)
        return fresh

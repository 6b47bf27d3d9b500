"""Checks of callers' arguments, by one set of rules.

- A whole number (k, depth, threads, bits, max_length, seed …) is an int or anything else with
  `__index__`, as NumPy's integers have.  True and 2.0 are none.
- A real number (weights, factors, shares …) is an int, a float or any other `numbers.Real`, as
  NumPy's numbers are, and finite.  True is none.
- A name (of an encoder, of a collection) is text; where one may be a folder or a file, a path
  (`os.PathLike`) is one too.  A path is made absolute when it is taken.
- Several of a kind (texts, ids, weights) are anything that can be iterated over.

What breaks a rule is refused with a sentence that names the argument.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable
from contextlib import suppress
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from lsr.errors import LsrError, QueryError

T = TypeVar("T")


def whole(
    name: str,
    value: Any,
    least: int = 1,
    most: int | None = None,
    *,
    error: type[LsrError] = QueryError,
) -> int:
    """`value` as an int from `least` to `most`, both included; raises `error`."""
    number: int | None = None
    if type(value) is int:  # at once, for a search checks two, and `suppress` takes a microsecond
        number = value
    elif not isinstance(value, bool):
        with suppress(TypeError):
            number = operator.index(value)
    if number is None or number < least or (most is not None and number > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise error(f"{name} must be a whole number {limits}, not {_shown(value)}")
    return number


def whole_or_none(
    name: str, value: Any, least: int = 1, *, error: type[LsrError] = QueryError
) -> int | None:
    """As `whole`, where None is a choice of its own."""
    return None if value is None else whole(name, value, least, error=error)


def real(
    name: str,
    value: Any,
    least: float = 0.0,
    most: float | None = None,
    *,
    error: type[LsrError] = QueryError,
) -> float:
    """`value` as a finite float from `least` to `most`, both included; raises `error`."""
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an int beyond all floats
            number = math.inf
    if not (math.isfinite(number) and number >= least and (most is None or number <= most)):
        limits = f"of at least {least:g}" if most is None else f"from {least:g} to {most:g}"
        raise error(f"{name} must be a finite number {limits}, not {_shown(value)}")
    return number


def named(what: str, value: Any, *, error: type[LsrError] = QueryError) -> str:
    """A name as it is, and a path as the absolute path it is now; raises `error` for all else."""
    if isinstance(value, str):
        return value
    path = os.fspath(value) if isinstance(value, PathLike) else None
    if isinstance(path, str):
        return str(Path(path).expanduser().absolute())
    raise error(f"{what} must be a string or a path, not {type(value).__name__}")


def listed(name: str, values: Iterable[T], *, error: type[LsrError] = QueryError) -> list[T]:
    """The items of anything that can be iterated over but text, as a list; raises `error`."""
    value: Any = values
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise error(f"{name} must be a list or another iterable, not {_shown(value)}")
    if isinstance(values, list):
        return values
    try:
        return list(values)
    except TypeError:  # an array without dimensions
        raise error(f"{name} must be a list or another iterable") from None


def _shown(value: Any) -> str:
    """A value in a sentence: numbers and texts as they are, else its type."""
    if isinstance(value, Real) or value is None:
        try:
            return str(value)
        except ValueError:  # an int of more than 4,300 digits
            return "a number of thousands of digits"
    if isinstance(value, str | bytes):
        return repr(value[:80])
    return type(value).__name__

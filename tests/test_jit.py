"""Compiling is announced where it happens, and not where the cache has it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("numba")

ONCE = "Compiling, which takes some seconds: once, kept in the cache\n"
# A function as those of this package are; numba goes by the module that it says it is of.
DOUBLED = "def doubled(value):\n    return 2 * value\n\n\ndoubled.__module__ = {module!r}\n"
IMPORTED = "import sys; sys.path.insert(0, sys.argv[1]); from here import doubled"
BY_A_COMMAND = """
from lsr.jit import compiled
from lsr.terminal import standard_streams
with standard_streams():
    assert compiled(doubled)(2) == 4
    assert compiled(lambda value: value)(2) == 2
"""
BY_A_LIBRARY = "\nfrom lsr.jit import compiled\nassert compiled(doubled)(2) == 4\n"

Said = Callable[..., str]


@pytest.fixture
def said(tmp_path: Path) -> Said:
    """said(code) is what a process that compiles `doubled` says; one cache is shared by all."""

    def run(code: str, module: str = "lsr.doubled") -> str:
        (tmp_path / "here.py").write_text(DOUBLED.format(module=module))
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-P", "-W", "error", "-c", code, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == ""
        return done.stderr

    return run


def test_once_by_a_command_and_not_where_it_is_kept(said: Said) -> None:
    assert said(IMPORTED + BY_A_COMMAND) == ONCE
    assert said(IMPORTED + BY_A_COMMAND) == ""


def test_not_by_a_library(said: Said) -> None:
    assert said(IMPORTED + BY_A_LIBRARY) == ""


def test_not_of_others(said: Said) -> None:
    assert said(IMPORTED + BY_A_COMMAND, module="other") == ""


def test_without_a_cache(said: Said) -> None:
    """As in an installation that is read-only: numba keeps nothing of a function without a file."""
    code = DOUBLED.format(module="lsr.doubled") + BY_A_COMMAND
    assert "no cache can be written to keep it" in said(code)

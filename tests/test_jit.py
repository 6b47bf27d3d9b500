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
DOUBLED = "def doubled(value):\n    return 2 * value\n"
# A function of this package, and one that is not.
OURS = "import sys, lsr; lsr.__path__.append(sys.argv[1]); from lsr.doubling import doubled\n"
OTHERS = "import sys; sys.path.append(sys.argv[1]); from doubling import doubled\n"
BY_A_LIBRARY = "from lsr.jit import compiled\nassert compiled(doubled)(2) == 4\n"
BY_A_COMMAND = """
from lsr.jit import compiled
from lsr.terminal import standard_streams
with standard_streams():
    assert compiled(doubled)(2) == 4
    assert compiled(lambda value: value)(2) == 2
"""

Said = Callable[[str], str]


@pytest.fixture
def said(tmp_path: Path) -> Said:
    """said(code) is what a process that runs the code says; all have the same cache."""
    (tmp_path / "doubling.py").write_text(DOUBLED)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run(code: str) -> str:
        command = [sys.executable, "-P", "-W", "error", "-c", code, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return done.stderr

    return run


def test_once_by_a_command_and_not_where_it_is_kept(said: Said) -> None:
    assert said(OURS + BY_A_COMMAND) == ONCE
    assert said(OURS + BY_A_COMMAND) == ""


def test_not_by_a_library(said: Said) -> None:
    assert said(OURS + BY_A_LIBRARY) == ""


def test_not_of_others(said: Said) -> None:
    assert said(OTHERS + BY_A_COMMAND) == ""


def test_without_a_cache(said: Said) -> None:
    """As in an installation that is read-only: numba keeps nothing of a function without a file."""
    code = f"{DOUBLED}doubled.__module__ = 'lsr.doubling'\n{BY_A_COMMAND}"
    assert "no cache can be written to keep it" in said(code)

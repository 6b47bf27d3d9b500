"""The packages of `lsr.integrations`: not imported unasked, and named when missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def python(code: str) -> str:
    """What code prints that runs in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("module", ["lsr", "lsr.eval", "lsr.cli", "lsr.integrations.mteb"])
def test_they_are_not_imported_unasked(module: str) -> None:
    code = f"import sys, {module}; print({{'mteb', 'pandas', 'pyterrier'}} & {{*sys.modules}})"
    assert python(code) == "set()\n"


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("mteb", "mteb", "from lsr.integrations.mteb import LsrSearch; LsrSearch('bm25')"),
        ("pyterrier", "pyterrier", "import lsr.integrations.pyterrier"),
    ],
)
def test_a_missing_one_is_named(package: str, extra: str, use: str) -> None:
    code = f"""
import sys
from lsr.errors import LsrError
sys.modules[{package!r}] = None  # as if it were not installed
try:
    {use}
except LsrError as error:
    print(error)
"""
    said = python(code)
    assert said.startswith(("MTEB cannot be imported (", "PyTerrier cannot be imported ("))
    assert said.endswith(f'); install it with pip install "lsr-engine[{extra}]"\n')

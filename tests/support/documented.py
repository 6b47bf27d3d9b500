"""The programs in docs/interoperability.md and what they are said to print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "interoperability.md"


def documented(heading: str) -> tuple[str, str]:
    """The program below a heading, and its output."""
    section = DOCUMENT.read_text().partition(f"## {heading}\n")[2]
    match = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", section, re.DOTALL)
    assert match is not None
    return match[1], match[2]


def run(program: str, folder: Path) -> str:
    """What a program prints, run in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout

"""What the tests of `lsr encode` encode, and how they look at the work."""

from __future__ import annotations

import re
from pathlib import Path

from support.editions import shard, vocabulary

DOCUMENTS, SHARD = 55, 10
SHARDS = range(6)


def record(number: int, what: str = "shelf") -> dict[str, str]:
    title = "T" if number % 3 else ""
    text = f"item {number} of the {('red', 'blue')[number % 2]} {what}"
    return {"id": f"d{number}", "title": title, "text": text}


def stamp(file: Path) -> tuple[int, int, bytes]:
    """Whether a file was written again can be seen from this, even if with the same bytes."""
    return file.stat().st_mtime_ns, file.stat().st_ino, file.read_bytes()


def stamps(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): stamp(path) for path in files}


def numbers(texts: list[str]) -> list[int]:
    """The documents of encoded texts."""
    found = [re.search(r"item (\d+) ", text) for text in texts]
    assert all(found)
    return [int(match[1]) for match in found if match]


def unfinished(folder: Path, shards: list[int]) -> None:
    """Make a finished folder one that was left with these shards."""
    (folder / "manifest.json").unlink()
    vocabulary(folder).unlink()
    for number in SHARDS:
        if number not in shards:
            shard(folder / "shards", number).unlink()

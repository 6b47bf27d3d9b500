"""Damage as disks and copies do it."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path, offset: int | None = None) -> None:
    """Change a bit of a file, of the byte in its middle if no offset is given."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset is None else offset] ^= 1
    path.write_bytes(data)


def cut(path: Path, size: int) -> None:
    """Take bytes off the end of a file."""
    path.write_bytes(path.read_bytes()[:-size])

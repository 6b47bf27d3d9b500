"""The files of an edition, whose names hold digests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lsr.index.format import Manifest
from lsr.storage.manifest import FileEntry


def only(folder: Path, pattern: str) -> Path:
    """The one file or folder that matches."""
    (path,) = folder.glob(pattern)
    return path


def shard(folder: Path, number: int) -> Path:
    """The shard of a number in a folder of shards."""
    return only(folder, f"{number:06}-*.parquet")


def shards_in(folder: Path) -> list[int]:
    """The numbers of the shards in a folder, and nothing else is in it."""
    names = sorted(path.name for path in folder.iterdir())
    assert all(name.endswith(".parquet") for name in names)
    return [int(name.partition("-")[0]) for name in names]


def vocabulary(folder: Path) -> Path:
    """The words of an index, or of a folder of vectors."""
    return only(folder, "vocabulary*.arrow")


def segment(index: Path) -> Path:
    """The folder of the only segment of an index."""
    return only(index / "segments", "*")


def reseal(index: Path, **changes: Any) -> None:
    """Describe the files of an index as they are now, with changes to the manifest."""
    manifest = Manifest.read(index)
    files = {name: FileEntry.of(index / name) for name in manifest.files}
    replace(manifest, files=files, **changes).write(index)

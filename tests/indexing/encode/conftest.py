"""A collection of six small shards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.encode_job import DOCUMENTS, SHARD, record


@pytest.fixture(autouse=True)
def small_shards(shards_of: Callable[[int], None]) -> None:
    shards_of(SHARD)


@pytest.fixture
def corpus(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    """A file of 55 documents, six shards."""
    return write_jsonl(tmp_path / "in" / "c.jsonl", map(record, range(DOCUMENTS)))


@pytest.fixture
def changed(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    """The same but for document 33, in shard 3."""
    records = [record(n, "drawer" if n == 33 else "shelf") for n in range(DOCUMENTS)]
    return write_jsonl(tmp_path / "in" / "changed.jsonl", records)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "v"

"""One process builds an index again and again, others search it; and the builder is killed.

`make soak` runs these as long as it takes to believe them; `make test` runs a short form.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lsr
from lsr.index.dense import side as dense
from lsr.index.verify import problems
from support.rebuilding import build, check
from support.tiny_dense import write_tiny_dense

LONG = os.environ.get("LSR_SOAK") == "1"
REBUILDS, READERS = (60, 8) if LONG else (4, 3)
KILLS = 200 if LONG else 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dense(tmp_path_factory.mktemp("model") / "tiny")


def start(*arguments: str | Path | int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "support.rebuilding", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@contextmanager
def reading(path: Path, readers: int) -> Iterator[dict[str, int]]:
    """Processes that open and search the index meanwhile; how often they saw each edition."""
    processes = [start("read", path, seed) for seed in range(readers)]
    seen: dict[str, int] = {}
    try:
        yield seen
        for process in processes:
            out, _ = process.communicate(timeout=60)  # ends its input
            found = json.loads(out)
            assert found["problems"] == []
            for edition, times in found["seen"].items():
                seen[edition] = seen.get(edition, 0) + times
    finally:
        for process in processes:
            with process:  # closes its pipes
                process.kill()


def test_readers_see_whole_editions(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "i"
    build(path, model, 0)
    with reading(path, READERS) as seen:
        with start("build", path, model, 1, REBUILDS) as builder:
            out, _ = builder.communicate()
        assert out.split() == [str(edition) for edition in range(1, REBUILDS + 1)]
        time.sleep(1)
    assert len(seen) > 2
    assert f"({REBUILDS}, True)" in seen
    left = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    index = lsr.open(path)
    assert index.dense is not None
    side = {f"dense/{name}" for name in ("manifest.json", *index.dense.manifest.files)}
    assert left == {"manifest.json", *index.manifest.files, *side}


def test_killed_at_any_moment(tmp_path: Path, model: Path) -> None:
    """The old edition or the new one, never anything else; and the next build goes on."""
    path = tmp_path / "i"
    build(path, model, 0)
    chance = random.Random(0)
    last = 0
    with reading(path, 2) as seen:
        for _ in range(KILLS):
            with start("build", path, model, last + 1, 1000) as builder:
                assert builder.stdout is not None
                first = builder.stdout.readline()  # so the kill is not of its start
                assert first == f"{last + 1}\n"
                time.sleep(chance.random() * 0.6)
                builder.kill()
                out, _ = builder.communicate()
            published = [last + 1, *map(int, out.split())][-1]
            edition, _ = check(lsr.open(path), chance)
            assert edition in (published, published + 1)
            assert [*problems(path), *dense.problems(path)] == []
            last = published + 1
    assert seen

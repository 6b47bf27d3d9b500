"""Fixtures of several folders: the command line, small collections, indexes of them."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

os.environ["HF_HUB_OFFLINE"] = "1"  # before the library is imported: no test asks the network

import lsr
from lsr.cli import main
from lsr.indexing.dense import add_dense

# A busy machine is no failure: nothing here depends on how long an example takes.
settings.register_profile("lsr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lsr")

pytest.register_assert_rewrite("support")  # before any of it is imported

SUBJECTS = ["harbour pilots", "tidal mills", "glass bees", "winter wheat", "paper maps", "copper"]
VERBS = ["guide", "measure", "repair", "describe", "carry", "forget"]
PLACES = ["in northern ports", "near old bridges", "under heavy rain", "without any light"]


class Result(NamedTuple):
    """What a command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one sentence it failed with."""
        lines = [line for line in self.err.splitlines() if not line.startswith("Checking: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("Error: ")
        return lines[0].removeprefix("Error: ")


@pytest.fixture(scope="session", autouse=True)
def helpers_elsewhere() -> Iterator[None]:
    """Processes that tests start can import `support` too."""
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Result]]:
    """run("search", index, "text") -> Result; no exception but SystemExit may come out.

    `stdin` is a file for standard input.
    """
    handler = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str | Path | int, stdin: Path | None = None) -> Result:
        capsys.readouterr()
        code, before = 0, sys.stdin
        with nullcontext(before) if stdin is None else stdin.open() as sys.stdin:
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            finally:
                sys.stdin = before
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., io.StringIO]:
    """Make standard output a terminal of so many columns, and catch what it shows."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    def make(columns: int, colour: bool = False) -> io.StringIO:
        screen = Screen()
        # A real one takes a process of its own, which costs a second.
        monkeypatch.setattr("sys.stdout", screen)
        monkeypatch.setenv("COLUMNS", str(columns))
        if not colour:
            monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        return screen

    return make


@pytest.fixture(scope="session")
def documents() -> list[dict[str, str]]:
    """144 short documents, all different."""
    found = []
    for a, subject in enumerate(SUBJECTS):
        for b, verb in enumerate(VERBS):
            for c, place in enumerate(PLACES):
                text = f"The {subject} {verb} {SUBJECTS[(a + b + c + 1) % 6]} {place}."
                found.append({"id": f"d{a}{b}{c}", "title": subject if c % 2 else "", "text": text})
    return found


@pytest.fixture(scope="session")
def write_jsonl() -> Callable[..., Path]:
    """write_jsonl(path, records) -> path"""

    def write(path: Path, records: Iterable[Any]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    return write


@pytest.fixture
def corpus(
    tmp_path: Path, documents: list[dict[str, str]], write_jsonl: Callable[..., Path]
) -> Path:
    """The documents as a file."""
    return write_jsonl(tmp_path / "corpus.jsonl", documents)


@pytest.fixture(scope="session")
def bm25_index(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, str]]
) -> lsr.Index:
    """An index of the documents, not to be changed; keeps its floats."""
    path = tmp_path_factory.mktemp("bm25") / "index"
    return lsr.Index.build(path, documents, "bm25", keep_floats=True)


@pytest.fixture(scope="session")
def splade_index(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, str]]
) -> lsr.Index:
    """An index of every sixth document by the model, not to be changed."""
    path = tmp_path_factory.mktemp("splade") / "index"
    return lsr.Index.build(path, iter(documents[::6]), encoder="splade-tiny")


@pytest.fixture(scope="session")
def dense_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense model of 8 dimensions, called "tiny"."""
    from support.tiny_dense import write_tiny_dense

    return write_tiny_dense(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def hybrid_index(
    tmp_path_factory: pytest.TempPathFactory,
    composite_index: lsr.Index,
    documents: list[dict[str, str]],
    dense_model: Path,
) -> lsr.Index:
    """The composite index with dense vectors, not to be changed."""
    path = tmp_path_factory.mktemp("hybrid") / "index"
    shutil.copytree(composite_index.path, path)
    add_dense(path, documents[::6], str(dense_model))
    return lsr.open(path)


@pytest.fixture(scope="session")
def composite_index(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, str]]
) -> lsr.Index:
    """An index of every sixth document by BM25 and the model, not to be changed."""
    path = tmp_path_factory.mktemp("composite") / "index"
    return lsr.Index.build(path, iter(documents[::6]))


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[lsr.Index], Path]:
    """A copy of an index that a test may damage."""

    def make(index: lsr.Index) -> Path:
        return Path(shutil.copytree(index.path, tmp_path / f"copy-of-{index.path.parent.name}"))

    return make


@pytest.fixture(scope="session")
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """The files below a folder by their path in it."""

    def read(folder: Path) -> dict[str, bytes]:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return read


@pytest.fixture(scope="session")
def python() -> list[str]:
    """The start of a command that runs Python code in a process of its own."""
    return [sys.executable, "-W", "error", "-c"]


@pytest.fixture
def shards_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """shards_of(10, characters=200): a shard holds so much from now on.

    2,048 documents or 8 MiB of text, as they hold, would make tests slow.
    """

    def limit(documents: int, **others: int) -> None:
        for name, most in {"documents": documents, **others}.items():
            monkeypatch.setattr(f"lsr.data.vectors.shards.SHARD_{name.upper()}", most)

    return limit


@pytest.fixture
def segment_limits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """segment_limits(partition=90): the limits of the `SegmentWriter` of builds from now on, which
    collections of a test do not reach."""
    from lsr.index.segments.writer import SegmentWriter

    return lambda **limits: monkeypatch.setattr(
        "lsr.indexing.build.SegmentWriter", partial(SegmentWriter, **limits)
    )


@pytest.fixture
def short_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autoencoders are fitted in 60 steps: 300 take a second."""
    monkeypatch.setattr("lsr.encoders.training.autoencoder_fit.LEAST_STEPS", 60)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """watch(Encoder, "collect") gives the texts that the method is given from now on, as they come.

    watch(Encoder, "collect", "item 7 ", act) also calls `act`, once, before such a text is encoded.
    """

    def start(
        kind: type, method: str, text: str = "", act: Callable[[], object] | None = None
    ) -> list[str]:
        texts: list[str] = []
        call, pending = getattr(kind, method), [act] if act is not None else []

        def watched(self: Any, batch: list[str], *arguments: Any, **options: Any) -> Any:
            texts.extend(batch)
            if pending and any(text in one for one in batch):
                pending.pop()()
            return call(self, batch, *arguments, **options)

        # What is encoded again, and what is not, shows in no result.
        monkeypatch.setattr(kind, method, watched)
        return texts

    return start


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, of the test alone."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "lsr"


@pytest.fixture
def add_kind(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """add_kind(name, module) makes a kind of encoders known, for the test alone."""
    # Kinds are a table of this package; nobody adds to it from outside.
    from lsr.encoders.registry import KINDS

    return lambda name, module: monkeypatch.setitem(KINDS, name, module)


@pytest.fixture
def toy(
    add_kind: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[], list[str]]]:
    """The encoder "toy" is known; toy() gives the texts it has encoded since it was last asked."""
    log = tmp_path.parent / f"{tmp_path.name}.log"
    add_kind("toy", "support.toy_encoder")
    monkeypatch.setenv("TOY_LOG", str(log))

    def texts() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.partition(" ")[2] for line in lines]

    yield texts
    log.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def lsr_command() -> Callable[..., list[str]]:
    """lsr_command(10, "encode", …): a command with shards of 10 documents that knows "toy"."""

    def command(shard: int, *arguments: str | Path) -> list[str]:
        start = [sys.executable, "-P", "-W", "error", "-m", "support.command"]
        return [*start, str(shard), *map(str, arguments)]

    return command

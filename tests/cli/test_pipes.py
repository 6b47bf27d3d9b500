"""Collections, queries, judgments and runs that come through a pipe are read a single time."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import lsr

DOCUMENTS = [{"_id": f"d{n}", "text": f"glass bees number {n + 10}"} for n in range(9)]
QUERIES = [{"_id": f"q{n}", "text": f"number {n + 10}"} for n in range(3)]
QRELS = "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n}\t1\n" for n in range(3))
RUN = "".join(f"q{n} Q0 d{n} 1 1.5 t\n" for n in range(3))


def lines(records: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """pipe(name, data) -> a named pipe that gives the data to its first reader and then fails."""
    writers = []

    def make(name: str, data: bytes) -> Path:
        path = tmp_path / name
        os.mkfifo(path)

        def write() -> None:
            with suppress(BrokenPipeError):
                path.write_bytes(data)
            path.unlink()  # a second reading fails instead of waiting for ever

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        writers.append((path, thread))
        return path

    yield make
    for path, thread in writers:
        with suppress(FileNotFoundError):  # else it was refused without being opened
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            thread.join(10)
            os.close(reader)
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("pipe", lines(DOCUMENTS)),
        ("pipe", gzip.compress(lines(DOCUMENTS))),
        ("pipe.jsonl.gz", gzip.compress(lines(DOCUMENTS))),
        ("pipe.tsv", b"".join(f"d{n}\tglass bees number {n + 10}\n".encode() for n in range(9))),
    ],
)
@pytest.mark.parametrize("command", ["index", "encode"])
def test_a_collection(
    run: Callable[..., Any],
    pipe: Callable[..., Path],
    tmp_path: Path,
    command: str,
    name: str,
    data: bytes,
) -> None:
    answer = run(command, pipe(name, data), "-o", tmp_path / "out", "--encoder", "bm25")
    assert (answer.code, "Checking" in answer.err) == (0, False)
    if command == "encode":
        assert run("index", tmp_path / "out", "-o", tmp_path / "i").code == 0
    with lsr.open(tmp_path / ("i" if command == "encode" else "out")) as index:
        assert index.search("number 17", 1).ids.tolist() == ["d7"]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("corpus.jsonl", lines(DOCUMENTS))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["pipe", "pipe.zip", "pipe.parquet", "pipe.jsonl"])
@pytest.mark.parametrize("data", [zipped(), b"PAR1\x15\x04\x15"])
def test_what_needs_its_end_first(
    run: Callable[..., Any],
    pipe: Callable[..., Path],
    tmp_path: Path,
    bm25_index: lsr.Index,
    name: str,
    data: bytes,
) -> None:
    what = (
        "a Parquet file"
        if "parquet" in name or ("zip" not in name and b"PAR1" in data)
        else "a zip"
    )
    path = pipe(name, data)
    sentence = f"{path} brings {what}, which cannot be read from a pipe; name the file"
    assert run("index", path, "-o", tmp_path / "i", "--encoder", "bm25").error == sentence
    if not path.exists():
        path = pipe(name, data)
    answer = run("search", bm25_index.path, "--queries", path, "--run", tmp_path / "r")
    assert answer.error == sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ["index", "PIPE", "-o", "OUT", "--encoder", "bm25", "--dense", "minilm"],
        ["index", "-", "-o", "OUT", "--encoder", "bm25", "--dense", "minilm"],
        ["fit-sae", "PIPE", "-o", "OUT"],
        ["eval", "PIPE", "--queries", "q", "--qrels", "r"],
        ["import", "PIPE", "-o", "OUT", "--format", "jsonvectors"],
    ],
)
def test_what_reads_twice_refuses_before_it_reads(
    run: Callable[..., Any], pipe: Callable[..., Path], tmp_path: Path, arguments: list[str]
) -> None:
    path = pipe("pipe", lines(DOCUMENTS))
    names = {"PIPE": path, "OUT": tmp_path / "out"}
    answer = run(*(names.get(argument, argument) for argument in arguments))
    where = "standard input" if "-" in arguments else str(path)
    assert f"{where} can be read only once" in answer.err
    assert answer.code > 0
    assert path.exists()  # nobody has opened it
    assert not (tmp_path / "out").exists()


def test_queries_judgments_and_runs(
    run: Callable[..., Any], pipe: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "set.jsonl").write_bytes(lines(DOCUMENTS))
    answer = run(
        "eval", tmp_path / "set.jsonl", "--encoder", "bm25", "--index", tmp_path / "i", "--json",
        "--queries", pipe("queries", lines(QUERIES)), "--qrels", pipe("qrels", QRELS.encode()),
    )  # fmt: skip
    assert (answer.code, answer.json["measures"]["RR@10"]) == (0, 1)
    assert list(answer.json["provenance"]["dataset"]["md5"]) == ["set.jsonl"]
    answer = run(
        "search", tmp_path / "i", "--queries", pipe("q", lines(QUERIES)), "--run", tmp_path / "run"
    )
    assert answer.code == 0
    assert (tmp_path / "run").read_text().startswith("q0 Q0 d0 1 ")
    vectors = b'\n{"id": "a", "vector": {"17": 1}}\n{"id": "b", "vector": {"18": 1}}\n'
    answer = run(
        "search", tmp_path / "i", "--queries", pipe("v", vectors), "--run", tmp_path / "run"
    )
    assert answer.code == 0
    assert {row.split()[0] for row in (tmp_path / "run").read_text().splitlines()} == {"a", "b"}
    answer = run(
        "eval", "--run-file", pipe("run1", RUN.encode()), "--json",
        "--qrels", pipe("qrels1", QRELS.encode() + b"q9\td1\t1\n"),
    )  # fmt: skip
    assert answer.json["measures"]["RR@10"] == 0.75
    answer = run(
        "compare", pipe("run2", RUN.encode()), pipe("run3", RUN.encode()), "--json",
        "--qrels", pipe("qrels2", QRELS.encode()),
    )  # fmt: skip
    assert (answer.code, answer.json["queries"]) == (0, 3)

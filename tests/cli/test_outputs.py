"""Standard output as a place, places that cannot be written, and names that are not UTF-8."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lsr
from lsr.data.datasets import cache_folder
from lsr.errors import CorpusError
from support.system import limited

BYTES = os.fsdecode(b"n\xff\xe9")  # Latin-1, or anything
DOCUMENTS = [{"_id": f"d{n}", "text": f"glass bees number {n + 10}"} for n in range(9)]
QUERIES = [{"_id": f"q{n}", "text": f"bees {n + 10}"} for n in range(3)]
QRELS = "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n}\t1\n" for n in range(3))


@pytest.fixture
def dataset(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    """A small dataset."""
    folder = tmp_path / "set"
    write_jsonl(folder / "corpus.jsonl", DOCUMENTS)
    write_jsonl(folder / "queries.jsonl", QUERIES)
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(QRELS)
    return folder


@pytest.fixture
def index(dataset: Path, run: Callable[..., Any], tmp_path: Path) -> Path:
    """Its index, by `lsr index`."""
    assert run("index", dataset, "-o", tmp_path / "index", "--encoder", "bm25").code == 0
    return tmp_path / "index"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_run_on_standard_output(
    run: Callable[..., Any], dataset: Path, index: Path, here: Path
) -> None:
    for arguments in (
        ["search", index, "--queries", dataset, "-k", 1000],
        ["eval", dataset, "--index", index],
    ):
        assert run(*arguments, "--run", here / "run").code == 0
        answer = run(*arguments, "--run", "-")
        assert (answer.code, answer.out) == (0, (here / "run").read_text())
        assert ("RR@10        1.0000" in answer.err) == (arguments[0] == "eval")
        (here / "run").unlink()
        assert not list(here.iterdir())
    # A file may be called so.
    assert run("search", index, "--queries", dataset, "--run", "./-").code == 0
    assert (here / "-").read_text().startswith("q0 Q0 d0 1 ")


def test_a_run_on_standard_output_comes_last(
    run: Callable[..., Any], dataset: Path, index: Path, tmp_path: Path
) -> None:
    """Who reads the run and leaves early leaves all files complete."""
    report, values = tmp_path / "report", tmp_path / "q.parquet"
    options = ["--index", index, "--report", report, "--per-query", values]
    answer = run("eval", dataset, *options, "--run", "-")
    assert (answer.code, answer.out.count("\n")) == (0, 27)
    assert (report / "report.html").exists()
    assert values.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "SET", "--run", "-", "--json"],
        ["eval", "SET", "--run", "-", "--encoder", "bm25", "--encoder", "bm25:robertson"],
        ["eval", "SET", "--per-query", "-"],
        ["eval", "SET", "--report", "-"],
        ["eval", "SET", "--index", "-"],
        ["index", "SET", "-o", "-"],
        ["encode", "SET", "-o", "-"],
        ["export", "INDEX", "-o", "-", "--format", "ciff"],
        ["import", "SET", "-o", "-"],
        ["fit-sae", "SET", "-o", "-"],
        ["add-keyphrases", "SET", "-o", "-"],
    ],
)
def test_standard_output_takes_a_run_alone(
    run: Callable[..., Any], dataset: Path, here: Path, arguments: list[str]
) -> None:
    answer = run(*(dataset if argument == "SET" else argument for argument in arguments))
    assert (answer.code, answer.out) == (2, "")
    assert "tandard output" in answer.err.splitlines()[-1] or "--run -" in answer.err
    assert not list(here.iterdir())


def test_ids_of_a_run_are_exact_whatever_the_encoding(
    run: Callable[..., Any], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": "é\x1b[1m日", "text": "bees"}])
    queries = write_jsonl(tmp_path / "q.jsonl", [{"id": "ü", "text": "bees"}])
    assert run("index", corpus, "-o", tmp_path / "i", "--encoder", "bm25").code == 0
    answer = run("search", tmp_path / "i", "--queries", queries, "--run", "-")
    assert answer.out.startswith("ü Q0 é\x1b[1m日 1 ")


def test_an_index_in_a_folder_that_cannot_be_written(
    run: Callable[..., Any], dataset: Path, index: Path
) -> None:
    runs = index.with_name("index.runs")
    runs.write_text("a file where the folder would be")
    answer = run("eval", dataset, "--index", index, "--json")
    assert (answer.code, answer.json["measures"]["RR@10"]) == (0, 1)
    notes = [line for line in answer.err.splitlines() if "Searching" not in line]
    assert notes == [f"The run will not be cached: {runs} cannot be written."]
    assert answer.err.index("not be cached") < answer.err.index("Searching")
    runs.unlink()
    assert "cached" not in run("eval", dataset, "--index", index).err
    assert "Searching" not in run("eval", dataset, "--index", index).err


def test_a_disk_that_fills_up_loses_no_results(dataset: Path, index: Path) -> None:
    command = [sys.executable, "-P", "-m", "lsr", "eval", str(dataset), "--index", str(index)]
    done = subprocess.run(limited(20, command), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "RR@10        1.0000" in done.stdout
    assert f"The run is not cached: {index}.runs/" in done.stderr
    assert "cannot be written: File too large" in done.stderr


@pytest.mark.parametrize("home", ["a file", "none"])
def test_no_cache_to_keep_an_index_in(
    run: Callable[..., Any],
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    home: str,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    if home == "none":
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        # Whoever runs the tests has one, by the list of users if nothing else.
        monkeypatch.setattr(Path, "home", homeless)
        with pytest.raises(CorpusError, match="set XDG_CACHE_HOME"):
            cache_folder()
    else:
        (tmp_path / "home").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "temporary").mkdir()
    # TMPDIR is read once, and this process has.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    encoders = ["--encoder", "bm25", "--encoder", "bm25:robertson"]
    answer = run("eval", dataset, *encoders, "--json")
    assert (answer.code, [one["measures"]["RR@10"] for one in answer.json]) == (0, [1, 1])
    notes = [line for line in answer.err.splitlines() if "cached" in line]
    assert len(notes) == 1
    assert notes[0].startswith("The index will not be cached: ")
    assert notes[0].endswith("; --index DIR keeps it.")
    assert not list((tmp_path / "temporary").iterdir())
    # A dataset that is at hand needs no cache, and one that is not says what is missing.
    shutil.copytree(dataset, tmp_path / "data" / "vaswani")
    options = ["--encoder", "bm25", "--index", tmp_path / "i"]
    assert run("eval", "vaswani", "--data", tmp_path / "data", *options).code == 0
    answer = run("eval", "vaswani", *options)
    assert (answer.code, answer.err.count("\n")) == (1, 1)


@pytest.fixture
def named(dataset: Path, tmp_path: Path) -> Path:
    """A folder with files of all kinds, whose names are not UTF-8."""
    folder = tmp_path / BYTES
    shutil.copytree(dataset, folder / BYTES)
    shutil.copy(dataset / "corpus.jsonl", folder / f"{BYTES}.jsonl")
    shutil.copy(dataset / "queries.jsonl", folder / f"{BYTES}.queries.jsonl")
    shutil.copy(dataset / "qrels" / "test.tsv", folder / f"{BYTES}.qrels")
    with (folder / f"{BYTES}.parquet").open("wb") as file:
        pq.write_table(pa.Table.from_pylist(DOCUMENTS), file)
    return folder


@pytest.mark.parametrize("source", ["", ".jsonl", ".parquet"])
def test_collections_with_names_that_are_not_utf8(
    run: Callable[..., Any], named: Path, tmp_path: Path, source: str
) -> None:
    answer = run("index", named / f"{BYTES}{source}", "-o", tmp_path / "i", "--encoder", "bm25")
    assert answer.code == 0
    assert len(lsr.open(tmp_path / "i")) == 9


def test_names_that_are_not_utf8(
    run: Callable[..., Any], named: Path, index: Path, tmp_path: Path
) -> None:
    queries, qrels = named / f"{BYTES}.queries.jsonl", named / f"{BYTES}.qrels"
    answer = run("search", index, "--queries", queries, "--run", named / "run.trec")
    assert (answer.code, "n\ufffd\ufffd/run.trec: 3 queries" in answer.err) == (0, True)
    assert (named / "run.trec").exists()
    assert run("search", index, "--queries", queries, "--run", named / "run.trec.zst").code == 0
    files = ["--queries", queries, "--qrels", qrels, "--index", index]
    out = [
        "--run", named / "2.trec", "--report", named / "report", "--per-query", named / "q.parquet"
    ]  # fmt: skip
    answer = run("eval", named / f"{BYTES}.jsonl", *files, *out)
    assert (answer.code, "Error" in answer.err) == (0, False)
    assert answer.out.startswith("n\ufffd\ufffd, bm25, 3 queries\n")
    results = json.loads((named / "report" / "results.json").read_bytes())
    json.dumps(results, ensure_ascii=False).encode()  # no half characters in it
    (named / "2.trec").rename(named / f"{BYTES}.trec")
    for arguments in (
        ["eval", named / f"{BYTES}.jsonl", *files, "--json"],
        ["eval", "--run-file", named / f"{BYTES}.trec", "--qrels", qrels, "--json"],
        ["compare", named / f"{BYTES}.trec", named / "run.trec", "--qrels", qrels, "--json"],
    ):
        answer = run(*arguments)
        assert answer.code == 0
        answer.out.encode()
        json.dumps(answer.json, ensure_ascii=False).encode()
    assert "n\ufffd\ufffd" in run(*arguments[:-1]).out
    for arguments in (
        ["info", named / "no"],
        ["search", named, BYTES],
        ["index", named / "none", "-o", tmp_path / "i"],
        ["index", BYTES, "-o", tmp_path / "i"],
        ["eval", BYTES],
        ["encode", "--text", "x", "--encoder", BYTES],
    ):
        answer = run(*arguments)
        assert answer.code > 0
        assert len(answer.error) > 0


def test_outputs_with_names_that_are_not_utf8(
    run: Callable[..., Any], named: Path, dataset: Path
) -> None:
    for arguments in (
        ["index", dataset, "-o", named / "i", "--encoder", "bm25"],
        ["encode", dataset, "-o", named / "v", "--encoder", "bm25"],
        ["index", named / "v", "-o", named / "j"],
        ["index", named / "v", "-o", named / "j", "--force"],
        ["search", named / "i", "copper"],
        ["verify", named / "j"],
    ):
        answer = run(*arguments)
        assert answer.code == 0, answer.err
    answer = run("index", dataset, "-o", named / "k", "--encoder", named / BYTES)
    assert answer.code == 1  # there is none of this name
    assert answer.err.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "iso-8859-1"])
def test_json_of_names_that_are_not_utf8(python: list[str], encoding: str) -> None:
    given = {"file": BYTES, "text": "é日😀\x9b\x7f"}
    code = f"from lsr.terminal import write_json; write_json({given!a})"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([*python, code], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout.decode(encoding)) == {
        "file": "n\ufffd\ufffd",
        "text": "é日😀\x9b\x7f",
    }

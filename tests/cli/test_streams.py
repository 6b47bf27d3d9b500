"""Standard streams that are closed, full, left by their reader, or in another encoding."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from lsr.retrieval.index import Index

COUNT = 12
ENCODINGS = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    # As of the locale de_DE.ISO-8859-1, which may not be there.
    "iso-8859-1": {"PYTHONIOENCODING": "iso-8859-1"},
}
COMMANDS = ("index", "encode", "eval", "search")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dataset `set`, and the index `built` of it."""
    place = tmp_path_factory.mktemp("streams")
    documents = [
        {"_id": f"d{n}", "title": f"Glück {n}", "text": f"glass bees № {n} … repair 日本"}
        for n in range(COUNT)
    ]
    queries = [{"_id": f"q{n}", "text": f"bees {n}"} for n in range(3)]
    (place / "set" / "qrels").mkdir(parents=True)
    for name, records in (("corpus", documents), ("queries", queries)):
        (place / "set" / f"{name}.jsonl").write_text(
            "".join(json.dumps(record) + "\n" for record in records)
        )
    rows = "".join(f"q{n}\td{n}\t1\n" for n in range(3))
    (place / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    Index.build(place / "built", documents, "bm25")
    return place


@pytest.fixture
def work(place: Path, tmp_path: Path) -> Callable[[str], tuple[str, Path]]:
    """work(command) -> the shell's words for it, and the file that it leaves."""

    def words(command: str) -> tuple[str, Path]:
        source, built = place / "set", place / "built"
        return {
            "index": (
                f"index {source} -o {tmp_path}/i --encoder bm25",
                tmp_path / "i/manifest.json",
            ),
            "encode": (
                f"encode {source} -o {tmp_path}/v --encoder bm25",
                tmp_path / "v/manifest.json",
            ),
            "eval": (
                f"eval {source} --encoder bm25 --fresh --index {tmp_path}/e --run {tmp_path}/run",
                tmp_path / "run",
            ),
            "search": (f"search {built} bees --explain", built / "manifest.json"),
        }[command]

    return words


def shell(
    words: str, redirected: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run lsr by a shell, which gives the exit code of lsr itself, whatever reads it."""
    line = f"{sys.executable} -P -W error -m lsr {words} {redirected}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, env={**os.environ, **environment}, timeout=120
    )


@pytest.mark.parametrize(
    "redirected", ["2>/dev/full", "2>&-", "2>&1 | true", "2>&1 >/dev/null | true"]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_standard_error_that_cannot_be_written_stops_no_work(
    work: Callable[[str], tuple[str, Path]], command: str, redirected: str
) -> None:
    words, left = work(command)
    done = shell(words, redirected)
    assert (done.returncode, done.stderr) == (0, b"")
    assert left.exists()
    assert bool(done.stdout) == ("|" not in redirected)


@pytest.mark.parametrize("redirected", ["| true", "| head -1"])
@pytest.mark.parametrize("command", [*COMMANDS, "help"])
def test_a_reader_that_leaves_is_no_error(
    work: Callable[[str], tuple[str, Path]], command: str, redirected: str
) -> None:
    words, left = ("--help", Path()) if command == "help" else work(command)
    done = shell(words, redirected)
    assert done.returncode == 0
    assert b"Error" not in done.stderr
    assert b"Broken" not in done.stderr
    assert left.exists()


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", [*COMMANDS, "help", "info"])
def test_output_that_cannot_be_written_is_one_sentence(
    work: Callable[[str], tuple[str, Path]], place: Path, command: str, redirected: str
) -> None:
    other = {"help": "--help", "info": f"info {place}/built --json"}
    words, left = (other[command], place) if command in other else work(command)
    done = shell(words, redirected)
    assert left.exists()
    lines = done.stderr.decode().splitlines()
    sentences = [line for line in lines if not re.search(r" in [\d.]+ s", line)]
    if command in ("index", "encode"):  # the work is done; its last words are no purpose
        assert (done.returncode, sentences) == (0, [])
        return
    reason = "it is closed" if "&" in redirected else "No space left on device"
    assert sentences[-1] == f"Error: standard output cannot be written: {reason}; send it elsewhere"
    assert done.returncode == 1
    assert sum(line.startswith("Error") for line in sentences) == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", [*COMMANDS, "help", "text"])
def test_every_encoding_can_take_it(
    work: Callable[[str], tuple[str, Path]], place: Path, command: str, encoding: str
) -> None:
    other = {"help": "compare --help", "text": f"encode --text 'glass bees' --index {place}/built"}
    words, _ = (other[command], Path()) if command in other else work(command)
    done = shell(words, **ENCODINGS[encoding])
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
    text = done.stdout.decode("iso-8859-1" if encoding.startswith("iso") else "ascii")
    done.stderr.decode("ascii")
    if command == "help":
        assert "RUN..." in text
    if command == "search":
        assert f"Gl{'ü' if encoding.startswith('iso') else chr(92) + 'xfc'}ck" in text
        assert "\\u65e5\\u672c" in text
        bars = [line for line in text.splitlines() if line.endswith("#" * 16)]
        assert len({line.index("#") for line in bars}) == 1


def test_json_and_questions_in_an_ascii_terminal(place: Path) -> None:
    for environment in ({}, *ENCODINGS.values()):
        found = shell(f"search {place}/built 日本 -k 2 --json", **environment)
        assert found.stderr == b""
        answer: Any = json.loads(found.stdout)
        assert answer["query"] == "日本"
        assert answer["hits"][0]["text"] == "glass bees № 0 … repair 日本"
        assert found.stdout.isascii() == bool(environment)


def test_a_closed_standard_input_is_one_sentence(tmp_path: Path) -> None:
    for words in (f"index - -o {tmp_path}/i --encoder bm25", f"encode - -o {tmp_path}/v"):
        done = shell(words, "<&-")
        assert done.returncode == 1
        assert done.stderr.splitlines()[0] == (
            b"Error: standard input is closed; send documents to it, or name a file"
        )


def test_closed_streams_are_not_taken_by_files(place: Path, tmp_path: Path) -> None:
    """What a library prints to a closed stream must not end up in the next file that is opened."""
    words = f"index {place}/set -o {tmp_path}/i --encoder bm25"
    assert shell(words, "<&- >&- 2>&-").returncode == 0
    with lsr.open(tmp_path / "i") as index:
        assert len(index.search("bees", k=COUNT)) == COUNT
    code = (
        "import os\n"
        "from lsr.terminal import standard_streams\n"
        "with standard_streams():\n"
        "    os._exit(os.open(os.devnull, os.O_RDONLY))\n"
    )
    line = f"{sys.executable} -P -c '{code}' <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line]).returncode == 3


@pytest.mark.parametrize(
    ("words", "completions"),
    [("lsr se", ["plain,search"]), ("lsr search --pr", ["plain,--profile", "plain,--prf"])],
)
def test_shells_complete_commands_and_options(words: str, completions: list[str]) -> None:
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = shell("", _LSR_COMPLETE="bash_complete", **environment)
    assert done.stdout.decode().splitlines() == completions

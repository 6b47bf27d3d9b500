"""Text of any origin cannot steer a terminal: no control character of it is printed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsr
from lsr.data.corpus import Chunk
from lsr.data.vectors.folder import VectorFolder, write_vectors
from lsr.encoders.base import Settings
from lsr.indexing.build import build
from lsr.terminal import one_line, printable
from support.hostile import ATTACKS, controls, strings, word
from support.toy_encoder import ToyEncoder

HOSTILE = strings(100)
_OWN_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def clean(answer: Any) -> Any:
    """The answer of a command, whose both streams hold no control character."""
    for text in (answer.out, answer.err):
        assert not controls(text)
    return answer


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> lsr.Index:
    """One document for each string: it is its title, text, id and only word."""
    place = tmp_path_factory.mktemp("hostile")
    count = len(HOSTILE)
    ids = [f"{word(text)}-{number}" for number, text in enumerate(HOSTILE)]
    vectors = lsr.SparseVectors(np.arange(count + 1), np.arange(count), np.ones(count, np.float32))
    words = [f"{word(text)}-{number}" for number, text in enumerate(HOSTILE)]
    write_vectors(place / "v", [Chunk(ids, HOSTILE, HOSTILE, vectors)], words=words)
    build(place / "i", VectorFolder.open(place / "v"))
    return lsr.open(place / "i")


@given(st.text(st.characters(max_codepoint=0x2100) | st.sampled_from("\u2028\u202e\u2066\ud800")))
def test_printable_text(text: str) -> None:
    shown = printable(text)
    assert not controls(shown)
    assert printable(shown) == shown
    if not controls(text):
        assert shown == text
    assert not set(one_line(text)) & {"\n", "\t"}


def test_pictures_and_escapes() -> None:
    assert printable("\x1b[2J\x00\x7f\r") == "␛[2J␀␡␍"
    assert printable("\x9b\u202e\u2028\u2069") == r"\x9b\u202e\u2028\u2069"
    assert one_line("a\tb\r\nc\x85d\u2028e") == "a b c d e"


def test_plain_hits_keep_their_columns(
    index: lsr.Index, capsys: pytest.CaptureFixture[str]
) -> None:
    from lsr.cli.hits import print_plain

    every = lsr.SparseVectors([0, len(HOSTILE)], np.arange(len(HOSTILE)), np.ones(len(HOSTILE)))
    (hits,) = index.search_vectors(every, len(HOSTILE))
    assert len(hits) == len(HOSTILE)
    print_plain(hits, explain=True)
    out = capsys.readouterr().out
    assert not controls(out)
    lines = out.split("\n")
    assert lines.pop() == ""
    assert len(lines) == 3 * len(HOSTILE)
    for rank, (head, text, why) in enumerate(
        zip(lines[0::3], lines[1::3], lines[2::3], strict=True), 1
    ):
        assert head.split("\t")[0] == str(rank)
        assert (head.count("\t"), text.count("\t"), why.count("\t")) == (3, 1, 1)


@pytest.mark.parametrize("columns", [40, 80])
def test_a_table_of_hits(index: lsr.Index, terminal: Callable[..., Any], columns: int) -> None:
    from lsr.cli.hits import print_table

    every = lsr.SparseVectors([0, len(HOSTILE)], np.arange(len(HOSTILE)), np.ones(len(HOSTILE)))
    (hits,) = index.search_vectors(every, len(HOSTILE))
    screen = terminal(columns)
    print_table(hits, explain=True)
    shown = _OWN_STYLE.sub("", screen.getvalue())
    assert not controls(shown)
    assert "␛[2J␛[H" in shown


def test_json_keeps_texts_exactly(
    run: Callable[..., Any], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    documents = [
        {"id": f"{word(text)}-{number}", "title": text, "text": f"same {text}"}
        for number, text in enumerate(HOSTILE)
    ]
    corpus = write_jsonl(tmp_path / "c.jsonl", documents)
    clean(run("index", corpus, "-o", tmp_path / "i", "--encoder", "bm25"))
    answer = clean(run("search", tmp_path / "i", "same", "-k", len(documents), "--json"))
    found = {hit["id"]: (hit["title"], hit["text"]) for hit in answer.json["hits"]}
    assert found == {one["id"]: (one["title"], one["text"]) for one in documents}
    plain = clean(run("search", tmp_path / "i", "same", "-k", len(documents), "--explain"))
    assert plain.code == 0


@pytest.mark.parametrize("attack", ATTACKS)
def test_names_questions_and_errors(
    run: Callable[..., Any], tmp_path: Path, bm25_index: lsr.Index, attack: str
) -> None:
    """What is typed comes back in errors, notes and headings."""
    name = attack.replace("\0", "").replace("/", "").encode("utf-8", "replace").decode()
    for arguments in (
        ["index", name, "-o", tmp_path / "i"],
        ["index", "arxiv-cs", "-o", tmp_path / "i", "--encoder", name],
        ["search", name, "x"],
        ["search", bm25_index.path, name, "--json"],
        ["search", bm25_index.path, "x", "--boost", f"{name}=2"],
        ["search", bm25_index.path, "--queries", name, "--run", tmp_path / "r"],
        ["search", bm25_index.path, "x", "--encoder", name],
        ["info", name],
        ["verify", name],
        ["encode", "--text", name],
        ["encode", "--text", "x", "--encoder", name],
        ["encode", name, "-o", tmp_path / "v"],
        ["models", name],
        ["eval", name],
        ["eval", tmp_path, "--measures", name],
        ["compare", name, name, "--qrels", name],
        ["export", bm25_index.path, "-o", tmp_path / f"{name}"],
        ["import", name, "-o", tmp_path / "v"],
        ["tune", name, "--index", bm25_index.path],
        [name],
        [f"--{name}"],
        ["search", "--method", name],
    ):
        clean(run(*arguments))
    place = tmp_path / name / "i"
    place.parent.mkdir(exist_ok=True)
    corpus = place.parent / f"{name}.jsonl"
    corpus.write_text('{"id": "a", "text": "glass bees"}\n')
    built = clean(run("index", corpus, "-o", place, "--encoder", "bm25"))
    assert (built.code, built.out.count("\n")) == (0, 1)
    assert clean(run("info", place)).code == 0
    assert clean(run("verify", place)).code == 0
    assert clean(run("search", place, "bees")).code == 0
    clean(run("index", corpus, "-o", place, "--encoder", "bm25"))
    corpus.write_text(json.dumps({"id": name + "a b", "text": name}) + "\n")
    clean(run("index", corpus, "-o", place, "--encoder", "bm25", "--force"))


def test_evaluations_and_comparisons(
    run: Callable[..., Any], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    folder = tmp_path / f"set{HOSTILE[0]}{HOSTILE[7]}\u202e\r"
    names = [f"{word(text)}-{number}" for number, text in enumerate(HOSTILE)]
    write_jsonl(
        folder / "corpus.jsonl",
        [
            {"id": name, "text": f"{text} n{n}"}
            for n, (name, text) in enumerate(zip(names, HOSTILE, strict=False))
        ],
    )
    write_jsonl(
        folder / "queries.jsonl",
        [
            {"id": name, "text": f"{text} n{n}"}
            for n, (name, text) in enumerate(zip(names, HOSTILE, strict=False))
        ],
    )
    judged = zip(names, [*names[1:], "gone\x1b"], strict=True)
    rows = [f"{query}\t{document}\t1\n" for query, document in judged]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(rows), newline="\n"
    )
    encoders = ["bm25", "bm25:robertson"]
    options = [part for encoder in encoders for part in ("--encoder", encoder)]
    answer = clean(
        run(
            "eval", folder, *options, "--index", tmp_path / "indexes", "--run", tmp_path / "runs",
            "--report", tmp_path / "report", "--per-query", tmp_path / "q.parquet",
        )
    )  # fmt: skip
    assert answer.code == 0, answer.err
    clean(run("eval", folder, *options, "--index", tmp_path / "indexes", "--json"))
    runs = sorted((tmp_path / "runs").rglob("*.trec"))
    hostile = [tmp_path / f"{place}\x1b[2J\x9b\u202e.trec" for place in "ab"]
    for place, file in zip(hostile, runs, strict=True):
        place.write_bytes(file.read_bytes())
    answer = clean(run("compare", *hostile, "--qrels", folder, "--queries", 200))
    assert answer.code == 0, answer.err
    assert clean(run("compare", *hostile, "--qrels", folder, "--json")).json
    clean(run("eval", "--run-file", hostile[0], "--qrels", folder))
    for name in ("report.html", "report.md"):
        text = (tmp_path / "report" / name).read_bytes().decode()
        assert not controls(text)
        assert "␛[2J" in text or "␛\\[2J" in text


def test_the_encoder_that_info_shows(
    run: Callable[..., Any], toy: Callable[[], list[str]], tmp_path: Path
) -> None:
    class Hostile(ToyEncoder):
        @property
        def identity(self) -> dict[str, Any]:
            return super().identity | {"query": {"pooling": "max\r\u202e"}}

    encoder = Hostile("a\nb\x1b[2J", Settings())
    lsr.Index.build(tmp_path / "i", [{"id": "a", "text": "copper"}], encoder)
    lines = run("info", tmp_path / "i").out.splitlines()
    assert "  name             a b␛[2J" in lines
    assert "  query            max \\u202e" in lines


def test_tags_of_runs(tmp_path: Path) -> None:
    from lsr.eval.runs import write_run

    write_run(tmp_path / "run", [("q\x1b", ["d\x1b"], [1.0])], "tag\x1b[2J\x9b")
    assert (tmp_path / "run").read_text() == "q\x1b Q0 d\x1b 1 1.0 tag␛[2J\\x9b\n"


def on_a_terminal(*arguments: str | Path) -> bytes:
    """The bytes that a terminal gets of a command."""
    reader, writer = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color"}
    command = [sys.executable, "-P", "-m", "lsr", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=writer, stderr=writer, env=environment)
    os.close(writer)
    parts = []
    with contextlib.suppress(OSError):  # EIO: the end
        while part := os.read(reader, 1 << 16):
            parts.append(part)
    os.close(reader)
    assert process.wait(60) == 0
    return b"".join(parts)


def test_a_real_terminal(
    run: Callable[..., Any], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    documents = [
        {"id": f"{word(a)}-{n}", "title": a, "text": f"bees {a}"}
        for n, a in enumerate(ATTACKS[:-2])
    ]
    assert (
        run(
            "index",
            write_jsonl(tmp_path / "c.jsonl", documents),
            "-o",
            tmp_path / "i",
            "--encoder",
            "bm25",
        ).code
        == 0
    )
    shown = on_a_terminal("search", tmp_path / "i", "bees \x1b[2J", "-k", "50", "--explain")
    text = shown.decode()
    styles = set(_OWN_STYLE.findall(text))
    assert len(styles) > 3  # colours of lsr's choice are there
    assert not styles & {"\x1b[8m", "\x1b[5;7m"}
    assert not controls(_OWN_STYLE.sub("", text).replace("\r\n", "\n"))

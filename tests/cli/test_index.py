"""`lsr index`: what it makes, and what it says when it cannot."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from support.system import limited


def test_an_index_and_what_is_said_about_it(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, bm25_index: lsr.Index, files_of: Any
) -> None:
    out = tmp_path / "index"
    answer = run("index", corpus, "-o", out, "--encoder", "bm25", "--keep-floats")
    assert answer.code == 0
    assert answer.out.startswith(f"{out}: 144 documents, ")
    assert [line.split(" in ")[0] for line in answer.err.splitlines()] == [
        "Checking: 144 documents",
        "Encoding: 144 documents",
        "Weighting: 144 documents",
        "Reading: 144 documents",
        "Ordering: 720 placements",
        "Writing: 144 documents",
    ]
    assert files_of(out) == files_of(bm25_index.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "index"]
    checked = run("verify", out)
    assert (checked.code, checked.out, checked.err) == (0, f"{out} is sound.\n", "")


def test_the_model_with_settings(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.jsonl"
    short.write_text("".join(corpus.read_text().splitlines(keepends=True)[:5]))
    out = tmp_path / "index"
    settings = ["--max-length", 8, "--document-terms", 9, "--query-terms", 2, "--threads", 1]
    settings += ["--bits", 16, "--batch-size", 2, "--device", "cpu", "--encoder", "splade-tiny"]
    assert run("index", short, "-o", out, *settings).code == 0
    facts = run("info", out, "--json").json
    assert facts["encoder"]["name"] == "splade-tiny"
    assert (facts["encoder"]["max_length"], facts["bits"]) == (8, 16)
    assert facts["active_terms"]["largest"] == 9
    assert lsr.open(out).encoder.encode_queries(["harbour pilots guide"]).terms.size == 2


def test_standard_input(corpus: Path, tmp_path: Path, python: list[str]) -> None:
    command = [*python, "from lsr.cli import main; main()", "index", "-", "-o", tmp_path / "i"]
    with corpus.open("rb") as file:
        subprocess.run([*command, "--encoder", "bm25"], stdin=file, check=True)
    assert len(lsr.open(tmp_path / "i")) == 144


def test_bad_records_may_be_skipped(
    run: Callable[..., Any], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    records = [{"id": "a", "text": "copper"}, {"id": "b"}, 7, {"id": "c", "text": "wire"}]
    path = write_jsonl(tmp_path / "c.jsonl", records)
    out = tmp_path / "i"
    answer = run("index", path, "-o", out, "--encoder", "bm25", "--on-error", "skip")
    assert (answer.code, len(lsr.open(out))) == (0, 2)
    assert "2 bad records were skipped." in answer.err


def test_the_current_folder(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run("index", "corpus.jsonl", "-o", ".", "--encoder", "bm25")
    assert (answer.code, answer.error) == (
        1,
        ". exists and is not an index; choose another place",
    )
    assert run("index", "corpus.jsonl", "-o", "i", "--encoder", "bm25").out.startswith("i: 144 ")


def bad_corpora(place: Path) -> dict[str, tuple[Path | str, str]]:
    """Corpora that cannot be indexed, and what is said of them."""
    good = '{"id": "%d", "text": "copper"}\n'

    def written(name: str, content: str | bytes) -> Path:
        path = place / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    cut = gzip.compress("".join(good % i for i in range(1000)).encode())[:-20]
    late = "".join(good % i for i in range(70_000)) + '{"id": "x", "text": "copp\n'
    return {
        "missing": (place / "none.jsonl", "none.jsonl' does not exist; give a BEIR folder"),
        "zip": (written("no.zip", "this is no archive"), "no.zip is not a readable zip"),
        "late": (written("late.jsonl", late), "late.jsonl, line 70001 is not valid JSON"),
        "twice": (
            written("twice.jsonl", good % 1 + good % 2 + good % 1),
            "line 3: the id '1' is repeated",
        ),
        "no text": (written("text.jsonl", good % 1 + '{"id": 2}\n'), "line 2 has no text"),
        "empty": (written("empty.jsonl", ""), "empty.jsonl holds no documents"),
        "cut": (written("cut.jsonl.gz", cut), "is truncated or damaged after line"),
        "format": (written("c.docx", "?"), "c.docx is of no known format"),
        "folder": (place, "has no corpus.jsonl in it"),
    }


@pytest.mark.parametrize("encoder", ["bm25", "splade-tiny"])
def test_a_bad_corpus_leaves_nothing_behind(
    run: Callable[..., Any], tmp_path: Path, encoder: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for source, message in bad_corpora(tmp_path / "in").values():
        answer = run("index", source, "-o", tmp_path / "out" / "i", "--encoder", encoder)
        assert (answer.code, answer.out) == (1, "")
        assert message in answer.error
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["c.jsonl"],
        ["-o", "i"],
        ["c.jsonl", "-o", "i", "--bits", "4"],
        ["c.jsonl", "-o", "i", "--max-length", "0"],
        ["c.jsonl", "-o", "i", "--max-memory", "much"],
        ["c.jsonl", "-o", "i", "--max-memory", "1kib b"],
        ["c.jsonl", "-o", "i", "--on-error", "panic"],
    ],
)
def test_bad_usage(run: Callable[..., Any], arguments: list[str]) -> None:
    answer = run("index", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: lsr index [OPTIONS] CORPUS|VECTORS\n")


def test_sizes_have_units() -> None:
    from lsr.cli.options import Bytes

    texts = {"800MB": 800 * 10**6, "1.5GiB": 3 << 29, "2 gb": 2 * 10**9, "123": 123, "1KiB": 1024}
    for text, size in texts.items():
        assert Bytes().convert(text, None, None) == size


def test_encoders_that_cannot_be_had(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for encoder, message in {
        "no-such-model": "there is no encoder 'no-such-model'; give a built-in model such as",
        "bm25:best": "there is no BM25 variant 'best'; give one of robertson",
        "bm25:lucene,k1=x": "'k1=x' in the encoder",
        str(tmp_path / "empty"): "has no config.json; give a model folder",
        "no-such/model-at-all": "neither an existing folder nor in the local hub cache",
    }.items():
        answer = run("index", corpus, "-o", tmp_path / "i", "--encoder", encoder)
        assert answer.code == 1
        assert message in answer.error
        assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "empty"]


def test_a_place_that_is_taken(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, files_of: Callable[..., Any]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    for place in (folder, corpus):
        for force in ([], ["--force"]):
            before = files_of(tmp_path)
            answer = run("index", corpus, "-o", place, "--encoder", "bm25", *force)
            assert answer.code == 1
            assert answer.error == f"{place} exists and is not an index; choose another place"
            assert files_of(tmp_path) == before
    # Nor is a folder taken for unfinished work that is not.
    out = tmp_path / "i"
    assert run("index", corpus, "-o", out, "--encoder", "bm25").code == 0
    folder.rename(out / "partial")
    before = files_of(tmp_path)
    answer = run("index", corpus, "-o", out, "--encoder", "bm25", "--force")
    assert answer.code == 1
    assert "contains letter.txt, which is not from an earlier run" in answer.error
    assert files_of(tmp_path) == before


def test_force_replaces_an_index_only_by_a_finished_one(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, files_of: Callable[..., Any]
) -> None:
    out = tmp_path / "i"
    assert run("index", corpus, "-o", out, "--encoder", "bm25").code == 0
    files = files_of(out)
    answer = run("index", corpus, "-o", out, "--encoder", "bm25")
    assert (answer.code, answer.error) == (
        1,
        f"{out} is already an index; add --force (force=True) to replace it",
    )
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "a", "text": "copper"}\nnot json\n')
    for source, encoder in ((bad, "bm25"), (corpus, "no-such-model")):
        answer = run("index", source, "-o", out, "--encoder", encoder, "--force")
        assert answer.code == 1
        assert files_of(out) == files
    bad.write_text('{"id": "a", "text": "copper"}\n')
    assert run("index", bad, "-o", out, "--encoder", "bm25", "--force").code == 0
    assert lsr.open(out).search("copper").ids.tolist() == ["a"]
    assert not (out / "partial").exists()


def test_folders_that_cannot_be_written(
    run: Callable[..., Any], corpus: Path, tmp_path: Path
) -> None:
    out = corpus / "i"
    answer = run("index", corpus, "-o", out, "--encoder", "bm25")
    assert answer.code == 1
    assert answer.error.startswith(f"{out} cannot be written: Not a directory")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    answer = run("index", corpus, "-o", folder / "i", "--encoder", "bm25")
    assert answer.code == 1
    assert answer.error.startswith(f"{folder}/i cannot be written: Permission denied (")


@pytest.mark.parametrize("limit", [100, 1500, 3000, 4000])  # job, shard, postings, documents
def test_a_full_disk(
    corpus: Path, tmp_path: Path, lsr_command: Callable[..., list[str]], limit: int
) -> None:
    """Files may not grow beyond a limit, which fails as a full disk does."""
    out = tmp_path / "out" / "i"
    command = lsr_command(6, "index", corpus, "-o", out, "--encoder", "bm25")
    done = subprocess.run(limited(limit, command), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        f"Error: {out} cannot be written: File too large"
    )
    assert "Traceback" not in done.stderr
    # Sealed shards, if any, are what the next build goes on from.
    left = list((tmp_path / "out").rglob("*"))
    assert (out / "partial" / "vectors" in left) == (limit >= 3000)
    assert bool(left) == (limit >= 3000)


def test_a_model_that_moves_or_changes(
    run: Callable[..., Any], corpus: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(str(lsr.encoders.checkpoints.checkpoint.model_path("splade-tiny")), model)
    few = tmp_path / "few.jsonl"
    few.write_text("".join(corpus.read_text().splitlines(keepends=True)[:3]))
    out = tmp_path / "i"
    assert run("index", few, "-o", out, "--encoder", model).code == 0
    found = run("search", out, "harbour pilots", "--json").json
    moved = model.rename(tmp_path / "moved")
    answer = run("search", out, "harbour pilots")
    assert answer.code == 1
    assert f"cannot be found where it was, {model}: pass --encoder FOLDER" in answer.error
    assert run("search", out, "harbour pilots", "--json", "--encoder", moved).json == found
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config))  # the same values, other bytes
    for encoder in ([], ["--encoder", str(moved)]):
        if not encoder:
            moved.rename(model)
        answer = run("search", out, "harbour pilots", *encoder)
        assert answer.code == 1
        assert "the index was built with the encoder 'model' (content hash " in answer.error
        assert "give the encoder the index was built with, or rebuild the index" in answer.error
        if not encoder:
            model.rename(moved)


def test_texts_without_terms_are_told_of(
    run: Callable[..., Any], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    records = [
        {"id": "a", "text": "the of"},
        {"id": "b", "text": "猫が寝る"},
        {"id": "c", "text": ""},
    ]
    corpus = write_jsonl(tmp_path / "c.jsonl", records)
    answer = run("index", corpus, "-o", tmp_path / "i", "--encoder", "bm25")
    (line,) = [line for line in answer.err.splitlines() if line.startswith("Warning")]
    assert (answer.code, line) == (
        0,
        "Warning: bm25 finds no terms in 1 of 3 texts, such as 'the of': all their words are stop "
        "words or of one character",
    )
    assert run("search", tmp_path / "i", "猫", "--json").json["hits"][0]["id"] == "b"
    answer = run("index", corpus, "-o", tmp_path / "j", "--encoder", "bm25:language=klingon")
    assert answer.error.startswith("there is no stemmer for the language 'klingon'; leave it out")


def test_words_of_other_languages(
    run: Callable[..., Any], tmp_path: Path, write_jsonl: Callable[..., Path]
) -> None:
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": "a", "text": "Die Häuser am See"}])
    answer = run("index", corpus, "-o", tmp_path / "i", "--encoder", "bm25:atire,language=de")
    assert answer.code == 0
    assert run("info", tmp_path / "i").out.count("german") >= 2

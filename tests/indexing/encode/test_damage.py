"""`lsr encode` on damaged folders, in wrong places, and with bad input."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from support.damage import cut, flip
from support.editions import shard, vocabulary
from support.encode_job import DOCUMENTS, numbers, record, stamps, unfinished

pytestmark = pytest.mark.usefixtures("toy")

OF_ENCODING = {
    "encoder": "toy",
    "weights": "a=1",
    "max-length": 9,
    "precision": "bf16",
    "on-error": "skip",
    "document-terms": 9,
    "query-terms": 9,
    "prune-ratio": 0.1,
    "device": "cpu",
    "batch-size": 9,
}


def test_places_that_are_something_else(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, files_of: Callable[..., Any]
) -> None:
    mine = tmp_path / "mine"
    (mine / "shards").mkdir(parents=True)
    (mine / "shards" / "000000.parquet").write_text("dear")
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"format": "else"}')
    (other / "job.json").write_text("[]")
    index = lsr.Index.build(tmp_path / "index", [record(1)], "bm25").path
    for place in (mine, other, index, corpus, corpus.parent):
        for force in ([], ["--force"]):
            before = stamps(tmp_path)
            answer = run("encode", corpus, "-o", place, "--encoder", "toy", *force)
            assert (answer.code, answer.error) == (
                1,
                f"{place} exists and is not a folder of encoded vectors; choose another place",
            )
            assert stamps(tmp_path) == before
    # Nor is a folder of vectors replaced by an index.
    assert run("encode", corpus, "-o", tmp_path / "v", "--encoder", "toy").code == 0
    for source in (corpus, tmp_path / "v"):
        answer = run("index", source, "-o", tmp_path / "v", "--force")
        assert answer.error == f"{tmp_path / 'v'} exists and is not an index; choose another place"
    below = corpus / "v"
    answer = run("encode", corpus, "-o", below, "--encoder", "toy")
    assert answer.code == 1
    assert f"Error: {below} cannot be written: Not a directory" in answer.err


@pytest.mark.parametrize("encoder", ["toy", "bm25"])
def test_corpora_that_cannot_be_encoded(
    run: Callable[..., Any],
    tmp_path: Path,
    out: Path,
    write_jsonl: Callable[..., Path],
    encoder: str,
) -> None:
    folder = tmp_path / "in"
    late = write_jsonl(folder / "late.jsonl", [*map(record, range(25)), {"id": "x"}])
    twice = write_jsonl(folder / "twice.jsonl", [*map(record, range(25)), record(3)])
    (folder / "empty.jsonl").write_text("")
    for source, message in {
        folder / "none.jsonl": "none.jsonl' does not exist; give a BEIR folder",
        folder / "empty.jsonl": "empty.jsonl holds no documents",
        late: "late.jsonl, line 26 has no text",
        twice: "twice.jsonl, line 26: the id 'd3' is repeated",
    }.items():
        answer = run("encode", source, "-o", out, "--encoder", encoder)
        assert (answer.code, answer.out) == (1, "")
        assert message in answer.error
        assert list(out.parent.iterdir()) == []


def test_shards_that_were_cut_are_encoded_again(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[..., Any],
) -> None:
    command = ["encode", corpus, "-o", out, "--encoder", "toy"]
    assert run(*command).code == 0
    whole = files_of(out)
    for finished in (True, False):
        if not finished:
            unfinished(out, [0, 1, 2, 3, 4, 5])
        path = shard(out / "shards", 1)
        cut(path, 20)
        shard(out / "shards", 2).write_bytes(b"")
        lost = shard(out / "shards", 4)
        lost.unlink()
        lost.with_name(f".{lost.name}.77.tmp").write_bytes(b"PAR1")
        toy()
        assert run(*command).code == 0
        assert numbers(toy()) == [*range(10, 30), *range(40, 50)]
        assert files_of(out) == whole


def test_a_shard_with_a_damaged_body_is_named(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    tmp_path: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[..., Any],
) -> None:
    command = ["encode", corpus, "-o", out, "--encoder", "toy"]
    assert run(*command).code == 0
    whole = files_of(out)
    path = shard(out / "shards", 2)
    flip(path, 300)
    answer = run("index", out, "-o", tmp_path / "i")
    assert answer.code == 1
    assert f"Error: {path} is damaged: it does not match its checksum; remove it" in answer.err
    assert not (tmp_path / "i").exists()
    (out / "manifest.json").unlink()
    answer = run(*command)
    assert answer.code == 1
    assert f"Error: {path} is damaged: " in answer.err
    assert not (out / "manifest.json").exists()
    path.unlink()
    toy()
    assert run(*command).code == 0
    assert numbers(toy()) == [*range(20, 30)]
    assert files_of(out) == whole


@pytest.mark.parametrize("encoder", ["toy", "bm25+toy"])
def test_what_else_may_be_lost(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[..., Any],
    encoder: str,
) -> None:
    command = ["encode", corpus, "-o", out, "--encoder", encoder]
    assert run(*command).code == 0
    whole = files_of(out)
    toy()
    for path in (out / "manifest.json", vocabulary(out)):
        for damage in (lambda path: cut(path, 9), Path.unlink):
            damage(path)
            assert run(*command).code == 0
            # What is observed is not kept, and there is no vocabulary without it.
            assert len(toy()) == (0 if encoder == "toy" else DOCUMENTS)
            assert files_of(out) == whole
    (out / "job.json").unlink()
    answer = run(*command)
    assert "holds vectors that were not encoded here" in answer.error


def test_a_finished_folder_with_remains(
    run: Callable[..., Any], corpus: Path, out: Path, files_of: Callable[..., Any]
) -> None:
    """Killed after the manifest was written, before the rest was tidied."""
    command = ["encode", corpus, "-o", out, "--encoder", "bm25"]
    assert run(*command).code == 0
    whole = files_of(out)
    shutil.copytree(out / "shards", out / "observed")
    (out / "locks").mkdir()
    for name in ("lock", "locks/3", ".manifest.json.7.tmp", ".job.json.7.tmp"):
        (out / name).write_bytes(b"")
    assert run(*command).out.endswith("all of it was already encoded\n")
    assert files_of(out) == whole
    assert not (out / "locks").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["c.jsonl"], "Give a folder for the vectors of CORPUS: -o VECTORS."),
        (["c.jsonl", "-o", "v", "--text", "a"], "Give a CORPUS or a --text, not both."),
        (["c.jsonl", "-o", "v", "--show"], "--show only applies to --text; leave it out."),
        (["c.jsonl", "-o", "v", "--query"], "--query only applies to --text; leave it out."),
        (["c.jsonl", "-o", "v", "--index", "i"], "--index only applies to --text; leave it out."),
        (["c.jsonl", "-o", "v", "--top", "3"], "--top only applies to --text; leave it out."),
        (["c.jsonl", "-o", "v", "--json"], "--json only applies to --text; leave it out."),
        (["--text", "a", "-o", "v"], "-o only applies to a CORPUS; leave it out."),
        (["--text", "a", "--force"], "--force only applies to a CORPUS; leave it out."),
        (
            ["--text", "a", "--on-error", "stop"],
            "--on-error only applies to a CORPUS; leave it out.",
        ),
        (
            ["--text", "a", "--max-memory", "2GB"],
            "--max-memory only applies to a CORPUS; leave it out.",
        ),
        (["--text", "a", "--index", "i", "--precision", "bf16"], "leave out --precision."),
        (["c.jsonl", "-o", "v", "--precision", "fp8"], "Invalid value for '--precision'"),
        (["c.jsonl", "-o", "v", "--max-memory", "much"], "Invalid value for '--max-memory'"),
        (["-o", "v"], "Give a CORPUS and -o VECTORS, or a text to show"),
    ],
)
def test_bad_usage(run: Callable[..., Any], arguments: list[str], message: str) -> None:
    answer = run("encode", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in " ".join(answer.err.split())


@pytest.mark.parametrize("option", OF_ENCODING)
def test_vectors_are_encoded_already(
    run: Callable[..., Any], corpus: Path, out: Path, tmp_path: Path, option: str
) -> None:
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    answer = run("index", out, "-o", tmp_path / "i", f"--{option}", OF_ENCODING[option])
    assert answer.code == 2
    assert f"contains vectors that are already encoded; leave out --{option}." in " ".join(
        answer.err.split()
    )

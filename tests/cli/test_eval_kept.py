"""`lsr eval`: what is kept, and used again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr

QRELS = "query-id\tcorpus-id\tscore\n1\td103\t2\n1\td110\t0\n2\td222\t1\n"


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def beir(tmp_path: Path, documents: list[dict[str, str]], write_jsonl: Callable[..., Path]) -> Path:
    folder = tmp_path / "small"
    write_jsonl(folder / "corpus.jsonl", documents)
    queries = [("1", "tidal mills"), ("2", "glass bees")]
    write_jsonl(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in queries])
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(QRELS)
    return folder


def test_the_second_run_encodes_nothing(
    run: Callable[..., Any], beir: Path, cache: Path, toy: Callable[[], list[str]]
) -> None:
    command = ["eval", beir, "--encoder", "toy", "--json"]
    first = run(*command)
    assert first.code == 0
    assert "Encoding: 144 documents" in first.err
    assert "Searching: 2 queries" in first.err
    (place,) = (cache / "indexes").glob("small-*/toy")
    assert f"small, toy: {place}\n" in first.err
    assert len(toy()) == 144
    again = run(*command)
    assert (again.code, again.err) == (0, f"small, toy: {place}\n")  # no query was searched
    assert again.json == first.json
    # Other measures are computed from the same run.
    other = run(*command, "--measures", "AP")
    assert (list(other.json["measures"]), other.err) == (["AP"], again.err)
    assert "Searching: 2 queries" in run(*command, "-k", 7).err
    assert toy() == []
    assert "Searching: 2 queries" in run(*command, "--fresh").err
    assert len(toy()) == 144


def test_fresh_does_all_again(
    run: Callable[..., Any], beir: Path, toy: Callable[[], list[str]]
) -> None:
    command = ["eval", beir, "--encoder", "toy", "--json", "--index", beir.parent / "index"]
    first = run(*command)
    assert len(toy()) == 144
    again = run(*command, "--fresh")
    assert len(toy()) == 144
    assert "Searching: 2 queries" in again.err
    assert again.json["measures"] == first.json["measures"]
    assert run(*command).json == {**again.json, "provenance": run(*command).json["provenance"]}
    assert toy() == []


def test_a_query_that_changed_is_searched_again(run: Callable[..., Any], beir: Path) -> None:
    command = ["eval", beir, "--encoder", "bm25", "--measures", "R@144", "--json"]
    assert run(*command).json["measures"]["R@144"] == 1
    (beir / "queries.jsonl").write_text(
        '{"_id": "1", "text": "glass bees"}\n{"_id": "2", "text": "glass bees"}\n'
    )
    answer = run(*command)
    assert "Encoding" not in answer.err
    assert "Searching: 2 queries" in answer.err
    assert answer.json["measures"]["R@144"] == 1 / 2
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\td222\t1\n")
    assert run(*command).json["measures"]["R@144"] == 1


def test_settings_have_indexes_of_their_own(
    run: Callable[..., Any], beir: Path, cache: Path, toy: Callable[[], list[str]]
) -> None:
    command = ["eval", beir, "--encoder", "toy", "--measures", "AP", "--json"]
    usual = run(*command).json
    short = run(*command, "--max-length", 2, "--batch-size", 8).json
    assert len(toy()) == 288
    assert usual["measures"] != short["measures"]
    assert run(*command).json["measures"] == usual["measures"]
    assert run(*command, "--max-length", 2).json["measures"] == short["measures"]
    assert toy() == []
    names = sorted(place.name for place in (cache / "indexes").glob("*/*"))
    assert names == ["toy", "toy,max_length=2", "toy,max_length=2.runs", "toy.runs"]


def test_an_index_is_not_what_it_was_built_of(run: Callable[..., Any], beir: Path) -> None:
    place = beir.parent / "index"
    command = ["eval", beir, "--index", place, "--json"]
    assert run(*command, "--encoder", "bm25", "--document-terms", 5).code == 0
    assert run(*command, "--encoder", "bm25", "--document-terms", 5).code == 0
    assert run(*command).code == 0
    answer = run(*command, "--document-terms", 6)
    assert (answer.code, answer.out) == (1, "")
    assert answer.error.startswith(f"--document-terms 6 cannot change the existing {place}; leave")
    lines = (beir / "corpus.jsonl").read_text().splitlines(keepends=True)
    (beir / "corpus.jsonl").write_text("".join(lines[1:]))
    answer = run(*command)
    assert (answer.code, answer.out) == (1, "")
    assert answer.error.startswith(f"{place} was built from other documents than {beir} has now")
    answer = run(*command, "--fresh", "--encoder", "bm25")
    assert answer.code == 0
    assert len(lsr.open(place)) == 143
    (place.parent / "index.runs" / "built.json").write_text("{")
    answer = run(*command)
    assert answer.error.endswith("built.json is damaged; build the index again with --fresh")


def test_an_index_made_by_lsr_index(run: Callable[..., Any], beir: Path) -> None:
    place = beir.parent / "index"
    assert run("index", beir, "-o", place, "--encoder", "bm25").code == 0
    assert run("eval", beir, "--index", place).code == 0
    lines = (beir / "corpus.jsonl").read_text().splitlines(keepends=True)
    (beir / "corpus.jsonl").write_text("".join(lines[1:]))
    assert run("index", beir, "-o", place, "--encoder", "bm25", "--force").code == 0
    assert "Searching: 2 queries" in run("eval", beir, "--index", place).err
    answer = run("eval", beir, "--index", place, "--max-length", 9)
    assert (answer.code, answer.error.partition(",")[0]) == (
        1,
        f"--max-length 9 cannot change {place}",
    )


def test_weights_are_of_one_run_alone(run: Callable[..., Any], beir: Path) -> None:
    command = ["eval", beir, "--encoder", "bm25+bm25:robertson", "--json"]
    weights = ["--weights", "bm25=1,bm25:robertson=0"]
    weighed = run(*command, *weights, "--run", beir.parent / "weighed.trec")
    assert weighed.json["encoder"] == "bm25+bm25:robertson (bm25=1,bm25:robertson=0)"
    plain = run(*command, "--run", beir.parent / "plain.trec")
    assert plain.json["encoder"] == "bm25+bm25:robertson"
    assert "Encoding" not in plain.err
    runs = [(beir.parent / f"{name}.trec").read_text() for name in ("weighed", "plain")]
    assert runs[0] != runs[1]
    answer = run("eval", beir, "--encoder", "bm25+bm25:atire", "--weights", "bm25=1")
    assert answer.code == 1
    assert "Encoding" not in answer.err
    assert "weights lack bm25:atire" in answer.err


def test_an_encoder_that_changed_is_not_taken_for_the_old_one(
    run: Callable[..., Any], beir: Path, tmp_path: Path
) -> None:
    from lsr.data.builtin import model_path

    source = model_path("splade-tiny")
    assert source is not None
    model = tmp_path / "model"
    model.mkdir()
    for file in source.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    lines = (beir / "corpus.jsonl").read_text().splitlines(keepends=True)
    (beir / "corpus.jsonl").write_text("".join(lines[:10]))
    command = ["eval", beir, "--encoder", model, "--json"]
    answer = run(*command)
    assert answer.code == 0
    digest = answer.json["provenance"]["models"]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "note": "trained on"}))
    answer = run(*command)
    assert answer.code == 1
    assert answer.err.rstrip().endswith("or build it again with --fresh")
    answer = run(*command, "--fresh")
    assert answer.code == 0
    assert answer.json["provenance"]["models"] != digest


def test_a_killed_run_goes_on(
    beir: Path,
    toy: Callable[[], list[str]],
    lsr_command: Callable[..., list[str]],
) -> None:
    command = lsr_command(10, "eval", beir, "--encoder", "toy", "--json")
    log = Path(os.environ["TOY_LOG"])
    slow = {**os.environ, "TOY_DELAY": "0.02"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=slow)
    for _ in range(1000):
        if log.exists() and len(log.read_text().splitlines()) > 35:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert (process.returncode, out) == (-signal.SIGKILL, b"")
    before = len(toy())
    assert before < 144
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = toy()
    assert 144 - before <= len(after) <= 144 - 30
    assert json.loads(done.stdout)["counts"]["queries"] == 2
    subprocess.run(command, capture_output=True, check=True)
    assert toy() == []


def test_an_interrupt_says_that_work_is_kept(
    run: Callable[..., Any], beir: Path, watch: Callable[..., list[str]]
) -> None:
    command = ["eval", beir, "--encoder", "bm25", "--json"]
    complete = run(*command).json

    def stop() -> None:
        raise KeyboardInterrupt

    watch(lsr.Index, "search", "", stop)
    answer = run(*command, "-k", 5)
    assert (answer.code, answer.out) == (130, "")
    assert "Finished work is kept: run the same command again to resume." in answer.err
    assert run(*command).json == complete

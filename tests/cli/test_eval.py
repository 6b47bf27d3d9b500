"""`lsr eval` on small BEIR datasets."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr

QUERIES = [("1", "tidal mills"), ("2", "glass bees"), ("3", "not judged"), ("4", "zyzzyva")]
# "4" finds nothing and so counts 0.
QRELS = [("1", "d103", 2), ("1", "d110", 0), ("2", "d222", 1), ("4", "d000", 1)]
UNJUDGED = "small: 1 of 4 queries have no judgments and are left out.\n"


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def beir(tmp_path: Path, documents: list[dict[str, str]], write_jsonl: Callable[..., Path]) -> Path:
    """A dataset whose judged queries have known best documents."""
    folder = tmp_path / "small"
    write_jsonl(folder / "corpus.jsonl", [{**d, "_id": d["id"]} for d in documents])
    write_jsonl(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in QUERIES])
    (folder / "qrels").mkdir()
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in QRELS)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def beir_zip(beir: Path) -> Path:
    """The same as a zip with a top folder."""
    path = beir.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in beir.rglob("*.*"):
            archive.write(file, f"small/{file.relative_to(beir)}")
    return path


def recall(index: lsr.Index, depth: int) -> float:
    found = 0.0
    for name, text in QUERIES:
        relevant = {d for q, d, grade in QRELS if q == name and grade}
        if relevant:
            found += len(relevant & set(index.search(text, depth).ids.tolist())) / len(relevant)
    return found / 3


def test_a_folder_and_its_zip(
    run: Callable[..., Any], beir: Path, beir_zip: Path, bm25_index: lsr.Index
) -> None:
    measures = "nDCG@10 R@20,RR"
    command = ["--encoder", "bm25", "--measures", measures, "--json"]
    answer = run("eval", beir, *command)
    assert answer.code == 0
    assert list(answer.json)[:3] == ["dataset", "encoder", "measures"]
    assert (answer.json["dataset"], answer.json["encoder"]) == ("small", "bm25")
    assert list(answer.json["measures"]) == ["nDCG@10", "R@20", "RR"]
    assert answer.json["measures"]["R@20"] == pytest.approx(1 / 3)
    assert answer.json["measures"]["R@20"] == pytest.approx(recall(bm25_index, 20))
    assert run("eval", beir_zip, *command).json["measures"] == answer.json["measures"]
    table = run("eval", beir, *command[:-1]).out
    assert table.splitlines()[0] == "small, bm25, 3 queries"
    assert table.splitlines()[1] == f"  nDCG@10      {answer.json['measures']['nDCG@10']:.4f}"


def test_the_run_is_written(run: Callable[..., Any], beir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.trec"
    answer = run("eval", beir, "--encoder", "bm25", "--run", out, "-k", 5, "--json")
    assert answer.code == 0
    lines = [line.split() for line in out.read_text().splitlines()]
    assert [line[0] for line in lines] == ["1"] * 5 + ["2"] * 5
    assert [line[3] for line in lines] == ["1", "2", "3", "4", "5"] * 2
    nowhere = tmp_path / "no" / "out.trec"
    answer = run("eval", beir, "--encoder", "bm25", "--run", nowhere)
    assert answer.code == 1
    assert (
        answer.error == f"{nowhere} cannot be written: its folder does not exist; create it first"
    )


def test_an_index_is_built_and_kept_then_used(
    run: Callable[..., Any], beir: Path, tmp_path: Path, files_of: Callable[..., Any]
) -> None:
    place = tmp_path / "kept"
    command = ["eval", beir, "--index", place, "--json"]
    first = run(*command, "--encoder", "bm25")
    assert first.code == 0
    assert "Encoding: 144 documents" in first.err
    assert len(lsr.open(place)) == 144
    files = files_of(place)
    again = run(*command)
    assert (again.code, again.err) == (0, UNJUDGED)
    assert {**again.json, "provenance": 0} == {**first.json, "provenance": 0}
    assert again.json["provenance"]["measured"] == first.json["provenance"]["measured"]
    assert run(*command, "--encoder", "bm25").json["measures"] == first.json["measures"]
    for other in ("splade-tiny", "bm25:atire"):
        answer = run(*command, "--encoder", other)
        assert (answer.code, answer.out) == (1, "")
        assert "the index was built with the encoder 'bm25'" in answer.error
    assert files_of(place) == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "kept.runs", "small"]


def test_the_default_encoder_is_words_and_the_model(run: Callable[..., Any], beir: Path) -> None:
    lines = (beir / "corpus.jsonl").read_text().splitlines(keepends=True)
    (beir / "corpus.jsonl").write_text("".join(lines[::12]))
    answer = run("eval", beir, "--json", "--measures", "R@100")
    assert (answer.code, answer.json["encoder"]) == (0, "bm25+splade-tiny")


def test_weights_for_an_index_that_is_there(
    run: Callable[..., Any], beir: Path, tmp_path: Path, files_of: Callable[..., Any]
) -> None:
    place, runs = tmp_path / "kept", [tmp_path / f"{i}.trec" for i in range(3)]
    command = ["eval", beir, "--json", "--index", place]
    encoder = ["--encoder", "bm25+bm25:robertson"]
    assert run(*command, *encoder).code == 0
    files = files_of(place)
    weights = ["--weights", "bm25=1,bm25:robertson=0"]
    assert run(*command, *weights, "--run", runs[0]).code == 0
    assert run(*command[:-1], tmp_path / "new", *encoder, *weights, "--run", runs[1]).code == 0
    assert run("search", place, "--queries", beir, *weights, "--run", runs[2], "-k", 1000).code == 0
    judged = {line for line in runs[2].read_text().splitlines(True) if line[0] != "3"}
    assert set(runs[0].read_text().splitlines(True)) == judged
    assert runs[1].read_bytes() == runs[0].read_bytes()
    assert run(*command, "--run", runs[2]).code == 0
    assert runs[2].read_bytes() != runs[0].read_bytes()
    assert files_of(place) == files
    answer = run(*command, "--weights", "bm25=1")
    assert (answer.code, answer.error) == (
        1,
        "weights lack bm25:robertson; give one for each",
    )


@pytest.mark.parametrize("measure", ["nDCG@ten", "nope@10", "P(rel=x)@5", "nDCG@0"])
def test_an_unknown_measure_is_found_before_any_work(
    run: Callable[..., Any], beir: Path, tmp_path: Path, measure: str
) -> None:
    answer = run("eval", beir, "--measures", f"R@10 {measure}", "--index", tmp_path / "i")
    assert (answer.code, answer.out) == (2, "")
    assert measure in answer.error  # and no line about encoding
    assert not (tmp_path / "i").exists()


def test_datasets_that_cannot_be_used(run: Callable[..., Any], beir: Path) -> None:
    answer = run("eval", beir, "--split", "dev", "--encoder", "bm25")
    assert answer.code == 1
    assert "dev" in answer.error
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n77\td000\t1\n")
    answer = run("eval", beir, "--encoder", "bm25")
    assert (answer.code, answer.error) == (1, f"qrels/test.tsv judges no query of {beir}")
    answer = run("eval", beir / "none.zip")
    assert (answer.code, answer.error) == (1, f"{beir}/none.zip does not exist; check the path")

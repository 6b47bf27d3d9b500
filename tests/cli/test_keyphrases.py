"""`lsr add-keyphrases`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "docs.jsonl"
    subjects = ["green tea", "prostate cancer", "sleep apnea"]
    lines = [
        {"_id": str(number), "text": f"On {subjects[number % 3]}, paper {number}."}
        for number in range(30)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_checkpoint_with_phrases(run: Run, corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with-phrases"
    answer = run("add-keyphrases", corpus, "-o", folder, "--least", 5, "--count", 3)
    assert answer.code == 0
    shown = answer.out.strip()
    assert shown.startswith(f"{folder}: splade-tiny with 3 phrases: ")
    assert set(shown.rpartition(": ")[2].split(", ")) == {
        "green tea",
        "prostate cancer",
        "sleep apnea",
    }
    assert "Reading: 30 documents" in answer.err
    again = run("encode", "--encoder", folder, "--text", "green tea for sleep apnea", "--json")
    words = {term["word"]: term["kind"] for term in again.json["terms"]}
    assert words["green tea"] == "literal"
    assert words["sleep apnea"] == "literal"
    index = tmp_path / "index"
    assert run("index", corpus, "-o", index, "--encoder", folder).code == 0
    found = run("search", index, "green tea", "-k", 1, "--explain")
    assert "green tea" in found.out
    assert "mlm, log1p, max, phrases=sum\n" in run("info", index).out


def test_count(run: Run, corpus: Path, tmp_path: Path) -> None:
    few = run("add-keyphrases", corpus, "-o", tmp_path / "x", "--least", 5, "--count", 2, "--json")
    assert len(few.json) == 2


def test_json_and_sample(run: Run, corpus: Path, tmp_path: Path) -> None:
    answer = run(
        "add-keyphrases", corpus, "-o", tmp_path / "few", "--least", 2, "--sample", 4, "--json"
    )
    assert answer.json == ["green tea"]  # of documents 0 and 3
    assert "Reading: 4 documents" in answer.err


def test_bad_input(run: Run, corpus: Path, tmp_path: Path) -> None:
    answer = run("add-keyphrases", corpus, "-o", tmp_path / "x", "--least", 99)
    assert answer.code == 1
    assert "no phrase is a keyphrase of at least 99 documents" in answer.err
    assert not (tmp_path / "x").exists()
    (tmp_path / "x").mkdir()
    answer = run("add-keyphrases", corpus, "-o", tmp_path / "x")
    assert (answer.code, "already exists" in answer.err) == (1, True)
    assert run("add-keyphrases", corpus).code == 2

"""A small judged collection with an index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lsr
from lsr.data.corpus import open_corpus
from lsr.eval.dataset import Dataset, load_dataset

WORDS = ["salt", "iron", "moss", "lamp", "reed", "clay", "dune", "fern"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """64 documents of three words, five queries of which four are judged."""
    folder = tmp_path / "words"
    (folder / "qrels").mkdir(parents=True)
    texts = [
        f"{a} {b} {WORDS[(3 * i + j) % 8]}"
        for i, a in enumerate(WORDS)
        for j, b in enumerate(WORDS)
    ]
    lines = [json.dumps({"_id": f"d{n}", "text": text}) for n, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    queries = ["salt moss", "lamp", "reed clay dune", "none", "fern"]
    lines = [json.dumps({"_id": f"q{n}", "text": text}) for n, text in enumerate(queries)]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    judged = [(f"q{n % 4}", f"d{n}", n // 3 % 3) for n in range(0, 64, 3)]
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in judged)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return load_dataset(str(folder))


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> lsr.Index:
    return lsr.Index.build(tmp_path / "index", open_corpus(str(folder)), "bm25")

"""A judged collection, and the measures that `lsr eval` prints for it."""

from __future__ import annotations

import functools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from lsr.data.corpus import Document, open_corpus


@dataclass(frozen=True)
class Judged:
    """A collection in memory, and the same as a BEIR folder."""

    folder: Path
    documents: list[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """120 abstracts, some with titles and some twice, and 14 queries.

    One query finds nothing, and for one only an irrelevant document is judged.
    """
    chosen = random.Random(6)
    documents = list(islice(open_corpus("arxiv-cs"), 110))
    documents = [
        Document(document.id, document.title if number % 3 else "", document.text)
        for number, document in enumerate(documents)
    ]
    documents += [Document(f"again-{d.id}", d.title, d.text) for d in documents[::11]]
    queries, qrels = {}, {}
    for number, document in enumerate(documents[::10]):
        words = document.text.split()
        queries[f"q{number}"] = " ".join(chosen.sample(words, 6))
        others = chosen.sample(documents, 8)
        qrels[f"q{number}"] = {other.id: chosen.choice([0, 1, 1]) for other in others}
        qrels[f"q{number}"][document.id] = 2
    queries["nothing"], qrels["nothing"] = "zyzzyva", {documents[0].id: 1}
    queries["wrong"], qrels["wrong"] = "neural networks", {documents[1].id: 0}
    folder = tmp_path_factory.mktemp("judged") / "small"
    (folder / "qrels").mkdir(parents=True)
    records = [{"_id": d.id, "title": d.title, "text": d.text} for d in documents]
    write_lines(folder / "corpus.jsonl", map(json.dumps, records))
    asked = [{"_id": name, "text": text} for name, text in queries.items()]
    write_lines(folder / "queries.jsonl", map(json.dumps, asked))
    rows = [f"{q}\t{d}\t{grade}" for q, row in qrels.items() for d, grade in row.items()]
    write_lines(folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", *rows])
    return Judged(folder, documents, queries, qrels)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="session")
def lsr_eval(judged: Judged) -> Callable[[str, str], dict[str, float]]:
    """lsr_eval("bm25", "nDCG@10 AP") -> what the command prints for the collection."""

    @functools.cache
    def measure(encoder: str, measures: str) -> dict[str, float]:
        code = "from lsr.cli import main; main()"
        options = ["--encoder", encoder, "--measures", measures, "--json"]
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, "eval", str(judged.folder), *options],
            capture_output=True,
            check=True,
        )
        values: dict[str, float] = json.loads(done.stdout)["measures"]
        return values

    return measure

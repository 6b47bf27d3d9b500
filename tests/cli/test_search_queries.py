"""`lsr search --queries FILE --run OUT.trec`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lsr

QUERIES = {"q1": "who repairs tidal mills", "q2": "zyzzyva", "q3": "copper, copper"}


def run_of(index: lsr.Index, k: int) -> str:
    """The run as it must be, made by searching one question after the other."""
    lines = []
    for name, text in QUERIES.items():
        for rank, hit in enumerate(index.search(text, k), 1):
            lines.append(f"{name} Q0 {hit.id} {rank} {hit.score!r} lsr\n")
    return "".join(lines)


def as_jsonl(index: lsr.Index, place: Path) -> Path:
    path = place / "queries.jsonl"
    rows = [{"_id": name, "text": text} for name, text in QUERIES.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_tsv(index: lsr.Index, place: Path) -> Path:
    path = place / "queries.tsv"
    path.write_text("".join(f"{name}\t{text}\n" for name, text in QUERIES.items()))
    return path


def as_json_vectors(index: lsr.Index, place: Path) -> Path:
    path = place / "vectors.jsonl"
    with path.open("w") as file:
        for name, text in QUERIES.items():
            words = dict(index.encoder.decode(index.encoder.encode_queries([text])[0]))
            file.write(json.dumps({"id": name, "vector": words}) + "\n")
    return path


def as_parquet_vectors(index: lsr.Index, place: Path) -> Path:
    path = place / "vectors.parquet"
    vectors = index.encoder.encode_queries(list(QUERIES.values()))
    table = {
        "id": list(QUERIES),
        "terms": pa.array([row.terms.tolist() for row in vectors], pa.list_(pa.uint32())),
        "weights": pa.array([row.weights.tolist() for row in vectors], pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(table), path)
    return path


@pytest.mark.parametrize("form", [as_jsonl, as_tsv, as_json_vectors, as_parquet_vectors])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_form_of_queries_gives_the_same_run(
    run: Callable[..., Any],
    bm25_index: lsr.Index,
    tmp_path: Path,
    form: Callable[[lsr.Index, Path], Path],
    threads: int,
) -> None:
    out = tmp_path / "out.trec"
    queries = form(bm25_index, tmp_path)
    command = ["search", bm25_index.path, "--queries", queries, "--run", out]
    answer = run(*command, "-k", 1000, "--threads", threads)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines()[-1] == f"{out}: 3 queries"
    assert out.read_text() == run_of(bm25_index, 1000)
    assert out.read_text().startswith("q1 Q0 ")
    assert run(*command, "-k", 2).code == 0  # replaces the run
    assert out.read_text() == run_of(bm25_index, 2)
    assert len(out.read_text().splitlines()) == 4


def test_the_model_encodes_a_file_of_queries(
    run: Callable[..., Any], splade_index: lsr.Index, tmp_path: Path
) -> None:
    # Texts of one length: the model's floats may depend on the padding of a batch.
    path = tmp_path / "queries.tsv"
    path.write_text("a\ttidal mills\nb\tglass bees\n")
    out = tmp_path / "out.trec"
    assert run("search", splade_index.path, "--queries", path, "--run", out, "-k", 3).code == 0
    both = splade_index.search(["tidal mills", "glass bees"], 3)
    assert [line.split()[2] for line in out.read_text().splitlines()] == [
        identifier for hits in both for identifier in hits.ids.tolist()
    ]


def test_vectors_search_an_index_of_vectors(run: Callable[..., Any], tmp_path: Path) -> None:
    vectors = lsr.SparseVectors([0, 1, 2], [7, 9], [1, 2])
    index = lsr.Index.from_vectors(tmp_path / "v", ["a", "b"], vectors)
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"id": "x", "vector": {"9": 0.5, "7": 0.25}}\n')
    out = tmp_path / "out.trec"
    assert run("search", index.path, "--queries", queries, "--run", out).code == 0
    assert [line.split()[:4] for line in out.read_text().splitlines()] == [
        ["x", "Q0", "b", "1"],
        ["x", "Q0", "a", "2"],
    ]


BAD_FILES = {
    "q.jsonl": ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "line 2 repeats the"),
    "r.jsonl": ('{"_id": "a", "text": "x"}\nnot json\n', "line 2 is not valid JSON"),
    "v.jsonl": ('{"id": "a", "vector": {"nope": 1}}\n', "'nope', which is not a word of the"),
    "w.jsonl": ('{"id": "a", "vector": {"copper": -1}}\n', "line 1 has the weight -1.0"),
    "empty.jsonl": ("", "holds no query"),
    "q.csv": ("a,b", "no known format"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_query_files(
    run: Callable[..., Any], bm25_index: lsr.Index, tmp_path: Path, name: str
) -> None:
    content, message = BAD_FILES[name]
    (tmp_path / name).write_text(content)
    out = tmp_path / "out.trec"
    answer = run("search", bm25_index.path, "--queries", tmp_path / name, "--run", out)
    assert answer.code == 1
    assert message in answer.error
    assert name in answer.error
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_queries_that_are_not_there(
    run: Callable[..., Any], bm25_index: lsr.Index, tmp_path: Path
) -> None:
    out = tmp_path / "out.trec"
    answer = run("search", bm25_index.path, "--queries", tmp_path / "none.tsv", "--run", out)
    assert (answer.code, answer.error) == (1, f"{tmp_path}/none.tsv does not exist; check the path")


def test_a_run_that_cannot_be_written(
    run: Callable[..., Any], bm25_index: lsr.Index, tmp_path: Path
) -> None:
    queries = as_tsv(bm25_index, tmp_path)
    for place, why in (
        (tmp_path / "no" / "out.trec", "its folder does not exist; create it first"),
        (tmp_path, "it is a folder; name a file"),
    ):
        answer = run("search", bm25_index.path, "--queries", queries, "--run", place)
        assert (answer.code, answer.error) == (1, f"{place} cannot be written: {why}")
    long = tmp_path / ("x" * 300)
    answer = run("search", bm25_index.path, "--queries", queries, "--run", long)
    assert answer.code == 1
    assert answer.error.startswith("File name too long: ")
    assert [path.name for path in tmp_path.iterdir()] == ["queries.tsv"]

"""Reading queries, as text and as vectors."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsr.data.queries import Query, QueryFile, read_queries
from lsr.errors import CorpusError
from lsr.vectors import SparseVectors

QUERIES = [Query("q1", "red planet"), Query("2", "rings")]
JSONL = b'{"_id": "q1", "text": "red planet", "metadata": {}}\n{"id": 2, "text": "rings"}\n'
WORDS = {"red": 3, "planet": 1, "7": 9}


def write(path: Path, data: bytes | str) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def test_text_queries(tmp_path: Path) -> None:
    assert read_queries(write(tmp_path / "q.jsonl", JSONL)) == QUERIES
    assert read_queries(write(tmp_path / "q.jsonl.gz", gzip.compress(JSONL))) == QUERIES
    assert read_queries(write(tmp_path / "q.tsv", "q1\tred planet\n2\trings")) == QUERIES
    assert read_queries(write(tmp_path / "q.tsv", "id\ttext\nq1\tred planet\n2\trings")) == QUERIES
    write(tmp_path / "queries.jsonl", JSONL)
    assert read_queries(str(tmp_path)) == QUERIES
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("set/queries.jsonl", JSONL)
    assert read_queries(str(tmp_path / "set.zip")) == QUERIES
    assert not QueryFile(str(tmp_path / "set.zip")).encoded
    pq.write_table(
        pa.table({"id": ["q1", "2"], "text": ["red planet", "rings"]}), tmp_path / "q.parquet"
    )
    assert read_queries(str(tmp_path / "q.parquet")) == QUERIES


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("q.jsonl", JSONL + b'{"id": "2", "text": "x"}', "line 3 repeats the query id '2'"),
        ("q.tsv", b"a\tb\n\na\tc\n", "line 3 repeats the query id 'a'"),
        ("q.tsv", b"a\tb\tc\n", r"line 1 has 3 .* instead of 2 \(id, text\)"),
        ("q.jsonl", b'{"id": "a"}', "line 1 has no text"),
        ("q.jsonl", b"\n", "holds no query"),
        ("q.txt", b"red planet\n", r"is of no known format \(\.txt\)"),
        ("q.xml", b"", r"is of no known format \(\.xml\)"),
    ],
)
def test_bad_text_queries(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_queries(write(tmp_path / name, data))


def test_missing_queries(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"has no queries\.jsonl in it"):
        read_queries(str(tmp_path))
    with pytest.raises(CorpusError, match="does not exist"):
        QueryFile(str(tmp_path / "q.jsonl"))
    with pytest.raises(CorpusError, match="does not exist"):
        QueryFile(str(tmp_path / "q.parquet"))


def test_json_vectors(tmp_path: Path) -> None:
    path = write(
        tmp_path / "v.jsonl",
        '{"id": "a", "contents": "", "vector": {"red": 1.5, "planet": 2, "30000": 0.25, "7": 1}}\n'
        '{"id": 2, "vector": {}}\n',
    )
    assert QueryFile(path).encoded
    ids, vectors = QueryFile(path).vectors(WORDS.get)
    assert ids == ["a", "2"]
    assert vectors == SparseVectors([0, 4, 4], [1, 3, 9, 30000], [2, 1.5, 1, 0.25])


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ('{"saturn": 1}', "line 2 has the token 'saturn', which is not a word of the vocabulary"),
        ('{"-1": 1}', "line 2 has the token '-1'"),
        ('{"\\u0663": 1}', "line 2 has the token"),  # a digit, but not one of a decimal term id
        ('{"99999999999": 1}', "line 2 has the token '99999999999'"),
        ('{"4294967296": 1}', "line 2 is not a vector: terms must lie between 0 and 4294967295"),
        ('{"red": 1, "3": 2}', "line 2 has term 3 twice"),
        ('{"red": -1}', "line 2 has the weight -1.0 for term 3"),
        ('{"red": NaN}', "line 2 has the weight nan for term 3"),
        ('{"red": 1e300}', "line 2 has the weight inf for term 3"),
        ('{"red": 1' + "0" * 400 + "}", "line 2 has a weight too large"),
        ('{"red": "1"}', "line 2 has weights that are not numbers"),
        ('{"red": true}', "line 2 has weights that are not numbers"),
        ("[1, 2]", "line 2 has no vector"),
        ("null", "line 2 has no vector"),
    ],
)
def test_bad_json_vectors(tmp_path: Path, vector: str, message: str) -> None:
    line = f'{{"id": "b", "vector": {vector}}}'
    path = write(tmp_path / "v.jsonl", f'{{"id": "a", "vector": {{"red": 1}}}}\n{line}\n')
    with pytest.raises(CorpusError, match=rf"v\.jsonl, {message}"):
        QueryFile(path).vectors(WORDS.get)


def test_repeated_vector_id(tmp_path: Path) -> None:
    path = write(tmp_path / "v.jsonl", '{"id": "a", "vector": {"red": 1}}\n' * 2)
    with pytest.raises(CorpusError, match="line 2 repeats the query id 'a'"):
        QueryFile(path).vectors(WORDS.get)


@pytest.mark.parametrize("terms", [pa.uint16(), pa.uint32(), pa.int64()])
@pytest.mark.parametrize("weights", [pa.float16(), pa.float32(), pa.float64()])
def test_parquet_vectors(tmp_path: Path, terms: Any, weights: Any) -> None:
    table = pa.table(
        {
            "id": ["a", "b"],
            "terms": pa.array([[5, 2], []], pa.list_(terms)),
            "weights": pa.array([[0.5, 1.25], []], pa.list_(weights)),
            "text": ["x", "y"],
        }
    )
    path = tmp_path / "v.parquet"
    pq.write_table(table, path)
    assert QueryFile(str(path)).encoded
    ids, vectors = QueryFile(str(path)).vectors(WORDS.get)
    assert ids == ["a", "b"]
    assert vectors == SparseVectors([0, 2, 2], [2, 5], [1.25, 0.5])


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ([5], [1.0, 2.0], "is not a vector: row 0|row 2 has 1 terms and 2 weights"),
        ([5, 5], [1.0, 2.0], "row 2 has term 5 twice"),
        ([-5], [1.0], "row 2 is not a vector: terms must lie between"),
        ([None], [1.0], "row 2 has terms that are not integers"),
        ([5], [None], "row 2 has weights that are not numbers"),
        (None, [1.0], "row 2 has no lists of terms and weights"),
    ],
)
def test_bad_parquet_vectors(tmp_path: Path, terms: Any, weights: Any, message: str) -> None:
    path = tmp_path / "v.parquet"
    pq.write_table(
        pa.table({"id": [1, 2], "terms": [[1], terms], "weights": [[1.0], weights]}), path
    )
    with pytest.raises(CorpusError, match=rf"v\.parquet, {message}"):
        QueryFile(str(path)).vectors(WORDS.get)


rows = st.dictionaries(
    st.integers(0, 2**32 - 1), st.floats(0, 100, width=32, allow_nan=False), max_size=8
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(vectors=st.lists(rows, min_size=1))
def test_vectors_survive_either_form(tmp_path: Path, vectors: list[dict[int, float]]) -> None:
    expected = SparseVectors.from_rows(
        (sorted(vector), [vector[term] for term in sorted(vector)]) for vector in vectors
    )
    json_path = write(
        tmp_path / "v.jsonl",
        "".join(
            json.dumps({"id": number, "vector": vector}) + "\n"
            for number, vector in enumerate(vectors)
        ),
    )
    parquet_path = tmp_path / "v.parquet"
    columns = {
        "id": pa.array([str(number) for number in range(len(vectors))]),
        "terms": pa.array([list(vector) for vector in vectors], pa.list_(pa.uint32())),
        "weights": pa.array([list(vector.values()) for vector in vectors], pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(columns), parquet_path)
    for path in (json_path, str(parquet_path)):
        ids, read = QueryFile(path).vectors({}.get)
        assert ids == [str(number) for number in range(len(vectors))]
        assert read == expected

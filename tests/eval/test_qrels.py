"""Reading relevance judgments."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from lsr.errors import CorpusError
from lsr.eval.qrels import read_qrels

HEADER = "query-id\tcorpus-id\tscore\n"
BEIR = HEADER + "q1\td1\t2\nq1\td2\t0\r\nq 2\td1\t1\n".replace("q 2", "q2")
QRELS = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": 1}}


def write(path: Path, data: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def test_every_form(tmp_path: Path) -> None:
    file = write(tmp_path / "qrels" / "test.tsv", BEIR)
    write(tmp_path / "qrels" / "dev.tsv.gz", gzip.compress((HEADER + "q1\td9\t1").encode()))
    assert read_qrels(file) == QRELS
    assert read_qrels(str(tmp_path)) == QRELS
    assert read_qrels(str(tmp_path), "dev") == {"q1": {"d9": 1}}
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(file, "set/qrels/test.tsv")
    assert read_qrels(str(tmp_path / "set.zip")) == QRELS
    trec = "q1 0 d1 2\nq1\t0\td2  0\n\nq2 Q0 d1 +1\nq2 0 d3 -1\n"
    assert read_qrels(write(tmp_path / "t.qrels", trec)) == {**QRELS, "q2": {"d1": 1, "d3": -1}}


def test_a_judgment_may_be_repeated_but_not_contradicted(tmp_path: Path) -> None:
    assert read_qrels(write(tmp_path / "t.tsv", BEIR + "q1\td1\t2\n")) == QRELS
    with pytest.raises(CorpusError, match=r"t\.tsv, line 5 grades document 'd1' for query 'q1' 1"):
        read_qrels(write(tmp_path / "t.tsv", BEIR + "q1\td1\t1\n"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "query\tdoc\tscore\nq1\td1\t1\n",
            "line 1 is 'query.*' instead of the header query-id, corp",
        ),
        ("q1\td1\t1\n", "line 1 is .* instead of the header"),
        (HEADER + "q1\td1\t1.5\n", "line 2 has the grade '1.5'; grades are integers"),
        (HEADER + "q1\td1\t\n", "line 2 has the grade ''"),
        ("q1 0 d1 high\n", "line 1 has the grade 'high'"),
        ("q1 0 d1 1_0\n", "line 1 has the grade '1_0'"),
        (HEADER + "q1\td1\n", "line 2 has 2 columns instead of query-id, corpus-id, score"),
        ("q1 0 d1 1\nq1 0 d1 1 x\n", "line 2 has 5 columns instead of query, 0, document, grade"),
        (HEADER + "\td1\t1\n", "line 2 has an empty id"),
        ("q1\t0\td 1\t1\n", "line 1 is 'q1.*' instead of the header"),
        (HEADER, "holds no judgments"),
        ("", "holds no judgments"),
        (b"q1 0 \xff 1\n", "line 1 is not UTF-8"),
    ],
)
def test_bad_judgments(tmp_path: Path, data: str | bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_qrels(write(tmp_path / "t.tsv", data))


def test_missing_split(tmp_path: Path) -> None:
    write(tmp_path / "qrels" / "test.tsv", BEIR)
    with pytest.raises(CorpusError, match=r"has no qrels/train\.tsv in it"):
        read_qrels(str(tmp_path), "train")

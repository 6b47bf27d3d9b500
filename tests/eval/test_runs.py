"""Writing and reading runs."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsr.errors import CorpusError, LsrError, QueryError
from lsr.eval.runs import read_run, write_run


def test_six_columns(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    scores = np.array([2.5, 0.1], np.float32)
    write_run(path, [("q1", ["d1", "d2"], scores), ("q2", [], []), ("q3", ["d1"], [3])], "lsr")
    assert path.read_text() == (
        "q1 Q0 d1 1 2.5 lsr\nq1 Q0 d2 2 0.10000000149011612 lsr\nq3 Q0 d1 1 3.0 lsr\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["run.trec"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scores=st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_scores_read_back_equal(tmp_path: Path, scores: list[float]) -> None:
    path = tmp_path / "run.trec"
    write_run(path, [("q", [f"d{n}" for n in range(len(scores))], np.array(scores))], "t")
    assert [float(line.split()[4]) for line in path.read_text().splitlines()] == scores
    if scores:
        assert read_run(path) == {"q": {f"d{n}": score for n, score in enumerate(scores)}}


def failing() -> Iterator[tuple[str, Sequence[str], Sequence[float]]]:
    yield "q1", ["d1"], [1.0]
    raise RuntimeError("interrupted")


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="interrupted"):
        write_run(path, failing(), "lsr")
    assert [file.name for file in tmp_path.iterdir()] == ["run.trec"]
    assert path.read_text() == "old"


def test_a_link_and_a_device_stay_what_they_are(tmp_path: Path) -> None:
    target, link = tmp_path / "target.trec", tmp_path / "link.trec"
    target.write_text("old")
    link.symlink_to(target)
    write_run(link, [("q", ["d"], [1.0])], "t")
    assert link.is_symlink()
    assert target.read_text() == "q Q0 d 1 1.0 t\n"
    write_run(os.devnull, [("q", ["d"], [1.0])], "t")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("row", "tag", "message"),
    [
        (("q", ["d"], [1.0]), "my run", "the tag 'my run'"),
        (("q", ["d"], [1.0]), "", "the tag ''"),
        (("a b", ["d"], [1.0]), "t", "the query id 'a b'"),
        (("q", ["d\n"], [1.0]), "t", "the document id"),
        (("q", ["d"], [float("nan")]), "t", "query 'q' gives document 'd' the score nan"),
        (("q", ["d"], [1.0, 2.0]), "t", "has 1 documents and 2 scores"),
    ],
)
def test_bad_rows(
    tmp_path: Path, row: tuple[str, list[str], list[float]], tag: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        write_run(tmp_path / "run.trec", [row], tag)
    assert not list(tmp_path.iterdir())


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(LsrError, match=r"run\.trec cannot be written: No such file"):
        write_run(tmp_path / "missing" / "run.trec", [], "t")


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "run.trec.gz"
    lines = "q2 Q0 d1 9 -1e-3 a\r\n\nq1\tQ0\td1 1 2 a\nq2 0 d2 1 .5 b\n"
    path.write_bytes(gzip.compress(lines.encode()))
    run = read_run(path)
    assert run == {"q2": {"d1": -0.001, "d2": 0.5}, "q1": {"d1": 2.0}}
    assert list(run) == ["q2", "q1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("q Q0 d 1 2.0\n", "line 1 has 5 columns instead of query, Q0, document, rank, score"),
        ("q Q0 d 1 2 t\nq Q0 d 2 1\n", "line 2 has 5 columns"),
        ("q Q0 d 1 0x1 t\n", "line 1 has the score '0x1'"),
        ("q Q0 d 1 infinity t\n", "line 1 has the score 'infinity'"),
        ("q Q0 d 1 \u0661 t\n", "line 1 has the score '\u0661'"),
        ("q Q0 d 1 high t\n", "line 1 has the score 'high'; scores are finite"),
        ("q Q0 d 1 nan t\n", "line 1 has the score 'nan'"),
        ("q Q0 d 1 1e999 t\n", "line 1 has the score '1e999'"),
        ("q Q0 d 1 1_0 t\n", "line 1 has the score '1_0'"),
        ("q Q0 d 1 2 t\np Q0 d 1 2 t\nq Q0 d 2 1 t\n", "line 3 repeats the document 'd' for q"),
        ("\n", "holds no run"),
        (b"q Q0 \xff 1 1 t\n", "line 1 is not UTF-8"),
        (f"{'q' * 2000} Q0 d 1 1 t\n", "line 1 has an id longer"),
    ],
)
def test_bad_runs(tmp_path: Path, data: str | bytes, message: str) -> None:
    path = tmp_path / "run.trec"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(CorpusError, match=rf"run\.trec,? {message}"):
        read_run(path)
    with pytest.raises(CorpusError, match="cannot be read: No such file"):
        read_run(tmp_path / "none")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compressed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run.trec{suffix}"
    rows = [(f"q{n}", ["a", "b"], [0.1 + n, 0.1]) for n in range(1000)]
    write_run(path, rows, "lsr")
    assert read_run(path) == {q: dict(zip(ids, values, strict=True)) for q, ids, values in rows}
    assert (path.stat().st_size < 20_000) == bool(suffix)

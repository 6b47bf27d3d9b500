"""TREC's files as they are found: rows among any noise that trec_eval passes over."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import CorpusError
from lsr.eval.qrels import location_of, read_qrels
from lsr.eval.runs import read_run

Rows = dict[tuple[str, str], str]  # (query, document) -> what the file says of them

words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5)
queries = words.filter(lambda word: word[0] not in "#\ufeff")
blanks = st.text(st.sampled_from(" \t\x0b\x0c"), min_size=1, max_size=3)
edges = st.just("") | blanks
scores = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.sampled_from(
    ["1e-3", "+3", "-.5", "7.", "2E+05", "-0", "00012", "1e-400", "0.1000000000000000055511151231"]
)
grades = st.integers(-999, 999).map(str) | st.sampled_from(
    ["+1", "-0", "007", "1.0", "-2.", "0.00"]
)
# Lines that hold nothing.
comments = st.builds(
    "{}#{}".format, edges, st.text(st.characters(exclude_categories=["C"]), max_size=5)
)
nothing = edges | comments


def pairs(of: st.SearchStrategy[str]) -> st.SearchStrategy[Rows]:
    return st.dictionaries(st.tuples(queries, words), of, min_size=1, max_size=6)


@st.composite
def disturbed(draw: st.DrawFn, rows: list[list[str]], plain: bool) -> bytes:
    """The rows as a file with noise; none that a simple parser trips over when `plain`."""
    lines = []
    for row in rows:
        if not plain:
            lines += draw(st.lists(nothing, max_size=2))
        line = draw(edges)
        for cell in row:
            line += cell + draw(blanks)
        lines.append(line if draw(st.booleans()) else line.rstrip(" \t\x0b\x0c"))
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    text = ends.join(lines) + draw(st.sampled_from(["", ends]))
    mark = "" if plain else draw(st.sampled_from(["", "\ufeff"]))
    return (mark + text).encode()


@given(rows=pairs(scores), data=st.data(), plain=st.booleans())
def test_runs(rows: Rows, data: st.DataObject, plain: bool) -> None:
    tag = words if plain else st.lists(words, min_size=1, max_size=3).map(" ".join)
    listed = [
        [query, data.draw(words), document, data.draw(words), score, data.draw(tag)]
        for (query, document), score in rows.items()
    ]
    file = data.draw(disturbed(listed, plain))
    wanted: dict[str, dict[str, float]] = {}
    for (query, document), score in rows.items():
        wanted.setdefault(query, {})[document] = float(score)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        path.write_bytes(file)
        assert read_run(path) == wanted
        assert [list(row) for row in read_run(path).values()] == [list(r) for r in wanted.values()]
    if plain:
        assert pytrec_eval.parse_run(file.decode().removesuffix("\n").split("\n")) == wanted


@given(rows=pairs(grades), data=st.data(), plain=st.booleans())
def test_judgments(rows: Rows, data: st.DataObject, plain: bool) -> None:
    listed = [[query, data.draw(words), document, g] for (query, document), g in rows.items()]
    file = data.draw(disturbed(listed, plain))
    wanted: dict[str, dict[str, int]] = {}
    for (query, document), grade in rows.items():
        wanted.setdefault(query, {})[document] = int(float(grade))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "qrels"
        path.write_bytes(file)
        assert read_qrels(path) == wanted
        lines = file.decode().removeprefix("\ufeff").split("\n")
        for query, document in rows:
            where = location_of(path, query, document)
            cells = lines[int(where.removeprefix(f"{path}, line ")) - 1].split()
            assert (cells[0], cells[2]) == (query, document)
    if plain and not any("." in grade for grade in rows.values()):
        assert pytrec_eval.parse_qrel(file.decode().removesuffix("\n").split("\n")) == wanted


@pytest.mark.parametrize("cut", range(1, 6))
def test_rows_that_are_cut(tmp_path: Path, cut: int) -> None:
    cells = ["q", "0", "d", "1", "2.5", "tag"]
    (tmp_path / "run").write_text(f"# a run\n\n{' '.join(cells[:cut])}\n")
    with pytest.raises(CorpusError, match=f"run, line 3 has {cut} columns instead of query, Q0"):
        read_run(tmp_path / "run")
    if cut < 4:
        text = f"# judgments\nq 0 d 1\n{' '.join(cells[:cut])}\n"
        (tmp_path / "qrels").write_text(text)
        with pytest.raises(CorpusError, match=f"qrels, line 3 has {cut} columns instead of query"):
            read_qrels(tmp_path / "qrels")


@pytest.mark.parametrize(
    "header",
    [
        "query-id\tcorpus-id\tscore",
        "Query-ID\tCorpus-ID\tScore",
        " query_id \tcorpus_id\t score",
        "\ufeffQUERY-ID\tCORPUS-ID\tSCORE\r",
        "\n# of the test split\nquery-id\tcorpus-id\tscore",
    ],
)
def test_headers_of_beir(tmp_path: Path, header: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(f"{header}\nq 1\td1\t 2 \r\n\n#2\td\u00a0x\t1.0\n", "utf-8", newline="")
    assert read_qrels(path) == {"q 1": {"d1": 2}, "#2": {"d\u00a0x": 1}}
    assert location_of(path, "#2") == f"{path}, line {4 + header.count(chr(10))}"
    assert location_of(path, "q 1", "d1") == f"{path}, line {2 + header.count(chr(10))}"


@pytest.mark.parametrize(
    "first",
    ["q1\td1\t1", "query-id corpus-id score", "query-id,corpus-id,score", "q1\t0\td1\t1\tx"],
)
def test_no_header(tmp_path: Path, first: str) -> None:
    (tmp_path / "t.tsv").write_text(f"{first}\nq1\td1\t1\n")
    with pytest.raises(CorpusError) as caught:
        read_qrels(tmp_path / "t.tsv")
    assert str(caught.value) == (
        f"{tmp_path / 't.tsv'}, line 1 is {first!r} instead of the header query-id, corpus-id, "
        "score (tab-separated) or a line of four TREC columns; add the header"
    )


def test_only_ascii_white_space_parts_columns(tmp_path: Path) -> None:
    """As in trec_eval; Python's `str.split` would find more columns."""
    (tmp_path / "run").write_bytes("q\u00a01 Q0 d\u2003\x1c1 1 2 t\n".encode())
    assert read_run(tmp_path / "run") == {"q\u00a01": {"d\u2003\x1c1": 2.0}}
    (tmp_path / "qrels").write_bytes("q\u00a01 0 d\u20031 1\n".encode())
    assert read_qrels(tmp_path / "qrels") == {"q\u00a01": {"d\u20031": 1}}

"""Ids: one rule wherever one may stand, and formats that cannot hold all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsr
from lsr.data.records import BadRecord, as_id
from lsr.errors import CorpusError, LsrError, QueryError
from lsr.eval.experiments.run_cache import RunCache, TimedRun
from lsr.eval.measures import scores
from lsr.eval.qrels import read_qrels
from lsr.eval.runs import check_ids, check_ids_of, read_run, suffix_for, write_run
from lsr.vectors import SparseVectors

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
ids = texts.filter(lambda text: not text.isspace() and len(text.encode()) <= 1024) | (
    st.sampled_from(
        ["a b#0", " a ", "notes/a file.txt", "a\tb", "a\nb\r\n", "a\u00a0b", "#1", "\ufeffa"]
    )
)
several = st.lists(ids, min_size=1, max_size=6, unique=True)
SPACED = ["notes/a file.txt", "b\tb", "c\nc", "d\u2003d", " e"]
NO_IDS = {
    "true": (True, "true or false"),
    "float": (2.0, "a number"),
    "nan": (float("nan"), "a number"),
    "float32": (np.float32(7), "a number"),
    "bytes": (b"a", "bytes"),
    "list": ([7], "a list"),
    "arrow": (pa.scalar(7.0), "a number"),
    "object": (object(), "the type object"),
}


def vectors(rows: int) -> SparseVectors:
    return SparseVectors.from_rows([([row, 9], [1.0, row + 1.0]) for row in range(rows)])


@given(value=ids | st.integers(-(2**63), 2**63 - 1))
def test_what_an_id_is(value: str | int) -> None:
    forms: list[Any] = [value, pa.scalar(value), str(value), np.str_(value)]
    if isinstance(value, int):
        forms.append(np.int64(value))
    for form in forms:
        assert as_id(form) == str(value)
        assert type(as_id(form)) is str


@pytest.mark.parametrize("case", NO_IDS)
def test_what_no_id_is(case: str, tmp_path: Path) -> None:
    value, kind = NO_IDS[case]
    message = f"has {kind} for an id; ids are strings or integers"
    with pytest.raises(BadRecord, match=message):
        as_id(value)
    with pytest.raises(CorpusError, match=f"document 2: {message}"):
        lsr.Index.build(
            tmp_path / "i", [{"id": 1, "text": "x"}, {"id": value, "text": "y"}], "bm25"
        )
    with pytest.raises(CorpusError, match=f"document 2: {message}"):
        lsr.Index.from_vectors(tmp_path / "i", ["a", value], vectors(2))
    with pytest.raises(QueryError, match=f"a row of the run {message}"):
        write_run(tmp_path / "r", [(value, ["d"], [1])], "t")
    with pytest.raises(QueryError, match=f"a row of the run {message}"):
        write_run(tmp_path / "r.jsonl", [("q", ["d", value], [1, 2])], "t")
    assert not list(tmp_path.iterdir())
    index = lsr.Index.from_vectors(tmp_path / "i", ["7"], vectors(1))
    for ask in (index.get, index.__contains__):
        with pytest.raises(QueryError, match=f"the requested document {message}"):
            ask(value)


def test_integers_stand_for_their_digits(tmp_path: Path) -> None:
    index = lsr.Index.from_vectors(tmp_path / "i", np.arange(3), vectors(3))
    assert sorted(index.reader.ids.to_pylist()) == ["0", "1", "2"]
    for form in ("2", 2, np.int8(2), np.str_("2"), pa.scalar(2)):
        assert index.get(form).id == "2"
        assert form in index
    assert 3 not in index
    documents = [{"id": id, "text": "copper"} for id in pa.array(["a", "b c"])]
    index = lsr.Index.build(tmp_path / "j", documents, "bm25")
    assert index.get("b c").text == "copper"


@settings(max_examples=20, deadline=None)
@given(names=several)
def test_an_index_holds_any_id(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index = lsr.Index.from_vectors(path, names, vectors(len(names)))
        assert index.reader.ids.to_pylist() == [
            index.reader.id_of(number) for number in range(len(names))
        ]
        assert sorted(index.reader.ids.to_pylist()) == sorted(names)
        (hits,) = index.search_vectors(SparseVectors.from_rows([([9], [1.0])]), k=len(names))
        assert hits.ids.tolist() == names[::-1]  # the weight of the term rises with the place
        for name in names:
            assert name in index
            assert index.get(name).id == name


@given(run=st.dictionaries(ids, st.dictionaries(ids, st.floats(-9, 9), min_size=1), min_size=1))
def test_json_lines_hold_any_run_and_trec_lines_what_they_can(
    run: dict[str, dict[str, float]],
) -> None:
    with TemporaryDirectory() as folder:
        rows = [(query, list(hits), list(hits.values())) for query, hits in run.items()]
        for name in ("run.jsonl", "run.jsonl.gz", "run.jsonl.zst"):
            write_run(Path(folder, name), rows, "t")
            back = read_run(Path(folder, name))
            assert back == run
            assert [list(hits) for hits in back.values()] == [list(hits) for hits in run.values()]
        path = Path(folder, "run.trec")
        if suffix_for(run) == ".trec":
            write_run(path, rows, "t")
            check_ids(path, run, [document for hits in run.values() for document in hits])
            assert read_run(path) == run
        else:
            with pytest.raises(
                QueryError, match=r"cannot hold; write the run as JSON lines, run\.j"
            ):
                write_run(path, rows, "t")
            assert not path.exists()


@settings(max_examples=20, deadline=None)
@given(names=several)
def test_the_ids_of_an_index_are_checked_at_once(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        index = lsr.Index.from_vectors(Path(folder) / "index", names, vectors(len(names)))
        check_ids_of("run.jsonl", index.reader.ids)
        if any(name.split() != [name] for name in names):
            with pytest.raises(QueryError, match="has white space, which a TREC run cannot hold"):
                check_ids_of("run.trec.gz", index.reader.ids)
        else:
            check_ids_of("run.trec.gz", index.reader.ids)


@given(judgments=st.dictionaries(ids, st.dictionaries(ids, st.integers(-2, 9), min_size=1)))
def test_judgments_of_beir_hold_all_but_tabs_and_line_ends(
    judgments: dict[str, dict[str, int]],
) -> None:
    wanted = {
        query: held
        for query, row in judgments.items()
        if not set(query) & set("\t\n\r")
        and (held := {d: grade for d, grade in row.items() if not set(d) & set("\t\n\r")})
    }
    rows = [f"{q}\t{d}\t{grade}" for q, row in wanted.items() for d, grade in row.items()]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "test.tsv"
        path.write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]), "utf-8", newline="")
        if wanted:
            assert read_qrels(path) == wanted


def test_kept_runs_hold_any_id(tmp_path: Path) -> None:
    index = lsr.Index.from_vectors(tmp_path / "i", SPACED, vectors(len(SPACED)))
    run = {"a query": dict.fromkeys(SPACED, 1.5)}
    RunCache(index.path).store("key", TimedRun(run, np.array([2.0]), {}))
    found = RunCache(index.path).load("key", ["a query"])
    assert found is not None
    assert found.run == run


@pytest.fixture
def spaced(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    """A judged dataset whose ids have blanks, and a tab and a line end among them."""
    folder = tmp_path / "small"
    subjects = ["tidal mills", "glass bees", "copper", "winter wheat", "paper maps"]
    rows = [{"_id": i, "text": text} for i, text in zip(SPACED, subjects, strict=True)]
    write_jsonl(folder / "corpus.jsonl", rows)
    write_jsonl(folder / "queries.jsonl", [{"_id": "first q", "text": "tidal mills, copper"}])
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(
        f"query-id\tcorpus-id\tscore\nfirst q\t{SPACED[0]}\t1\nfirst q\t{SPACED[3]}\t1\n"
    )
    return folder


def test_search_refuses_ids_before_the_search(
    run: Callable[..., Any], spaced: Path, tmp_path: Path, watch: Callable[..., list[str]]
) -> None:
    index = tmp_path / "index"
    assert run("index", spaced, "-o", index, "--encoder", "bm25").code == 0
    plain = tmp_path / "plain.tsv"
    plain.write_text("q1\ttidal mills\n")
    command = ["search", index, "--queries"]
    searched = watch(lsr.Index, "search")
    answer = run(*command, plain, "--run", tmp_path / "out.jsonl")
    assert (answer.code, list(read_run(tmp_path / "out.jsonl")["q1"])) == (0, SPACED[:1])
    answer = run(*command, spaced, "--run", tmp_path / "out.jsonl.gz")
    assert list(read_run(tmp_path / "out.jsonl.gz")) == ["first q"]
    assert searched == ["tidal mills", "tidal mills, copper"]
    searched.clear()
    for queries, problem in ((spaced, "query id 'first q'"), (plain, "document id ")):
        answer = run(*command, queries, "--run", tmp_path / "out.trec")
        assert answer.code == 2
        assert answer.error.startswith(f"the {problem}")
        assert answer.error.endswith(
            " has white space, which a TREC run cannot hold; write the run as JSON lines, out.jsonl"
        )
    assert searched == []
    assert not (tmp_path / "out.trec").exists()
    assert run(*command, plain, "--run", "-").error.endswith("as JSON lines, run.jsonl")


def test_hits_of_any_id_are_lines(run: Callable[..., Any], spaced: Path, tmp_path: Path) -> None:
    assert run("index", spaced, "-o", tmp_path / "i", "--encoder", "bm25").code == 0
    lines = run("search", tmp_path / "i", "glass copper").out.splitlines()
    assert sorted(line.split("\t")[2] for line in lines[::2]) == ["b␉b", "c␊c"]
    hits = run("search", tmp_path / "i", "glass copper", "--json").json["hits"]
    assert sorted(hit["id"] for hit in hits) == ["b\tb", "c\nc"]


def test_eval_takes_any_id_and_refuses_them_before_the_work(
    run: Callable[..., Any], spaced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = ["eval", spaced, "--encoder", "bm25", "--measures", "R@100", "--json"]
    answer = run(*command, "--run", tmp_path / "out.trec")
    assert answer.code == 2
    assert "Error: the query id 'first q' has white space" in answer.err
    assert not list((tmp_path / "cache").rglob("manifest.json"))
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"_id": "q", "text": "tidal mills, copper"}')
    judged = tmp_path / "judged.tsv"
    judged.write_text(f"query-id\tcorpus-id\tscore\nq\t{SPACED[0]}\t1\n")
    apart = ["--queries", queries, "--qrels", judged, "--index", tmp_path / "index"]
    for _ in range(2):  # of the collection, and of the index that is there
        answer = run(*command, *apart, "--run", tmp_path / "out.trec")
        assert answer.code == 2
        assert answer.error.startswith(f"the document id {SPACED[0]!r} has white space")
        run(*command, *apart)
    answer = run(*command, "--run", tmp_path / "out.jsonl")
    assert (answer.code, answer.json["measures"]) == (0, {"R@100": 0.5})
    assert set(read_run(tmp_path / "out.jsonl")["first q"]) == {SPACED[0], SPACED[2]}
    assert run(*command).json == answer.json | {"provenance": run(*command).json["provenance"]}
    again = run("eval", "--run-file", tmp_path / "out.jsonl", "--qrels", spaced, "--json")
    assert again.json["measures"]["R@100"] == 0.5
    (tmp_path / "b.jsonl").write_bytes((tmp_path / "out.jsonl").read_bytes())
    compared = run(
        "compare", tmp_path / "out.jsonl", tmp_path / "b.jsonl", "--qrels", spaced, "--json"
    )
    assert compared.json["measures"]["R@100"][0]["mean"] == 0.5


def test_several_runs_and_reports_choose_the_form(
    run: Callable[..., Any], spaced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoders = ["--encoder", "bm25", "--encoder", "bm25:bm25l"]
    out = ["--run", tmp_path / "runs", "--report", tmp_path / "report"]
    assert run("eval", spaced, *encoders, *out).code == 0
    names = [path.name for path in sorted((tmp_path / "runs" / "small").iterdir())]
    assert names == ["bm25.jsonl", "bm25_bm25l.jsonl"]
    names = [path.name for path in sorted((tmp_path / "report" / "runs").iterdir())]
    assert names == ["small.bm25.jsonl", "small.bm25_bm25l.jsonl"]


@pytest.mark.parametrize("format", ["jsonvectors", "seismic", "pyterrier", "ciff", "npz", "csr"])
def test_exports(run: Callable[..., Any], tmp_path: Path, format: str) -> None:
    lsr.Index.from_vectors(tmp_path / "i", SPACED, vectors(len(SPACED)))
    file = tmp_path / "vectors"
    answer = run("export", tmp_path / "i", "-o", file, "--format", format)
    if format in ("npz", "csr"):
        assert answer.code == 1
        assert "vectors.ids has an id a line and cannot hold 'c\\nc'" in answer.err
        assert [path.name for path in tmp_path.iterdir()] == ["i"]
        return
    assert answer.code == 0
    assert run("import", file, "-o", tmp_path / "v", "--format", format).code == 0
    assert run("index", tmp_path / "v", "-o", tmp_path / "j").code == 0
    assert sorted(lsr.open(tmp_path / "j").reader.ids.to_pylist()) == sorted(SPACED)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query": "q"}', "is not a query of a run; give it as"),
        ('{"hits": {}}', "is not a query of a run"),
        ('{"query": "q", "hits": [["d", 1]]}', "is not a query of a run"),
        ('{"query": "", "hits": {}}', "has an empty id"),
        ('{"query": 1.5, "hits": {}}', "has a number for an id"),
        ('{"query": "q", "hits": {"d": 1, "d": 2}}', "has 'd' twice in one object"),
        ('{"query": "q", "hits": {"a": 2}}', "repeats the document 'a' for query 'q'"),
        ('{"query": "q", "hits": {"d": NaN}}', "has the score 'NaN'; scores are finite numbers"),
        ('{"query": "q", "hits": {"d": 1e999}}', "has the score 'Infinity'"),
        ('{"query": "q", "hits": {"d": %s}}' % ("9" * 400), "has the score '999"),
        ('{"query": "q", "hits": {"d": "1"}}', "has the score '\"1\"'"),
        ('{"query": "q", "hits": {"d": true}}', "has the score 'true'"),
        ("q Q0 d 1 1 t", "is not valid JSON"),
    ],
)
def test_bad_json_lines(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(f'{{"query": "q", "hits": {{"a": 1}}}}\n\n{line}\n')
    with pytest.raises(CorpusError, match=rf"run\.jsonl, line 3 {message}"):
        read_run(path)


def test_a_run_that_repeats_itself_is_not_written(tmp_path: Path) -> None:
    for name in ("r.trec", "r.jsonl"):
        with pytest.raises(QueryError, match="query '1' has the document '2' twice"):
            write_run(tmp_path / name, [(1, ["2", 2], [1, 2])], "t")
    write_run(tmp_path / "r.jsonl", [(1, np.array([5, 6]), np.array([2, 1])), (2, [], [])], "t")
    assert json.loads((tmp_path / "r.jsonl").read_text()) == {
        "query": "1",
        "hits": {"5": 2.0, "6": 1.0},
    }
    (tmp_path / "r.jsonl").write_text('{"query": "q", "hits": {}}\n')
    with pytest.raises(LsrError, match="holds no run"):
        read_run(tmp_path / "r.jsonl")


def test_measures_of_integer_ids() -> None:
    judged = {1: {10: 1, np.int64(11): 0}, "2": {"20": 1}}
    found = scores(judged, {np.int32(1): {"11": 2.0, 10: 1.0}, 2: {20: 1.0}}, ["RR"])  # type: ignore[dict-item]
    assert found.per_query == {"RR": {"1": 0.5, "2": 1.0}}
    with pytest.raises(QueryError, match="a row of the run or of the judgments has a number for"):
        scores(judged, {1.0: {"11": 2.0}}, ["RR"])  # type: ignore[dict-item]

"""The indexer and the retriever in PyTerrier's pipelines and experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from lsr.errors import CorpusError, IndexExists, IndexFormatError, QueryError
from support.documented import documented, run

pd = pytest.importorskip("pandas", reason="pyterrier is not installed (make interop)")
pt = pytest.importorskip("pyterrier", reason="pyterrier is not installed (make interop)")

from lsr.integrations.pyterrier import LsrIndexer, LsrRetriever  # noqa: E402  # needs pyterrier

RECORDS = [
    {"docno": "b", "text": "the red planet mars"},
    {"docno": "c", "title": "Jupiter", "text": "a planet with a red spot"},
    {"docno": "a", "text": "the red planet mars"},
    {"docno": "d", "text": "stars"},
]


def frame(**columns: list[Any]) -> Any:
    return pd.DataFrame(columns)


QUERIES = [("1", "red planet"), ("2", "zyzzyva"), ("3", "jupiter")]
TOPICS = frame(qid=[q for q, _ in QUERIES], query=[text for _, text in QUERIES])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> lsr.Index:
    path = tmp_path_factory.mktemp("pyterrier") / "index"
    return LsrIndexer(path, "bm25").index(iter(RECORDS))


@pytest.mark.parametrize("encoder", ["bm25", "splade-tiny"])
def test_an_experiment_gives_what_lsr_eval_gives(
    judged: Any, lsr_eval: Callable[..., dict[str, float]], tmp_path: Path, encoder: str
) -> None:
    names = "nDCG@10 nDCG AP R@100 P@5 RR RR@10 Success@3 Judged@10"
    expected = lsr_eval(encoder, names)
    records = [{"docno": d.id, "title": d.title, "text": d.text} for d in judged.documents]
    index = LsrIndexer(tmp_path / "index", encoder).index(iter(records))
    topics = frame(qid=list(judged.queries), query=list(judged.queries.values()))
    rows = [(q, d, grade) for q, row in judged.qrels.items() for d, grade in row.items()]
    qrels = pd.DataFrame(rows, columns=["qid", "docno", "label"])
    measures = [pt.measures.nDCG @ 10, pt.measures.nDCG, pt.measures.AP, pt.measures.R @ 100]
    measures += [pt.measures.P @ 5, pt.measures.RR, pt.measures.RR @ 10, pt.measures.Success @ 3]
    found = pt.Experiment(
        [LsrRetriever(index)], topics, qrels, [*measures, pt.measures.Judged @ 10]
    )
    assert 0.1 < expected["nDCG@10"] < 0.9
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-9), name


def test_rr_with_a_cutoff_ranks_equal_scores_the_other_way(index: lsr.Index) -> None:
    """The difference that docs/interoperability.md names, so that it is still true."""
    qrels = frame(qid=["1"], docno=["a"], label=[1])  # scored as "b" is
    measures = [pt.measures.RR, pt.measures.RR @ 10, pt.measures.P @ 1]
    found = pt.Experiment([LsrRetriever(index)], TOPICS[:1], qrels, measures)
    assert found.loc[0, ["RR", "RR@10", "P@1"]].tolist() == [0.5, 1.0, 0.0]


def hits_of(index: lsr.Index, query: str) -> tuple[list[str], list[float]]:
    hits = index.search(query, 1000)
    return hits.ids.tolist(), hits.scores.tolist()


def test_results_are_the_hits_of_the_index(index: lsr.Index) -> None:
    topics = TOPICS.assign(judge=["ann", "bob", "cid"], rank=7, score=0.5)[::-1]
    topics.index = [0, 0, 1]  # as pd.concat leaves it
    found = LsrRetriever(index, threads=2)(topics)
    assert list(found.columns) == ["qid", "query", "judge", "docno", "score", "rank"]
    assert found["qid"].tolist() == ["3", "1", "1", "1"]
    assert found["judge"].tolist() == ["cid", "ann", "ann", "ann"]
    assert found["rank"].tolist() == [0, 0, 1, 2]
    assert found.index.tolist() == [0, 1, 2, 3]
    ids, scores = hits_of(index, "red planet")
    assert ids == ["b", "a", "c"]
    assert found["docno"].tolist()[1:] == ids
    assert found["score"].tolist()[1:] == scores
    assert len(topics.columns) == 5  # the caller's frame is as it was


def test_nothing_found_and_nothing_asked(index: lsr.Index) -> None:
    retriever = LsrRetriever(index)
    for topics in (TOPICS[1:2], TOPICS[:0]):
        found = retriever(topics)
        assert len(found) == 0
        assert list(found.columns) == ["qid", "query", "docno", "score", "rank"]
        assert [found[name].dtype.kind for name in ("score", "rank")] == ["f", "i"]


def test_cutoffs(index: lsr.Index) -> None:
    retriever = LsrRetriever(str(index.path), num_results=2, threads=2)
    assert retriever(TOPICS)["docno"].tolist() == ["b", "a", "c"]
    plain, fused = retriever % 1, (retriever % 1).compile()
    assert isinstance(fused, LsrRetriever)
    assert (fused.num_results, fused.threads) == (1, 2)
    assert plain(TOPICS).equals(fused(TOPICS))
    assert fused(TOPICS)["docno"].tolist() == ["b", "c"]
    assert (retriever % 5).compile() is retriever
    assert repr(fused) == f"LsrRetriever('{index.path}', num_results=1)"
    retriever.set_parameter("num_results", 0)
    with pytest.raises(QueryError, match="k must be a whole number of at least 1, not 0"):
        retriever(TOPICS)


def test_query_toks(index: lsr.Index) -> None:
    topics = frame(
        qid=["1", "2", "3", "4"],
        query=["stars", "stars", "stars", "stars"],
        query_toks=[{"planet": 1.0, "red": 1.0}, {"star": 9.0, "spot": 1}, {"unknown": 1.0}, {}],
    )
    found = LsrRetriever(index)(topics)
    assert found["qid"].tolist() == ["1", "1", "1", "2", "2"]
    assert found["docno"].tolist() == ["b", "a", "c", "d", "c"]
    assert found["score"].tolist()[:3] == hits_of(index, "red planet")[1]
    with pytest.raises(QueryError, match="query_toks of query '1' are str; give a mapping"):
        LsrRetriever(index)(frame(qid=["1"], query_toks=["red"]))


def test_frames_that_are_no_queries(index: lsr.Index) -> None:
    for topics in (frame(qid=["1"]), frame(query=["red"]), TOPICS.assign(docno="a")):
        with pytest.raises(pt.validate.InputValidationError):
            LsrRetriever(index)(topics)


def test_what_pyterrier_asks_of_components(index: lsr.Index, tmp_path: Path) -> None:
    retriever, indexer = LsrRetriever(index), LsrIndexer(tmp_path / "index")
    assert pt.inspect.transformer_inputs(retriever) == [["qid", "query_toks"], ["qid", "query"]]
    outputs = ["qid", "query", "docno", "score", "rank"]
    assert pt.inspect.transformer_outputs(retriever, ["qid", "query"]) == outputs
    assert ["docno", "text"] in pt.inspect.indexer_inputs(indexer)
    assert repr(indexer) == f"LsrIndexer('{tmp_path / 'index'}')"


def test_indexing_at_the_end_of_a_pipeline(tmp_path: Path) -> None:
    shout = pt.apply.text(lambda row: row["text"] + " comet")
    index = (shout >> LsrIndexer(tmp_path / "index", "bm25", order="none")).index(iter(RECORDS))
    assert len(index) == 4
    assert len(index.search("comet")) == 4
    assert index.get("c").title == "Jupiter"


def test_an_index_is_not_replaced_unasked(tmp_path: Path) -> None:
    place = tmp_path / "index"
    LsrIndexer(place, "bm25").index(RECORDS)
    with pytest.raises(IndexExists, match="is an index already"):
        LsrIndexer(place, "bm25").index(RECORDS)
    encoder = lsr.load_encoder("bm25:atire")
    assert len(LsrIndexer(place, encoder, force=True).index(RECORDS[:2])) == 2
    with pytest.raises(IndexFormatError):
        LsrRetriever(tmp_path / "none")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "x", "text": "x"}, 'document 2 has no docno; give each record a "docno"'),
        ({"docno": "x"}, "document 2: has no text"),
        ({"docno": "b", "text": "x"}, "document 2: the id 'b' is repeated"),
    ],
)
def test_bad_records(tmp_path: Path, record: dict[str, str], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        LsrIndexer(tmp_path / "index", "bm25").index([RECORDS[0], record])
    assert not (tmp_path / "index").exists()


def test_the_documented_program(tmp_path: Path) -> None:
    program, output = documented("PyTerrier")
    assert run(program, tmp_path) == output

"""Runs beside each other, against ir-measures and SciPy called by hand."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lsr.errors import CorpusError, QueryError
from lsr.eval.comparison import (
    RunComparison,
    as_json,
    compare_runs,
    run_names,
)
from lsr.eval.runs import write_run

QUERIES = [f"q{n}" for n in range(8)]
TEXTS = {query: f"text of {query}" for query in QUERIES}
# The rank of the one relevant document, 0 where it is not found.
RANKS = {"a": [1, 2, 0, 1, 3, 2, 1, 4], "b": [1, 1, 1, 4, 2, 2, 0, 0]}
REACHED = {name: [1 / rank if rank else 0.0 for rank in row] for name, row in RANKS.items()}


def write(path: Path, ranks: list[int], queries: list[str] = QUERIES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for query, rank in zip(queries, ranks, strict=True):
        documents = ["hit" if place == rank else f"d{place}" for place in range(1, 6)]
        rows.append((query, documents, range(5, 0, -1)))
    write_run(path, rows, "t")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{name}.trec", row) for name, row in RANKS.items()]


@pytest.fixture
def qrels(tmp_path: Path) -> Path:
    """A BEIR zip, with the name of a dataset that has published figures."""
    path = tmp_path / "nfcorpus.zip"
    with zipfile.ZipFile(path, "w") as archive:
        rows = ["query-id\tcorpus-id\tscore", *(f"{query}\thit\t1" for query in QUERIES)]
        archive.writestr("nfcorpus/qrels/test.tsv", "\n".join(rows))
        lines = [json.dumps({"_id": query, "text": text}) for query, text in TEXTS.items()]
        archive.writestr("nfcorpus/queries.jsonl", "\n".join(lines))
    return path


def compared(runs: list[Path], qrels: Path, *measures: str) -> RunComparison:
    return compare_runs(runs, str(qrels), measures or ["RR", "nDCG@10"])


def test_values_are_those_of_the_measures(runs: list[Path], qrels: Path) -> None:
    found = compared(runs, qrels)
    assert (found.dataset, found.queries, found.texts) == ("nfcorpus", 8, TEXTS)
    assert list(found.measures) == ["RR", "nDCG@10"]
    for name in "ab":
        assert list(found.runs[name].scores.per_query["RR"].values()) == REACHED[name]
        assert found.runs[name].means["RR"] == pytest.approx(np.mean(REACHED[name]))
        interval = found.runs[name].intervals["RR"]
        assert interval.low < found.runs[name].means["RR"] < interval.high
    test, other = found.tests
    assert (test.measure, test.a, test.b) == ("RR", "a", "b")
    a, b = REACHED["a"], REACHED["b"]
    assert test.p_t == pytest.approx(stats.ttest_rel(b, a).pvalue)
    exact = stats.permutation_test((np.subtract(b, a),), np.mean, permutation_type="samples")
    assert test.p_randomization == pytest.approx(exact.pvalue)
    assert (test.wins, test.ties, test.losses) == (3, 2, 3)
    assert other.measure == "nDCG@10"


def test_the_json(runs: list[Path], qrels: Path) -> None:
    found = compared(runs, qrels)
    value = json.loads(json.dumps(as_json(found, 2), allow_nan=False))
    assert list(value["measures"]) == ["RR", "nDCG@10"]
    first = value["measures"]["RR"][0]
    assert list(first) == ["run", "mean", "ci"]
    assert (first["run"], first["mean"]) == ("a", pytest.approx(np.mean(REACHED["a"])))
    interval = found.runs["a"].intervals["RR"]
    assert first["ci"] == [interval.low, interval.high]
    test = value["tests"][0]
    wanted = {"measure", "a", "b", "difference", "p_t", "p_randomization", "p_holm"}
    assert wanted <= test.keys()
    assert test["ci"] == [found.tests[0].interval.low, found.tests[0].interval.high]
    assert (test["wins"], test["ties"], test["losses"]) == (3, 2, 3)
    assert value["won"]["RR"] == [
        {"query": "q2", "text": "text of q2", "a": 0.0, "b": 1.0},
        {"query": "q1", "text": "text of q1", "a": 0.5, "b": 1.0},
    ]
    assert [row["query"] for row in value["lost"]["RR"]] == ["q6", "q3"]
    assert value["published"]["RR"] == []
    assert value["published"]["nDCG@10"][0]["value"] == 0.3218
    assert "https://" in value["published"]["nDCG@10"][0]["url"]
    assert (value["dataset"], value["queries"]) == ("nfcorpus", 8)
    assert value["runs"][0] == {
        "run": "a", "file": str(runs[0]), "missing": 0, "unjudged": 0
    }  # fmt: skip


def test_won_and_lost(runs: list[Path], qrels: Path) -> None:
    won, lost = compared(runs, qrels).changes("RR", 10)
    assert [row.query for row in won] == ["q2", "q1", "q4"]
    assert [row.query for row in lost] == ["q6", "q3", "q7"]
    assert (lost[0].a, lost[0].b, lost[0].text) == (1.0, 0.0, "text of q6")
    assert compared([runs[0]] * 2, qrels).changes("RR", 10) == ([], [])


def test_missing_and_unjudged_queries(runs: list[Path], qrels: Path, tmp_path: Path) -> None:
    part = write(tmp_path / "part.trec", [1, 1, 1, 1], ["q0", "q3", "x1", "x2"])
    found = compared([runs[0], part], qrels)
    assert (found.runs["part"].missing, found.runs["part"].unjudged) == (6, 2)
    assert found.runs["part"].means["RR"] == 2 / 8
    assert (found.runs["a"].missing, found.runs["a"].unjudged) == (0, 0)
    strange = write(tmp_path / "strange.trec", [1, 1], ["x1", "x2"])
    with pytest.raises(CorpusError, match=r"strange\.trec answers none of the 8 queries judged in"):
        compared([runs[0], strange], qrels)


def test_counts_have_means_too(runs: list[Path], qrels: Path) -> None:
    """ir-measures adds up some of its measures over queries; here all are means."""
    found = compared(runs, qrels, "NumRet")
    assert found.runs["a"].means["NumRet"] == 5
    assert found.runs["a"].intervals["NumRet"].low == 5


def test_measures_are_named_as_ir_measures_does_and_once(runs: list[Path], qrels: Path) -> None:
    found = compared(runs, qrels, "ndcg_cut_10", "NDCG@10", "recip_rank")
    assert list(found.measures) == ["nDCG@10", "RR"]
    assert [test.measure for test in found.tests] == ["nDCG@10", "RR"]


def test_three_runs_share_a_correction(runs: list[Path], qrels: Path, tmp_path: Path) -> None:
    third = write(tmp_path / "c.trec", [1] * 8)
    found = compared([*runs, third], qrels, "RR")
    assert [(test.a, test.b) for test in found.tests] == [("a", "b"), ("a", "c"), ("b", "c")]
    smallest = min(test.p_randomization for test in found.tests)
    assert min(test.p_holm for test in found.tests) == pytest.approx(3 * smallest)


def test_a_file_of_judgments_has_no_texts(runs: list[Path], tmp_path: Path) -> None:
    judgments = tmp_path / "test.qrels"
    judgments.write_text("".join(f"{query} 0 hit 1\n" for query in QUERIES))
    found = compared(runs, judgments)
    assert (found.dataset, found.texts) == ("", {})
    named = compare_runs(runs, str(judgments), ["RR"], dataset="scifact")
    assert named.dataset == "scifact"
    assert as_json(found, 1)["won"]["RR"][0]["text"] == ""


def test_a_folder_without_queries_has_no_texts(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "scifact"
    (folder / "qrels").mkdir(parents=True)
    lines = "".join(f"{query} 0 hit 1\n" for query in QUERIES)
    (folder / "qrels" / "dev.tsv").write_text(lines)
    found = compare_runs(runs, str(folder), ["RR"], split="dev")
    assert (found.dataset, found.texts, found.queries) == ("scifact", {}, 8)
    (folder / "queries.jsonl").write_text("no JSON\n")
    with pytest.raises(CorpusError, match=r"queries\.jsonl, line 1 is not valid JSON"):
        compare_runs(runs, str(folder), ["RR"], split="dev")


def test_names() -> None:
    def names(*files: str) -> list[str]:
        return run_names([Path(file) for file in files])

    assert names("x/bm25.trec", "y/tiny.trec.gz", "z/a.b.run.zst") == ["bm25", "tiny", "a.b"]
    assert names("x/r.trec", "y/r.txt", "s.trec") == ["x/r", "y/r", "s"]
    assert names("x/r.trec", "x/r.trec.gz", "x/s") == ["x/r (1)", "x/r (2)", "s"]


def test_bad_input(runs: list[Path], qrels: Path) -> None:
    with pytest.raises(QueryError, match="two runs or more"):
        compared(runs[:1], qrels)
    with pytest.raises(QueryError, match="no measure to compare by"):
        compare_runs(runs, str(qrels), [])
    with pytest.raises(QueryError, match="'foo' is not a measure"):
        compared(runs, qrels, "foo")
    with pytest.raises(CorpusError, match=r"has no qrels/dev\.tsv in it"):
        compare_runs(runs, str(qrels), ["RR"], split="dev")

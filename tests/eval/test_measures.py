"""Measures, against values worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from math import log2
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import QueryError
from lsr.eval.measures import parse_measures, scores
from lsr.eval.results import Qrels, Run


def evaluate(qrels: Qrels, run: Run, measures: list[str]) -> Mapping[str, float]:
    return scores(qrels, run, measures).means


QRELS = {
    "q1": {"d1": 2, "d2": 1, "d3": 0, "d4": 1},
    "q2": {"d1": 1},
    "q3": {"d9": 1},  # judged, not answered
}
RUN = {
    "q1": {"d3": 4.0, "d2": 3.0, "dx": 2.0, "d1": 1.0},
    "q2": {"d1": 0.5},
    "q4": {"d1": 1.0},  # answered, not judged
}


def test_by_hand() -> None:
    # q1 ranks d3 d2 dx d1, with gains 0 1 0 2; the ideal is 2 1 1.
    dcg = 1 / log2(3) + 2 / log2(5)
    ideal = 2 + 1 / log2(3) + 1 / log2(4)
    values = evaluate(QRELS, RUN, ["nDCG@10", "RR@10", "R@2", "R@100", "AP", "P@1", "P(rel=2)@4"])
    assert values == pytest.approx(
        {
            "nDCG@10": (dcg / ideal + 1 + 0) / 3,
            "RR@10": (1 / 2 + 1 + 0) / 3,
            "R@2": (1 / 3 + 1 + 0) / 3,
            "R@100": (2 / 3 + 1 + 0) / 3,
            "AP": ((1 / 2 + 2 / 4) / 3 + 1 + 0) / 3,
            "P@1": (0 + 1 + 0) / 3,
            "P(rel=2)@4": (1 / 4 + 0 + 0) / 3,
        }
    )
    assert list(values) == ["nDCG@10", "RR@10", "R@2", "R@100", "AP", "P@1", "P(rel=2)@4"]


def test_by_query() -> None:
    found = scores(QRELS, RUN, ["RR", "R@2", "P(rel=2)@4"])
    assert found.per_query == {
        "RR": {"q1": 1 / 2, "q2": 1.0, "q3": 0.0},
        "R@2": {"q1": pytest.approx(1 / 3), "q2": 1.0, "q3": 0.0},
        "P(rel=2)@4": {"q1": 1 / 4, "q2": 0.0, "q3": 0.0},
    }
    assert [list(values) for values in found.per_query.values()] == [list(QRELS)] * 3
    for name, mean in found.means.items():
        assert mean == pytest.approx(sum(found.per_query[name].values()) / 3)
    later = scores({"none": {"d1": 1}, **QRELS}, RUN, ["RR"])
    assert list(later.per_query["RR"].items())[:2] == [("none", 0.0), ("q1", 0.5)]


def test_nothing_retrieved_counts_zero() -> None:
    assert evaluate(QRELS, {}, ["nDCG@10"]) == {"nDCG@10": 0.0}
    assert evaluate(QRELS, {"q1": {}}, ["Judged@10"]) == {"Judged@10": 0.0}


@pytest.mark.parametrize("measure", ["RR", "nDCG@1", "P@1", "Success@1"])
def test_ties_go_to_the_higher_id_whatever_the_order_given(measure: str) -> None:
    qrels = {"q": {"b": 1}}
    for run in ({"a": 1.0, "b": 1.0}, {"b": 1.0, "a": 1.0}):
        assert evaluate(qrels, {"q": run}, [measure]) == {measure: 1.0}
    for run in ({"c": 1.0, "b": 1.0}, {"b": 1.0, "c": 1.0}):
        assert evaluate(qrels, {"q": run}, [measure]) == {measure: 0.5 if measure == "RR" else 0.0}
    # Apart in float64, one float32: trec_eval sees a tie.
    assert evaluate(qrels, {"q": {"b": 1 + 1e-12, "c": 1.0}}, ["RR"]) == {"RR": 0.5}


def test_ties_of_ms_marco_go_to_the_lower_id() -> None:
    for run in ({"c": 1.0, "b": 1.0}, {"b": 1.0, "c": 1.0}):
        assert evaluate({"q": {"b": 1}}, {"q": run}, ["RR@10"]) == {"RR@10": 1.0}


documents = st.dictionaries(
    st.sampled_from("abcdefghäß"), st.sampled_from([0.0, 0.5, 0.5000000001, 2])
)


@settings(max_examples=100)
@given(run=st.dictionaries(st.sampled_from(["q1", "q2"]), documents), grades=st.data())
def test_agrees_with_trec_eval(run: dict[str, dict[str, float]], grades: st.DataObject) -> None:
    import pytrec_eval

    judged = st.dictionaries(st.sampled_from("abcdefghäß"), st.integers(0, 2), min_size=1)
    qrels = {"q1": grades.draw(judged), "q2": grades.draw(judged)}
    names = {"recip_rank": "RR", "ndcg_cut_3": "nDCG@3", "map": "AP", "recall_2": "R@2"}
    per_query = pytrec_eval.RelevanceEvaluator(
        qrels, {"recip_rank", "ndcg_cut.3", "map", "recall.2"}
    ).evaluate({query: dict(scores) for query, scores in run.items() if scores})
    values = evaluate(qrels, run, list(names))
    for trec, name in names.items():
        total = sum(per_query.get(query, {}).get(trec, 0.0) for query in qrels)
        assert values[name] == pytest.approx(total / 2)


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("nDCG@10", "nDCG@10"),
        ("NDCG@10", "nDCG@10"),
        ("ndcg_cut.10", "nDCG@10"),
        ("ndcg_cut_10", "nDCG@10"),
        ("Recall@100", "R@100"),
        ("recall_100", "R@100"),
        ("R@1000", "R@1000"),
        ("MAP@10", "AP@10"),
        ("map_cut.10", "AP@10"),
        ("map", "AP"),
        ("MRR@10", "RR@10"),
        ("recip_rank", "RR"),
        ("P_5", "P@5"),
        ("P(rel=2)@5", "P(rel=2)@5"),
        ("AP(rel=2, judged_only=True)", "AP(rel=2,judged_only=True)"),
        ("nDCG(dcg='exp-log2')@10", "nDCG(dcg='exp-log2')@10"),
        ("nDCG(gains={2: 5})@10", "nDCG(gains={2:5})@10"),
        ("IPrec@0.1", "IPrec@0.1"),
        ("Judged@10", "Judged@10"),
    ],
)
def test_names(given_name: str, name: str) -> None:
    assert str(parse_measures([given_name])[0]) == name


@pytest.mark.parametrize(
    "name",
    ["", "foo", "foo@10", "__class__", "P", "P@0", "P@0.5", "P@-1", "nDCG@x", "nDCG@10@5",
     "P(2)@3", "P(rel=x)@3", "P(rel='a')@3", "P(rel=2", "P(**{})@3", "P(rel=print())@3"],
)  # fmt: skip
def test_no_measure(name: str) -> None:
    with pytest.raises(QueryError, match="use names such as nDCG@10") as caught:
        evaluate(QRELS, RUN, [name])
    assert "object at 0x" not in str(caught.value)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e300])
def test_scores_must_be_finite(score: float) -> None:
    with pytest.raises(QueryError, match="gives document 'd1' of query 'q2' the score"):
        evaluate(QRELS, {"q2": {"d0": 1.0, "d1": score}}, ["AP"])


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, lsr.eval.measures, lsr.eval.qrels, lsr.eval.runs, lsr.data.corpus, "
        "lsr.data.queries\n"
        "print([m for m in ('ir_measures', 'ir_datasets', 'pyarrow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "[]\n"

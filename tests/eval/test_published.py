"""The table of published figures."""

from __future__ import annotations

import json
from pathlib import Path

from lsr.eval import published as module
from lsr.eval.published import published

FILE = Path(module.__file__).with_name("published.json")

BEIR13 = [
    "trec-covid",
    "nfcorpus",
    "nq",
    "hotpotqa",
    "fiqa",
    "arguana",
    "webis-touche2020",
    "quora",
    "dbpedia-entity",
    "scidocs",
    "fever",
    "climate-fever",
    "scifact",
]


def test_known_figures() -> None:
    found = {reference.system: reference for reference in published("nfcorpus", "nDCG@10")}
    assert found["BM25 (flat)"].value == 0.3218
    assert found["SPLADE++ ED"].value == 0.3470
    assert found["SPLADE-v3"].value == 0.3629
    assert found["doc-v3-gte"].value == 0.360
    assert published("SciFact", "nDCG@10") == published("scifact", "nDCG@10") != []
    gis = published("cqadupstack/gis", "nDCG@10")
    assert [reference.value for reference in gis] == [0.2901, 0.2904, 0.3150, 0.3236]
    averages = {reference.system: reference.value for reference in published("beir13", "nDCG@10")}
    assert averages["splade-tiny"] == 0.406
    assert averages["splade-small"] == 0.466


def test_nothing_is_known_of_others() -> None:
    assert published("nfcorpus", "R@100") == []
    assert published("cranfield", "nDCG@10") == []
    assert published("", "nDCG@10") == []


def test_every_figure_is_a_share_with_a_source() -> None:
    seen = set()
    for table in json.loads(FILE.read_text("utf-8")):
        assert list(table) == ["system", "measure", "source", "url", "figures"]
        assert table["url"].startswith("https://")
        assert table["source"].strip()
        for dataset, value in table["figures"].items():
            assert 0 < value < 1
            assert (table["system"], dataset) not in seen
            seen.add((table["system"], dataset))


def test_figures_have_the_mean_that_was_published_too() -> None:
    """Each of the thirteen was copied: one slip would show in the mean."""
    averages = {reference.system: reference.value for reference in published("beir13", "nDCG@10")}
    for system, digits in (("SPLADE++ ED", 0.0005), ("doc-v3-gte", 0.0005), ("SPLADE-v3", 0.0015)):
        figures = [
            reference.value
            for dataset in BEIR13
            for reference in published(dataset, "nDCG@10")
            if reference.system == system
        ]
        assert len(figures) == 13
        assert abs(sum(figures) / 13 - averages[system]) < digits

"""The list of methods: complete, and where weights are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lsr.encoders import load_encoder
from lsr.encoders.catalogue import in_words, known_models, listed_methods, weights_of
from lsr.encoders.lexical.bm25_variants import VARIANTS
from lsr.encoders.methods import METHODS, Side


def test_all_methods_are_listed_once() -> None:
    names = [method.name for method in listed_methods()]
    assert len(set(names)) == len(names)
    assert {*METHODS} < {*names}
    variants = {"bm25" if name == "lucene" else f"bm25:{name}" for name in VARIANTS}
    assert variants <= {*names}
    assert {model.method for model in known_models()} <= {*names}
    for method in listed_methods():
        assert re.search(r'^[A-Z]\.(-[A-Z]\.)? \S.*, ".+" \(.*\d{4}\)', method.paper)
        assert not method.pair or method.query_model
    for name in variants:
        assert load_encoder(name).name == name


@pytest.mark.parametrize(
    ("side", "words"),
    [
        (Side("mlm"), "mlm"),
        (Side("mlm", "double-log1p", "sum"), "mlm double-log1p sum"),
        (Side("mlm", own_terms=True, ratio=0.1), "mlm own terms ratio 0.1"),
        (Side("epic", "log1p-softplus", top=1000), "epic log1p-softplus top 1000"),
        (Side("binary"), "binary"),
        (Side("mlm", positions="echo"), "mlm echo"),
        (Side("mlm", pooling="sum", phrases="max"), "mlm sum phrases max"),
        (METHODS["prosper"].query, "mlm last literal residual top 256 unit"),
    ],
)
def test_sides_in_words(side: Side, words: str) -> None:
    assert in_words(side) == words


def test_where_weights_are(hub_cache: Path) -> None:
    assert list(weights_of("splade-max").items())[:2] == [
        ("splade-tiny", "built in"),
        ("naver/splade-v3", "on the hub"),
    ]
    assert weights_of("bm25") == {"bm25": "built in"}
    assert weights_of("bm25:atire") == {"bm25:atire": "built in"}
    assert weights_of("splade-sum") == {}
    assert weights_of("casper") == {"lamdo/casper": "on the hub"}
    assert weights_of("qmlp-dmlm") == {}  # what is known cannot be loaded
    repository = hub_cache / "models--prithivida--Splade_PP_en_v1"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")
    assert "cached" not in weights_of("splade-max").values()  # a configuration is no weights
    (snapshot / "model.safetensors").touch()
    found = weights_of("splade-max")
    assert list(found.items())[:3] == [
        ("splade-tiny", "built in"),
        ("prithivida/Splade_PP_en_v1", "cached"),
        ("naver/splade-v3", "on the hub"),
    ]
    assert "opensearch-project/opensearch-neural-sparse-encoding-doc-v3-gte" not in weights_of(
        "inference-free-l0"
    )

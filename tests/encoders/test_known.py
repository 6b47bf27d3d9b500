"""The table of known models, and `lsr.encoders.catalogue.known_model`."""

from __future__ import annotations

import pytest

from lsr.data.builtin import MODELS
from lsr.encoders import load_encoder
from lsr.encoders.catalogue import known_model, known_models
from lsr.encoders.lexical.bm25_variants import VARIANTS
from lsr.encoders.methods import METHODS
from lsr.errors import EncoderError


def test_names_load_as_they_stand() -> None:
    names = [model.name for model in known_models()]
    assert len(set(names)) == len(names)
    for model in known_models():
        if model.builtin:
            assert load_encoder(model.name).name == model.name
        else:
            with pytest.raises(EncoderError, match="nor in the local hub cache"):
                load_encoder(model.name)


def test_all_that_is_built_in_is_listed() -> None:
    variants = {"bm25" if name == "lucene" else f"bm25:{name}" for name in VARIANTS}
    assert {model.name for model in known_models() if model.builtin} == {*MODELS, *variants}


def test_rows_are_plausible() -> None:
    for model in known_models():
        assert model.method in {*METHODS, "bm25"}
        figures = [model.mrr, model.beir, *model.others.values()]
        given = [figure for figure in figures if figure is not None]
        assert all(0 < figure < 1 for figure in given)  # not per cent
        assert (model.source is not None) == bool(given), model.name
        assert model.parameters is None or 1 < model.parameters < 1000  # millions


def test_the_model_here_has_the_size_in_the_table() -> None:
    from pathlib import Path

    from lsr.data.builtin import model_path

    row, path = known_model("splade-tiny"), model_path("splade-tiny")
    assert row is not None
    assert row.parameters is not None
    assert path is not None
    half_precision = (Path(path) / "model.safetensors").stat().st_size / 2
    assert half_precision == pytest.approx(row.parameters * 1e6, rel=0.02)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("splade-tiny", "splade-max"),
        ("bm25", "bm25"),
        ("bm25:lucene,k1=1.2,b=.75", "bm25"),
        ("bm25:bm25+,delta=.5", "bm25"),
        ("naver/splade-v3", "splade-max"),
        ("naver/splade-v3-doc@main", "splade-doc"),
        ("naver/splade-v3-lexical", "splade-lexical"),
        ("naver/efficient-splade-V-large-query", "efficient-splade"),
        ("opensearch-project/opensearch-neural-sparse-encoding-v2-distill", "splade-max"),
        ("opensearch-project/opensearch-neural-sparse-encoding-doc-v2-distill", "inference-free"),
        ("opensearch-project/opensearch-neural-sparse-encoding-doc-v3-gte", "inference-free-l0"),
        ("BAAI/bge-m3", "bge-m3"),
    ],
)
def test_lookup(name: str, method: str) -> None:
    found = known_model(name)
    assert found is not None
    assert found.method == method


@pytest.mark.parametrize(
    "name",
    ["", "splade", "naver/splade-v4", "bm26", "bm25:none", "bm25+splade-tiny", "@main", "/x"],
)
def test_what_is_not_known(name: str) -> None:
    assert known_model(name) is None

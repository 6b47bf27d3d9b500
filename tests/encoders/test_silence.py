"""Texts that say nothing have no terms, under every encoder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsr
from lsr.encoders import load_encoder
from lsr.encoders.base import Encoder
from lsr.encoders.text.scripts import has_words
from lsr.vectors import SparseVectors
from support.tiny_csr import write_tiny_csr

from .conftest import IN_TORCH
from .test_uhd import add_buckets

SILENT = ["", " \n\t\u3000", "?!… — «»", "\u200b\u00ad", "😀", "👩‍👩‍👧 ❤️ 1️⃣ 🇩🇪", "\u0301", "™©"]
UNKNOWN = ["ᚠᚢᚦ", "ꦱꦲ ቐ"]  # to every model here
SAYING = ["glass bees red", "red ᚠᚢᚦ 😀 glass", "Is it glass or red?"]
KINDS = ["bm25", "splade-tiny", "bm25+splade-tiny", "dsr:splade-tiny"]
HEADS = ["mlm", "mlm in torch", "table", "binary", "mlp", "uhd", "csr"]


@pytest.fixture(params=KINDS + HEADS)
def encoder(
    request: pytest.FixtureRequest, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> Encoder:
    """An encoder of each kind, and of each kind of head, that has seen a collection."""
    kind = name = request.param
    where = IN_TORCH if kind == "mlm in torch" else {}
    if kind == "csr":
        name = str(write_tiny_csr(tmp_path / "csr"))
    elif kind in HEADS:
        folder = make_checkpoint(head="unicoil" if kind == "mlp" else "mlm")
        methods = {"table": "inference-free:", "binary": "splade-doc:"}
        name = f"{methods.get(kind, '')}{folder}"
        if kind == "table":
            (folder / "idf.json").write_text('{"red": 2, "[UNK]": 5, ".": 3}')
        elif kind == "uhd":
            add_buckets(folder)
    loaded = load_encoder(name, max_length=24, **where)
    observed = loaded.collect(SAYING)
    loaded.finalize(lambda: [observed])
    return loaded


def test_silent_texts_have_no_terms(encoder: Encoder, request: pytest.FixtureRequest) -> None:
    # Sums of torch depend on the size of a batch, on some processors.
    tolerance = 1e-5 if request.node.callspec.params["encoder"] == "mlm in torch" else 0.0
    texts = [*SILENT, *SAYING, *UNKNOWN]
    if encoder.name == "bm25" or "+" in encoder.name:
        texts = [text for text in texts if "ᚠ" not in text]  # a word that BM25 has seen
    for encode in (encoder.encode_queries, encoder.encode_documents):
        vectors = encode(texts)
        terms = dict(zip(texts, np.diff(vectors.indptr).tolist(), strict=True))
        assert [text for text in texts if terms[text]] == [t for t in texts if t in SAYING]
        # Beside others or alone, a text has the same vector.
        alone = SparseVectors.concatenate([encode([text]) for text in texts])
        assert np.array_equal(alone.indptr, vectors.indptr)
        assert np.array_equal(alone.terms, vectors.terms)
        np.testing.assert_allclose(alone.weights, vectors.weights, rtol=tolerance, atol=0)


@given(st.text(st.characters(categories=["P", "S", "Z", "Cf", "Cc"])))
def test_signs_have_no_words(text: str) -> None:
    assert not has_words(text) or unicodedata.normalize("NFKC", text) != text  # as Ⓐ


def test_an_unknown_question_finds_nothing(tmp_path: Path) -> None:
    """Not by [UNK], which the documents have too."""
    documents = [
        {"id": "a", "text": "ꦱꦲ is a word"},
        {"id": "b", "text": "ቐ"},
        {"id": "c", "text": ""},
    ]
    index = lsr.Index.build(tmp_path / "i", documents, "splade-tiny")
    assert [len(index.search(text)) for text in (*SILENT, *UNKNOWN, "word")] == [0] * 10 + [1]


@pytest.mark.parametrize("text", ["what 界 is", "🙂 🙃 😀 x", "the ᚠᚢᚦ of copper"])
def test_what_the_vocabulary_lacks_is_no_term(text: str, tmp_path: Path) -> None:
    """The model gives [UNK] a weight in these texts."""
    loaded = load_encoder("splade-tiny")
    unknown = loaded.vocabulary.find("[UNK]")
    assert unknown is not None
    for vectors in (loaded.encode_documents([text]), loaded.encode_queries([text])):
        assert vectors.terms.size
        assert unknown not in vectors.terms
    index = lsr.Index.build(tmp_path / "i", [{"id": "a", "text": text}], loaded)
    assert all(match.term != "[UNK]" for match in index.search(text)[0].explain().terms)

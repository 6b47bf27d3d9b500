"""DSR: slices against the paper's reshape, the gated product against brute force, the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsr
from lsr.encoders import load_encoder
from lsr.encoders.latent.dsr import SLICES, DsrEncoder, densified, strongest_of_slices
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors

TEXTS = [
    "The glass bees of the harbour hum in winter.",
    "Copper kettles measure the rain near old bridges.",
    "Pilots guide ships into northern harbours by paper maps.",
    "",
]
DOCUMENTS = [{"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)]


def sparse(rows: np.ndarray) -> SparseVectors:
    return SparseVectors.from_rows([(np.flatnonzero(row), row[row > 0]) for row in rows])


def rows_of(vectors: SparseVectors, terms: int) -> np.ndarray:
    found = np.zeros((len(vectors), terms), np.float32)
    found[np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr)), vectors.terms] = (
        vectors.weights
    )
    return found


def papers(rows: np.ndarray, slices: int) -> tuple[np.ndarray, np.ndarray]:
    """The authors' way: drop the first terms, reshape, the largest and where it stands."""
    dropped = rows.shape[1] % slices
    cube = rows[:, dropped:].reshape(len(rows), -1, slices)
    return cube.max(axis=1), cube.argmax(axis=1)


def test_of_berts_vocabulary_570_are_dropped_and_39_make_a_slice() -> None:
    rows = np.zeros((1, 30522), np.float32)
    rows[0, [569, 570, 571, 570 + 768, 30521]] = [9, 1, 3, 2, 4]
    found = densified(sparse(rows), 30522)
    assert found.values.shape == (1, 768)
    assert found.values[0, [0, 1, 767]].tolist() == [2, 3, 4]
    assert found.indices[0, [0, 1, 767]].tolist() == [1, 0, 38]
    assert np.count_nonzero(found.values) == 3
    kept = strongest_of_slices(sparse(rows), 30522)
    assert kept.terms.tolist() == [571, 570 + 768, 30521]


collections = st.tuples(
    st.integers(1, 5), st.integers(1, 4), st.integers(5, 23), st.integers(1, 5), st.integers(0, 99)
)


@settings(max_examples=150, deadline=None)
@given(collections)
def test_the_gated_product_is_that_of_brute_force(
    sizes: tuple[int, int, int, int, int],
) -> None:
    """Text by text and slice by slice; and the inner product of what is left of the vectors."""
    documents, queries, terms, slices, seed = sizes
    random = np.random.default_rng(seed)
    # Few different weights, so that slices have ties and empty ones.
    both = random.integers(0, 4, (documents + queries, terms)).astype(np.float32)
    both *= random.random(both.shape) < random.random()
    values, places = papers(both, slices)
    expected = np.zeros((queries, documents))
    for q in range(queries):
        for d in range(documents):
            for m in range(slices):
                if places[documents + q, m] == places[d, m]:
                    expected[q, d] += values[documents + q, m] * values[d, m]
    vectors = sparse(both)
    found = densified(vectors, terms, slices)
    assert np.array_equal(found.values, values)
    assert np.array_equal(found.indices[values > 0], places[values > 0])
    asked, given_ = (
        found.take(np.arange(documents, documents + queries)),
        found.take(np.arange(documents)),
    )
    assert np.array_equal(asked.products(given_), expected)
    left = rows_of(strongest_of_slices(vectors, terms, slices), terms).astype(np.float64)
    assert np.array_equal(left[documents:] @ left[:documents].T, expected)


@settings(max_examples=50, deadline=None)
@given(collections)
def test_what_is_sliced_keeps_the_rules_and_stays(sizes: tuple[int, int, int, int, int]) -> None:
    documents, _, terms, slices, seed = sizes
    random = np.random.default_rng(seed)
    rows = random.random((documents, terms)).astype(np.float32)
    rows *= random.random(rows.shape) < 0.6
    left = strongest_of_slices(sparse(rows), terms, slices)
    SparseVectors(left.indptr, left.terms, left.weights)
    assert strongest_of_slices(left, terms, slices) == left


def test_zero_weights_are_no_terms() -> None:
    vectors = SparseVectors.from_rows([([0, 1, 2, 3], [0.0, 0.0, 1.0, 0.0])])
    assert strongest_of_slices(vectors, 4, 2).terms.tolist() == [2]


def test_too_few_terms() -> None:
    with pytest.raises(EncoderError, match="767 terms cannot be cut into 768 slices"):
        densified(SparseVectors.from_rows([]), 767)


# The encoder.


def test_it_slices_what_the_other_makes() -> None:
    inner, outer = load_encoder("splade-tiny"), load_encoder("dsr:splade-tiny")
    terms = len(inner.vocabulary)
    assert outer.encode_documents(TEXTS) == strongest_of_slices(
        inner.encode_documents(TEXTS), terms
    )
    assert outer.encode_queries(TEXTS) == strongest_of_slices(inner.encode_queries(TEXTS), terms)
    assert outer.encode_documents(TEXTS).terms.size < inner.encode_documents(TEXTS).terms.size
    assert outer.vocabulary[5000] == inner.vocabulary[5000]
    assert outer.literal_terms("glass").tolist() == inner.literal_terms("glass").tolist()
    told: list[int] = []
    assert outer.collect(TEXTS, told.append) == outer.encode_documents(TEXTS)
    assert sum(told) == len(TEXTS)


def test_an_index_searches_the_gated_product(tmp_path: Path) -> None:
    lsr.Index.build(tmp_path / "i", DOCUMENTS, "dsr:splade-tiny", keep_floats=True)
    index = lsr.open(tmp_path / "i")
    encoder = load_encoder("dsr:splade-tiny")
    query = densified(encoder.encode_queries(["bees by the harbour"]), 30522)
    products = query.products(densified(encoder.encode_documents(TEXTS), 30522))[0]
    hits = index.search("bees by the harbour", exact_floats=True)
    best = [place for place in np.argsort(-products) if products[place]]
    assert hits.ids.tolist() == [f"d{place}" for place in best]
    assert hits.scores == pytest.approx(products[best], rel=1e-6)
    rounded = index.search("bees by the harbour")
    assert rounded.ids.tolist() == hits.ids.tolist()
    assert rounded.scores == pytest.approx(products[best], rel=0.02)
    why = rounded.explain(0)
    assert sum(match.product for match in why.terms) == why.score
    assert "bees" in {match.term for match in why.terms if match.kind == "literal"}
    assert index.encoder.identity == encoder.identity
    assert encoder.identity["slices"] == SLICES
    assert index.encoder.name == "dsr:splade-tiny"


def test_restored_from_elsewhere_or_not_at_all(tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", DOCUMENTS, "dsr:splade-tiny")
    index.use_encoder("dsr:splade-tiny")
    with pytest.raises(EncoderMismatch, match="is of the kind 'learned'"):
        index.use_encoder("splade-tiny")
    words, columns = index.reader.words, index.reader.word_columns
    assert words is not None
    identity = index.manifest.encoder
    assert identity is not None
    for changed, error, message in (
        ({**identity, "slices": 512}, EncoderMismatch, "has 512 slices"),
        ({**identity, "encoder": None}, EncoderError, "lacks the one it slices"),
    ):
        with pytest.raises(error, match=message):
            lsr.encoders.restore_encoder(changed, words, columns)


def test_a_part_of_several(tmp_path: Path) -> None:
    lsr.Index.build(tmp_path / "i", DOCUMENTS, "bm25+dsr:splade-tiny")
    why = lsr.open(tmp_path / "i").search("glass bees").explain(0)
    assert set(why.parts) == {"bm25", "dsr:splade-tiny"}


@pytest.mark.parametrize("name", ["dsr:bm25", "dsr:dsr:bm25"])
def test_encoders_without_a_fixed_vocabulary(name: str) -> None:
    with pytest.raises(EncoderError, match="bm25 has no fixed vocabulary"):
        load_encoder(name)


def test_the_usual_model() -> None:
    assert load_encoder("dsr").name == "dsr:splade-tiny"
    assert isinstance(load_encoder("dsr"), DsrEncoder)

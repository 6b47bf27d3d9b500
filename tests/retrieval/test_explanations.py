"""Why a document was found: terms, weights, kinds, and sums to the last bit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsr

QUESTIONS = [
    "who repairs tidal mills",
    "glass bees without any light",
    "copper",
    "flour from a mill",
]


@pytest.mark.parametrize("name", ["bm25_index", "splade_index", "composite_index"])
def test_products_sum_to_the_score(name: str, request: pytest.FixtureRequest) -> None:
    index: lsr.Index = request.getfixturevalue(name)
    explained = 0
    for hits in index.search(QUESTIONS, k=len(index)):
        for hit in hits:
            why = hit.explain()
            assert (why.id, why.score) == (hit.id, hit.score)
            products = [match.product for match in why.terms]
            assert sum(products) == hit.score
            assert sum(reversed(products)) == hit.score
            assert math.fsum(products) == hit.score
            assert sum(why.parts.values()) == (hit.score if name == "composite_index" else 0)
            assert products == sorted(products, reverse=True)
            for match in why.terms:
                assert match.product > 0
                assert match.product == pytest.approx(match.query_weight * match.document_weight)
            explained += 1
    assert explained > 40


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e4, 1e20]))
@settings(max_examples=40)
def test_products_of_any_weights_sum_to_the_score(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float
) -> None:
    random = np.random.default_rng(seed)

    def vectors(rows: int) -> lsr.SparseVectors:
        return lsr.SparseVectors.from_rows(
            (np.flatnonzero(chosen), random.exponential(scale, chosen.sum()))
            for chosen in random.random((rows, 30)) < random.random()
        )

    place: Path = tmp_path_factory.mktemp("random") / "index"
    bits, documents = int(random.choice([1, 8, 16])), vectors(20)
    if bits == 1:
        weights = np.full(documents.terms.size, np.float32(scale))
        documents = lsr.SparseVectors(documents.indptr, documents.terms, weights)
    index = lsr.Index.from_vectors(place, [f"d{i}" for i in range(20)], documents, bits=bits)
    for hits in index.search_vectors(vectors(5), k=20):
        for hit in hits:
            assert sum(match.product for match in hit.explain().terms) == hit.score


def test_exact_floats_are_explained_with_the_weights_as_given(bm25_index: lsr.Index) -> None:
    hits = bm25_index.search("who repairs tidal mills", k=5, exact_floats=True)
    for hit in hits:
        why = hit.explain()
        assert sum(match.product for match in why.terms) == pytest.approx(hit.score, rel=1e-12)
        vector = bm25_index.get(hit.id).vector
        given = dict(zip(vector.terms.tolist(), vector.weights.tolist(), strict=True))
        for match in why.terms:
            term = bm25_index.reader.find_term(match.term)
            assert term is not None
            assert match.document_weight == given[term]
            assert match.query_weight == 1.0


def test_literal_terms_are_in_both_texts(splade_index: lsr.Index) -> None:
    encoder = splade_index.encoder
    places = set()  # (in the question, in the document), of each term
    for hits in splade_index.search(QUESTIONS, k=len(splade_index)):
        assert hits.query is not None
        asked = {encoder.vocabulary[t] for t in encoder.literal_terms(hits.query).tolist()}
        for hit in hits:
            words = f"{hit.title} {hit.text}".strip()
            written = {encoder.vocabulary[t] for t in encoder.literal_terms(words).tolist()}
            for match in hit.explain().terms:
                place = (match.term in asked, match.term in written)
                assert match.kind == ("literal" if all(place) else "expansion")
                places.add(place)
    assert len(places) == 4


def test_titles_count_as_text(bm25_index: lsr.Index) -> None:
    # "copper" is in the title of d501, and in the text of each document of that subject.
    hits = bm25_index.search("copper", k=99)
    titled = [hit for hit in hits if hit.title == "copper"]
    assert titled
    assert all(match.kind == "literal" for hit in hits for match in hit.explain().terms)


def test_a_search_by_vector_has_no_kinds(bm25_index: lsr.Index) -> None:
    vectors = bm25_index.encoder.encode_queries(["tidal mills"])
    (hits,) = bm25_index.search_vectors(vectors, k=1)
    assert [match.kind for match in hits[0].explain().terms] == [None, None]
    assert {match.term for match in hits[0].explain().terms} == {"tidal", "mill"}


def test_an_explanation_as_text(bm25_index: lsr.Index) -> None:
    why = bm25_index.search("tidal mills copper")[0].explain()
    first, *lines = str(why).splitlines()
    assert first == f"{why.id}: {why.score:.3f} = the sum of"
    assert len(lines) == len(why.terms) >= 2
    assert lines[0].split()[0] == why.terms[0].term
    assert lines[0].endswith("█" * 16)
    assert "literal" in lines[0]


def test_each_term_has_its_part(composite_index: lsr.Index, splade_index: lsr.Index) -> None:
    hits = composite_index.search("who repairs tidal mills", k=3)
    first = hits[0].explain()
    assert [*first.parts] == sorted(first.parts, key=lambda name: -first.parts[name])
    assert sorted(first.parts) == ["bm25", "splade-tiny"]
    for hit in hits:
        why = hit.explain()
        for name, matches in why.groups():
            assert name is not None
            assert {match.part for match in matches} == {name}
            assert why.parts[name] == sum(match.product for match in matches)
    stems = {match.term: match.kind for match in first.terms if match.part == "bm25"}
    assert stems == dict.fromkeys(["tidal", "mill"], "literal")
    # The model's part is its own explanation, on another scale.
    alone = {h.id: h.explain() for h in splade_index.search("who repairs tidal mills", k=99)}
    words = {match.term for match in first.terms if match.part == "splade-tiny"}
    assert words == {match.term for match in alone[first.id].terms}
    assert {match.part for match in alone[first.id].terms} == {None}
    assert alone[first.id].parts == {}


def test_an_explanation_of_parts_as_text(composite_index: lsr.Index) -> None:
    why = composite_index.search("who repairs tidal mills")[0].explain()
    first, *lines = str(why).splitlines()
    assert first == f"{why.id}: {why.score:.3f} = the sum of"
    heads = [line.split()[0] for line in lines if line[:4].strip()]
    assert heads == [*why.parts]
    assert [line.split()[0] for line in lines] == [
        word for name, matches in why.groups() for word in (name, *(m.term for m in matches))
    ]
    for name, total in why.parts.items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.split()[1:] == [f"{total:.3f}", "=", "the", "sum", "of"]
    assert len({line.index(" = ") for line in lines}) == 1  # in one column
    assert len(lines) == 2 + len(why.terms)

"""Encoders side by side: scores, calibration, restoring."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.base import Encoder
from lsr.encoders.composite.calibration import ENOUGH, QUERIES, PseudoQueries, opening
from lsr.encoders.composite.encoder import CompositeEncoder
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors

# One of the documents below is of stop words alone.
pytestmark = pytest.mark.filterwarnings("ignore:bm25.* finds no terms:lsr.errors.TextWarning")

SUBJECTS = ["red planet", "rings of saturn", "venus", "mars rover", "known moon", "planet mars"]
DOCUMENTS = [
    f"{SUBJECTS[i % 6]} {('is known', 'often called')[i % 2]} number {i}. A red planet with {i % 7}"
    for i in range(40)
] + ["", "???", "The of and."]
QUESTIONS = ["red planet number 7", "saturn with rings", "unseen words only", ""]


def build(encoder: Encoder, documents: Sequence[str], batch: int = 99) -> SparseVectors:
    """What a build does with an encoder: the documents' vectors."""
    batches = [documents[i : i + batch] for i in range(0, len(documents), batch)]
    observed = [encoder.collect(texts) for texts in batches]
    encoder.finalize(lambda: iter(observed))
    return SparseVectors.concatenate(encoder.apply_statistics(vectors) for vectors in observed)


def composite(name: str, **options: Any) -> CompositeEncoder:
    encoder = load_encoder(name, **options)
    assert isinstance(encoder, CompositeEncoder)
    return encoder


def scores(queries: SparseVectors, documents: SparseVectors) -> np.ndarray[Any, Any]:
    """Inner products by dictionaries, shape (queries, documents)."""
    rows = [dict(zip(d.terms.tolist(), d.weights.tolist(), strict=True)) for d in documents]
    return np.array(
        [
            [
                sum(w * row.get(t, 0.0) for t, w in zip(q.terms, q.weights, strict=True))
                for row in rows
            ]
            for q in queries
        ]
    )


def restored(encoder: Encoder, **options: Any) -> Encoder:
    identity = json.loads(json.dumps(encoder.identity))
    return restore_encoder(identity, encoder.vocabulary, encoder.term_columns(), **options)


@pytest.mark.parametrize("weights", [None, {"bm25": 3, "bm25:atire": 0.5, "tiny": 1}])
@pytest.mark.parametrize("enough", [True, False])
def test_the_score_is_the_weighted_sum_of_the_parts(
    make_checkpoint: Callable[..., Path], weights: dict[str, float] | None, enough: bool
) -> None:
    texts = DOCUMENTS if enough else DOCUMENTS[40 - ENOUGH // 2 :]
    folder = str(make_checkpoint())
    whole = composite(f"bm25+{folder}+bm25:atire", max_length=40, weights=weights)
    vectors = build(whole, texts, 7)
    found = scores(whole.encode_queries(QUESTIONS), vectors)

    queries = [opening(text) for text in texts]
    expected = np.zeros_like(found)
    for part, name in zip(whole.parts, ("bm25", folder, "bm25:atire"), strict=True):
        alone = load_encoder(name, max_length=40)
        documents = build(alone, texts)
        best = scores(alone.encode_queries(queries), documents)
        if enough:
            np.fill_diagonal(best, 0)  # but for the document that the query is from
        # All but "" ask; those that find nothing do not count in the mean.
        best = np.delete(best, texts.index(""), axis=0).max(axis=1)
        assert part.mean_best == pytest.approx(best[best > 0].mean(), rel=1e-5)
        weight = 1 / 3 if weights is None else weights[part.name]
        expected += weight / part.mean_best * scores(alone.encode_queries(QUESTIONS), documents)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert (found[:2] > 0).any(axis=1).all()


THINGS = ["harbour pilots", "tidal mills", "glass bees", "winter wheat", "paper maps"]
VERBS = ["guide large ships in northern ports", "grind near old bridges", "are made by hand"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 15])
def test_parts_have_like_say_from_one_document_on(count: int) -> None:
    """With none but their own documents to find, the parts' scores would say nothing."""
    texts = [f"The {subject} {verb}." for verb in VERBS for subject in THINGS][:count]
    whole = composite("bm25+splade-tiny")
    vectors = build(whole, texts)
    start = len(whole.parts[0].encoder.vocabulary)
    queries = whole.encode_queries([text.split(" ", 3)[1] for text in texts])
    for query, document in zip(queries, vectors, strict=True):
        shared, left, right = np.intersect1d(query.terms, document.terms, return_indices=True)
        products = query.weights[left] * document.weights[right]
        lexical, learned = products[shared < start].sum(), products[shared >= start].sum()
        # One word of four or more is less of a lexical score than of a learned one.
        assert 1 / 5 < lexical / learned < 5


@given(st.lists(st.text("ab ü界", max_size=12), min_size=1, max_size=6))
def test_any_small_collection_is_calibrated(texts: list[str]) -> None:
    made = []
    for batch in (1, len(texts)):
        whole = composite("bm25+bm25:atire")
        build(whole, texts, batch)
        made.append([(part.mean_best, part.scale) for part in whole.parts])
        assert all(0 < number < np.inf for pair in made[-1] for number in pair)
    assert made[0] == made[1]


def test_each_part_uses_the_whole_range_of_weights() -> None:
    whole = composite("bm25+bm25:robertson,k1=2.0")
    vectors = build(whole, DOCUMENTS)
    start = len(whole.parts[0].encoder.vocabulary)
    for own in (vectors.terms < start, vectors.terms >= start):
        assert vectors.weights[own].max() == pytest.approx(1)
    assert whole.encode_documents(DOCUMENTS) == vectors


@pytest.mark.parametrize("batch", [1, 6, 43])
@pytest.mark.parametrize("recalled", [0, 1, 3])
def test_batches_and_recalled_texts_change_nothing(batch: int, recalled: int) -> None:
    first, again = composite("bm25+bm25:atire"), composite("bm25+bm25:atire")
    vectors = build(first, DOCUMENTS)
    batches = [DOCUMENTS[i : i + batch] for i in range(0, len(DOCUMENTS), batch)]
    kept = [composite("bm25+bm25:atire")]
    observed = [kept[0].collect(texts) for texts in batches]
    for texts in batches[:recalled]:
        again.replay(texts)
    for number in range(recalled, len(batches)):
        assert again.collect(batches[number]) == observed[number]
    again.finalize(lambda: iter(observed))
    assert again.identity == first.identity
    assert SparseVectors.concatenate(again.apply_statistics(v) for v in observed) == vectors


def test_words_are_told_apart_by_part() -> None:
    whole = composite("bm25+bm25:atire")
    build(whole, DOCUMENTS)
    vocabulary = whole.vocabulary
    words = [vocabulary[term] for term in range(len(vocabulary))]
    assert len(set(words)) == len(words) > 20
    assert [vocabulary.find(word) for word in words] == [*range(len(words))]
    assert words[0] == "bm25:red"
    assert "bm25:atire:red" in words
    assert [vocabulary.find(word) for word in ("red", "bm25:zzz", "bm26:red")] == [None] * 3
    with pytest.raises(IndexError):
        vocabulary[len(words)]
    literal = [words[term] for term in whole.literal_terms("a red thing").tolist()]
    assert literal == ["bm25:red", "bm25:atire:red"]


def test_columns_are_zero_beside_their_part() -> None:
    whole = composite("bm25+bm25:atire")
    build(whole, DOCUMENTS)
    columns, half = whole.term_columns(), len(whole.vocabulary) // 2
    assert [*columns] == ["bm25:document_frequency", "bm25:atire:document_frequency"]
    first, second = columns.values()
    assert first[:half].all()
    assert not first[half:].any()
    assert np.array_equal(second[half:], first[:half])


def test_a_part_of_weight_zero_adds_no_terms() -> None:
    whole = composite("bm25+bm25:atire", weights="bm25=0,bm25:atire=2")
    vectors = build(whole, DOCUMENTS)
    only = whole.encode_queries(QUESTIONS)
    assert only.terms.min() >= len(whole.parts[0].encoder.vocabulary)
    whole.set_part_weights({"bm25": 1.0, "bm25:atire": 2.0})
    assert whole.weights == {"bm25": 1.0, "bm25:atire": 2.0}
    assert whole.encode_queries(QUESTIONS).terms.size == 2 * only.terms.size
    assert whole.encode_documents(DOCUMENTS) == vectors


def test_restored_it_encodes_the_same(make_checkpoint: Callable[..., Path]) -> None:
    folder = make_checkpoint()
    whole = composite(f"bm25+{folder}", max_length=40, query_terms=3)
    vectors = build(whole, DOCUMENTS)
    moved = folder.rename(folder.with_name("a+b"))
    with pytest.raises(EncoderError, match="cannot be found where it was"):
        restored(whole)
    again = restored(whole, source=f"bm25+{moved}", weights="bm25=.5,tiny=.5")
    assert again.identity["parts"][0] == whole.identity["parts"][0]
    assert again.encode_queries(QUESTIONS) == whole.encode_queries(QUESTIONS)
    assert again.encode_documents(DOCUMENTS) == vectors
    assert again.literal_terms(DOCUMENTS[0]).size > 3
    for source, message in (
        ("bm25", "'bm25' is of the kind 'bm25'"),
        (f"bm25+{moved}+bm25:atire", "of 2 parts, but .* has 3"),
        (f"bm25:atire+{moved}", "'bm25', but 'bm25:atire' was given"),
        ("bm25+splade-tiny", "content hash"),
        (f"{moved}+bm25", "'bm25' of the kind 'bm25', but"),
    ):
        with pytest.raises(EncoderMismatch, match=message):
            restored(whole, source=source)


def test_words_moved_between_parts_are_noticed(make_checkpoint: Callable[..., Path]) -> None:
    whole = composite(f"bm25+{make_checkpoint()}", max_length=40)
    build(whole, DOCUMENTS)
    identity = whole.identity
    for number, more in ((0, -1), (1, 1)):
        identity["parts"][number]["size"] += more
    with pytest.raises(EncoderMismatch, match="other words"):
        restore_encoder(identity, whole.vocabulary, whole.term_columns())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 10**6),
        ("size", "many"),
        ("mean_best", 0),
        ("scale", float("inf")),
        ("weight", -1),
        ("weight", None),
        ("encoder", None),
        ("name", None),
    ],
)
def test_a_damaged_record_is_refused(key: str, value: Any) -> None:
    whole = composite("bm25+bm25:atire")
    build(whole, DOCUMENTS)
    identity = whole.identity
    identity["parts"][1][key] = value
    with pytest.raises(EncoderError, match="rebuild the index"):
        restore_encoder(identity, whole.vocabulary, whole.term_columns())
    for broken in ({**identity, "parts": []}, {"kind": "composite", "name": "x"}):
        with pytest.raises(EncoderError, match="several parts is incomplete"):
            restore_encoder(broken, whole.vocabulary, {})


def test_what_cannot_be_asked() -> None:
    with pytest.raises(EncoderError, match="two parts called 'bm25'"):
        load_encoder("bm25+bm25:lucene")
    with pytest.raises(EncoderError, match="no encoder ''"):
        load_encoder("bm25+")
    with pytest.raises(EncoderError, match="'bm25' has no parts to weigh"):
        load_encoder("bm25", weights={"bm25": 1})
    whole = composite("bm25+bm25:atire")
    observed = whole.collect(DOCUMENTS)
    for call in (whole.encode_queries, whole.encode_documents):
        with pytest.raises(EncoderError, match="has seen none; build an index"):
            call(["red"])
    with pytest.raises(EncoderError, match="has seen none"):
        whole.apply_statistics(observed)


def test_an_empty_collection_and_one_that_answers_nothing() -> None:
    for documents in ([], ["", "?"]):
        whole = composite("bm25+bm25:atire")
        assert len(build(whole, documents)) == len(documents)
        assert [part.mean_best for part in whole.parts] == [1.0, 1.0]
        assert len(whole.encode_queries(["alpha"])) == 1


def test_pseudo_queries_are_a_fixed_sample_of_distinct_openings() -> None:
    texts = [f"Opening {i % 900} of some text. More" for i in range(1000)] + ["", " \n"]
    whole, pieces = PseudoQueries(), PseudoQueries()
    whole.add(texts)
    for start in range(0, len(texts), 77):
        pieces.add(texts[start : start + 77])
    assert pieces.texts == whole.texts
    assert len(set(whole.texts)) == len(whole.texts) == QUERIES
    assert np.array_equal(pieces.sources, whole.sources)
    assert [opening(texts[source]) for source in whole.sources] == whole.texts
    # Of the same opening, the first text; and no part of the collection is preferred.
    assert whole.sources.max() < 900
    assert 350 < whole.sources.mean() < 550


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One sentence. Another", "One sentence"),
        ("Version 2.5 of it? Yes", "Version 2.5 of it"),
        (
            "  one\n two three four five six seven eight nine",
            "one two three four five six seven eight",
        ),
        ("...", "..."),
        ("", ""),
    ],
)
def test_openings(text: str, expected: str) -> None:
    assert opening(text) == expected

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.lexical.bm25 import BM25Encoder
from lsr.encoders.lexical.bm25_variants import VARIANTS
from lsr.errors import EncoderError, EncoderMismatch, TextWarning
from lsr.vectors import SparseVectors

DOCUMENTS = [
    "The quick brown fox jumps over the lazy dog",
    "A lazy dog sleeps; the dog dreams of foxes and of other dogs",
    "",
    "Quantum foxes entangle quickly in superposition",
    "Brown bears and brown foxes share the forest with a fox den",
]
QUERY = "lazy brown fox, lazy dog"

# Scores of bm25s 0.3.16 for QUERY (k1 .9, b .4, delta .5 for bm25l and 1 for bm25+, the idf of
# the same variant), with its list of 33 English stop words and the Snowball stemmer.
GOLDEN = {
    "robertson": [0.676326, 0.576556, 0.0, 0.0, 0.220328],
    "lucene": [1.9043, 1.640184, 0.0, 0.154549, 0.761652],
    "atire": [3.712454, 3.189562, 0.0, 0.227767, 1.417631],
    "bm25l": [4.393797, 4.20605, 2.571485, 2.721649, 3.352093],
    "bm25+": [9.382748, 8.751692, 4.799914, 5.213781, 6.671217],
}


def bm25(name: str = "bm25", **options: Any) -> BM25Encoder:
    encoder = load_encoder(name, **options)
    assert isinstance(encoder, BM25Encoder)
    return encoder


def restored(encoder: BM25Encoder, **changes: Any) -> BM25Encoder:
    identity = {**encoder.identity, **changes}
    again = restore_encoder(identity, encoder.vocabulary, encoder.term_columns())
    assert isinstance(again, BM25Encoder)
    return again


def scores(encoder: BM25Encoder, documents: SparseVectors, query: str) -> list[float]:
    """Inner products, with what absent terms score added back."""
    queries = encoder.encode_queries([query])
    counts = dict(zip(queries.terms.tolist(), queries.weights.tolist(), strict=True))
    floor = float((encoder.nonoccurrence(queries.terms) * queries.weights).sum())
    return [
        floor + sum(counts.get(t, 0) * w for t, w in zip(row.terms, row.weights, strict=True))
        for row in documents
    ]


@pytest.mark.parametrize("variant", GOLDEN)
def test_scores_equal_those_of_bm25s(variant: str) -> None:
    encoder = bm25(f"bm25:{variant}")
    documents = encoder.apply_statistics(encoder.collect(DOCUMENTS))
    assert scores(encoder, documents, QUERY) == pytest.approx(GOLDEN[variant], abs=2e-6)


def plain_score(
    variant: str, documents: list[list[str]], query: list[str], at: int, constants: list[float]
) -> float:
    """The formulas as Kamphuis et al. (2020) print them, one document and query at a time."""
    k1, b, delta = constants
    n = len(documents)
    average = sum(map(len, documents)) / n
    total = 0.0
    for term in query:
        df = sum(term in document for document in documents)
        if df == 0:
            continue
        tf = documents[at].count(term)
        ratio = len(documents[at]) / average
        if variant == "robertson":
            idf = max(0.0, math.log((n - df + 0.5) / (df + 0.5)))
            part = tf / (tf + k1 * (1 - b + b * ratio)) if tf else 0.0
        elif variant == "lucene":
            idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
            part = tf / (tf + k1 * (1 - b + b * ratio)) if tf else 0.0
        elif variant == "atire":
            idf = math.log(n / df)
            part = (k1 + 1) * tf / (tf + k1 * (1 - b + b * ratio)) if tf else 0.0
        elif variant == "bm25l":
            idf = math.log((n + 1) / (df + 0.5))
            shifted = (tf / (1 - b + b * ratio) if tf else 0.0) + delta
            part = (k1 + 1) * shifted / (k1 + shifted) if shifted else 0.0
        else:
            idf = math.log((n + 1) / df)
            part = ((k1 + 1) * tf / (k1 * (1 - b + b * ratio) + tf) if tf else 0.0) + delta
        total += idf * part
    return total


words = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "omega"]), max_size=8)


@settings(max_examples=150)
@given(
    variant=st.sampled_from(sorted(VARIANTS)),
    documents=st.lists(words, min_size=1, max_size=6).filter(any),
    query=words,
    k1=st.sampled_from([0.0, 0.9, 1.5]),
    b=st.sampled_from([0.0, 0.4, 1.0]),
    delta=st.sampled_from([0.0, 0.5, 1.0]),
    batch=st.integers(1, 6),
)
def test_every_variant_equals_its_formula(
    variant: str,
    documents: list[list[str]],
    query: list[str],
    k1: float,
    b: float,
    delta: float,
    batch: int,
) -> None:
    shift = f",delta={delta}" if variant in ("bm25l", "bm25+") else ""
    encoder = bm25(f"bm25:{variant},k1={k1},b={b}{shift}")
    texts = [" ".join(document) for document in documents]
    counts = [encoder.collect(texts[at : at + batch]) for at in range(0, len(texts), batch)]
    vectors = SparseVectors.concatenate([encoder.apply_statistics(part) for part in counts])
    assert (vectors.weights > 0).all()
    expected = [
        plain_score(variant, documents, query, at, [k1, b, delta]) for at in range(len(documents))
    ]
    assert scores(encoder, vectors, " ".join(query)) == pytest.approx(expected, abs=1e-5)
    assert encoder.encode_documents(texts) == vectors
    assert restored(encoder).encode_documents(texts) == vectors


def test_statistics_and_counts() -> None:
    encoder = bm25()
    first = encoder.collect(["red red planet", ""])
    assert first == SparseVectors.from_rows([([0, 1], [2.0, 1.0]), ([], [])])
    encoder.collect(["planets of the moon"])
    assert [encoder.vocabulary[term] for term in range(3)] == ["red", "planet", "moon"]
    columns = encoder.term_columns()
    assert columns["document_frequency"].dtype == np.uint32
    assert columns["document_frequency"].tolist() == [1, 2, 1]
    assert encoder.identity == {
        "kind": "bm25",
        "name": "bm25",
        "variant": "lucene",
        "k1": 0.9,
        "b": 0.4,
        "delta": None,
        "language": "english",
        "stop_words": "lucene-english",
        "stemmer": "snowball-english",
        "word_rule": 2,
        "documents": 3,
        "average_length": 5 / 3,
        "document_terms": None,
        "query_terms": None,
    }


def test_average_length_does_not_depend_on_batches() -> None:
    texts = ["w" * (n % 7 + 2) + " x" * n + " yy" * n for n in range(50)]
    whole, pieces = bm25(), bm25()
    whole.collect(texts)
    for text in texts:
        pieces.collect([text])
    assert pieces.identity == whole.identity
    assert pieces.term_columns()["document_frequency"].tolist() == (
        whole.term_columns()["document_frequency"].tolist()
    )


def test_query_weight_is_the_count() -> None:
    encoder = bm25()
    encoder.collect(["red planet moon"])
    queries = encoder.encode_queries(["planet red planets unseen", "the", "unseen"])
    assert queries == SparseVectors.from_rows([([0, 1], [1.0, 2.0]), ([], []), ([], [])])
    assert encoder.literal_terms("Planets! Red planets unseen the").tolist() == [0, 1]
    encoder.collect(["unseen"])  # what a query could not find is found once it has been seen
    assert encoder.encode_queries(["unseen"]).terms.tolist() == [3]


def test_only_the_strongest_terms() -> None:
    encoder = bm25(document_terms=1, query_terms=1)
    counts = encoder.collect(["rare common", "common"])
    assert np.diff(counts.indptr).tolist() == [2, 1]  # the counts stay whole
    vectors = encoder.apply_statistics(counts)
    assert vectors.terms.tolist() == [0, 1]
    assert encoder.encode_queries(["rare common common"]).terms.tolist() == [1]
    again = restored(encoder)
    assert again.encode_documents(["rare common"]).terms.tolist() == [0]


class WordsOnDisk:
    """A vocabulary that can only be asked."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, term: int, /) -> str:
        return self.words[term]

    def find(self, word: str) -> int | None:
        return self.words.index(word) if word in self.words else None

    def __iter__(self) -> Any:
        raise AssertionError("the vocabulary must not be read through")


def test_restored_encoder_keeps_the_statistics() -> None:
    built = bm25("bm25:bm25+,k1=1.2")
    built.collect(DOCUMENTS)
    words = [built.vocabulary[term] for term in range(len(built.vocabulary))]
    again = restore_encoder(built.identity, WordsOnDisk(words), built.term_columns())
    assert again.identity == built.identity
    assert again.name == "bm25:bm25+,k1=1.2"
    assert again.encode_documents(DOCUMENTS) == built.encode_documents(DOCUMENTS)
    assert again.encode_queries([QUERY]) == built.encode_queries([QUERY])
    with pytest.raises(EncoderError, match="do not grow"):
        again.collect(["more"])


def test_unknown_words_count_towards_the_length() -> None:
    encoder = bm25()
    encoder.collect(["red planet", "moon"])
    short, long = encoder.encode_documents(["red", "red unseen words here the"])
    assert short.terms.tolist() == long.terms.tolist() == [0]
    idf = math.log(1 + (2 - 1 + 0.5) / 1.5)
    for row, length in ((short, 1), (long, 4)):
        norm = 0.6 + 0.4 * length / 1.5
        assert row.weights[0] == pytest.approx(idf / (1 + 0.9 * norm), rel=1e-6)


def test_encoding_documents_needs_statistics() -> None:
    with pytest.raises(EncoderError, match="collect the documents first"):
        bm25().encode_documents(["red"])


def test_nothing_to_index() -> None:
    encoder = bm25()
    assert len(encoder.collect([])) == 0
    assert encoder.encode_queries(["red"]).terms.size == 0
    assert encoder.apply_statistics(encoder.collect(["", "the"])).indptr.tolist() == [0, 0, 0]
    assert encoder.encode_documents(["", "red"]).indptr.tolist() == [0, 0, 0]
    assert encoder.identity["average_length"] == 0


def test_an_index_of_the_first_word_rule_keeps_it() -> None:
    """As all that were built before there were two."""
    built = bm25()
    built.collect(["日本語 red", "moon"])
    identity = {key: value for key, value in built.identity.items() if key != "word_rule"}
    words = WordsOnDisk(["日本語", "red", "moon"])
    columns = {"document_frequency": np.ones(3, np.uint32)}
    again = restore_encoder(identity, words, columns, source="bm25")
    assert isinstance(again, BM25Encoder)
    assert again.identity == identity
    assert again.literal_terms("日本語").tolist() == [0]
    assert again.encode_queries(["日本", "日本語 Red"]).indptr.tolist() == [0, 0, 2]
    assert again.encode_documents(["日本語"]).terms.tolist() == [0]


def test_a_language_is_kept_with_the_index() -> None:
    built = bm25("bm25:language=de,k1=1.2")
    assert built.name == "bm25:lucene,language=german,k1=1.2"
    built.collect(["Das Haus", "die Katze"])
    again = restored(built)
    assert again.identity == built.identity
    assert again.encode_queries(["Häuser"]) == SparseVectors.from_rows([([1], [1.0])])
    assert bm25("bm25:language=en").name == "bm25"
    with pytest.raises(EncoderMismatch, match="but 'bm25' was given"):
        restore_encoder(built.identity, built.vocabulary, built.term_columns(), source="bm25")


def test_texts_without_terms_are_told_of() -> None:
    encoder = bm25()
    encoder.collect(["the of", "", "…", "red"])
    encoder.replay(["x, y", "😀"])
    with pytest.warns(TextWarning) as told:
        encoder.finalize(lambda: [])
    assert [str(warning.message) for warning in told] == [
        "bm25 finds no terms in 2 of 6 texts, such as 'the of': all their words are stop words or "
        "of one character"
    ]
    silent = bm25()
    silent.collect(["", "…", "red", "猫"])
    silent.finalize(lambda: [])


def test_a_source_may_only_repeat_the_name() -> None:
    built = bm25()
    built.collect(["red"])
    columns = built.term_columns()
    restore_encoder(built.identity, built.vocabulary, columns, source="bm25:lucene")
    with pytest.raises(EncoderMismatch, match="'bm25', but 'bm25:atire' was given"):
        restore_encoder(built.identity, built.vocabulary, columns, source="bm25:atire")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stop_words": "none"}, "text analysis"),
        ({"variant": "okapi"}, "no BM25 variant"),
        ({"k1": "many"}, "incomplete"),
        ({"documents": None}, "incomplete"),
        ({"documents": -1}, "-1 documents"),
        ({"average_length": math.nan}, "nan terms"),
        ({"query_terms": 0}, "query_terms"),
    ],
)
def test_damaged_identity_is_refused(changes: dict[str, Any], said: str) -> None:
    built = bm25()
    built.collect(["red"])
    with pytest.raises(EncoderError, match=said):
        restored(built, **changes)


def test_damaged_statistics_are_refused() -> None:
    built = bm25()
    built.collect(["red planet"])
    for column in (np.ones(3, np.uint32), np.ones(2, np.float32)):
        with pytest.raises(EncoderError, match="2 words and document frequencies"):
            restore_encoder(built.identity, built.vocabulary, {"document_frequency": column})
    with pytest.raises(EncoderError, match="incomplete"):
        restore_encoder(built.identity, built.vocabulary, {})
    for wrong in (0, 2):
        column = np.array([1, wrong], np.uint32)
        again = restore_encoder(built.identity, built.vocabulary, {"document_frequency": column})
        with pytest.raises(EncoderError, match="of 1 documents"):
            again.encode_documents(["red planet"])


def test_bad_texts_are_refused() -> None:
    encoder = bm25()
    for encode in (encoder.collect, encoder.encode_queries):
        with pytest.raises(EncoderError, match="lone surrogate"):
            encode(["a\ud800"])
    with pytest.raises(EncoderError, match="lone surrogate"):
        encoder.literal_terms("a\ud800")
    assert Counter(encoder.collect(["ok"]).weights.tolist()) == {1.0: 1}

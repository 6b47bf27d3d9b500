"""Calibration: large collections leave a query's own document out, small ones cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.encoders import load_encoder
from lsr.encoders.composite.calibration import ENOUGH, BestScores, opening
from lsr.encoders.composite.encoder import CompositeEncoder
from lsr.vectors import SparseVectors

pytestmark = pytest.mark.filterwarnings("ignore:bm25.* finds no terms:lsr.errors.TextWarning")

UNLIKE = [
    "Mars is called the red planet",
    "Robots walk over rough ground",
    "Vitamin D prevents falls of old people",
    "Glass bees carry winter wheat to paper mills",
    "The harbour pilots guide ships at night",
    "A neural network can be pruned after training",
    "Copper mines pollute rivers",
    "Birds sing in the morning",
    "Trains were late because of snow",
    "She bakes bread with rye flour",
]


def build(
    name: str, texts: Sequence[str], batch: int = 99
) -> tuple[CompositeEncoder, SparseVectors]:
    encoder = load_encoder(name)
    assert isinstance(encoder, CompositeEncoder)
    observed = [encoder.collect(texts[n : n + batch]) for n in range(0, len(texts), batch)]
    encoder.finalize(lambda: iter(observed))
    return encoder, SparseVectors.concatenate(
        [encoder.apply_statistics(vectors) for vectors in observed]
    )


def contributions(encoder: CompositeEncoder, vectors: SparseVectors, text: str) -> list[float]:
    """What each part adds to the score of the best hit."""
    query = encoder.encode_queries([text])
    ends = np.cumsum([len(part.encoder.vocabulary) for part in encoder.parts])
    weights = dict(zip(query.terms.tolist(), query.weights.tolist(), strict=True))
    shares = np.zeros((len(vectors), len(ends)))
    for row, vector in enumerate(vectors):
        for term, weight in zip(vector.terms.tolist(), vector.weights.tolist(), strict=True):
            part = int(np.searchsorted(ends, term, side="right"))
            shares[row, part] += weights.get(term, 0.0) * weight
    return list(shares[shares.sum(axis=1).argmax()])


@pytest.mark.parametrize("documents", [1, 2, 3, 10])
@pytest.mark.parametrize("name", ["bm25+splade-tiny", "bm25:bm25++splade-tiny", "bm25+bm25:bm25l"])
def test_parts_have_an_equal_say_from_the_first_document_on(name: str, documents: int) -> None:
    """On the mean exactly; of one question within the factor by which questions' lengths differ.

    Each part's best scores, over questions of three to eight words, are .5 to 1.5 times its mean,
    so those of two parts are at most 3 times apart.
    """
    texts = UNLIKE[:documents]
    encoder, vectors = build(name, texts)
    shares = np.array([contributions(encoder, vectors, text) for text in texts])
    assert shares.min() > 0
    assert (shares.max(axis=1) / shares.min(axis=1)).max() < 3
    assert shares.mean(axis=0) == pytest.approx(1 / 2, rel=0.01)


def row(term: int, weight: float = 1.0) -> SparseVectors:
    return SparseVectors.from_rows([([term], [weight])])


@pytest.mark.parametrize("asking", [ENOUGH - 1, ENOUGH])
def test_enough_are_counted_by_the_queries_that_find_another_document(asking: int) -> None:
    """Query n finds its own document n, and document n + 1 with a score of 2, but the last."""
    queries = SparseVectors.concatenate([row(term) for term in range(asking + 1)])
    best = BestScores(queries, np.arange(asking + 1))
    best.add(SparseVectors.from_rows([([0], [8.0])]))
    for term in range(1, asking + 1):
        best.add(SparseVectors.from_rows([([term - 1, term], [2.0, 8.0])]))
    assert best.enough == (asking == ENOUGH)
    assert best.mean(own=False) == 2.0
    assert best.mean(own=True) == 8.0


def test_all_parts_are_measured_alike() -> None:
    """A part with enough best scores among others does not use them when another part has few."""
    texts = [f"word{n} common sense" for n in range(60)]
    # Of robertson, whose idf is 0 for words of more than half of the documents, none finds another.
    encoder, _ = build("bm25+bm25:robertson", texts)
    assert encoder.parts[0].mean_best > math.log1p(59.5 / 1.5) / 2  # with word7 itself
    alone, _ = build("bm25+bm25:lucene,k1=1.2", texts)
    assert alone.parts[0].mean_best < encoder.parts[0].mean_best / 10


def test_a_large_collection_leaves_the_own_document_out() -> None:
    texts = [f"word{n} number{n % 20} common{n % 3}" for n in range(80)]
    encoder, _ = build("bm25+bm25:atire", texts)
    for part in encoder.parts:
        vectors = part.encoder.encode_documents(texts)
        queries = part.encoder.encode_queries([opening(text) for text in texts])
        scores = np.array([[product(q, d) for d in vectors] for q in queries])
        np.fill_diagonal(scores, 0)
        assert part.mean_best == pytest.approx(scores.max(axis=1).mean(), rel=1e-6)


def product(one: SparseVectors, other: SparseVectors) -> float:
    weights = dict(zip(one.terms.tolist(), one.weights.tolist(), strict=True))
    return sum(
        weights.get(t, 0.0) * w for t, w in zip(other.terms.tolist(), other.weights, strict=True)
    )


texts = st.lists(
    st.sampled_from(["mars", "red", "planet", "the", "rock", "7", "?", "猫", "moon"]), max_size=5
).map(" ".join)


@settings(deadline=None)
@given(
    st.lists(texts, max_size=12),
    st.sampled_from(["bm25+bm25:atire", "bm25:bm25l+bm25:robertson", "bm25:language=auto+bm25"]),
    st.integers(1, 12),
)
def test_numbers_are_finite_positive_and_the_same_again(
    collection: list[str], name: str, batch: int
) -> None:
    encoder, vectors = build(name, collection)
    for part in encoder.parts:
        for number in (part.mean_best, part.scale, part.query_factor):
            assert math.isfinite(number)
            assert number > 0
    again, same = build(name, collection, batch)
    assert again.identity == encoder.identity
    assert same == vectors
    assert np.isfinite(encoder.encode_queries(["mars red planet 猫"]).weights).all()

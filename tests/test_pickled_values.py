"""Values in pickles and copies: equal, and independent where copied deeply."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsr
from lsr.data.corpus import Chunk, Document
from lsr.data.queries import Query
from lsr.encoders.base import Settings
from lsr.eval.experiments.run_cache import TimedRun
from lsr.eval.results import Scores
from lsr.fusion.lists import Fused, Ranked
from lsr.retrieval.feedback import Feedback
from lsr.vectors import SparseVectors

HOW: list[Callable[[Any], Any]] = [
    *(
        lambda value, n=n: pickle.loads(pickle.dumps(value, n))
        for n in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ),
    copy.copy,
    copy.deepcopy,
]
rows = st.dictionaries(st.integers(0, 2**32 - 1), st.floats(0, 2.0**99, width=32), max_size=4).map(
    lambda row: (sorted(row), [row[term] for term in sorted(row)])
)


@given(given_=st.lists(rows, max_size=5), start=st.integers(0, 5))
def test_vectors(given_: list[Any], start: int) -> None:
    whole = SparseVectors.from_rows(given_)
    for vectors in (whole, whole[start:], whole[::-1]):
        for how in HOW:
            again = how(vectors)
            assert again == vectors
            for name in ("indptr", "terms", "weights"):
                assert getattr(again, name).dtype == getattr(vectors, name).dtype
            SparseVectors(again.indptr, again.terms, again.weights)  # keeps the rules
        deep = copy.deepcopy(vectors)
        assert not np.shares_memory(deep.weights, vectors.weights)


def test_a_part_does_not_bring_the_whole() -> None:
    vectors = SparseVectors.from_rows([([n], [1.0]) for n in range(100_000)])
    assert len(pickle.dumps(vectors[7])) < 1000


@pytest.fixture(scope="module")
def values(hybrid_index: lsr.Index) -> list[Any]:
    hits = hybrid_index.search("who repairs tidal mills", 3)
    fused = hybrid_index.search("who repairs tidal mills", 3, hybrid="rrf")
    why, shared = hits[0].explain(), fused[0].explain()
    view = lsr.show_terms("who repairs tidal mills", hybrid_index.encoder, query=True)
    return [
        why,
        shared,
        why.terms[0],
        shared.contributions[0],
        view,
        view.terms[0],
        hybrid_index.get(hits[0].id),
        Document("a b", "title", "text"),
        Query("q", "text"),
        Chunk(["a"], None, None, SparseVectors.from_rows([([1], [1.0])])),
        Feedback.of("rm3"),
        Settings(max_length=9, weights="a=1"),
        Scores({"RR": 1.0}, {"RR": {"q": 1.0}}),
    ]


def test_values(values: list[Any]) -> None:
    for value in values:
        for how in HOW:
            again = how(value)
            assert type(again) is type(value)
            assert again == value
            assert str(again) == str(value)
    explanation = values[0]
    deep = copy.deepcopy(explanation)
    deep.terms.clear()
    assert explanation.terms
    assert sum(match.product for match in explanation.terms) == explanation.score


def test_values_with_arrays() -> None:
    ranked = Ranked(np.array([3, 1]), np.array([2.0, 1.0]))
    for value in (
        ranked,
        Fused(*ranked, np.ones((1, 2))),
        TimedRun({"q": {"d": 1.0}}, np.ones(1), {}),
    ):
        for how in HOW:
            assert repr(how(value)) == repr(value)

"""Feedback: formulas by hand and on plain dictionaries, and on indexes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsr
from lsr.encoders.composite.encoder import CompositeEncoder
from lsr.encoders.lexical.bm25 import BM25Encoder
from lsr.errors import QueryError
from lsr.fusion.lists import Ranked
from lsr.fusion.methods import fuse
from lsr.index.reader import IndexReader
from lsr.retrieval import INTERPOLATE, FeedbackKind, Interpolate
from lsr.retrieval.context import SearchContext
from lsr.retrieval.feedback import (
    Feedback,
    refine_dense,
    refine_rm3,
    refine_sparse,
    search_again,
)
from lsr.retrieval.feedback_documents import refine
from lsr.vectors import SparseVectors
from support.editions import reseal

Weights = dict[int, float]


def vectors(*rows: Weights) -> SparseVectors:
    return SparseVectors.from_rows([([*sorted(r)], [r[t] for t in sorted(r)]) for r in rows])


def weights_of(vector: SparseVectors) -> Weights:
    assert len(vector) == 1
    return dict(zip(vector.terms.tolist(), vector.weights.tolist(), strict=True))


def length(vector: Weights) -> float:
    return math.sqrt(sum(weight**2 for weight in vector.values()))


def plain(query: Weights, documents: list[Weights], kind: str, share: float, terms: int) -> Weights:
    """Average or Rocchio, cut and scaled, one term at a time."""
    if not documents:
        return query
    if kind == "average":
        share = 1 / (len(documents) + 1)
    mixed: Weights = {}
    for term in {term for vector in [query, *documents] for term in vector}:
        mean = sum(d.get(term, 0.0) for d in documents) / len(documents)
        weight = share * query.get(term, 0.0) + (1 - share) * mean
        if weight > 0:
            mixed[term] = weight
    kept = sorted(mixed, key=lambda term: (-mixed[term], term))[:terms]
    cut = {term: mixed[term] for term in kept}
    scale = length(query) / length(cut) if length(cut) and length(query) else 1
    return {term: weight * scale for term, weight in cut.items()}


def test_rocchio_by_hand() -> None:
    rocchio = Feedback.of("rocchio", documents=2)
    assert (rocchio.query, rocchio.terms) == (0.4, 32)
    # .4 (3, 4, 0) + .6 (2, 0, 2) = (2.4, 1.6, 1.2), of length sqrt(9.76), the query's being 5
    scale = 5 / math.sqrt(9.76)
    expected = [2.4 * scale, 1.6 * scale, 1.2 * scale]
    found = refine_sparse(vectors({1: 3, 5: 4}), vectors({1: 4}, {9: 4}, {7: 99}), rocchio)
    assert weights_of(found) == pytest.approx(dict(zip([1, 5, 9], expected, strict=True)), rel=1e-6)
    documents = np.array([[4, 0, 0], [0, 0, 4], [9, 9, 9]], np.float32)
    dense = refine_dense(np.array([3, 4, 0], np.float32), documents, rocchio)
    assert dense.dtype == np.float32
    assert dense.tolist() == pytest.approx(expected, rel=1e-6)


def test_average_by_hand() -> None:
    average = Feedback.of("average")
    assert average.documents == 3
    # The mean of (3, 4), (0, 1), (3, 0), (0, 3) is (1.5, 2), half as long as the query.
    documents = np.array([[0, 1], [3, 0], [0, 3], [50, 1]], np.float32)
    assert refine_dense(np.array([3, 4], np.float32), documents, average).tolist() == [3, 4]
    # With one document, of (3, 4) and (5, 0): (4, 2) of length sqrt(20).
    found = refine_dense(np.array([3, 4], np.float32), np.array([[5, 0]], np.float32), average)
    assert found.tolist() == pytest.approx([20 / math.sqrt(20), 10 / math.sqrt(20)])
    sparse = refine_sparse(vectors({0: 3, 1: 4}), vectors({0: 5}), average)
    assert weights_of(sparse) == pytest.approx({0: found[0], 1: found[1]})


def test_opposite_vectors_leave_something() -> None:
    rocchio = Feedback.of("rocchio", query=0.5)
    found = refine_dense(np.array([1, 0], np.float32), np.array([[-1, 0]], np.float32), rocchio)
    assert found.tolist() == [0, 0]


row = st.dictionaries(st.integers(0, 14), st.sampled_from([0.25, 0.5, 1.0, 2.5]), max_size=8)


@given(
    query=row,
    documents=st.lists(row, max_size=6),
    kind=st.sampled_from(["average", "rocchio"]),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    depth=st.integers(1, 6),
    terms=st.integers(1, 20),
)
def test_sparse_feedback_is_its_formula(
    query: Weights,
    documents: list[Weights],
    kind: FeedbackKind,
    share: float,
    depth: int,
    terms: int,
) -> None:
    feedback = Feedback.of(
        kind, documents=depth, terms=terms, query=None if kind == "average" else share
    )
    found = refine_sparse(vectors(query), vectors(*documents), feedback)
    expected = plain(query, documents[:depth], kind, share, terms)
    # Which of almost equal terms are kept hangs on roundings.
    assert sorted(weights_of(found).values()) == pytest.approx(sorted(expected.values()), rel=1e-5)
    if not documents or len(expected) < terms:
        assert weights_of(found) == pytest.approx(expected, rel=1e-5)


def plain_rm3(
    query: Weights, counts: list[Weights], scores: Sequence[float], share: float, terms: int
) -> Weights:
    model: Weights = {}
    believed = [max(score, 0.0) for score in scores]
    if not any(b for b, document in zip(believed, counts, strict=True) if document):
        believed = [1.0] * len(counts)
    for document, score in zip(counts, believed, strict=True):
        for term, count in document.items():
            model[term] = model.get(term, 0.0) + count / sum(document.values()) * score
    model = {term: weight for term, weight in model.items() if weight > 0}
    if not model:
        return query
    best = sorted(model, key=lambda term: (-round(model[term], 12), term))[:terms]
    total, words = sum(model[term] for term in best), sum(query.values())
    if not words:
        return {term: model[term] / total for term in best}
    return {
        term: words
        * (
            share * query.get(term, 0.0) / words
            + (1 - share) * (model[term] / total if term in best else 0.0)
        )
        for term in {*query, *best}
    }


def test_rm3_by_hand() -> None:
    counts = vectors({1: 2, 2: 2}, {2: 1, 3: 1}, {9: 5})
    scores = np.array([3.0, 1.0, 7.0])
    # P(1|R) = 3/2, P(2|R) = 3/2 + 1/2, P(3|R) = 1/2; the two likeliest are 2/3.5 and 1.5/3.5.
    rm3 = Feedback.of("rm3", documents=2, terms=2)
    found = weights_of(refine_rm3(vectors({1: 1, 4: 3}), counts, scores, rm3))
    expected = {1: 4 * (0.5 / 4 + 0.5 * 3 / 7), 4: 1.5, 2: 4 * 0.5 * 4 / 7}
    assert found == pytest.approx(expected, rel=1e-6)
    usual = Feedback.of("rm3")
    assert (usual.documents, usual.terms, usual.query) == (10, 10, 0.5)


counted = st.dictionaries(st.integers(0, 14), st.integers(1, 4).map(float), max_size=6)


@given(
    query=counted,
    documents=st.lists(st.tuples(counted, st.sampled_from([-1.0, 0.0, 1.0, 2.5])), max_size=5),
    share=st.sampled_from([0.0, 0.5, 0.75]),
    depth=st.integers(1, 5),
    terms=st.integers(1, 20),
)
def test_rm3_is_its_formula(
    query: Weights, documents: list[tuple[Weights, float]], share: float, depth: int, terms: int
) -> None:
    feedback = Feedback.of("rm3", documents=depth, terms=terms, query=share)
    counts, scores = [c for c, _ in documents], [s for _, s in documents]
    found = refine_rm3(vectors(query), vectors(*counts), np.array(scores), feedback)
    expected = plain_rm3(query, counts[:depth], scores[:depth], share, terms)
    expected = {term: weight for term, weight in expected.items() if weight}
    assert sum(weights_of(found).values()) == pytest.approx(sum(expected.values()), rel=1e-5)
    if terms >= 15:  # else which of almost equal terms are kept hangs on roundings
        assert weights_of(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("relevance", {}, "no feedback 'relevance'; use average, rocchio, rm3"),
        ("average", {"query": 0.3}, "average has no weight for the query"),
        ("rocchio", {"query": 1.1}, "must be a finite number from 0 to 1, not 1.1"),
        ("rocchio", {"query": math.nan}, "must be a finite number from 0 to 1, not nan"),
        ("rm3", {"documents": 0}, "documents must be a whole number of at least 1, not 0"),
        ("average", {"terms": 0}, "terms must be a whole number of at least 1, not 0"),
    ],
)
def test_numbers_out_of_range(kind: FeedbackKind, options: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Feedback.of(kind, **options)


def ranked(*places: int) -> Ranked:
    return Ranked(np.array(places, np.int64), np.linspace(2, 1, len(places)))


@pytest.mark.parametrize(
    ("interpolate", "believed", "kept"),
    [
        ("none", [1, 2], []),
        ("before", [2, 1, 3], []),
        ("after", [1, 2], [2, 3]),
        ("both", [2, 1, 3], [2, 3]),
    ],
)
def test_where_feedback_comes_from_and_goes(
    interpolate: Interpolate, believed: list[int], kept: list[int]
) -> None:
    asked = []

    def again(documents: Ranked) -> Ranked:
        asked.append(documents.positions.tolist())
        return ranked(8, 9)

    def fused(lists: Sequence[Ranked]) -> Ranked:
        return Ranked(*fuse(lists, "rrf", k=9)[:2])

    lists = search_again([ranked(1, 2), ranked(2, 3)], {0: again}, fused, interpolate)
    assert asked == [believed]
    assert [found.positions.tolist() for found in lists] == [[8, 9], kept]


def test_several_retrievers_search_again() -> None:
    def fused(lists: Sequence[Ranked]) -> Ranked:
        return Ranked(*fuse(lists, "rrf", k=9)[:2])

    first = [ranked(1, 2), ranked(2, 3), ranked(5)]
    again = {
        number: (lambda found: Ranked(found.positions + 10, found.scores)) for number in (0, 2)
    }
    after = search_again(first, again, fused, "after")
    assert [found.positions.tolist() for found in after] == [[11, 12], [2, 3], [15]]
    none = search_again(first, again, fused, "none")
    assert [found.positions.tolist() for found in none] == [[11, 12], [], [15]]
    assert len(INTERPOLATE) == 4
    with pytest.raises(QueryError, match="no interpolation 'twice'; use none, before, after, both"):
        search_again(first, again, fused, "twice")  # type: ignore[arg-type]


QUESTION = "who repairs tidal mills under rain"


@pytest.fixture(scope="module")
def lexical_index(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, str]]
) -> lsr.Index:
    """The documents with words besides, few of which a tenth of them has."""
    rng = np.random.default_rng(0)
    more = [
        {
            "id": d["id"],
            "title": f"title{n % 40}",
            "text": " ".join([d["text"], *(f"word{n}" for n in rng.zipf(1.3, 9) % 300)]),
        }
        for n, d in enumerate(documents)
    ]
    return lsr.Index.build(tmp_path_factory.mktemp("lexical") / "index", more, "bm25")


def indexed_text(index: lsr.Index, number: int) -> str:
    title, text = index.reader.stored_text(number) or ("", "")
    return f"{title} {text}".strip()


def test_rm3_on_an_index(lexical_index: lsr.Index) -> None:
    index, encoder = lexical_index, lexical_index.encoder
    hits = index.search(QUESTION, k=12)
    query = encoder.encode_queries([QUESTION])
    found = refine(index, query, hits.docids, hits.scores, Feedback.of("rm3", documents=6, terms=5))
    every = [encoder.encode_queries([indexed_text(index, n)]) for n in range(len(index))]
    frequency = Counter(term for counts in every for term in counts.terms.tolist())
    counts = []
    for number in hits.docids[:6].tolist():
        counted = weights_of(every[number])
        counts.append({t: c for t, c in counted.items() if frequency[t] <= 0.1 * len(index)})
        assert len(counted) > len(counts[-1])
    assert len({term for document in counts for term in document}) > 5
    expected = plain_rm3(weights_of(query), counts, hits.scores[:6].tolist(), 0.5, 5)
    assert weights_of(found) == pytest.approx(expected, rel=1e-5)
    assert len(index.search_vectors(found, k=5)[0]) == 5


def test_frequent_words_are_no_feedback(tmp_path: Path) -> None:
    texts = ["storm edge common", "storm rare edge common", *["common filler"] * 8, *["other"] * 10]
    index = lsr.Index.build(
        tmp_path / "index", [{"id": str(n), "text": text} for n, text in enumerate(texts)], "bm25"
    )
    query = index.encoder.encode_queries(["storm"])
    hits = index.search("storm")
    found = refine(index, query, hits.docids, hits.scores, Feedback.of("rm3"))
    # edge is in exactly a tenth of them, common in half.
    assert {index.reader.word(term) for term in found.terms.tolist()} == {"storm", "rare", "edg"}


@pytest.mark.parametrize("kind", ["average", "rocchio"])
def test_vector_feedback_on_an_index(splade_index: lsr.Index, kind: FeedbackKind) -> None:
    hits = splade_index.search(QUESTION, k=8)
    query = splade_index.encoder.encode_queries([QUESTION])
    feedback = Feedback.of(kind, documents=4, terms=30)
    found = refine(splade_index, query, hits.docids, hits.scores, feedback)
    documents = [weights_of(splade_index.get(id).vector) for id in hits.ids[:4].tolist()]
    expected = plain(weights_of(query), documents, kind, 0.4, 30)
    assert len(found.terms) == 30
    assert weights_of(found) == pytest.approx(expected, rel=1e-5)


def test_only_feedback_documents_are_read(splade_index: lsr.Index) -> None:
    """Gathering a vector takes longer than a search."""
    hits = splade_index.search(QUESTION, k=8)
    read: list[int] = []

    class Reading(IndexReader):
        def vector_of(self, docid: int) -> SparseVectors:
            read.append(docid)
            return super().vector_of(docid)

    query = splade_index.encoder.encode_queries([QUESTION])
    context = SearchContext(Reading.open(splade_index.path))
    refine(context, query, hits.docids, hits.scores, Feedback.of("rocchio", documents=2))
    assert read == hits.docids[:2].tolist()


def test_feedback_on_each_part(composite_index: lsr.Index) -> None:
    """RM3 changes the counts of BM25's part, Rocchio the other's vector; each as if alone."""
    encoder = composite_index.encoder
    assert isinstance(encoder, CompositeEncoder)
    lexical, learned = encoder.parts
    assert isinstance(lexical.encoder, BM25Encoder)
    border = len(lexical.encoder.vocabulary)
    query = encoder.encode_queries([QUESTION])
    hits = composite_index.search(QUESTION, k=8)
    before = weights_of(query)

    rm3 = Feedback.of("rm3", documents=3, terms=4)
    found = weights_of(refine(composite_index, query, hits.docids, hits.scores, rm3))
    assert {t: w for t, w in found.items() if t >= border} == {
        t: w for t, w in before.items() if t >= border
    }
    share = lexical.encoder.document_share
    counts = []
    for number in hits.docids[:3].tolist():
        counted = lexical.encoder.encode_queries([indexed_text(composite_index, number)])
        rare = share(counted.terms) <= 0.1
        counts.append(
            {t: w for (t, w), r in zip(weights_of(counted).items(), rare, strict=True) if r}
        )
    asked = weights_of(lexical.encoder.encode_queries([QUESTION]))
    expected = plain_rm3(asked, counts, hits.scores[:3].tolist(), 0.5, 4)
    assert {t: w / lexical.query_factor for t, w in found.items() if t < border} == pytest.approx(
        expected, rel=1e-4
    )

    rocchio = Feedback.of("rocchio", documents=3, terms=500)
    found = weights_of(refine(composite_index, query, hits.docids, hits.scores, rocchio))
    assert {t: w for t, w in found.items() if t < border} == {
        t: w for t, w in before.items() if t < border
    }
    documents = []
    for id in hits.ids[:3].tolist():
        stored = weights_of(composite_index.get(id).vector)
        documents.append({t - border: w * learned.scale for t, w in stored.items() if t >= border})
    asked = weights_of(learned.encoder.encode_queries([QUESTION]))
    expected = plain(asked, documents, "rocchio", 0.4, 500)
    assert {
        t - border: w / learned.query_factor for t, w in found.items() if t >= border
    } == pytest.approx(expected, rel=1e-4)


def test_a_part_without_a_say_stays_silent(
    composite_index: lsr.Index, copy: Callable[[lsr.Index], Path]
) -> None:
    index = lsr.open(copy(composite_index))
    index.use_encoder(None, weights={"bm25": 1, "splade-tiny": 0})
    query = index.encoder.encode_queries([QUESTION])
    hits = index.search(QUESTION, k=4)
    found = refine(index, query, hits.docids, hits.scores, Feedback.of("rocchio"))
    assert found == query


def test_without_documents_the_query_stays(bm25_index: lsr.Index, splade_index: lsr.Index) -> None:
    for index, kind in ((bm25_index, "rm3"), (splade_index, "rocchio"), (splade_index, "average")):
        query = index.encoder.encode_queries([QUESTION])
        assert refine(index, query, [], [], Feedback.of(kind)) == query  # type: ignore[arg-type]


def test_feedback_that_an_index_cannot_give(
    bm25_index: lsr.Index,
    splade_index: lsr.Index,
    tmp_path: Path,
    copy: Callable[[lsr.Index], Path],
) -> None:
    query = vectors({0: 1.0})
    with pytest.raises(QueryError, match=r"has no part that rm3 can refine; use average or rocch"):
        refine(splade_index, query, [0], [1.0], Feedback.of("rm3"))
    with pytest.raises(QueryError, match="has no part that rocchio can refine; use rm3"):
        refine(bm25_index, query, [0], [1.0], Feedback.of("rocchio"))
    lean = copy(bm25_index)
    reseal(lean, kept=["floats"])
    with pytest.raises(QueryError, match="keeps no text, and rm3 counts the words of documents"):
        refine(lsr.open(lean), query, [0], [1.0], Feedback.of("rm3"))
    bare = lsr.Index.from_vectors(tmp_path / "bare", ["a", "b"], vectors({1: 1.0}, {2: 2.0}))
    found = refine(bare, vectors({1: 2.0}), [1], [1.0], Feedback.of("rocchio", query=0.5))
    assert weights_of(found) == pytest.approx({1: math.sqrt(2), 2: math.sqrt(2)}, rel=0.01)
    with pytest.raises(QueryError, match="rm3 can refine"):
        refine(bare, query, [1], [1.0], Feedback.of("rm3"))

"""Several retrievers: against brute force over both sides, by hand, and what cannot be fused."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.errors import (
    DenseCorrupt,
    EncoderError,
    EncoderMismatch,
    FusionError,
    IndexFormatError,
    QueryError,
)
from lsr.fusion import METHODS
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.lists import Ranked
from lsr.fusion.methods import fuse
from lsr.indexing.dense import add_dense
from lsr.retrieval import INTERPOLATE
from lsr.retrieval.feedback import Feedback
from lsr.retrieval.hybrid import Hybrid
from lsr.retrieval.named import learned_file
from lsr.retrieval.retrievers import DenseRetriever, SparseRetriever
from support.bare_index import open_searcher
from support.editions import only
from support.tiny_dense import write_tiny_dense

TEXTS = [
    "who repairs tidal mills",
    "copper carried under heavy rain",
    "harbour pilots describe paper maps near old bridges",
    "nothing of this zzz",
]
NAMES = ["bm25", "splade-tiny", "dense"]
Lists = list[Ranked]


@pytest.fixture(scope="module")
def index(hybrid_index: lsr.Index) -> lsr.Index:
    """Every sixth document by BM25, the model and dense vectors; not to be changed."""
    return hybrid_index


def ranked(scores: np.ndarray, depth: int, found: np.ndarray) -> Ranked:
    """The list of all documents' scores, by place."""
    best = sorted(np.flatnonzero(found).tolist(), key=lambda place: (-scores[place], place))
    return Ranked(np.array(best[:depth], np.int64), scores[best[:depth]])


def brute(index: lsr.Index, text: str, name: str, depth: int) -> Ranked:
    """All documents scored one by one, from what the index stores."""
    n = len(index)
    if name == "dense":
        encoder = index.dense_encoder
        every = [
            index.get(index.reader.id_of(number))
            for number in index.reader.docids_of(range(n)).tolist()
        ]
        texts = [f"{d.title} {d.text}" if d.title else d.text for d in every]
        vectors = encoder.encode_documents(texts).astype(np.float64)
        scores = np.array(
            [float(np.float32(v @ encoder.encode_queries([text])[0])) for v in vectors]
        )
        return ranked(scores, depth, np.ones(n, bool))
    query = index.encoder.encode_queries([text])
    words = [index.reader.word(int(term)) for term in query.terms]
    kept = [name == "terms" or word.startswith(f"{name}:") for word in words]
    integers = open_searcher(index.path).quantize(
        SparseRetriever(index, None if name == "terms" else name).encode([text])
    )
    weights = dict(zip(integers.terms.tolist(), integers.weights.tolist(), strict=True))
    assert weights.keys() <= {int(t) for t, keep in zip(query.terms, kept, strict=True) if keep}
    scores = np.zeros(n)
    for place, number in enumerate(index.reader.docids_of(range(n)).tolist()):
        document = index.reader.vector_of(number)
        stored = np.rint(document.weights / index.manifest.step)
        scores[place] = integers.steps[0] * sum(
            weights.get(int(term), 0) * int(weight)
            for term, weight in zip(document.terms, stored, strict=True)
        )
    return ranked(scores, depth, scores > 0)


def plain(
    lists: Lists, method: str, weights: Sequence[float], missing: str, k: int
) -> list[tuple[int, float]]:
    """Places and scores by the formulas, one document at a time."""
    totals: dict[int, float] = {}
    shares = []
    for number, (places, scores) in enumerate(lists):
        s = scores.tolist()
        if method == "rrf":
            value = [1 / (60 + rank) for rank in range(1, len(s) + 1)]
        elif method == "none":
            value = s
        elif method == "zscore":
            mean = sum(s) / max(len(s), 1)
            deviation = math.sqrt(sum((x - mean) ** 2 for x in s) / max(len(s), 1))
            value = [(x - mean) / deviation if deviation else 0.0 for x in s]
        else:
            low = (
                (-1.0 if number == len(lists) - 1 else 0.0)
                if method == "tmm"
                else min(s, default=0)
            )
            high = max(s, default=0)
            value = [(x - low) / (high - low) if high > low else 0.0 for x in s]
        shares.append(dict(zip(places.tolist(), value, strict=True)))
    for place in {place for share in shares for place in share}:
        totals[place] = 0.0
        for weight, share in zip(weights, shares, strict=True):
            other = (
                min(share.values(), default=0) if missing == "lowest" and method != "rrf" else 0.0
            )
            totals[place] += weight * share.get(place, other)
    return sorted(totals.items(), key=lambda item: (-round(item[1], 9), item[0]))[:k]


def same(hits: lsr.Hits, expected: list[tuple[int, float]], index: lsr.Index) -> None:
    places = index.reader.positions_of(hits.docids).tolist()
    assert hits.scores.tolist() == pytest.approx([score for _, score in expected], abs=1e-6)
    got = sorted(zip(places, hits.scores, strict=True), key=lambda x: (-round(x[1], 6), x[0]))
    want = sorted(expected, key=lambda x: (-round(x[1], 6), x[0]))
    assert [place for place, _ in got] == [place for place, _ in want]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", ["zero", "lowest"])
@pytest.mark.parametrize("depth", [5, 1000])
def test_both_sides_against_brute_force(
    index: lsr.Index, method: str, missing: str, depth: int
) -> None:
    for names in (["terms", "dense"], NAMES, ["splade-tiny", "bm25", "dense"]):
        weights = [0.25, 1.0, 0.5][: len(names)]
        hybrid = index.hybrid(
            method,
            retrievers=",".join(names),
            weights=dict(
                zip(
                    [
                        n.replace("terms", "bm25+splade-tiny").replace("dense", "tiny")
                        for n in names
                    ],
                    weights,
                    strict=True,
                )
            ),
            missing=missing,
            depth=depth,
        )
        k = 4
        for text, hits in zip(TEXTS, hybrid.search(TEXTS, k), strict=True):
            lists = [brute(index, text, name, depth) for name in names]
            same(hits, plain(lists, method, weights, missing, k), index)
            assert hits.query == text


def test_more_hits_than_the_lists_are_deep(index: lsr.Index) -> None:
    hybrid = index.hybrid("rrf", depth=2)
    assert len(hybrid.search(TEXTS[0], 1000)) == len(index)
    deep = index.hybrid("rrf", depth=1000).search(TEXTS[0], 24)
    assert (hybrid.search(TEXTS[0], 1000).ids == deep.ids).all()


def test_a_search_by_name(index: lsr.Index) -> None:
    for method in METHODS:
        hits = index.search(TEXTS[0], 5, hybrid=method)
        other = index.hybrid(method).search(TEXTS[0], 5)
        assert (hits.ids == other.ids).all()
        assert (hits.scores == other.scores).all()
    several = index.search(TEXTS, 3, hybrid="rrf", method="scan", threads=2)
    assert [len(hits) for hits in several] == [3] * len(TEXTS)
    terms = index.hybrid("none", retrievers="terms").search(TEXTS[0], 1)[0].explain()
    assert terms.contributions[0].terms is not None
    match = terms.contributions[0].terms.terms[0]
    boosts = {f"{match.part}:{match.term}": 0.0}
    muted = index.search(TEXTS[0], 5, hybrid="minmax", boosts=boosts)
    assert (muted.scores == index.hybrid("minmax", boosts=boosts).search(TEXTS[0], 5).scores).all()
    assert (muted.scores != index.search(TEXTS[0], 5, hybrid="minmax").scores).any()


def test_rescoring_leaves_nothing_missing(index: lsr.Index) -> None:
    for names in (["terms", "dense"], NAMES):
        hybrid = index.hybrid("minmax", retrievers=",".join(names), depth=4, rescore=True)
        for text, hits in zip(TEXTS[:3], hybrid.search(TEXTS[:3], 4), strict=True):
            cut = [brute(index, text, name, 4) for name in names]
            union = np.unique(np.concatenate([found.positions for found in cut]))
            lists = []
            for name in names:
                every = brute(index, text, name, 1000)
                within = np.isin(every.positions, union)
                lists.append(Ranked(every.positions[within], every.scores[within]))
            weights = [1 / len(names)] * len(names)
            same(hits, plain(lists, "minmax", weights, "zero", 4), index)


def test_rescoring_finds_no_document_that_shares_no_term(index: lsr.Index) -> None:
    (hits,) = index.hybrid("rrf", depth=24, rescore=True).search([TEXTS[0]], 24)
    shares = [hit.explain().contributions for hit in hits]
    assert {share[0].score is None for share in shares} == {True, False}
    for share in shares:
        assert (share[0].value == 0.0) == (share[0].score is None)


@pytest.mark.parametrize("options", [{}, {"rescore": True}, {"missing": "lowest", "depth": 6}])
@pytest.mark.parametrize("method", METHODS)
def test_shares_explain_the_score(index: lsr.Index, method: str, options: dict[str, Any]) -> None:
    hybrid = index.hybrid(method, retrievers=",".join(NAMES), **options)
    hits = hybrid.search(TEXTS[2], min(24, hybrid.depth))
    alone = dict(zip(hybrid.names, hybrid.candidates([TEXTS[2]])[0].lists, strict=True))
    for hit in hits:
        why = hit.explain()
        assert (why.id, why.score, why.terms) == (hit.id, hit.score, [])
        assert [share.retriever for share in why.contributions] == ["bm25", "splade-tiny", "tiny"]
        assert sum(share.value for share in why.contributions) == hit.score
        place = index.reader.positions_of([hit.hits.docids[hit.rank]])[0]
        for share in why.contributions:
            found = alone[share.retriever]
            at = found.positions.tolist().index(place) if place in found.positions else None
            assert share.rank == (None if at is None else at + 1)
            assert share.score == (None if at is None else found.scores[at])
            assert (share.terms is None) == (share.retriever == "tiny" or at is None)
            if share.terms is not None:
                assert sum(match.product for match in share.terms.terms) == share.score
                assert {match.part for match in share.terms.terms} == {None}
    assert any("tidal" in hit.explain().literal_words() for hit in hits) == ("tidal" in TEXTS[2])
    assert any("paper" in hit.explain().literal_words() for hit in hits)


def test_an_explanation_as_text(index: lsr.Index) -> None:
    hit = index.search(TEXTS[2], 1, hybrid="minmax")[0]
    lines = str(hit.explain()).splitlines()
    assert lines[0] == f"{hit.id}: {hit.score:.3f} = the sum of"
    first, last = hit.explain().contributions
    assert lines[1] == (
        f"  bm25+splade-tiny  {first.value:8.4f}  rank {first.rank}, score {first.score:.3f} = "
        "the sum of"
    )
    assert lines[-1] == (
        f"  tiny              {last.value:8.4f}  rank {last.rank}, score {last.score:.3f}"
    )
    assert sum(line.startswith("        ") for line in lines) == len(first.terms.terms)  # type: ignore[union-attr]
    away = index.hybrid("rrf", depth=1).search(TEXTS[2], 2)[1].explain()
    assert sum("not in its list" in line for line in str(away).splitlines()) == 1


def test_parts_score_as_encoders_of_their_own(
    tmp_path: Path, index: lsr.Index, documents: list[dict[str, str]]
) -> None:
    for part in ("bm25", "splade-tiny"):
        own = lsr.Index.build(tmp_path / part, documents[::6], part, bits=16)
        a = index.hybrid("none", retrievers=part).search(TEXTS[2], 24)
        b = own.search(TEXTS[2], 24)
        assert set(a.ids) == set(b.ids)
        scores = dict(zip(b.ids, b.scores, strict=True))
        assert a.scores == pytest.approx([scores[id] for id in a.ids], rel=0.03)


def test_indexes_of_one_collection(
    tmp_path: Path, index: lsr.Index, documents: list[dict[str, str]]
) -> None:
    """Their documents have other numbers, and the same places."""
    words = lsr.Index.build(tmp_path / "words", documents[::6], "bm25", order="none")
    one = Hybrid([SparseRetriever(words), SparseRetriever(index), DenseRetriever(index)], "zscore")
    for text, hits in zip(TEXTS, one.search(TEXTS, 24), strict=True):
        lists = [
            Ranked(words.reader.positions_of((own := words.search(text, 24)).docids), own.scores),
            brute(index, text, "terms", 24),
            brute(index, text, "dense", 24),
        ]
        same(hits, plain(lists, "zscore", [1 / 3] * 3, "zero", 24), words)
        assert set(hits.ids) <= {d["id"] for d in documents[::6]}
    for others, message in (
        (documents[::6][::-1], "document 1 is '.*' in .* and '.*' in .*; their lists can be fused"),
        (documents[:9], r"has 9 documents and .* 24; their lists can be fused only"),
    ):
        shutil.rmtree(tmp_path / "words")
        words = lsr.Index.build(tmp_path / "words", others, "bm25")
        with pytest.raises(QueryError, match=message):
            Hybrid([SparseRetriever(words), DenseRetriever(index)])


@pytest.mark.parametrize("interpolate", INTERPOLATE)
@pytest.mark.parametrize("kind", ["average", "rocchio", "rm3"])
def test_feedback_by_hand(
    index: lsr.Index, kind: Any, interpolate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In so small a collection all words are frequent.
    monkeypatch.setattr("lsr.retrieval.feedback_documents.MOST_FREQUENT", 1.0)
    feedback = replace(Feedback.of(kind), documents=2)
    retrievers = [
        SparseRetriever(index, "bm25"),
        SparseRetriever(index, "splade-tiny"),
        DenseRetriever(index),
    ]
    hybrid = Hybrid(retrievers, "minmax", feedback=feedback, interpolate=interpolate)
    for text in TEXTS[:3]:
        queries = [retriever.encode([text]) for retriever in retrievers]
        first = [r.search(q, 1000)[0] for r, q in zip(retrievers, queries, strict=True)]  # type: ignore[attr-defined]
        joint = fuse(first, "minmax", k=2)
        lists = []
        for retriever, query, own in zip(retrievers, queries, first, strict=True):
            changes = (retriever.name == "bm25") == (kind == "rm3")
            if changes:
                believed = own if interpolate in ("none", "after") else joint
                refined = retriever.refine(
                    query, Ranked(believed.positions, believed.scores), feedback
                )  # type: ignore[attr-defined]
                assert not np.array_equal(
                    getattr(refined, "weights", refined), getattr(query, "weights", query)
                )
                lists.append(retriever.search(refined, 1000)[0])  # type: ignore[attr-defined]
            elif interpolate in ("after", "both"):
                lists.append(own)
            else:
                lists.append(Ranked(np.empty(0, np.int64), np.empty(0)))
        expected = fuse(lists, "minmax", k=10)
        hits = hybrid.search(text, 10)
        assert index.reader.positions_of(hits.docids).tolist() == expected.positions.tolist()
        assert hits.scores.tolist() == expected.scores.tolist()
        for hit in hits:
            for share in hit.explain().contributions:
                if share.terms is not None:  # of the refined query, else they would not add up
                    assert sum(m.product for m in share.terms.terms) == share.score


def test_feedback_of_one_list(index: lsr.Index) -> None:
    hits = index.hybrid("none", retrievers="terms", prf="rocchio").search(TEXTS[0], 5)
    query = index.encoder.encode_queries([TEXTS[0]])
    first = index.search(TEXTS[0], 5)
    from lsr.retrieval.feedback_documents import refine

    refined = refine(index, query, first.docids.tolist(), first.scores, Feedback.of("rocchio"))
    (expected,) = index.search_vectors(refined, 5)
    assert (hits.ids == expected.ids).all()
    assert (hits.scores == expected.scores).all()


def learned(index: lsr.Index, names: str = "terms,dense") -> LearnedFusion:
    hybrid = index.hybrid("none", retrievers=names)
    lists = [candidates.lists for candidates in hybrid.candidates(TEXTS[:3] * 8)]
    grades = [{int(found[-1].positions[0]): 2, int(found[0].positions[0]): 1} for found in lists]
    examples = zip(lists, grades, strict=True)
    return LearnedFusion.train(hybrid.names, examples, trees=5, leaves=4)


def test_a_learned_fusion(tmp_path: Path, index: lsr.Index) -> None:
    path = tmp_path / "copy"
    shutil.copytree(index.path, path)
    opened = lsr.open(path)
    with pytest.raises(FusionError, match=r"there is no learned fusion .*json; train one"):
        opened.search(TEXTS[0], hybrid="learned")
    trained = learned(index)
    trained.save(learned_file(opened))
    hits = opened.search(TEXTS[0], 24, hybrid="learned")
    (lists, _) = opened.hybrid("none").candidates([TEXTS[0]])[0]
    expected = trained.rank(lists, 24)
    assert opened.reader.positions_of(hits.docids).tolist() == expected.positions.tolist()
    assert hits.scores.tolist() == expected.scores.tolist()
    for rank in (0, 3, 23):
        why = hits[rank].explain()
        assert sum(share.value for share in why.contributions) == pytest.approx(why.score, abs=1e-9)
    with pytest.raises(
        FusionError, match=r"was learned for bm25\+splade-tiny, tiny, and these are"
    ):
        opened.hybrid("learned", retrievers="bm25,dense")
    with pytest.raises(QueryError, match="a learned fusion has its own weights"):
        opened.hybrid("learned", weights=0.5)
    learned_file(opened).write_bytes(
        learned_file(opened).read_bytes().replace(b"leaf_value", b"leaf_walue")
    )
    with pytest.raises(FusionError, match="is damaged"):
        opened.search(TEXTS[0], hybrid="learned")
    assert len(opened.search(TEXTS[0])) > 0


def test_one_weight_is_of_the_dense_vectors(index: lsr.Index) -> None:
    for retrievers in ("terms,dense", "dense,terms"):
        hybrid = index.hybrid("minmax", retrievers=retrievers, weights=0.25)
        assert dict(zip(hybrid.names, hybrid.weights or [], strict=True)) == {
            "bm25+splade-tiny": 0.75,
            "tiny": 0.25,
        }
    sparse = index.search(TEXTS[0], 5)
    assert (index.hybrid("minmax", weights=0).search(TEXTS[0], 5).ids == sparse.ids).all()
    dense = index.hybrid("none", retrievers="dense").search(TEXTS[0], 5)
    assert (index.hybrid("minmax", weights=1).search(TEXTS[0], 5).ids == dense.ids).all()
    named = index.hybrid("rrf", weights="bm25+splade-tiny=2,tiny=.5")
    assert named.weights == [2, 0.5]


def test_retrievers_with_commas_in_their_names(
    tmp_path: Path, documents: list[dict[str, str]], dense_model: Path
) -> None:
    path = tmp_path / "index"
    lsr.Index.build(path, documents[:20], "bm25:bm25l+bm25:bm25l,k1=1.2")
    add_dense(path, documents[:20], str(dense_model))
    names = "bm25:bm25l,k1=1.2,dense,bm25:bm25l"
    hybrid = lsr.open(path).hybrid("minmax", retrievers=names)
    assert hybrid.names == ["bm25:bm25l,k1=1.2", "tiny", "bm25:bm25l"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "best"}, "there is no fusion 'best'; use minmax, .*, learned"),
        (
            {"retrievers": "terms,bm26"},
            "'bm26' is not a retriever of this index; it has terms, dense",
        ),
        ({"retrievers": ""}, "the retrievers are none; give at least one, each once"),
        ({"retrievers": "dense,tiny"}, "the retrievers are tiny, tiny; give at least one, each"),
        (
            {"weights": 1.5},
            "the weight of the dense vectors must be a finite number from 0 to 1, not 1.5",
        ),
        ({"weights": -0.5}, "the weight of the dense vectors must be a finite number from 0 to 1"),
        (
            {"weights": float("nan")},
            "the weight of the dense vectors must be a finite number from 0 to 1",
        ),
        (
            {"weights": 0.5, "retrievers": "bm25,splade-tiny"},
            "a single weight needs two retrievers",
        ),
        (
            {"weights": 0.5, "retrievers": "bm25,splade-tiny,dense"},
            "give one weight for each of bm25, spl",
        ),
        ({"weights": "tiny=1"}, r"weights lack bm25\+splade-tiny; give one for each"),
        ({"weights": "tiny=1,bm25=1"}, "there is nothing called 'bm25' to weigh here"),
        ({"weights": {"tiny": 0, "bm25+splade-tiny": 0}}, "all weights are 0"),
        ({"missing": "none"}, "the rule for missing documents is zero or lowest, not 'none'"),
        ({"depth": 0}, "depth must be a whole number of at least 1, not 0"),
        ({"prf": "rm4"}, "there is no feedback 'rm4'"),
        ({"prf": "rm3", "retrievers": "splade-tiny,dense"}, "refines; use average or rocchio"),
        ({"prf": "rocchio", "retrievers": "bm25"}, "none of bm25 has queries .* refines; use rm3"),
    ],
)
def test_what_cannot_be_fused(index: lsr.Index, options: dict[str, Any], message: str) -> None:
    with pytest.raises((QueryError, EncoderError), match=message):
        index.hybrid(**options)


def test_hits_wanted(index: lsr.Index) -> None:
    hybrid = index.hybrid()
    for k in (0, -1):
        with pytest.raises(QueryError, match=f"k must be a whole number of at least 1, not {k}"):
            hybrid.search(TEXTS[0], k)
    assert len(hybrid.search("", 3)) == 3  # the dense side always finds
    assert hybrid.search([], 3) == []
    assert len(index.hybrid("none", retrievers="terms").search("zzz 🙂", 3)) == 0


def test_without_dense_vectors(
    tmp_path: Path, composite_index: lsr.Index, documents: list[dict[str, str]], dense_model: Path
) -> None:
    """One clear sentence each, and the terms are searched as ever."""
    path = tmp_path / "index"
    shutil.copytree(composite_index.path, path)
    before = lsr.open(path).search(TEXTS[0], 5).ids.tolist()

    def refused(error: type[Exception], message: str, search: Callable[[lsr.Index], Any]) -> None:
        opened = lsr.open(path)
        with pytest.raises(error, match=message):
            search(opened)
        assert opened.search(TEXTS[0], 5).ids.tolist() == before
        assert len(opened.hybrid("rrf", retrievers="bm25,splade-tiny").search(TEXTS[0], 5)) == 5

    def hybrid(opened: lsr.Index) -> Any:
        return opened.search(TEXTS[0], hybrid="rrf")

    refused(IndexFormatError, "has no dense side; make one with `lsr index CORPUS -o", hybrid)
    (path / "dense" / "partial").mkdir(parents=True)
    refused(IndexFormatError, "the dense side of .* is unfinished; run the", hybrid)
    shutil.rmtree(path / "dense")
    moved = tmp_path / "moved"
    shutil.copytree(dense_model, moved)
    add_dense(path, documents[::6], str(moved))
    assert len(hybrid(lsr.open(path))) == 10
    shutil.rmtree(moved)
    refused(EncoderError, "cannot be found where it was", hybrid)
    other = write_tiny_dense(tmp_path / "other", seed=1)
    refused(EncoderMismatch, "content hash", lambda i: i.use_dense_encoder(str(other)))
    vectors = only(path / "dense", "vectors.*.arrow")
    vectors.write_bytes(vectors.read_bytes()[:-64])
    with pytest.raises(DenseCorrupt, match=r"vectors\.\w+\.arrow"):
        hybrid(lsr.open(path))
    assert lsr.open(path).search(TEXTS[0], 5).ids.tolist() == before


def test_rescoring_leaves_out_what_feedback_left_out(index: lsr.Index) -> None:
    hybrid = index.hybrid(retrievers="bm25,dense", prf="rocchio", interpolate="before")
    again = index.hybrid(retrievers="bm25,dense", prf="rocchio", interpolate="before", rescore=True)
    assert again.search(TEXTS[2], 9).ids.tolist() == hybrid.search(TEXTS[2], 9).ids.tolist()
    assert {hit.explain().contributions[0].score for hit in again.search(TEXTS[2], 9)} == {None}


def test_a_part_is_refined_as_its_encoder_alone(
    tmp_path: Path, index: lsr.Index, documents: list[dict[str, str]]
) -> None:
    """What its weights were divided by in the index plays no role."""
    own = lsr.Index.build(tmp_path / "own", documents[::6], "splade-tiny", keep_floats=True)
    believed = Ranked(np.array([3, 7, 11]), np.array([3.0, 2.0, 1.0]))
    feedback = Feedback.of("rocchio")
    refined = []
    for retriever in (SparseRetriever(index, "splade-tiny"), SparseRetriever(own)):
        query = retriever.refine(retriever.encode([TEXTS[0]]), believed, feedback)
        words = [retriever.reader.word(int(t)).removeprefix("splade-tiny:") for t in query.terms]
        length = float(np.linalg.norm(query.weights))
        refined.append(dict(zip(words, (query.weights / length).tolist(), strict=True)))
    part, alone = refined
    assert len(part.keys() & alone.keys()) >= 28
    assert [part.get(word, 0.0) for word in alone] == pytest.approx([*alone.values()], abs=0.02)


def test_equal_scores_go_by_place(tmp_path: Path, dense_model: Path) -> None:
    """Also where a retriever scores what another found."""
    texts = ["copper bees", "winter wheat", "copper bees", "copper bees", "paper"]
    documents = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    lsr.Index.build(tmp_path / "index", documents, "bm25")
    add_dense(tmp_path / "index", documents, str(dense_model))
    opened = lsr.open(tmp_path / "index")
    for retriever in (SparseRetriever(opened), DenseRetriever(opened)):
        query = retriever.encode(["copper bees"])
        found = retriever.score(query, np.array([3, 0, 4, 2]))  # type: ignore[attr-defined]
        assert found.positions.tolist()[:3] == [0, 2, 3]
        assert len(set(found.scores.tolist()[:3])) == 1


def test_boosted_terms(index: lsr.Index) -> None:
    """Of the retriever whose term it is, and of no other."""
    plain = index.hybrid("none", retrievers="bm25,splade-tiny").search(TEXTS[0], 24)
    word = next(m.term for s in plain[0].explain().contributions[:1] for m in s.terms.terms)  # type: ignore[union-attr]
    muted = index.hybrid("none", retrievers="bm25,splade-tiny", boosts={f"bm25:{word}": 0})
    doubled = index.hybrid("none", retrievers="bm25,splade-tiny", boosts={f"bm25:{word}": 2})
    shares = {
        name: {hit.id: hit.explain().contributions for hit in hybrid.search(TEXTS[0], 24)}
        for name, hybrid in (("muted", muted), ("doubled", doubled))
    }
    for hit in plain:
        bm25, model = hit.explain().contributions
        found = {m.term: m.product / 2 for m in bm25.terms.terms} if bm25.terms else {}
        more, same_model = shares["doubled"][hit.id]
        assert more.value == pytest.approx(bm25.value + found.get(word, 0.0), rel=0.01)
        assert same_model.value == model.value
        if hit.id in shares["muted"]:
            less, same_model = shares["muted"][hit.id]
            assert less.value == pytest.approx(
                bm25.value - found.get(word, 0.0), rel=0.01, abs=1e-9
            )
            assert same_model.value == model.value

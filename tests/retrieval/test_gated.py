"""Slices and dense numbers as one vector: against brute force, by candidates, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lsr
from lsr.encoders import load_encoder
from lsr.encoders.dense.encoder import load_dense
from lsr.encoders.latent.dsr import densified
from lsr.errors import IndexFormatError, QueryError
from lsr.indexing.dense import add_dense
from lsr.retrieval.gated import GatedVectors
from support.tiny_dense import write_tiny_dense

QUESTIONS = ["glass bees in rain", "paper maps"]


@pytest.fixture(scope="module")
def some(documents: list[dict[str, str]]) -> list[dict[str, str]]:
    return documents[::6]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, some: list[dict[str, str]]) -> lsr.Index:
    folder = tmp_path_factory.mktemp("gated")
    model = write_tiny_dense(folder / "tiny")
    path = folder / "i"
    lsr.Index.build(path, some, "dsr:splade-tiny", keep_floats=True)
    add_dense(path, some, str(model))
    return lsr.Index.open(path)


def brute_force(
    index: lsr.Index, some: list[dict[str, str]], dimensions: int, weight: float
) -> np.ndarray:
    """(questions, documents), document by document and slice by slice."""
    texts = [f"{d['title']} {d['text']}" if d["title"] else d["text"] for d in some]
    encoder = load_encoder("dsr:splade-tiny")
    assert index.dense is not None
    dense = load_dense(str(index.dense.encoder["source"]))
    queries, documents = (
        densified(vectors, 30522)
        for vectors in (encoder.encode_queries(QUESTIONS), encoder.encode_documents(texts))
    )
    short = [
        v[:, :dimensions] for v in (dense.encode_queries(QUESTIONS), dense.encode_documents(texts))
    ]
    cosines = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in short]
    found = np.zeros((len(QUESTIONS), len(texts)))
    for q in range(len(QUESTIONS)):
        for d in range(len(texts)):
            same = queries.indices[q] == documents.indices[d]
            found[q, d] = (queries.values[q] * documents.values[d] * same).sum(dtype=np.float64)
            if dimensions:
                found[q, d] += weight * float(cosines[0][q] @ cosines[1][d])
    return found


@pytest.mark.parametrize(("dimensions", "weight"), [(0, 1.0), (3, 1.0), (3, 7.5), (8, 0.0)])
def test_all_documents_are_scored(
    index: lsr.Index, some: list[dict[str, str]], dimensions: int, weight: float
) -> None:
    vectors = GatedVectors(index, dimensions)
    assert vectors.ids == [document["id"] for document in some]
    expected = brute_force(index, some, dimensions, weight)
    for row, found in enumerate(vectors.search(QUESTIONS, 24, weight=weight)):
        assert sorted(found.positions.tolist()) == list(range(24))
        assert found.scores == pytest.approx(expected[row][found.positions], rel=1e-5, abs=1e-6)
        order = sorted(range(24), key=lambda place: (-found.scores[place], found.positions[place]))
        assert order == list(range(24))
        ten = vectors.search(QUESTIONS, 10, weight=weight)[row]
        assert ten.positions.tolist() == found.positions[:10].tolist()


def test_by_candidates_of_the_inverted_index(index: lsr.Index) -> None:
    """The same scores, of the documents that the index finds by their slices."""
    vectors = GatedVectors(index, 3)
    whole = vectors.search(QUESTIONS, 24, weight=5)
    for row, found in enumerate(vectors.search(QUESTIONS, 4, weight=5, candidates=6)):
        first = index.search(QUESTIONS[row], 6)
        candidates = {vectors.ids.index(id) for id in first.ids.tolist()}
        expected = [place for place in whole[row].positions.tolist() if place in candidates][:4]
        assert found.positions.tolist() == expected
        scores = dict(zip(whole[row].positions.tolist(), whole[row].scores.tolist(), strict=True))
        assert found.scores.tolist() == [scores[place] for place in expected]


def test_no_fewer_candidates_than_hits(index: lsr.Index) -> None:
    vectors = GatedVectors(index, 0)
    (found,) = vectors.search(QUESTIONS[:1], 5, candidates=1)
    (whole,) = vectors.search(QUESTIONS[:1], 5)
    assert found.positions.tolist() == whole.positions.tolist()


def test_a_question_without_terms(index: lsr.Index) -> None:
    vectors = GatedVectors(index, 0)
    (found,) = vectors.search([""], 3)
    assert found.scores.size == 3
    assert GatedVectors(index, 0).search([], 3) == []


def test_indexes_that_have_no_such_vectors(
    tmp_path: Path, bm25_index: lsr.Index, some: list[dict[str, str]], index: lsr.Index
) -> None:
    with pytest.raises(QueryError, match="has no slices; build it with --encoder dsr:"):
        GatedVectors(bm25_index)
    with pytest.raises(QueryError, match="dimensions must be a whole number of at least 0, not -1"):
        GatedVectors(index, -1)
    bare = lsr.Index.build(tmp_path / "bare", some[:3], "dsr:splade-tiny")
    with pytest.raises(IndexFormatError, match="has no dense side"):
        GatedVectors(bare)
    assert GatedVectors(bare, 0).ids == [document["id"] for document in some[:3]]
    assert json.loads((tmp_path / "bare" / "manifest.json").read_text())["encoder"]["kind"] == "dsr"

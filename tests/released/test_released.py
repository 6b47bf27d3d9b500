"""Folders and files of released formats open for ever, and give what they gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lsr.data.corpus import document_of
from lsr.data.vectors.folder import VectorFolder
from lsr.encoders import load_encoder
from lsr.fusion.learned import LearnedFusion
from lsr.index.dense.side import DenseSide, problems
from support.released_values import DOCUMENTS, dense_vectors, lists

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())


@pytest.mark.parametrize("name", ["vectors-1", "vectors-2"])
def test_folders_of_vectors(name: str) -> None:
    folder = VectorFolder.open(HERE / name)
    documents, vectors = [], []
    for chunk in folder.chunks():
        documents += chunk.documents()
        for row, vector in enumerate(chunk.vectors):
            vectors.append([chunk.ids[row], vector.terms.tolist(), vector.weights.tolist()])
    assert vectors == EXPECTED["vectors"]
    assert documents == [document_of(record) for record in DOCUMENTS]
    assert folder.words is not None
    assert folder.words.in_order()
    assert folder.term_columns.keys() == {"document_frequency"}


@pytest.mark.parametrize("name", ["dense-1", "dense-2-flat", "dense-2-sq8"])
def test_dense_sides(name: str) -> None:
    assert problems(HERE / name) == []
    rows, queries = dense_vectors(24, 0), dense_vectors(3, 1)
    hits = DenseSide.open(HERE / name).search(queries, 24)
    for query, (positions, scores) in zip(queries, hits, strict=True):
        products = rows @ query
        best = sorted(range(24), key=lambda position: (-products[position], position))
        assert positions.tolist() == best
        assert scores.tolist() == products[best].tolist()


def test_autoencoders() -> None:
    encoder = load_encoder(str(HERE / "autoencoder"))
    expected = EXPECTED["autoencoder"]
    assert [encoder.vocabulary[t] for t in range(len(encoder.vocabulary))] == expected["names"]
    vectors = encoder.encode_documents([document["text"] for document in DOCUMENTS[:8]])
    for vector, (terms, weights) in zip(vectors, expected["vectors"], strict=True):
        assert vector.terms.tolist() == terms
        # Sums of floats, in the order of this machine.
        assert np.allclose(vector.weights, weights, rtol=1e-5)


def test_learned_fusions() -> None:
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    fusion = LearnedFusion.load(HERE / "fusion.json")
    documents, scores = fusion.rank(lists(99)[0], 10)
    assert [documents.tolist(), scores.tolist()] == EXPECTED["fusion"]

"""Indexes of 1 bit: binary vectors, whose weights are not stored."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.data.corpus import Chunk
from lsr.data.vectors.folder import write_vectors
from lsr.errors import LsrError
from support.editions import segment

DOCUMENTS = 300
WORDS = [f"w{n}" for n in range(50)]


def binary(weight: float = 1.0) -> lsr.SparseVectors:
    rng = np.random.default_rng(8)
    rows = [np.sort(rng.choice(50, 7, replace=False)) for _ in range(DOCUMENTS - 1)]
    return lsr.SparseVectors.from_rows([*((row, np.full(7, weight)) for row in rows), ([], [])])


def folder_of(place: Path, vectors: lsr.SparseVectors) -> Path:
    ids = [f"d{n}" for n in range(DOCUMENTS)]
    texts = [f"text {n}" for n in range(DOCUMENTS)]
    write_vectors(place, [Chunk(ids, [""] * DOCUMENTS, texts, vectors)], words=WORDS)
    return place


@pytest.mark.parametrize("weight", [1.0, 0.3])
@pytest.mark.parametrize("order", ["bisection", "none"])
def test_scores_are_counts(
    run: Callable[..., Any],
    tmp_path: Path,
    segment_limits: Callable[..., None],
    order: str,
    weight: float,
) -> None:
    segment_limits(partition=90)
    vectors = binary(weight)
    folder = folder_of(tmp_path / "vectors", vectors)
    made = run("index", folder, "-o", tmp_path / "index", "--bits", 1, "--order", order)
    assert (made.code, made.out) == (0, "") or made.out.startswith(str(tmp_path / "index"))
    index = lsr.open(tmp_path / "index")
    assert len(index.info()["segments"][0]["partitions"]) == 4
    stored = np.float64(np.float32(weight))
    for row in (0, 17, DOCUMENTS - 2, DOCUMENTS - 1):
        own = set(vectors[row].terms.tolist())
        shared = [len(own & set(other.terms.tolist())) for other in vectors]
        best = sorted(range(DOCUMENTS), key=lambda d, shared=shared: (-shared[d], d))
        best = [d for d in best if shared[d]][:25]
        (hits,) = index.search_vectors(vectors[row : row + 1], 25)
        assert hits.ids.tolist() == [f"d{d}" for d in best]
        if weight == 1:
            assert hits.scores.tolist() == [shared[d] for d in best]
        assert hits.scores == pytest.approx([shared[d] * stored * stored for d in best], rel=1e-4)
        for hit in hits:
            products = [match.product for match in hit.explain().terms]
            assert (sum(products), len(products)) == (hit.score, shared[int(hit.id[1:])])
            assert index.get(hit.id).vector == vectors[int(hit.id[1:])]
    assert run("verify", tmp_path / "index").code == 0


def test_queries_may_have_weights(tmp_path: Path) -> None:
    index = lsr.Index.from_vectors(
        tmp_path / "index", [f"d{n}" for n in range(DOCUMENTS)], binary(), bits=1
    )
    query = lsr.SparseVectors.from_rows([([3, 4, 49, 70], [0.5, 2.0, 0.25, 9.0])])
    (hits,) = index.search_vectors(query, 40)
    weights = {3: 0.5, 4: 2.0, 49: 0.25}
    scores = [sum(weights.get(t, 0) for t in row.terms.tolist()) for row in binary()]
    assert hits.scores.tolist() == sorted(scores, reverse=True)[:40]


def test_documents_are_brought_together_by_all_their_terms(tmp_path: Path) -> None:
    """Of equal weights none are the strongest; here the first 40 terms say nothing."""
    rng = np.random.default_rng(2)
    rows = []
    for document in range(2000):
        noise = np.sort(rng.choice(4000, 40, replace=False))
        rows.append((np.append(noise, 4000 + 40 * (document % 50) + np.arange(40)), np.ones(80)))
    vectors, sizes = lsr.SparseVectors.from_rows(rows), {}
    for order in ("bisection", "none"):
        lsr.Index.from_vectors(
            tmp_path / order, [str(d) for d in range(2000)], vectors, bits=1, order=order
        )
        sizes[order] = (segment(tmp_path / order) / "lists.arrow").stat().st_size
    assert sizes["bisection"] < 0.85 * sizes["none"]


def test_weights_that_differ_are_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    vectors = binary(0.5)
    weights = vectors.weights.copy()
    weights[1234] = 0.25
    weights[5] = 0  # no posting, so no matter
    mixed = lsr.SparseVectors(vectors.indptr, vectors.terms, weights)
    folder = folder_of(tmp_path / "vectors", mixed)
    refused = run("index", folder, "-o", tmp_path / "index", "--bits", 1)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.splitlines()[-1] == (
        "Error: weights of 1 bit must all be equal, and there are 0.25 and 0.5; give 8 or 16 bits"
    )
    assert not (tmp_path / "index").exists()
    usage = run("index", folder, "-o", tmp_path / "index", "--bits", 1, "--keep-floats")
    assert usage.code == 2
    assert "--bits 1 stores equal weights exactly" in usage.err
    weights[1234] = 0.5
    run("index", folder_of(tmp_path / "equal", mixed), "-o", tmp_path / "index", "--bits", 1)
    assert lsr.open(tmp_path / "index").manifest.postings == vectors.terms.size - 1
    with pytest.raises(LsrError, match="leave out keep_floats"):
        lsr.Index.from_vectors(
            tmp_path / "i", ["a"], lsr.SparseVectors([0, 0], [], []), bits=1, keep_floats=True
        )


def test_an_index_of_nothing(tmp_path: Path, run: Callable[..., Any]) -> None:
    for count in (0, 1):
        place = tmp_path / f"index-{count}"
        vectors = lsr.SparseVectors.from_rows([([], [])] * count)
        index = lsr.Index.from_vectors(place, ["a"] * count, vectors, bits=1)
        for method in ("auto", "reference"):
            (hits,) = index.search_vectors(binary()[:1], 5, method=method)
            assert len(hits) == 0
        assert run("verify", place).code == 0


@pytest.mark.parametrize("form", ["seismic", "ciff", "pyterrier"])
def test_exported_and_imported(run: Callable[..., Any], tmp_path: Path, form: str) -> None:
    folder = folder_of(tmp_path / "vectors", binary())
    run("index", folder, "-o", tmp_path / "index", "--bits", 1)
    out = tmp_path / f"out.{form}"
    assert run("export", tmp_path / "index", "-o", out, "--format", form).code == 0
    back = run("import", out, "-o", tmp_path / "back", "--format", form)
    assert back.code == 0, back.err
    again = run("index", tmp_path / "back", "-o", tmp_path / "again", "--bits", 1)
    assert again.code == 0, again.err
    first, second = (lsr.open(tmp_path / name) for name in ("index", "again"))
    assert second.manifest.bits == 1
    for row in range(0, DOCUMENTS, 7):
        vectors = [index.get(f"d{row}").vector for index in (first, second)]
        assert vectors[1].weights.tolist() == [1.0] * vectors[0].terms.size
        names = [
            {index.reader.word(term) for term in vector.terms.tolist()}
            for index, vector in zip((first, second), vectors, strict=True)
        ]
        assert names[0] == names[1]


@pytest.mark.parametrize("name", ["lists", "list_terms"])
def test_a_flipped_byte_anywhere(run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "vectors", binary())
    path = tmp_path / "index"
    run("index", folder, "-o", path, "--bits", 1)
    file = segment(path) / f"{name}.arrow"
    good = file.read_bytes()
    chance = random.Random(name)
    for _ in range(60):
        damaged = bytearray(good)
        damaged[chance.randrange(len(good))] ^= chance.choice([1, 2, 4, 64, 128, 255])
        file.unlink()  # bytes under a mapping that is still open must not change
        file.write_bytes(damaged)
        assert run("verify", path).code == 1
        for command in (
            ["info", path],
            ["export", path, "-o", tmp_path / "out", "--format", "seismic"],
        ):
            answer = run(*command)
            assert answer.code in (0, 1)
        for method in ("auto", "reference"):
            with suppress(LsrError):
                index = lsr.open(path)
                for hit in index.search_vectors(binary()[:1], 5, method=method)[0]:
                    hit.explain()
                index.get("d7").vector.terms.sum()

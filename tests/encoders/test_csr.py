"""CSR: latents against the formula on plain tensors and sentence-transformers; as an encoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import lsr
from lsr.encoders import load_encoder
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.encoders.latent.autoencoder import Autoencoder
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors
from support.tiny_csr import ACTIVE, LATENTS, MODULE, change, write_tiny_csr
from support.tiny_dense import WIDTH, write_tiny_dense

from .conftest import IN_TORCH, by_kernels

TEXTS = ["glass bees repair maps", "a", "harbour pilots, in rain?", "wheat " * 50, "tidal mills"]
DOCUMENTS = [{"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_csr(tmp_path / "csr")


def dense(vectors: SparseVectors, columns: int = LATENTS) -> np.ndarray:
    found = np.zeros((len(vectors), columns))
    found[np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr)), vectors.terms] = (
        vectors.weights
    )
    return found


def formula(
    folder: Path, embeddings: np.ndarray, unit: bool, norm: bool = False, k: int = ACTIVE
) -> np.ndarray:
    """z = relu(TopK(W (x - b_pre) + b_lat)), on plain tensors, one text at a time."""
    own = {
        name: torch.from_numpy(value)
        for name, value in load_file(folder / MODULE / "model.safetensors").items()
    }
    rows = []
    for x in torch.from_numpy(embeddings):
        if norm:
            x = x - x.mean()
            x = x / (x.std() + 1e-5)
        a = own["decoder.linear.weight"] @ (x - own["pre_bias"]) + own["latent_bias"]
        z = torch.zeros(LATENTS)
        for place in sorted(range(LATENTS), key=lambda i: -float(a[i]))[:k]:
            z[place] = max(float(a[place]), 0.0)
        rows.append(z / z.norm() if unit else z)
    return torch.stack(rows).numpy()


def embeddings(tmp_path: Path) -> np.ndarray:
    """By the same dense model as a folder of its own."""
    plain = write_tiny_dense(tmp_path / "plain", similarity_fn_name="cosine")
    return load_dense(str(plain)).encode_documents(TEXTS)


@pytest.mark.parametrize("similarity", ["cosine", "dot", None])
@pytest.mark.parametrize("norm", [False, True])
def test_latents_are_the_formulas(tmp_path: Path, similarity: str | None, norm: bool) -> None:
    folder = write_tiny_csr(tmp_path / "csr", similarity=similarity)
    change(folder / MODULE / "config.json", normalize=norm)
    encoder = load_encoder(str(folder))
    expected = formula(folder, embeddings(tmp_path), similarity == "cosine", norm)
    assert (expected > 0).sum() > 10
    for found in (encoder.encode_documents(TEXTS), encoder.encode_queries(TEXTS)):
        assert np.abs(dense(found) - expected).max() < 1e-4
        assert np.array_equal(dense(found) > 0, expected > 0)


def test_a_text_has_its_vector_whatever_is_beside_it(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    together = encoder.encode_documents(TEXTS)
    for row, text in enumerate(TEXTS):
        assert encoder.encode_documents([text]) == together[row]


def test_as_sentence_transformers_computes_it(folder: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    model = library.SparseEncoder(str(folder), device="cpu", local_files_only=True)
    theirs = model.encode(TEXTS, convert_to_sparse_tensor=False, show_progress_bar=False).numpy()
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = dense(load_encoder(str(folder)).encode_documents(TEXTS))
    assert np.abs(ours - theirs).max() < 1e-4


def test_by_sentence_transformers_where_the_kernels_cannot(folder: Path) -> None:
    pytest.importorskip("sentence_transformers")
    expected = dense(load_encoder(str(folder)).encode_documents(TEXTS))
    encoder = load_encoder(str(folder), **IN_TORCH)
    assert not by_kernels(encoder)
    found = dense(encoder.encode_documents(TEXTS))
    assert np.abs(found - expected).max() < 1e-4


def test_top_k_breaks_ties_by_latent_and_keeps_nothing_that_is_not_positive() -> None:
    weight = np.array([[1], [2], [2], [-1], [2]], np.float32)
    made = Autoencoder(weight, np.zeros(1, np.float32), np.zeros(5, np.float32), 2)
    ((terms, weights),) = made.rows(np.array([[1]], np.float32), unit=False)
    assert (terms.tolist(), weights.tolist()) == ([1, 2], [2, 2])
    ((terms, weights),) = made.rows(np.array([[-3]], np.float32), unit=True)
    assert (terms.tolist(), weights.tolist()) == ([3], [1])
    cycle = (np.arange(300) % 7).astype(np.float32)  # many enough for a sort that mixes equal ones
    many = Autoencoder(cycle[:, None], np.zeros(1, np.float32), 0 * cycle, 4)
    ((terms, weights),) = many.rows(np.array([[1]], np.float32), unit=False)
    assert terms.tolist() == [6, 13, 20, 27]
    ((terms, weights),) = made.rows(np.array([[0]], np.float32), unit=True)
    assert terms.size == weights.size == 0


def test_cosine_is_about_latents_and_not_about_dense_vectors(tmp_path: Path) -> None:
    """Without Normalize, the autoencoder takes vectors of any length."""
    folder = write_tiny_csr(tmp_path / "csr", similarity="cosine")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules[:2], modules[3]]))
    plain = write_tiny_dense(tmp_path / "plain", similarity_fn_name="dot")
    vectors = load_dense(str(plain)).encode_documents(TEXTS)
    assert np.linalg.norm(vectors, axis=1).min() > 1.1
    found = load_encoder(str(folder)).encode_documents(TEXTS)
    assert np.abs(dense(found) - formula(folder, vectors, True)).max() < 1e-4


def test_fewer_terms_on_request(folder: Path) -> None:
    encoder = load_encoder(str(folder), document_terms=2, query_terms=1)
    whole = load_encoder(str(folder))
    assert encoder.encode_documents(TEXTS) == whole.encode_documents(TEXTS).strongest(2)
    assert encoder.encode_queries(TEXTS) == whole.encode_queries(TEXTS).strongest(1)


def test_length_is_the_folders_or_less(folder: Path) -> None:
    assert load_encoder(str(folder)).identity["dense"]["max_length"] == 32
    short = load_encoder(str(folder), max_length=4)
    assert short.identity["dense"]["max_length"] == 4
    assert short.encode_documents(["a b c d e"]) == short.encode_documents(["a b x y z"])


def test_prompts_are_put_before_texts(folder: Path) -> None:
    plain = load_encoder(str(folder))
    prompts = {"query": "a b: ", "document": "c: "}
    change(folder / "config_sentence_transformers.json", prompts=prompts)
    encoder = load_encoder(str(folder))
    assert encoder.encode_queries(["x"]) == plain.encode_queries(["a b: x"])
    assert encoder.encode_documents(["x"]) == plain.encode_documents(["c: x"])


# As the encoder of an index.


def test_indexed_searched_explained_and_restored(folder: Path, tmp_path: Path) -> None:
    names = [f"name {n}" for n in range(LATENTS)]
    (folder / "latents.json").write_text(json.dumps(names))
    lsr.Index.build(tmp_path / "i", DOCUMENTS, str(folder), keep_floats=True)
    index = lsr.Index.open(tmp_path / "i")
    hits = index.search("glass bees", exact_floats=True)
    encoder = load_encoder(str(folder))
    documents = dense(encoder.encode_documents(TEXTS)).astype(np.float64)
    query = dense(encoder.encode_queries(["glass bees"]))[0].astype(np.float64)
    best = np.argsort(-documents @ query)
    assert [hit.id for hit in hits] == [f"d{place}" for place in best if documents[place] @ query]
    assert hits.scores == pytest.approx(np.sort(documents @ query)[::-1][: len(hits)], abs=1e-6)
    why = index.search("glass bees").explain(0)
    assert {match.term for match in why.terms} <= set(names)
    assert {match.kind for match in why.terms} == {"expansion"}
    assert sum(match.product for match in why.terms) == why.score
    assert index.encoder.identity == encoder.identity
    assert index.encoder.gathers_statistics is False


def test_a_hub_id_or_folder_may_be_called_csr(folder: Path) -> None:
    named = load_encoder(f"csr:{folder}")
    assert named.identity == load_encoder(str(folder)).identity
    assert named.encode_queries(TEXTS) == load_encoder(str(folder)).encode_queries(TEXTS)


def test_moved_changed_and_missing(folder: Path, tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", DOCUMENTS, str(folder))
    expected = index.search("glass bees").scores.tolist()
    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(EncoderError, match="cannot be found where it was"):
        _ = lsr.open(tmp_path / "i").encoder
    again = lsr.open(tmp_path / "i")
    again.use_encoder(str(moved))
    assert again.search("glass bees").scores.tolist() == expected
    assert again.encoder.name == "csr"
    with pytest.raises(EncoderMismatch, match="is of the kind 'learned'"):
        again.use_encoder("splade-tiny")
    # Names are the index's, whatever the folder calls its latents now.
    (moved / "latents.json").write_text(json.dumps([f"x{n}" for n in range(LATENTS)]))
    again.use_encoder(str(moved))
    assert again.encoder.vocabulary[3] == "latent-3"
    weights = moved / "model.safetensors"
    dense_model = weights.read_bytes()
    weights.write_bytes(dense_model[:-1] + bytes([dense_model[-1] ^ 1]))
    with pytest.raises(EncoderMismatch, match="content hash"):
        again.use_encoder(str(moved))
    weights.write_bytes(dense_model)
    again.use_encoder(str(moved))
    change(moved / MODULE / "config.json", k=2)
    with pytest.raises(EncoderMismatch, match="content hash"):
        again.use_encoder(str(moved))


def test_what_is_beside_the_hashed_files_counts_too(folder: Path, tmp_path: Path) -> None:
    index = lsr.Index.build(tmp_path / "i", DOCUMENTS, str(folder))
    about = folder / "config_sentence_transformers.json"
    for settings, key in (({"similarity_fn_name": "dot"}, "unit"), ({"prompts": {}}, None)):
        before = about.read_text()
        change(about, **settings)
        if key is None:
            index.use_encoder(str(folder))  # says the same as before
        else:
            with pytest.raises(EncoderMismatch, match=f"\\({key} True\\)"):
                index.use_encoder(str(folder))
        about.write_text(before)
    change(about, prompts={"query": "q: "})
    with pytest.raises(EncoderMismatch, match=r"\(dense "):
        index.use_encoder(str(folder))


@pytest.mark.filterwarnings("ignore:bm25 finds no terms:lsr.errors.TextWarning")
def test_a_part_of_several(folder: Path, tmp_path: Path) -> None:
    lsr.Index.build(tmp_path / "i", DOCUMENTS, f"bm25+{folder}")
    index = lsr.open(tmp_path / "i")
    why = index.search("glass bees").explain(0)
    assert set(why.parts) == {"bm25", "csr"}
    assert why.id == "d0"
    other = shutil.copytree(folder, tmp_path / "other")
    index.use_encoder(f"bm25+{other}", weights={"bm25": 0, "csr": 1})
    assert set(index.search("glass bees").explain(0).parts) == {"csr"}


# What is wrong with a folder.


def damaged(folder: Path, what: str) -> None:
    file = folder / MODULE / "model.safetensors"
    tensors = load_file(file)
    if what == "lacks":
        del tensors["pre_bias"]
    elif what == "shape":
        tensors["latent_bias"] = np.zeros(LATENTS + 1, np.float32)
    elif what == "nan":
        tensors["pre_bias"][0] = np.nan
    elif what == "more":
        tensors["other"] = np.zeros(3, np.float32)
    elif what == "bytes":
        file.write_bytes(file.read_bytes()[:50])
        return
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("lacks", "lacks pre_bias"),
        ("shape", "has other shapes for latent_bias"),
        ("nan", "not finite in pre_bias"),
        ("more", "has left over other"),
        ("bytes", "cannot be loaded"),
    ],
)
def test_damaged_weights(folder: Path, what: str, message: str) -> None:
    damaged(folder, what)
    with pytest.raises(EncoderError, match=message):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "whole numbers above 0"),
        ({"k": True}, "whole numbers above 0"),
        ({"hidden_dim": "9"}, "whole numbers above 0"),
        ({"input_dim": 9}, "for vectors of 9 dimensions"),
        ({"hidden_dim": 10**15}, "has other shapes for"),
    ],
)
def test_settings_that_cannot_be(folder: Path, settings: dict[str, Any], message: str) -> None:
    change(folder / MODULE / "config.json", **settings)
    with pytest.raises(EncoderError, match=message):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    "names", [["a"], ["a"] * LATENTS, [1] * LATENTS, [*map(str, range(LATENTS - 1)), ""], {}]
)
def test_names_that_cannot_be(folder: Path, names: Any) -> None:
    (folder / "latents.json").write_text(json.dumps(names))
    with pytest.raises(EncoderError, match=r"latents\.json"):
        load_encoder(str(folder))


def test_a_dense_folder_is_no_sparse_one(tmp_path: Path) -> None:
    plain = write_tiny_dense(tmp_path / "plain")
    with pytest.raises(EncoderError, match="its last module is not SparseAutoEncoder"):
        load_encoder(f"csr:{plain}")
    with pytest.raises(EncoderError, match="not supported"):
        load_dense(str(write_tiny_csr(tmp_path / "csr")))


def test_more_active_than_latents(folder: Path, tmp_path: Path) -> None:
    change(folder / MODULE / "config.json", k=LATENTS + 50)
    encoder = load_encoder(str(folder))
    expected = formula(folder, embeddings(tmp_path), True, k=LATENTS)
    assert np.abs(dense(encoder.encode_documents(TEXTS)) - expected).max() < 1e-4
    assert encoder.identity["active"] == LATENTS


def test_the_width_of_the_model(folder: Path) -> None:
    encoder: Any = load_encoder(str(folder))
    assert encoder.autoencoder.weight.shape == (LATENTS, WIDTH)
    assert isinstance(encoder.dense, DenseEncoder)

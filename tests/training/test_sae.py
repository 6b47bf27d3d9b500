"""`lsr fit-sae`: a folder that encodes, named; stopped and resumed; replaced and refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.encoders import load_encoder
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.encoders.dense.layout import ABOUT
from lsr.errors import CorpusError, EncoderError, IndexExists, LsrError
from lsr.training.sae import Fitted, fit_sae
from support.editions import only
from support.system import before_call, killed, stopped_at
from support.tiny_csr import write_tiny_csr
from support.tiny_dense import write_tiny_dense

SHARD = 10


@pytest.fixture(autouse=True)
def small(short_fits: None, shards_of: Callable[[int], None]) -> None:
    shards_of(SHARD)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_dense(tmp_path_factory.mktemp("model") / "tiny", prompts={"query": "q: "})
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.fixture
def encoded(watch: Callable[..., list[str]]) -> list[str]:
    """The texts that a dense encoder encodes, as they come."""
    return watch(DenseEncoder, "encode_documents")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_end_to_end(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path
) -> None:
    out = tmp_path / "latents"
    options = ("--width", "3x", "--active", 4, "--seed", 7)
    answer = run("fit-sae", corpus, "-o", out, "--dense", model, *options)
    assert answer.code == 0
    assert answer.out.startswith(f"{out}: 24 latents, fitted to 144 documents; ")
    for step in ("Checking: 144", "Encoding: 144", "Fitting: 60 steps", "Naming: 144"):
        assert step in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "latents"]
    names = json.loads(only(out, "*_SparseAutoEncoder-*/latents.json").read_text())
    assert len(names) == len(set(names)) == 24
    assert any("pilots" in name or "bees" in name for name in names)
    assert run("index", corpus, "-o", tmp_path / "i", "--encoder", out).code == 0
    found = run("search", tmp_path / "i", "glass bees", "--explain", "--json").json["hits"]
    assert len(found) == 10
    assert {term["term"] for hit in found for term in hit["terms"]} <= set(names)
    encoder = load_encoder(str(out))
    assert encoder.identity["active"] == 4
    assert encoder.identity["dense"]["query_prompt"] == "q: "
    assert np.diff(encoder.encode_documents(["glass bees"]).indptr).max() <= 4


def test_what_is_written_encodes_the_vectors_that_were_fitted_to(
    tmp_path: Path, documents: list[dict[str, str]], model: Path
) -> None:
    """The folder's dense part makes the very vectors of the encoder it was fitted for."""
    fit_sae(tmp_path / "s", documents, str(model), active=4)
    encoder: Any = load_encoder(str(tmp_path / "s"))
    texts = [document["text"] for document in documents[:20]]
    expected = load_dense(str(model)).encode_documents(texts)  # of unit length by cosine
    assert np.allclose(np.linalg.norm(expected, axis=1), 1)
    assert np.array_equal(encoder.dense.encode_documents(texts), expected)
    queries = load_dense(str(model)).encode_queries(texts)
    assert np.array_equal(encoder.dense.encode_queries(texts), queries)
    lengths = [float((v.weights**2).sum()) for v in encoder.encode_documents(texts)]
    assert lengths == pytest.approx([1.0] * 20)


def test_a_built_in_dense_model_is_named_and_not_copied(
    tmp_path: Path, documents: list[dict[str, str]]
) -> None:
    fit_sae(tmp_path / "s", documents, load_dense("minilm", max_length=32), active=4)
    (module,) = [path for path in (tmp_path / "s").iterdir() if path.is_dir()]
    declared = json.loads((module / "lsr.json").read_text())
    assert declared == {"dense": "minilm", "max_length": 32}
    assert len(list((tmp_path / "s").rglob("*.safetensors"))) == 1
    (tmp_path / "s").rename(tmp_path / "moved")
    encoder: Any = load_encoder(str(tmp_path / "moved"))
    texts = ["glass bees repair maps", "wheat " * 100]
    dense = load_dense("minilm", max_length=32)
    assert np.array_equal(encoder.dense.encode_documents(texts), dense.encode_documents(texts))
    assert np.diff(encoder.encode_documents(texts).indptr).tolist() == [4, 4]
    again = load_encoder(str(tmp_path / "moved"), max_length=16)
    assert again.identity["dense"]["max_length"] == 16
    assert again.identity["content_hash"] == encoder.identity["content_hash"]


@pytest.mark.parametrize(
    "declared",
    [
        {"dense": "splade-tiny", "max_length": 32},
        {"dense": "../minilm", "max_length": 32},
        {"dense": ["minilm"], "max_length": 32},
        {"max_length": 32},
        {"dense": "minilm"},
        {"dense": "minilm", "max_length": 0},
        {"dense": "minilm", "max_length": True},
    ],
)
def test_what_names_no_built_in_dense_model(
    tmp_path: Path, documents: list[dict[str, str]], declared: dict[str, Any]
) -> None:
    fit_sae(tmp_path / "s", documents[:8], "minilm", active=4)
    only(tmp_path / "s", "*_SparseAutoEncoder-*/lsr.json").write_text(json.dumps(declared))
    with pytest.raises(EncoderError, match=r"lsr\.json must give a built-in dense encoder"):
        load_encoder(str(tmp_path / "s"))


def test_sentence_transformers_reads_it(
    tmp_path: Path, documents: list[dict[str, str]], model: Path
) -> None:
    library = pytest.importorskip("sentence_transformers")
    fit_sae(tmp_path / "s", documents, str(model), active=4)
    texts = [document["text"] for document in documents[:20]]
    theirs = library.SparseEncoder(str(tmp_path / "s"), device="cpu", local_files_only=True)
    found = theirs.encode_query(texts, convert_to_sparse_tensor=False, show_progress_bar=False)
    expected = np.zeros((20, 32))
    ours = load_encoder(str(tmp_path / "s")).encode_queries(texts)
    expected[np.repeat(np.arange(20), np.diff(ours.indptr)), ours.terms] = ours.weights
    latents = found.numpy() / np.linalg.norm(found.numpy(), axis=1, keepdims=True)
    assert np.abs(latents - expected).max() < 1e-4


def test_the_same_command_gives_the_same_bytes(
    tmp_path: Path, documents: list[dict[str, str]], model: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = fit_sae(tmp_path / name, documents, str(model), active=4, seed=seed)
        assert made == Fitted(144, 32, made.unused)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_unused_latents_are_counted_as_named(
    tmp_path: Path, documents: list[dict[str, str]], model: Path
) -> None:
    made = fit_sae(tmp_path / "s", documents, str(model), active=1)
    encoder = load_encoder(str(tmp_path / "s"))
    texts = [f"{d['title']} {d['text']}" if d["title"] else d["text"] for d in documents]
    assert made.unused == 32 - np.unique(encoder.encode_documents(texts).terms).size > 0


@pytest.mark.parametrize(("sample", "taken"), [(144, 144), (143, 72), (50, 48), (1, 1)])
def test_a_sample_is_evenly_spread(
    tmp_path: Path,
    documents: list[dict[str, str]],
    model: Path,
    encoded: list[str],
    sample: int,
    taken: int,
) -> None:
    if taken == 1:
        with pytest.raises(EncoderError, match="two different documents"):
            fit_sae(tmp_path / "s", documents, str(model), active=4, sample=sample)
    else:
        made = fit_sae(tmp_path / "s", documents, str(model), active=4, sample=sample)
        assert made.documents == taken
    every = 144 // taken
    assert [text.split()[-1] for text in encoded] == [d["text"].split()[-1] for d in documents][
        ::every
    ]
    assert len(encoded) == taken


# Stopped on the way.


def test_vectors_are_kept_when_fitting_is_stopped(
    tmp_path: Path,
    documents: list[dict[str, str]],
    model: Path,
    encoded: list[str],
) -> None:
    fit_sae(tmp_path / "whole", documents, str(model), active=4)
    with pytest.raises(KeyboardInterrupt):
        fit_sae(tmp_path / "s", documents, str(model), active=4, progress=stopped_at("Fitting"))
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["partial"]
    assert len(list((tmp_path / "s" / "partial" / "shards").iterdir())) == 15
    encoded.clear()
    fit_sae(tmp_path / "s", documents, str(model), active=4)
    assert encoded == []
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_killed_and_repeated(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    model: Path,
    encoded: list[str],
    lsr_command: Callable[..., list[str]],
) -> None:
    arguments = ["fit-sae", corpus, "-o", tmp_path / "s", "--dense", model]
    shards = tmp_path / "s" / "partial" / "shards"
    killed(lsr_command(SHARD, *arguments), lambda: len(list(shards.glob("*.parquet"))) == 15)
    answer = run(*arguments)
    assert answer.code == 0
    assert encoded == []
    assert len(load_encoder(str(tmp_path / "s")).vocabulary) == 32
    assert not (tmp_path / "s" / "partial").exists()


def test_the_command_says_what_is_kept(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    model: Path,
    documents: list[dict[str, str]],
    watch: Callable[..., list[str]],
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    watch(DenseEncoder, "encode_documents", documents[-1]["text"], stop)
    answer = run("fit-sae", corpus, "-o", tmp_path / "s", "--dense", model)
    assert answer.code == 130
    kept = f"Finished work is kept in {tmp_path / 's' / 'partial'}: run the same command"
    assert kept in answer.err
    assert "Interrupted." in answer.err


# What is there already, and what cannot be.


def test_what_is_there_is_replaced_only_by_force(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path
) -> None:
    out = write_tiny_csr(tmp_path / "s")
    before = contents(out)
    answer = run("fit-sae", corpus, "-o", out, "--dense", model)
    assert answer.code == 1
    assert (
        answer.error == f"{out} is already an autoencoder; add --force (force=True) to replace it"
    )
    assert contents(out) == before
    assert run("fit-sae", corpus, "-o", out, "--dense", model, "--force").code == 0
    assert set(contents(out)) & set(before) == {"modules.json", ABOUT}  # nothing else is left
    assert load_encoder(str(out)).encode_queries(["glass bees"]).terms.size


def test_a_replacement_that_fails_leaves_what_was(
    tmp_path: Path,
    documents: list[dict[str, str]],
    model: Path,
) -> None:
    out = write_tiny_csr(tmp_path / "s")
    before = contents(out)
    queries = load_encoder(str(out)).encode_queries(["glass bees"])

    def failing(source: Any, _: Any) -> None:
        if Path(source).name == "modules.json":
            raise OSError("no")

    with (
        before_call("os.replace", failing),
        pytest.raises(LsrError, match="cannot be written"),
    ):
        fit_sae(out, documents, str(model), active=4, force=True)
    shutil.rmtree(out / "partial")  # vectors, for the next run
    assert contents(out) == before
    assert load_encoder(str(out)).encode_queries(["glass bees"]) == queries


def test_places_that_are_something_else(
    tmp_path: Path, documents: list[dict[str, str]], model: Path
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.txt").touch()
    with pytest.raises(IndexExists, match="exists and is not an autoencoder; choose another place"):
        fit_sae(tmp_path / "s", documents, str(model), force=True)
    out = write_tiny_csr(tmp_path / "t")
    (out / "partial").mkdir()
    (out / "partial" / "thesis.txt").touch()
    with pytest.raises(IndexExists, match=r"thesis\.txt, which is not from an earlier run"):
        fit_sae(out, documents, str(model), force=True)
    assert [path.name for path in (out / "partial").iterdir()] == ["thesis.txt"]


def test_one_process_at_a_time(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path
) -> None:
    from lsr.storage.locks import Lock

    (tmp_path / "s" / "partial" / "shards").mkdir(parents=True)
    lock = Lock(tmp_path / "s" / "partial" / "lock")
    assert lock.take()
    answer = run("fit-sae", corpus, "-o", tmp_path / "s", "--dense", model)
    assert (answer.code, answer.error) == (
        1,
        f"{tmp_path / 's'} is being written by another process; wait for it or choose another "
        "place",
    )
    lock.release()


def test_usage(run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path) -> None:
    out = ("-o", tmp_path / "s", "--dense", model)
    assert run("fit-sae", "-", *out).code == 2
    for width in ("0x", "x", "-1", "1.5x"):
        assert run("fit-sae", corpus, *out, "--width", width).code == 2
    answer = run("fit-sae", corpus, *out, "--active", 33)
    assert answer.code == 1
    assert "33 of 32 latents cannot be active" in answer.err
    assert run("fit-sae", corpus, "-o", tmp_path / "s", "--dense", "nothing").code == 1


def test_python_misuse(tmp_path: Path, documents: list[dict[str, str]], model: Path) -> None:
    with pytest.raises(LsrError, match="not an iterator"):
        fit_sae(tmp_path / "s", iter(documents), str(model))
    for name in ("width", "active", "sample"):
        with pytest.raises(
            EncoderError, match=f"{name} must be a whole number of at least 1, not 0"
        ):
            fit_sae(tmp_path / "s", documents, str(model), **{name: 0})
    with pytest.raises(CorpusError, match="is repeated"):
        fit_sae(tmp_path / "s", [documents[0], documents[0]], str(model))
    with pytest.raises(EncoderError, match="two different documents"):
        fit_sae(tmp_path / "s", [], str(model))
    assert not (tmp_path / "s").exists()


def test_max_length_is_that_of_fitting(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path
) -> None:
    out = tmp_path / "s"
    assert run("fit-sae", corpus, "-o", out, "--dense", model, "--max-length", 6).code == 0
    assert load_encoder(str(out)).identity["dense"]["max_length"] == 6


def test_fitting_is_not_imported_by_encoding(tmp_path: Path) -> None:
    """Encoding takes neither torch nor scipy."""
    folder = write_tiny_csr(tmp_path / "s")
    script = (
        f"import sys, lsr; lsr.load_encoder({str(folder)!r}, device='cpu').encode_queries(['a']); "
        "print([m for m in ('torch', 'scipy', 'transformers') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, env=os.environ, text=True
    )
    assert ended.stdout == "[]\n"
    assert lsr.load_encoder(str(folder), device="cpu").name == "s"

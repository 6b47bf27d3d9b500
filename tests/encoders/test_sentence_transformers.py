"""Checkpoints saved there and loaded here, and the reverse, weigh texts alike."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lsr.encoders import load_encoder
from lsr.vectors import SparseVectors

pytest.importorskip("sentence_transformers", reason="the library to agree with is not installed")

MakeCheckpoint = Callable[..., Path]
Dense = npt.NDArray[np.float32]
TEXTS = ["red", "the reddish planet, saturns rings. " * 8, "mars is mars", "venus " * 30, "q a"]
LENGTH = 24
BACKBONES = ["bert", "roberta", "distilbert", "modernbert", "xlm-roberta"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """That library and its own warnings are not under test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def close(vectors: SparseVectors, theirs: Any) -> None:
    expected = theirs.float().numpy()
    found = np.zeros_like(expected)
    for row, vector in enumerate(vectors):
        found[row, vector.terms] = vector.weights
    assert (expected > 0).any()
    assert np.abs(found - expected).max() < 1e-4


def agree(folder: Path, peer: Any = None) -> None:
    from sentence_transformers import SparseEncoder

    if peer is None:
        peer = SparseEncoder(str(folder), device="cpu", local_files_only=True)
    for module in peer.modules():
        if hasattr(module, "max_seq_length"):
            module.max_seq_length = LENGTH
        if hasattr(module, "tokenizer"):
            module.tokenizer.model_max_length = LENGTH
    ours = load_encoder(str(folder), max_length=LENGTH)
    options = {"convert_to_sparse_tensor": False, "show_progress_bar": False}
    close(ours.encode_documents(TEXTS), peer.encode_document(TEXTS, **options))
    close(ours.encode_queries(TEXTS), peer.encode_query(TEXTS, **options))


def transformer(folder: Path) -> Any:
    from sentence_transformers.base.modules import Transformer

    return Transformer(str(folder), transformer_task="fill-mask")


def router(query: list[Any], document: list[Any]) -> Any:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router

    routes = Router.for_query_document(query_modules=query, document_modules=document)
    return SparseEncoder(modules=[routes], similarity_fn_name="dot", device="cpu")


def use_all_rows(folder: Path) -> None:
    """Give the tokenizer a token for every row: the library there expects it of a table."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words.update({f"word{number}": number for number in range(len(words), 40)})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_theirs_with_one_model(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, kind: str, pooling: str, activation: str
) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    pool = SpladePooling(pooling_strategy=pooling, activation_function=activation)
    peer = SparseEncoder(modules=[transformer(make_checkpoint(kind)), pool], device="cpu")
    peer.save_pretrained(str(tmp_path / "theirs"))
    agree(tmp_path / "theirs", peer)


@pytest.mark.parametrize("queries", ["table", "pair", "lexical"])
def test_theirs_with_a_router(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, queries: str
) -> None:
    import torch
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    folder = make_checkpoint()
    use_all_rows(folder)
    model = transformer(folder)
    weight = torch.linspace(0, 3, 40)
    weight[1] = 0  # [UNK], a term of theirs and none of ours
    if queries == "lexical":
        weight = (torch.arange(40) > 4).float()
    table = SparseStaticEmbedding(tokenizer=model.tokenizer, weight=weight)
    chain = [table]
    if queries == "pair":
        other = make_checkpoint("distilbert", "other")
        use_all_rows(other)
        chain = [transformer(other), SpladePooling("sum")]
    elif queries == "lexical":
        chain = [transformer(folder), SpladePooling("max"), table]
    peer = router(chain, [model, SpladePooling("max", activation_function="log1p_relu")])
    peer.save_pretrained(str(tmp_path / "theirs"))
    agree(tmp_path / "theirs", peer)


@pytest.mark.parametrize(
    "method",
    [
        "splade-max",
        "splade-sum",
        "splade-doc",
        "splade-lexical",
        "efficient-splade",
        "inference-free",
        "inference-free-l0",
    ],
)
def test_ours(make_checkpoint: MakeCheckpoint, tmp_path: Path, method: str) -> None:
    folder = make_checkpoint()
    use_all_rows(folder)
    (folder / "idf.json").write_text(json.dumps({"red": 1.5, "planet": 2.0, "mars": 0.5}))
    name = f"{method}:{folder}"
    if method == "efficient-splade":
        queries = make_checkpoint("distilbert", "queries")
        use_all_rows(queries)
        name += f",{queries}"
    ours: Any = load_encoder(name, max_length=LENGTH)
    ours.save(tmp_path / "ours")
    agree(tmp_path / "ours")
    saved = load_encoder(str(tmp_path / "ours"), max_length=LENGTH)
    assert saved.encode_queries(TEXTS) == ours.encode_queries(TEXTS)


def test_names_of_older_releases(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    import torch
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    folder = make_checkpoint()
    use_all_rows(folder)
    model = transformer(folder)
    table = SparseStaticEmbedding(tokenizer=model.tokenizer, weight=torch.linspace(0, 3, 40))
    peer = router([table], [model, SpladePooling("max")])
    saved = tmp_path / "theirs"
    peer.save_pretrained(str(saved))
    before = load_encoder(str(saved), max_length=LENGTH).encode_queries(TEXTS)
    old = "sentence_transformers.sparse_encoder.models"
    renamed = {
        "query_0_SparseStaticEmbedding": "query_0_IDF",
        "document_0_Transformer": "document_0_MLMTransformer",
    }
    config = (saved / "router_config.json").read_text()
    for new, name in renamed.items():
        (saved / new).rename(saved / name)
        config = config.replace(new, name)
    parsed = json.loads(config)
    parsed["types"] = {name: f"{old}.{name.rpartition('_')[2]}" for name in parsed["types"]}
    (saved / "router_config.json").write_text(json.dumps(parsed))
    (saved / "document_0_MLMTransformer" / "sentence_bert_config.json").unlink()
    pooling = saved / "document_1_SpladePooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("embedding_dim", "word_embedding_dim"))
    again = load_encoder(str(saved), max_length=LENGTH)
    assert again.encode_queries(TEXTS) == before
    close(
        again.encode_documents(TEXTS[:1]),
        peer.encode_document(TEXTS[:1], convert_to_sparse_tensor=False, show_progress_bar=False),
    )

"""Layouts of model folders: what they declare, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lsr.encoders import load_encoder
from lsr.encoders.checkpoints.layouts import read_layout, read_table
from lsr.encoders.methods import METHODS, Side
from lsr.errors import EncoderError

MakeCheckpoint = Callable[..., Path]


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def edit(path: Path, **changes: Any) -> None:
    write(path, {**json.loads(path.read_text()), **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What looks like a checkpoint; its weights are never read."""
    folder = tmp_path / "plain"
    write(folder / "config.json", {"architectures": ["BertForMaskedLM"]})
    write(folder / "tokenizer.json", {})
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def sentence_transformers_folder(folder: Path, **pooling: Any) -> Path:
    package = "sentence_transformers.sparse_encoder.models"
    write(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": f"{package}.MLMTransformer"},
            {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"{package}.SpladePooling"},
        ],
    )
    write(folder / "1_SpladePooling" / "config.json", pooling)
    return folder


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), r"config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "does not hold a JSON object"),
        (lambda f: write(f / "config.json", {}), r"architecture \[\].*ForMaskedLM"),
        (
            lambda f: write(f / "config.json", {"architectures": ["BertModel"]}),
            r"architecture \['BertModel'\]",
        ),
        (lambda f: edit(f / "config.json", quantization_config={"bits": 4}), "quantized"),
        (
            lambda f: edit(
                f / "config.json", quantization_config={"quant_method": "compressed-tensors"}
            ),
            "only as dense encoders",
        ),
        (lambda f: write(f / "adapter_config.json", {}), "adapter"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "no safetensors weights.*convert them",
        ),
        (
            lambda f: write(
                f / "model.safetensors.index.json", {"weight_map": {"w": "../x.safetensors"}}
            ),
            "names the file '../x.safetensors'",
        ),
        (
            lambda f: write(
                f / "model.safetensors.index.json", {"weight_map": {"w": "x.safetensors"}}
            ),
            "names the file 'x.safetensors', which is not beside it",
        ),
    ],
)
def test_unfit_folders_are_refused(folder: Path, spoil: Callable[[Path], Any], said: str) -> None:
    spoil(folder)
    with pytest.raises(EncoderError, match=said):
        load_encoder(str(folder))


def test_sentence_transformers_settings(folder: Path) -> None:
    def sides() -> tuple[Side, Side]:
        layout = read_layout(folder, None, None)
        assert layout.folders == [folder]
        return layout.query, layout.document

    assert sides() == (Side("mlm"), Side("mlm"))
    sentence_transformers_folder(folder)
    assert sides() == (Side("mlm"), Side("mlm"))
    sentence_transformers_folder(folder, pooling_strategy="sum", activation_function="relu")
    assert sides() == (Side("mlm", pooling="sum"), Side("mlm", pooling="sum"))
    sentence_transformers_folder(folder, activation_function="log1p_relu")
    assert sides() == (Side("mlm", "double-log1p"), Side("mlm", "double-log1p"))
    write(folder / "sentence_bert_config.json", {"do_lower_case": False, "max_seq_length": 512})
    write(folder / "config_sentence_transformers.json", {"prompts": {"query": "", "document": ""}})
    assert sides() == (Side("mlm", "double-log1p"), Side("mlm", "double-log1p"))


ROUTER = [{"path": "", "type": "sentence_transformers.base.modules.router.Router"}]
OUTSIDE = [{"path": "../x", "type": "x.Transformer"}, {"path": "1", "type": "x.SpladePooling"}]


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("modules.json", ROUTER, "has no router_config.json"),
        ("modules.json", ["Transformer"], "describes no model"),
        ("modules.json", [{"path": "", "type": "x.Pooling"}], "the modules Pooling"),
        ("modules.json", [], r"the modules \(none\)"),
        ("modules.json", OUTSIDE, r"names the folder '\.\./x', which is not inside"),
        ("1_SpladePooling/config.json", {"activation_function": "gelu"}, "gelu"),
        ("1_SpladePooling/config.json", {"activation_function": []}, "describes no model"),
        ("sentence_bert_config.json", {"transformer_task": "feature-extraction"}, "feature-ext"),
        ("1_SpladePooling/config.json", {"pooling_strategy": "mean"}, "pooling_strategy 'mean'"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case"),
        ("config_sentence_transformers.json", {"prompts": {"query": "find: "}}, "find: "),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(
    folder: Path, file: str, value: Any, said: str
) -> None:
    sentence_transformers_folder(folder)
    write(folder / file, value)
    with pytest.raises(EncoderError, match=said):
        read_layout(folder, None, None)


TABLE = ["SparseStaticEmbedding"]
CHAIN = ["MLMTransformer", "SpladePooling"]


def router_folder(folder: Path, **routes: list[str]) -> Path:
    """A Router whose module folders hold only their settings."""
    structure = {
        route: [f"{route}_{number}_{kind}" for number, kind in enumerate(kinds)]
        for route, kinds in routes.items()
    }
    names = [name for listed in structure.values() for name in listed]
    types = {name: f"sentence_transformers.x.{name.rpartition('_')[2]}" for name in names}
    write(folder / "modules.json", ROUTER)
    write(folder / "router_config.json", {"types": types, "structure": structure})
    for name in names:
        write(folder / name / "config.json", {})
    return folder


@pytest.mark.parametrize("static", ["SparseStaticEmbedding", "IDF"])
def test_routers(folder: Path, static: str) -> None:
    layout = read_layout(router_folder(folder, query=[static], document=CHAIN), None, None)
    assert (layout.query, layout.document) == (Side("table"), Side("mlm"))
    assert layout.table == folder / f"query_0_{static}" / "model.safetensors"
    assert layout.document_folder == folder / "document_0_MLMTransformer"
    assert layout.query_folder == folder / f"query_0_{static}"
    write(layout.query_folder / "config.json", {"path": "idf.json"})
    write(folder / "idf.json", {})
    assert read_layout(folder, None, None).table == folder / "idf.json"


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ({"query": TABLE, "passage": CHAIN}, "routes query, passage"),
        ({"query": CHAIN, "document": TABLE}, "no model for documents"),
        ({"query": TABLE, "document": CHAIN[:1]}, "the modules MLMTransformer,"),
        ({"query": [], "document": CHAIN}, r"the modules \(none\)"),
        ({"query": [*TABLE, *CHAIN], "document": CHAIN}, "the modules SparseStatic"),
    ],
)
def test_routers_that_are_refused(folder: Path, routes: dict[str, list[str]], said: str) -> None:
    with pytest.raises(EncoderError, match=said):
        read_layout(router_folder(folder, **routes), None, None)


def test_weights_on_top_of_a_model_must_choose_terms(folder: Path) -> None:
    router_folder(folder, query=[*CHAIN, *TABLE], document=CHAIN)
    file = folder / "query_2_SparseStaticEmbedding" / "model.safetensors"
    save_file({"weight": np.array([0, 1, 1], np.float32)}, file)
    assert read_layout(folder, None, None).query == Side("mlm", own_terms=True)
    save_file({"weight": np.array([0, 1, 2], np.float32)}, file)
    with pytest.raises(EncoderError, match="other than 0 and 1"):
        read_layout(folder, None, None)


def test_plain_folders(folder: Path) -> None:
    assert read_layout(folder, None, None).method == "splade-max"
    for architecture, method in (("UniCoilEncoder", "unicoil"), ("DeepImpact", "deepimpact")):
        write(folder / "config.json", {"architectures": [architecture]})
        layout = read_layout(folder, None, None)
        assert (layout.method, layout.query) == (method, METHODS[method].query)
    edit(folder / "config.json", architectures=["BertForMaskedLM"])
    with pytest.raises(EncoderError, match=r"no weights for the terms of queries; put idf\.json"):
        read_layout(folder, None, "inference-free")
    write(folder / "idf.json", {})
    layout = read_layout(folder, None, None)
    assert (layout.method, layout.table) == ("inference-free", folder / "idf.json")
    assert read_layout(folder, None, "inference-free-l0").document == Side("mlm", "double-log1p")
    write(folder / "sparse_linear.pt", {})
    assert read_layout(folder, None, None).method == "bge-m3"
    with pytest.raises(EncoderError, match="no method 'splode'; give one of splade-max, "):
        read_layout(folder, None, "splode")
    with pytest.raises(EncoderError, match="give efficient-splade:DOCUMENTS,QUERIES"):
        read_layout(folder, None, "efficient-splade")
    queries = folder.parent / "queries"
    assert read_layout(folder, queries, "efficient-splade").folders == [folder, queries]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "None declares no side"),
        ({"query": {"head": "mlm"}, "document": {"head": "mlm", "x": 1}}, "declares no side"),
        ({"query": {"head": "mlm"}, "document": {"head": "lstm"}}, "head must be one of"),
        *(
            ({"query": {"head": "mlm"}, "document": {"head": "mlm", **wrong}}, said)
            for wrong, said in [
                ({"positions": "first"}, "positions must be one of all, last, echo"),
                ({"positions": None}, "positions must be one of"),
                ({"phrases": "mean"}, "phrases must be one of max, sum"),
                ({"unit": 1}, "unit must be true or false, not 1"),
                ({"literal_residual": "yes", "positions": "last"}, "literal_residual must be"),
                ({"literal_residual": True}, 'goes with the head "mlm" and positions "last"'),
                ({"top": 0}, "top must be a whole number of at least 1, not 0"),
                ({"top": True}, "top must be"),
                ({"top": 1.5}, "top must be"),
                ({"head": "mlp", "positions": "echo"}, 'are chosen for the head "mlm" alone'),
                ({"head": "mlp", "phrases": "sum"}, 'are chosen for the head "mlm" alone'),
            ]
        ),
        ({"query": {"head": "mlm"}, "document": {"head": "mlm", "ratio": 1}}, "prune ratio"),
        ({"query": {"head": "mlm"}, "document": {"head": "mlm", "ratio": "x"}}, "prune ratio"),
        ({"query": {"head": "mlm"}, "document": {"head": "mlm", "own_terms": 1}}, "own_terms"),
    ],
)
def test_bad_declarations(folder: Path, value: Any, said: str) -> None:
    write(folder / "lsr.json", value)
    with pytest.raises(EncoderError, match=said):
        read_layout(folder, None, None)


def test_tables(tmp_path: Path) -> None:
    tokens = {"red": 1, "planet": 2}
    file = tmp_path / "idf.json"
    write(file, {"planet": 2.5})
    assert read_table(file, tokens, 4).tolist() == [0, 0, 2.5, 0]
    for value, said in (
        ({"mars": 1.0}, "weighs 'mars', which the tokenizer"),
        ({"red": "x"}, "cannot be read"),
        ({"red": float("nan")}, "the weight nan for term 1"),
        ({"red": -1}, r"the weight -1\.0 for term 1"),
        ([], "JSON object"),
    ):
        write(file, value)
        with pytest.raises(EncoderError, match=said):
            read_table(file, tokens, 4)
    saved = tmp_path / "model.safetensors"
    save_file({"weight": np.array([1, 2], np.float32)}, saved)
    assert read_table(saved, tokens, 4).tolist() == [1, 2, 0, 0]
    save_file({"weight": np.ones((2, 2), np.float32)}, saved)
    with pytest.raises(EncoderError, match=r"shape \(2, 2\)"):
        read_table(saved, tokens, 4)
    save_file({"other": np.ones(2, np.float32)}, saved)
    with pytest.raises(EncoderError, match="cannot be read"):
        read_table(saved, tokens, 4)
    with pytest.raises(EncoderError, match="cannot be read"):
        read_table(tmp_path / "absent.safetensors", tokens, 4)

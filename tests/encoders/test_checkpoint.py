from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsr.encoders import load_encoder, restore_encoder
from lsr.encoders.checkpoint import check, content_hash, find, sentence_transformers_pooling
from lsr.errors import EncoderError, EncoderMismatch

MakeCheckpoint = Callable[..., Path]
COMMITS = ["a" * 40, "b" * 40]


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


def test_builtin() -> None:
    found = find("splade-tiny")
    assert (found.name, found.source, found.revision) == ("splade-tiny", "splade-tiny", None)
    check(found.folder)


def test_folder_is_recorded_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ("plain", "./plain", "../" + folder.parent.name + "/plain", str(folder)):
        found = find(name)
        assert (found.name, found.source, found.folder) == ("plain", str(folder), folder)
        assert found.revision is None
    check(folder)


def test_hash_covers_what_decides_the_vectors(folder: Path) -> None:
    seen = {content_hash(folder)}
    (folder / "README.md").write_text("words")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert content_hash(folder) in seen
    for name in ("config.json", "model.safetensors", "tokenizer.json", "special_tokens_map.json"):
        (folder / name).write_bytes(b"other")
        assert content_hash(folder) not in seen
        seen.add(content_hash(folder))
    (folder / "config.json").rename(folder / "vocab.txt")
    assert content_hash(folder) not in seen
    moved = shutil.copytree(folder, folder.parent / "moved")
    assert content_hash(moved) == content_hash(folder)


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
        check(folder)
    with pytest.raises(EncoderError, match=said):
        load_encoder(str(folder))


def test_sentence_transformers_settings(folder: Path) -> None:
    assert sentence_transformers_pooling(folder) is None
    sentence_transformers_folder(folder)
    assert sentence_transformers_pooling(folder) == "max"
    sentence_transformers_folder(folder, pooling_strategy="sum", activation_function="relu")
    assert sentence_transformers_pooling(folder) == "sum"
    write(folder / "sentence_bert_config.json", {"do_lower_case": False, "max_seq_length": 512})
    write(folder / "config_sentence_transformers.json", {"prompts": {"query": "", "document": ""}})
    assert sentence_transformers_pooling(folder) == "sum"


ROUTER = [{"path": "", "type": "sentence_transformers.base.modules.router.Router"}]
ELSEWHERE = [{"path": "0_MLM", "type": "x.Transformer"}, {"path": "1", "type": "x.SpladePooling"}]


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("modules.json", ROUTER, "the modules Router, which is not supported"),
        ("modules.json", [], r"the modules \(none\)"),
        ("modules.json", ELSEWHERE, "its modules in"),
        ("1_SpladePooling/config.json", {"activation_function": "log1p_relu"}, "log1p_relu"),
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
        sentence_transformers_pooling(folder)


@pytest.fixture
def hub(no_hub: Path, make_checkpoint: MakeCheckpoint) -> Path:
    """org/tiny in the local hub cache: main at the first commit, v2 at the second."""
    repository = no_hub / "models--org--tiny"
    for commit, kind in zip(COMMITS, ("bert", "distilbert"), strict=True):
        source = make_checkpoint(kind, commit)
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (repository / "blobs").mkdir(exist_ok=True)
        for file in source.iterdir():
            blob = repository / "blobs" / f"{commit}-{file.name}"
            file.rename(blob)
            (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
    for ref, commit in (("main", COMMITS[0]), ("v2", COMMITS[1])):
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    return no_hub


def test_hub_names(hub: Path) -> None:
    for name, commit in (
        ("org/tiny", COMMITS[0]),
        ("org/tiny@v2", COMMITS[1]),
        (f"org/tiny@{COMMITS[1]}", COMMITS[1]),
    ):
        found = find(name)
        assert (found.name, found.source, found.revision) == ("org/tiny", "org/tiny", commit)
        assert found.folder == hub / "models--org--tiny" / "snapshots" / commit


def test_index_stays_with_its_revision(hub: Path) -> None:
    built = load_encoder("org/tiny", max_length=16)
    assert built.identity["revision"] == COMMITS[0]
    (hub / "models--org--tiny" / "refs" / "main").write_text(COMMITS[1])  # upstream moves on
    again = restore_encoder(built.identity, built.vocabulary, {})
    assert again.identity == built.identity
    assert again.encode_queries(["red planet"]) == built.encode_queries(["red planet"])
    with pytest.raises(EncoderMismatch, match="'org/tiny'"):
        restore_encoder(built.identity, built.vocabulary, {}, source="org/tiny")


@pytest.mark.parametrize("name", ["org/absent", "org/tiny@v3", "org/tiny@" + "c" * 40, "a--b/c"])
def test_hub_name_neither_cached_nor_reachable(hub: Path, name: str) -> None:
    with pytest.raises(EncoderError, match="nor in the local hub cache") as raised:
        load_encoder(name)
    assert "\n" not in str(raised.value)


def test_offline_fails_fast_and_in_one_sentence(tmp_path: Path) -> None:
    program = """
from lsr.encoders import load_encoder
from lsr.errors import EncoderError
try:
    load_encoder("org/absent")
except EncoderError as error:
    print(error)
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    start = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert time.monotonic() - start < 20
    assert run.stderr == ""
    assert run.stdout.startswith("'org/absent' is neither an existing folder nor in the local")
    assert run.stdout.count("\n") == 1

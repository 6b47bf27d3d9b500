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
from lsr.encoders.checkpoints.checkpoint import content_hash, find
from lsr.encoders.methods import Side
from lsr.errors import EncoderError, EncoderMismatch

MakeCheckpoint = Callable[..., Path]
COMMITS = ["a" * 40, "b" * 40]


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What looks like a checkpoint; its weights are never read."""
    folder = tmp_path / "plain"
    write(folder / "config.json", {"architectures": ["BertForMaskedLM"]})
    write(folder / "tokenizer.json", {})
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_builtin() -> None:
    found = find("splade-tiny")
    assert (found.name, found.source, found.revision) == ("splade-tiny", "splade-tiny", None)
    assert (found.folder / "config.json").exists()


def test_folder_is_recorded_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ("plain", "./plain", "../" + folder.parent.name + "/plain", str(folder)):
        found = find(name)
        assert (found.name, found.source, found.folder) == ("plain", str(folder), folder)
        assert found.revision is None


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


@pytest.fixture
def hub(hub_cache: Path, make_checkpoint: MakeCheckpoint) -> Path:
    """org/tiny in the local hub cache: main at the first commit, v2 at the second."""
    repository = hub_cache / "models--org--tiny"
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
    return hub_cache


@pytest.fixture
def hub_model(hub_cache: Path, make_checkpoint: MakeCheckpoint) -> Callable[[str], Path]:
    """hub_model(name): a random checkpoint under that name in the local hub cache."""

    def make(name: str) -> Path:
        repository = hub_cache / f"models--{name.replace('/', '--')}"
        snapshot = repository / "snapshots" / COMMITS[0]
        snapshot.parent.mkdir(parents=True)
        make_checkpoint(name=name.replace("/", "-")).rename(snapshot)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMITS[0])
        return snapshot

    return make


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


@pytest.mark.parametrize(
    ("name", "document", "query"),
    [
        ("naver/splade-v3-lexical", Side("mlm"), Side("mlm", own_terms=True)),
        ("naver/splade-v3-doc", Side("mlm"), Side("binary")),
    ],
)
def test_a_model_known_by_name_is_its_method(
    hub_model: Callable[[str], Path], name: str, document: Side, query: Side
) -> None:
    """Where the folder itself could be any SPLADE."""
    hub_model(name)
    identity = load_encoder(name, max_length=16).identity
    assert identity["document"] == document.to_json()
    assert identity["query"] == query.to_json()
    again = restore_encoder(identity, load_encoder(name, max_length=16).vocabulary, {})
    assert again.identity == identity


def test_half_of_a_known_pair_is_not_enough(hub_model: Callable[[str], Path]) -> None:
    name = "naver/efficient-splade-V-large-doc"
    hub_model(name)
    with pytest.raises(EncoderError, match="give efficient-splade:DOCUMENTS,QUERIES"):
        load_encoder(name, max_length=16)
    hub_model("naver/efficient-splade-V-large-query")
    both = load_encoder(
        f"efficient-splade:{name},naver/efficient-splade-V-large-query", max_length=16
    )
    assert both.identity["source"].count("@" + COMMITS[0]) == 2
    assert restore_encoder(both.identity, both.vocabulary, {}).identity == both.identity


@pytest.mark.parametrize("name", ["org/absent", "org/tiny@v3", "org/tiny@" + "c" * 40, "a--b/c"])
def test_hub_name_neither_cached_nor_reachable(hub: Path, name: str) -> None:
    with pytest.raises(EncoderError, match="nor in the local hub cache") as raised:
        load_encoder(name)
    assert "\n" not in str(raised.value)


def test_offline_fails_fast_and_in_one_sentence(tmp_path: Path) -> None:
    program = """
from lsr.encoders import load_encoder
from lsr.encoders.methods import Side
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

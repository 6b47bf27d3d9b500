"""Precisions and instruction sets of an encoder: recorded, restored, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.encoders import load_encoder, restore_encoder
from lsr.errors import EncoderError, InstructionSetError
from lsr.kernels import ISAS
from lsr.vectors import SparseVectors

MakeCheckpoint = Callable[..., Path]
TEXTS = [
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Which planet is known as the Red Planet?",
    "",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet. " * 9,
]
RECORDED = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}


def dense(vectors: SparseVectors, terms: int) -> Any:
    matrix = np.zeros((len(vectors), terms))
    for row, vector in zip(matrix, vectors, strict=True):
        row[vector.terms] = vector.weights
    return matrix


@pytest.mark.parametrize("precision", RECORDED)
def test_precision_is_recorded_and_restored(precision: Any) -> None:
    plain = load_encoder()
    assert plain.identity["precision"] == "float32"
    encoder = load_encoder(precision=precision)
    identity = json.loads(json.dumps(encoder.identity))
    assert identity == {**plain.identity, "precision": RECORDED[precision]}
    found = encoder.encode_documents(TEXTS)
    again = restore_encoder(identity, encoder.vocabulary, {})
    assert again.identity == identity
    assert again.encode_documents(TEXTS) == found
    assert again.encode_queries(TEXTS) == found
    # Each is what it says: close to the others, and not the same.
    expected = dense(plain.encode_documents(TEXTS), len(plain.vocabulary))
    away = np.abs(dense(found, len(plain.vocabulary)) - expected).max()
    least, most = {"fp32": (0, 0), "bf16": (1e-3, 0.1), "int8": (1e-2, 0.5)}[precision]
    assert least <= away <= most


def test_an_index_keeps_the_precision(tmp_path: Path) -> None:
    documents = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)]
    for name in ("splade-tiny", "bm25+splade-tiny"):
        encoder = load_encoder(name, precision="int8")
        lsr.Index.build(tmp_path / name, documents, encoder)
        index: Any = lsr.open(tmp_path / name)
        query = index.encoder.encode_queries(TEXTS)
        assert query == encoder.encode_queries(TEXTS)
        assert query != load_encoder("splade-tiny").encode_queries(TEXTS)
        assert '"int8"' in json.dumps(index.encoder.identity)


def test_an_unknown_recorded_precision_is_refused() -> None:
    encoder = load_encoder()
    for precision in ("int4", "fp32", None, ["int8"]):
        with pytest.raises(EncoderError, match=r"in the precision .* this release does not know"):
            restore_encoder({**encoder.identity, "precision": precision}, encoder.vocabulary, {})


@pytest.mark.parametrize("precision", ["fp16", "float32", "", None, 8])
def test_a_precision_that_is_none_is_refused(precision: Any) -> None:
    with pytest.raises(EncoderError, match="precision must be one of fp32, bf16, int8, not"):
        load_encoder(precision=precision)


def test_bytes_are_not_for_torch(make_checkpoint: MakeCheckpoint) -> None:
    folder = str(make_checkpoint("modernbert"))
    said = r"the precision int8 is for models like BERT on a CPU, and .* give one of fp32, bf16$"
    with pytest.raises(EncoderError, match=said):
        load_encoder(folder, max_length=24, precision="int8")
    with pytest.raises(EncoderError, match=r"tiny on cpu,cpu runs in torch|tiny on cpu runs"):
        load_encoder(str(make_checkpoint()), max_length=24, device="cpu,cpu", precision="int8")


def test_half_precision_in_torch(make_checkpoint: MakeCheckpoint) -> None:
    folder = str(make_checkpoint("modernbert"))
    half = load_encoder(folder, max_length=24, precision="bf16")
    assert half.identity["precision"] == "bfloat16"
    found = dense(half.encode_documents(TEXTS), 40)
    expected = dense(load_encoder(folder, max_length=24).encode_documents(TEXTS), 40)
    assert 1e-4 < np.abs(found - expected).max() < 0.2
    again = restore_encoder(half.identity, half.vocabulary, {})
    assert dense(again.encode_documents(TEXTS), 40) == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize("precision", RECORDED)
def test_instruction_sets_agree(monkeypatch: pytest.MonkeyPatch, precision: Any) -> None:
    """But for the last bits of sums, after which a rounding may fall otherwise."""
    found = {}
    for isa in ISAS["encoders"]:
        monkeypatch.setenv("LSR_ISA", isa)
        encoder = load_encoder(precision=precision)
        found[isa] = dense(encoder.encode_documents(TEXTS), len(encoder.vocabulary))
    for matrix in found.values():
        tolerance = {"fp32": 1e-5, "bf16": 0.05, "int8": 0.1}[precision]
        assert np.abs(matrix - found["scalar"]).max() < tolerance


def test_an_instruction_set_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSR_ENCODING_ISA", "sse9")
    with pytest.raises(InstructionSetError, match=r"^LSR_ENCODING_ISA=sse9 .* machine has scalar"):
        load_encoder()

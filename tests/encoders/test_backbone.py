from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from lsr.encoders import load_encoder
from lsr.errors import EncoderError
from support.changed import change_weights

from .conftest import IN_TORCH, by_kernels

MakeCheckpoint = Callable[..., Path]
Settings = dict[str, Any]
TEXTS = ["red", "the reddish planet, saturns rings", "", "venus " * 20]


@pytest.fixture(params=["kernels", "torch"])
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings for what loads the model, and it alone: both hold to the same."""
    if request.param == "torch":
        return IN_TORCH
    # Torch would take over what the kernels refuse.
    monkeypatch.setattr("lsr.encoders.models.torch_loading.load_torch", None)
    return {"device": "cpu"}


def test_what_the_devices_are(make_checkpoint: MakeCheckpoint) -> None:
    folder = str(make_checkpoint())
    assert by_kernels(load_encoder(folder, max_length=16, device="cpu"))
    assert not by_kernels(load_encoder(folder, max_length=16, **IN_TORCH))


TRANSFORM = "cls.predictions.transform.dense.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop(TRANSFORM), f"lacks {TRANSFORM}"),
        (lambda w: [w.pop(k) for k in list(w) if k.startswith("cls.")], "lacks cls.*more"),
        (
            lambda w: w.update({"bert.encoder.layer.7.x": np.ones(2, np.float32)}),
            "left over bert.enc",
        ),
        (
            lambda w: w[TRANSFORM].__setitem__((0, 0), np.nan),
            f"numbers that are not finite in {TRANSFORM}",
        ),
        (
            lambda w: w.update({TRANSFORM: np.ones((3, 3), np.float32)}),
            "cannot be loaded|other shapes",
        ),
    ],
)
def test_weights_that_would_be_wrong_are_refused(
    make_checkpoint: MakeCheckpoint,
    runner: Settings,
    change: Callable[[dict[str, Any]], Any],
    said: str,
) -> None:
    folder = make_checkpoint()
    change_weights(folder, change)
    with pytest.raises(EncoderError, match=said):
        load_encoder(str(folder), max_length=16, **runner)


def test_weights_not_needed_are_passed_over(
    make_checkpoint: MakeCheckpoint, runner: Settings
) -> None:
    folder = make_checkpoint()
    before = load_encoder(str(folder), max_length=16, **runner).encode_documents(TEXTS)
    tied = load_file(folder / "model.safetensors")
    extra = {
        # Written out again by some releases though the output layer shares these.
        "cls.predictions.decoder.weight": tied["bert.embeddings.word_embeddings.weight"],
        "cls.predictions.decoder.bias": tied["cls.predictions.bias"],
        "bert.pooler.dense.weight": np.ones((16, 16), np.float32),
        "cls.seq_relationship.weight": np.ones((2, 16), np.float32),
        "bert.embeddings.position_ids": np.arange(64)[None],
    }
    change_weights(folder, lambda weights: weights.update(extra))
    assert load_encoder(str(folder), max_length=16, **runner).encode_documents(TEXTS) == before


def test_old_names_of_layer_norms_load(make_checkpoint: MakeCheckpoint, runner: Settings) -> None:
    folder = make_checkpoint()
    generator = np.random.default_rng(5)

    def scale(weights: dict[str, Any]) -> None:
        for name in weights:
            if "LayerNorm" in name:
                weights[name] = generator.uniform(0.5, 1.5, weights[name].shape).astype(np.float32)

    def rename(weights: dict[str, Any]) -> None:
        for name in list(weights):
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            weights[old.replace("LayerNorm.bias", "LayerNorm.beta")] = weights.pop(name)

    change_weights(folder, scale)
    before = load_encoder(str(folder), max_length=16, **runner).encode_documents(TEXTS)
    change_weights(folder, rename)
    assert load_encoder(str(folder), max_length=16, **runner).encode_documents(TEXTS) == before


def test_tokenizer_larger_than_the_model_is_refused(
    make_checkpoint: MakeCheckpoint, runner: Settings
) -> None:
    folder = make_checkpoint()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].update({f"word{number}": number for number in range(24, 50)})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(EncoderError, match="50 tokens but the model only 40"):
        load_encoder(str(folder), max_length=16, **runner)


def test_damaged_files_are_one_error(make_checkpoint: MakeCheckpoint, runner: Settings) -> None:
    folder = make_checkpoint()
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(EncoderError, match="cannot be loaded") as raised:
        load_encoder(str(folder), max_length=16, **runner)
    assert "\n" not in str(raised.value)


def test_logits_that_are_not_linear_are_refused(
    make_checkpoint: MakeCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForMaskedLM

    forward = BertForMaskedLM.forward

    @functools.wraps(forward)
    def scaled(*args: Any, **options: Any) -> Any:
        output = forward(*args, **options)
        output.logits = output.logits * output.logits
        return output

    folder = make_checkpoint()
    # No model of transformers computes its logits so, and another may some day.
    monkeypatch.setattr(BertForMaskedLM, "forward", scaled)
    with pytest.raises(EncoderError, match="otherwise than by a linear layer"):
        load_encoder(str(folder), max_length=16, **IN_TORCH)


@pytest.mark.parametrize("device", ["tpu-pod", "cuda:99", "meta"])
def test_unusable_device_is_refused(device: str) -> None:
    with pytest.raises(EncoderError, match=f"device '{device}' cannot be used"):
        load_encoder(device=device)


@pytest.mark.parametrize(
    ("kind", "most"), [("bert", 64), ("distilbert", 64), ("roberta", 62), ("modernbert", 64)]
)
@pytest.mark.parametrize("where", [{}, IN_TORCH], ids=["kernels", "torch"])
def test_max_length_has_limits(
    make_checkpoint: MakeCheckpoint, where: Settings, kind: str, most: int
) -> None:
    folder = str(make_checkpoint(kind))
    encoder = load_encoder(folder, max_length=most, **where)
    assert len(encoder.encode_documents(["red " * 100])) == 1
    for length in (2, most + 1):
        with pytest.raises(EncoderError, match=f"max_length {length}.* 3 to {most} tokens"):
            load_encoder(folder, max_length=length, **where)


def test_loading_is_silent(runner: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_encoder(**runner).encode_documents(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before

"""The tensors of a folder: taken by name, all of them, and none that a config.json makes up."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lsr.encoders.checkpoints.weights import TOKEN_HEAD, Tensors, token_layers
from lsr.encoders.models.bert import load_bert
from lsr.errors import EncoderError
from support.changed import WEIGHTS, change_config

MakeCheckpoint = Callable[..., Path]


def some(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "name",
    [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
        "num_hidden_layers",
    ],
)
@pytest.mark.parametrize("size", [5 * 10**6, 10**12, 10**25])
def test_made_up_sizes_take_no_memory(
    make_checkpoint: MakeCheckpoint, name: str, size: int
) -> None:
    folder = make_checkpoint()
    change_config(folder, **{name: size * 2})  # a multiple of the heads
    tracemalloc.start()
    with pytest.raises(EncoderError, match=r"other shapes|lacks"):
        load_bert(folder, "mlm", "fp32", np.empty(0, np.uint32))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10e6


def test_layers_of_the_network_for_tokens() -> None:
    numbered = [f"tok_proj.{number}.{what}" for number in (10, 2, 0) for what in ("weight", "bias")]
    assert token_layers(numbered) == ["tok_proj.0", "tok_proj.2", "tok_proj.10"]
    assert token_layers(["bert.x", "classifier.weight", "classifier.bias"]) == ["classifier"]
    assert token_layers(["x.tok_proj.weight", "tok_proj.x", "cls.bias"]) == []
    assert token_layers(["classifier.weight", "tok_proj.weight"]) == []


def test_tensors_are_accounted_for(tmp_path: Path) -> None:
    save_file(
        {
            "a.weight": some(3, 4),
            "a.LayerNorm.gamma": some(5).astype(np.float16),
            "tok_proj.2.weight": some(1, 2),
            "pooler.x": np.arange(3),
        },
        tmp_path / WEIGHTS,
    )
    with Tensors(tmp_path, "Bird") as tensors:
        assert tensors.plain  # what is not used may be of any type
        assert "a.weight" in tensors
        assert "b" not in tensors
        assert (tensors.rows("a.weight"), tensors.rows("b")) == (3, 0)
        assert [match[1] for match in tensors.matches(TOKEN_HEAD)] == ["tok_proj.2"]
        assert token_layers(tensors.names) == ["tok_proj.2"]
        with pytest.raises(EncoderError, match=r"has left over a\.LayerNorm\.gamma, a\.weight, so"):
            tensors.check()
        assert (tensors.take("a.weight", 3, 4) == some(3, 4)).all()
        assert tensors.take("a.LayerNorm.weight", 5).dtype == np.float32
        tensors.check()
        assert (tensors.take("a.weight", 4, 3) == np.zeros((4, 3))).all()
        with pytest.raises(EncoderError, match=r"other shapes for a.weight, .*complete Bird check"):
            tensors.check()
        assert tensors.take("b", 2).tolist() == [0, 0]
        with pytest.raises(EncoderError, match="lacks b,"):
            tensors.check()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_tensors_that_are_not_finite_are_named(tmp_path: Path, bad: float) -> None:
    for name in "abcde":
        values = some(3)
        values[2] = bad if name != "c" else 1
        save_file({name: values}, tmp_path / f"{name}.safetensors")
    where = {name: f"{name}.safetensors" for name in "abcde"}
    (tmp_path / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": where}))
    with Tensors(tmp_path, "Bird") as tensors:
        for name in "abcde":
            tensors.take(name, 3)
        with pytest.raises(EncoderError, match="not finite in a, b, d and 1 more, so"):
            tensors.check()


def test_no_tensors_are_not_plain(tmp_path: Path) -> None:
    with Tensors(tmp_path, "Bird") as tensors:
        assert not tensors.plain
    save_file({"a": some(2).astype(float)}, tmp_path / WEIGHTS)
    with Tensors(tmp_path, "Bird") as tensors:
        assert not tensors.plain


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_files_cut_short_are_one_error(tmp_path: Path, length: int) -> None:
    save_file({"a": some(9, 9)}, tmp_path / WEIGHTS)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:length])
    with pytest.raises(EncoderError, match=r"cannot be loaded .*check that its files are complete"):
        Tensors(tmp_path, "Bird")

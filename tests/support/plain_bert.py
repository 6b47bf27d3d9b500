"""BERT in plain NumPy, written from the paper, for the kernels to agree with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.float32]]
_erf = np.vectorize(math.erf, otypes=[float])


def random_arrays(
    random: np.random.Generator,
    width: int,
    inner: int,
    layers: int,
    transform: bool,
    words: int = 30,
    positions: int = 100,
) -> Arrays:
    """A model by the kernels' names whose every part matters."""
    arrays: dict[str, Any] = {
        "words": random.normal(size=(words, width)),
        "positions": random.normal(size=(positions, width)) / 2,
    }

    def linear(name: str, columns: int, inputs: int) -> None:
        arrays[f"{name}.weight"] = random.normal(size=(columns, inputs)) / math.sqrt(inputs)
        arrays[f"{name}.bias"] = random.normal(size=columns) / 2

    def norm(name: str) -> None:
        arrays[f"{name}.gamma"] = random.uniform(0.5, 1.5, width)
        arrays[f"{name}.beta"] = random.normal(size=width) / 2

    norm("embedding_norm")
    for layer in range(layers):
        linear(f"layers.{layer}.query_key_value", 3 * width, width)
        linear(f"layers.{layer}.output", width, width)
        norm(f"layers.{layer}.output_norm")
        linear(f"layers.{layer}.up", inner, width)
        linear(f"layers.{layer}.down", width, inner)
        norm(f"layers.{layer}.down_norm")
    if transform:
        linear("transform", width, width)
        norm("transform_norm")
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def gelu(x: Any) -> Any:
    return x * (1 + _erf(x / math.sqrt(2))) / 2


def exactly(x: Any) -> Any:
    return x


def bf16(x: Any) -> Any:
    """The nearest bfloat16s, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def int8_weights(x: Any) -> Any:
    """Each row in steps of its largest magnitude over 64."""
    floats = np.asarray(x, np.float32)
    scale = np.abs(floats).max(-1, keepdims=True) / np.float32(64)
    return np.round(floats / np.where(scale > 0, scale, 1)) * scale.astype(float)


def int8_rows(x: Any) -> Any:
    """Each row in 127 steps from its least value to its largest, or zero where that is beyond."""
    floats = np.asarray(x, np.float32)
    low = np.minimum(floats.min(-1, keepdims=True, initial=0), 0)
    step = (np.maximum(floats.max(-1, keepdims=True, initial=0), 0) - low) / np.float32(127)
    return np.round((floats - low) / np.where(step > 0, step, 1)) * step.astype(float) + low


Rounding = Callable[[Any], Any]
# Of rows and of weights.
ROUND: list[tuple[Rounding, Rounding]] = [
    (exactly, exactly),
    (bf16, bf16),
    (int8_rows, int8_weights),
]


def hidden(
    arrays: Arrays,
    heads: int,
    epsilon: float,
    ids: npt.NDArray[Any],
    lengths: Sequence[int],
    rounded: tuple[Rounding, Rounding] = ROUND[0],
) -> npt.NDArray[np.float64]:
    """Hidden states of some texts.

    `rounded`: what linear layers but the last, `transform`, make of rows and weights.
    """
    of = {name: array.astype(float) for name, array in arrays.items()}

    def linear(name: str, rows: Any) -> Any:
        of_rows, of_weights = ROUND[0] if name == "transform" else rounded
        weight = of_weights(of[f"{name}.weight"]).astype(float)
        return of_rows(rows).astype(float) @ weight.T + of[f"{name}.bias"]

    def norm(name: str, rows: Any) -> Any:
        away = rows - rows.mean(-1, keepdims=True)
        spread = np.sqrt((away**2).mean(-1, keepdims=True) + epsilon)
        return away / spread * of[f"{name}.gamma"] + of[f"{name}.beta"]

    def attention(name: str, rows: Any) -> Any:
        made = []
        width = rows.shape[1]
        query, key, value = np.split(linear(name, rows), 3, axis=1)
        for part in np.split(np.arange(width), heads):
            scores = query[:, part] @ key[:, part].T / math.sqrt(width / heads)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            made.append(shares / shares.sum(-1, keepdims=True) @ value[:, part])
        return np.concatenate(made, axis=1)

    texts = []
    for own in np.split(ids, np.cumsum(lengths)[:-1]):
        if not own.size:
            continue
        rows = norm("embedding_norm", of["words"][own] + of["positions"][: own.size])
        for number in range(len(arrays)):
            layer = f"layers.{number}"
            if f"{layer}.up.weight" not in arrays:
                break
            mixed = linear(f"{layer}.output", attention(f"{layer}.query_key_value", rows))
            rows = norm(f"{layer}.output_norm", rows + mixed)
            wide = gelu(linear(f"{layer}.up", rows))
            rows = norm(f"{layer}.down_norm", rows + linear(f"{layer}.down", wide))
        if "transform.weight" in arrays:
            rows = norm("transform_norm", gelu(linear("transform", rows)))
        texts.append(rows)
    return np.concatenate([np.empty((0, of["words"].shape[1])), *texts])

"""Rounded tensors against values that are written out, and what makes none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from safetensors.numpy import save_file

from lsr.encoders.checkpoints.stored import packed, unpacked
from lsr.encoders.checkpoints.weights import Tensors
from lsr.errors import EncoderError
from support.changed import WEIGHTS

# The lowest bits come first, each q as q + 8.
PACKED = np.array([[0x76543210, 0x01234567], [0xFEDCBA98, 0x00000000]], np.uint32).view(np.int32)
INTEGERS = [[*range(-8, 0), *range(-1, -9, -1)], [*range(8), *[-8] * 8]]
SCALES = np.array([[0.5, 2], [1, 0.25]], np.float16)


def rounded() -> dict[str, Any]:
    return {
        "bytes.weight": np.array([[64, -64, 3], [0, 1, -127]], np.int8),
        "bytes.weight_scale": np.array([[0.5], [2]], np.float32),
        "packed.weight_packed": PACKED,
        "packed.weight_scale": SCALES,
        "packed.weight_shape": np.array([2, 16]),
    }


def test_rounded_tensors_are_integers_times_scales(tmp_path: Path) -> None:
    save_file(rounded() | {"plain": np.ones(2, np.float32)}, tmp_path / WEIGHTS)
    with Tensors(tmp_path, "Bird") as tensors:
        assert tensors.plain
        assert sorted(tensors.names) == ["bytes.weight", "packed.weight", "plain"]
        taken = tensors.take("bytes.weight", 2, 3)
        assert taken.tolist() == [[32, -32, 1.5], [0, 2, -254]]
        assert taken.dtype == np.float32
        expected = np.array(INTEGERS) * np.repeat(SCALES, 8, axis=1)
        assert tensors.take("packed.weight", 2, 16).tolist() == expected.tolist()
        tensors.take("plain", 2)
        tensors.check()


@given(
    st_numpy.arrays(
        np.int8,
        st.tuples(st.integers(0, 5), st.integers(1, 4).map((8).__mul__)),
        elements=st.integers(-8, 7),
    )
)
def test_packing_keeps_integers(integers: Any) -> None:
    assert packed(integers).shape == (len(integers), integers.shape[1] // 8)
    assert unpacked(packed(integers)).tolist() == integers.tolist()


@pytest.mark.parametrize(
    ("fault", "name", "wrong"),
    [
        ("not finite in", "bytes.weight_scale", np.array([[0.5], [np.nan]], np.float32)),
        ("not finite in", "bytes.weight_scale", np.array([[0.5], [0]], np.float32)),
        ("not finite in", "bytes.weight_scale", np.array([[0.5], [-1]], np.float32)),
        ("not finite in", "bytes.weight_scale", np.array([[1], [np.inf]], np.float32)),
        (
            "not finite in",
            "bytes.weight_scale",
            np.array([[3e38], [1]], np.float32),
        ),  # 64 times it is too large
        ("not finite in", "bytes.weight_scale", np.array([[1]], np.float32)),
        ("not finite in", "bytes.weight_scale", np.array([1, 1], np.float32)),
        ("not finite in", "bytes.weight_scale", np.ones((2, 0), np.float32)),
        ("not finite in", "bytes.weight_scale", np.ones((2, 2), np.float32)),
        ("not finite in", "packed.weight_scale", np.ones((2, 3), np.float16)),
        ("not finite in", "packed.weight_shape", np.array([2, 15])),
        ("not finite in", "packed.weight_shape", np.array([2])),
        ("left over .*", "bytes.weight_zero_point", np.zeros((2, 1), np.int8)),
        ("left over .*", "packed.weight", np.ones((2, 16), np.float32)),
        ("left over .*", "packed.weight_g_idx", np.arange(16)),
    ],
)
def test_what_makes_no_tensor_is_named(tmp_path: Path, fault: str, name: str, wrong: Any) -> None:
    save_file(rounded() | {name: wrong}, tmp_path / WEIGHTS)
    with Tensors(tmp_path, "Bird") as tensors:
        tensors.take("bytes.weight", 2, 3)
        tensors.take("packed.weight", 2, 16)
        with pytest.raises(EncoderError, match=f"{fault} ?{name.partition('_')[0]}"):
            tensors.check()


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("bytes.weight_scale", np.ones((2, 1), np.float64)),
        ("bytes.weight", np.ones((2, 3), np.uint8)),
        ("packed.weight_packed", PACKED.astype(np.int64)),
        ("packed.weight_packed", PACKED.reshape(-1)),
    ],
)
def test_integers_of_other_formats_are_not_plain(tmp_path: Path, name: str, other: Any) -> None:
    save_file(rounded() | {name: other}, tmp_path / WEIGHTS)
    with Tensors(tmp_path, "Bird") as tensors:
        assert not tensors.plain

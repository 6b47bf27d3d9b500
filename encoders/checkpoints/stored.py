"""Tensors as files hold them: as floats, or as integers with scales.

Rounded tensors have the names and shapes of compressed-tensors, symmetric and without zero points:

- `X.weight`, int8, with `X.weight_scale`, one a row or one a group of a row's columns;
- `X.weight_packed`, int32, each of eight integers of four bits, the lowest bits first, each q as
  q + 8, with `X.weight_scale` and `X.weight_shape`.

<https://github.com/vllm-project/compressed-tensors>
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

PACKED_BITS = 4
_IN_AN_INT = 32 // PACKED_BITS
_ZERO = 1 << (PACKED_BITS - 1)
_FLOATS = ("F32", "F16")
_SHIFTS = np.arange(0, 32, PACKED_BITS, dtype=np.uint32)


@dataclass(frozen=True)
class Stored:
    """A tensor of floats in a file of safetensors.

    Attributes:
        file: an open `safetensors.safe_open`.
        names: of the file's tensors that make it up; the first has the values.
    """

    file: Any
    names: tuple[str, ...]

    @property
    def plain(self) -> bool:
        """Whether its values are floats that NumPy has."""
        return _type_of(self.file, self.names[0]) in _FLOATS

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor as it is read."""
        return self._shape_of(self.names[0])

    def read(self) -> Array:
        """Its values; not finite, or of another shape, where those in the file make no tensor."""
        return self._values().astype(np.float32, copy=False)

    def _values(self) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = self.file.get_tensor(self.names[0])
        return values

    def _shape_of(self, name: str) -> tuple[int, ...]:
        return tuple(self.file.get_slice(name).get_shape())


class Rounded(Stored):
    """A tensor of 8-bit integers, with its scales."""

    @property
    def plain(self) -> bool:
        return _type_of(self.file, self.names[1]) in _FLOATS

    def read(self) -> Array:
        return scaled(self._values(), self.file.get_tensor(self.names[1]))


class Packed(Rounded):
    """A tensor of 4-bit integers, with its scales and its shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        # By the packed values: what the file calls the shape is compared with it by `read`.
        rows, columns = self._shape_of(self.names[0])
        return rows, columns * _IN_AN_INT

    def read(self) -> Array:
        shape: npt.NDArray[Any] = self.file.get_tensor(self.names[2])
        if tuple(shape.tolist()) != self.shape:
            return np.full(self.shape, np.nan, np.float32)
        return super().read()

    def _values(self) -> npt.NDArray[Any]:
        return unpacked(super()._values())


def tensors_of(file: Any) -> Iterator[tuple[str, Stored]]:
    """The tensors of an open file by name, rounded ones as `X.weight`."""
    names = set(file.keys())
    for name in sorted(names):
        if name.endswith(".weight_packed"):
            stem = name.removesuffix("_packed")
            parts = (name, f"{stem}_scale", f"{stem}_shape")
            matrix = _type_of(file, name) == "I32" and len(file.get_slice(name).get_shape()) == 2
            if matrix and names.issuperset(parts) and stem not in names:
                yield stem, Packed(file, parts)
                names.difference_update(parts)
        elif f"{name}_scale" in names and _type_of(file, name) == "I8":
            yield name, Rounded(file, (name, f"{name}_scale"))
            names.difference_update((name, f"{name}_scale"))
    for name in sorted(names):
        yield name, Stored(file, (name,))


def _type_of(file: Any, name: str) -> str:
    return str(file.get_slice(name).get_dtype())


def scaled(integers: npt.NDArray[Any], scales: npt.NDArray[Any]) -> Array:
    """Integers (rows, columns) times scales (rows, groups), each of as many columns; float32.

    Not numbers where the scales do not fit, or are not finite and above zero.
    """
    fits = (
        scales.ndim == integers.ndim == 2
        and scales.shape[0] == integers.shape[0]
        and scales.shape[1] > 0
        and integers.shape[1] % scales.shape[1] == 0
    )
    if not fits or not ((scales > 0) & np.isfinite(scales)).all():
        return np.full(integers.shape, np.nan, np.float32)
    with np.errstate(over="ignore"):  # the caller looks for what is not finite
        grouped = integers.reshape(*scales.shape, -1) * scales.astype(np.float32)[:, :, None]
    return np.asarray(grouped.reshape(integers.shape), np.float32)


def packed(integers: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """Integers from -8 to 7, (rows, a multiple of 8), eight in each of the result's."""
    nibbles = (integers.astype(np.int32) + _ZERO).astype(np.uint32)
    lanes = nibbles.reshape(len(nibbles), nibbles.shape[1] // _IN_AN_INT, _IN_AN_INT) << _SHIFTS
    return np.ascontiguousarray(lanes.sum(-1, dtype=np.uint32)).view(np.int32)


def unpacked(integers: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
    """The inverse of `packed`."""
    rows, columns = integers.shape
    nibbles = integers.view(np.uint32)[:, :, None] >> _SHIFTS & np.uint32(2 * _ZERO - 1)
    return (nibbles.astype(np.int8) - np.int8(_ZERO)).reshape(rows, columns * _IN_AN_INT)


def with_scale(name: str, values: npt.NDArray[Any], scales: Array) -> Mapping[str, Any]:
    """The tensors of a file for the weight `name`, which 8-bit or packed integers make up."""
    kind = "" if values.dtype == np.int8 else "_packed"
    tensors = {f"{name}{kind}": values, f"{name}_scale": scales}
    if kind:
        shape = (len(values), values.shape[1] * _IN_AN_INT)
        tensors[f"{name}_shape"] = np.array(shape, np.int64)
    return tensors

"""Encoding, compiled from encoders/kernels/."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

class NotFinite(Exception): ...

def available_isas() -> list[str]: ...
def largest_products(
    isa: str, weight: npt.NDArray[np.float32], hidden: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]: ...

class WordPiece:
    """Text to token ids."""

    def __init__(
        self,
        pieces: dict[str, int],
        continuing: str,
        characters: list[tuple[int, str]],
        whole: list[str],
        unknown: str,
        longest_word: int,
    ) -> None: ...
    def encode(
        self, texts: list[str], before: list[int], most: int, after: list[int]
    ) -> list[npt.NDArray[np.uint32] | None]: ...

class Bert:
    """Token ids to hidden states."""

    def __init__(
        self,
        isa: str,
        precision: int,
        layers: int,
        heads: int,
        epsilon: float,
        arrays: dict[str, npt.NDArray[Any]],
    ) -> None: ...
    def hidden(
        self,
        ids: npt.NDArray[np.uint32],
        lengths: npt.NDArray[np.int64],
        after: Sequence[int] = (),
    ) -> npt.NDArray[np.float32]: ...
    def rows(
        self,
        head: Head,
        ids: npt.NDArray[np.uint32],
        lengths: npt.NDArray[np.int64],
        pooling: int,
        activation: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...

class Head:
    """Hidden states to pooled term weights."""

    def __init__(
        self, isa: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> None: ...
    def pool(
        self,
        hidden: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
        pooling: int,
        activation: int,
        screened: bool = True,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...
    def fit(
        self,
        basis: npt.NDArray[np.float32],
        inverse: npt.NDArray[np.float32],
        mean: npt.NDArray[np.float32],
        hidden: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
    ) -> None: ...

"""Search and the order of documents, compiled from index/kernels/."""

from typing import Any

import numpy as np
import numpy.typing as npt

class Damaged(Exception): ...
class QueryTooLong(Exception): ...

def available_isas() -> list[str]: ...

class Postings:
    """The windows of an index, in order."""

    def __init__(
        self,
        positions: npt.NDArray[np.uint32],
        alive: npt.NDArray[np.uint8],
        bits: int,
        step: float,
        error: float,
    ) -> None: ...
    def add(self, count: int, columns: dict[str, npt.NDArray[Any]]) -> None: ...
    def quantize(
        self,
        indptr: npt.NDArray[np.int64],
        terms: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.float32],
    ) -> tuple[
        npt.NDArray[np.int64],
        npt.NDArray[np.uint32],
        npt.NDArray[np.int32],
        npt.NDArray[np.float64],
    ]: ...
    def search(
        self,
        indptr: npt.NDArray[np.int64],
        terms: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.float32],
        k: int,
        method: int,
        isa: str,
        exact_floats: bool,
    ) -> tuple[list[int], npt.NDArray[np.uint32], npt.NDArray[np.float64]]: ...
    def lookup(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.uint32]: ...
    def lookup_floats(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.float32]: ...
    def vector(
        self, document: int
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...

class Bisection:
    """Documents to be ordered by the terms they share."""

    def __init__(self, strongest: int) -> None: ...
    def add(
        self,
        indptr: npt.NDArray[np.int64],
        terms: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.float32],
    ) -> None: ...
    def split(self, order: npt.NDArray[np.uint32], begin: int, end: int) -> None: ...
    def finish(self, order: npt.NDArray[np.uint32], begin: int, end: int) -> None: ...

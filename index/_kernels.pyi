"""The compiled module built from index/kernels/."""

import numpy as np
import numpy.typing as npt

class Damaged(Exception): ...

def available_isas() -> list[str]: ...

class Postings:
    """The windows of an index, in order."""

    def __init__(
        self, positions: npt.NDArray[np.uint32], alive: npt.NDArray[np.uint8], wide: bool
    ) -> None: ...
    def add(
        self,
        first: int,
        count: int,
        terms: npt.NDArray[np.uint32],
        starts: npt.NDArray[np.uint32],
        maxima: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
        rows: npt.NDArray[np.int32],
        documents: npt.NDArray[np.uint16],
        weights: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
        blocks: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
        row_length: int,
    ) -> None: ...
    def add_floats(self, window: int, floats: npt.NDArray[np.float32]) -> None: ...
    def term_maxima(self, terms: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]: ...
    def search(
        self,
        indptr: npt.NDArray[np.int64],
        terms: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.int32],
        k: int,
        floors: npt.NDArray[np.uint32],
        method: int,
        isa: str,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.uint32]]: ...
    def lookup(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.uint32]: ...
    def lookup_floats(
        self, documents: npt.NDArray[np.uint32], terms: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.float32]: ...

"""The words of the terms and an encoder's columns beside them, in one mapped Arrow file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lsr.errors import IndexCorrupt
from lsr.storage.arrow import ArrowFile, Columns, SortedStrings, write_arrow

VOCABULARY = "vocabulary"  # how the names of the files begin


def write_vocabulary(path: Path, words: Sequence[str], term_columns: Columns) -> None:
    """Write the words, one a term, and columns of uint32 with one value each."""
    column = pa.array(words, pa.large_string())
    by_word = pc.sort_indices(column).cast(pa.uint32())
    columns: Mapping[str, pa.Array] = {
        name: pa.array(values) for name, values in term_columns.items()
    }
    write_arrow(path, {"word": column, "by_word": by_word, **columns})


def read_vocabulary(path: Path, size: int, words: int) -> tuple[SortedStrings, Columns]:
    """The words and the further columns of a file of `size` bytes and so many words.

    Raises `IndexCorrupt` when it is not that.
    """
    file = ArrowFile(path, size=size, batches=1)
    extra = {name: np.uint32 for name in file.names if name not in ("word", "by_word")}
    columns = file.numbers(0, by_word=np.uint32, **extra)
    strings = SortedStrings(file.strings(0, "word"), columns.pop("by_word"))
    if len(strings) != words:
        raise IndexCorrupt(path, f"it has {len(strings):,} words instead of {words:,}")
    return strings, columns

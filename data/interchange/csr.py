"""The sparse matrices of big-ann-benchmarks, a plain file of compressed sparse rows.

    FILE    = rows:i64 columns:i64 entries:i64 START{rows + 1} TERM{entries} WEIGHT{entries}
    START   = i64                       the first entry of a row; the last is `entries`
    TERM    = i32                       0 to columns - 1
    WEIGHT  = f32

All little-endian.  Source: `write_sparse_matrix` and `read_sparse_matrix_fields` in
`benchmark/dataset_io.py` of harsha-simhadri/big-ann-benchmarks; terms of a row need not ascend.
FILE.ids and FILE.words stand beside it (`lsr.data.interchange.matrix`).
Memory: a chunk; the file is mapped for reading, and written in one pass at three places.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from lsr.data.corpus import Chunk
from lsr.data.interchange.base import Source, columns, damaged, walk
from lsr.data.interchange.matrix import MatrixReader, ids_beside
from lsr.errors import CorpusError, LsrError
from lsr.progress import Progress

_HEADER = 3 * 8
_MOST_COLUMNS = 2**31
_KINDS = ("<i8", "<i4", "<f4")


def write(
    file: IO[bytes], path: Path, source: Source, scale: float | None, progress: type[Progress]
) -> str:
    """Write all documents; `LsrError` for a term id beyond 31 bits."""
    width = columns(source, progress)
    if width > _MOST_COLUMNS:
        raise LsrError(
            f"csr holds term ids up to {_MOST_COLUMNS - 1:,}, and there are {width - 1:,}; export "
            "to npz"
        )
    # Where the next start, term and weight go.
    offsets = np.cumsum([_HEADER, 8 * (source.documents + 1), 4 * source.postings])
    file.write(np.array([source.documents, width, source.postings, 0], "<i8").tobytes())
    offsets[0] += 8
    done = 0
    with ids_beside(path, source) as (write_ids, note):
        for chunk in walk(source, "Writing", progress):
            vectors = chunk.vectors
            parts = (vectors.indptr[1:] + done, vectors.terms, vectors.weights)
            for part, (kind, values) in enumerate(zip(_KINDS, parts, strict=True)):
                file.seek(int(offsets[part]))
                offsets[part] += file.write(values.astype(kind).tobytes())
            done += vectors.terms.size
            write_ids(chunk.ids)
    return note


class Reader(MatrixReader):
    """Rows of a mapped file."""

    def __iter__(self) -> Iterator[Chunk]:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(0)
                header = file.read(_HEADER)
        except OSError as error:
            raise CorpusError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(header) < _HEADER:
            damaged(self._path, "is not a csr file: it is shorter than a header")
        rows, width, entries = np.frombuffer(header, "<i8").tolist()
        if (
            min(rows, width, entries) < 0
            or width > _MOST_COLUMNS
            or size != _HEADER + 8 * (rows + 1) + 8 * entries
        ):
            damaged(
                self._path,
                f"is not a csr file, or was cut short: it has {size:,} bytes and declares "
                f"{rows:,} rows, {width:,} columns and {entries:,} entries",
            )
        at = _HEADER
        arrays = []
        for kind, count in zip(_KINDS, (rows + 1, entries, entries), strict=True):
            # Nothing cannot be mapped.
            mapped = np.memmap(self._path, kind, "r", at, (count,)) if count else np.empty(0, kind)
            arrays.append(mapped)
            at += mapped.nbytes
        indptr, terms, weights = arrays
        self._check_starts(indptr, entries)
        yield from self._chunks(indptr, width, lambda a, b: (terms[a:b], weights[a:b]))


reader = Reader

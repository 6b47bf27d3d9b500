"""SciPy's compressed sparse rows, as `scipy.sparse.save_npz` writes and `load_npz` reads them.

    FILE    = zip(format.npy shape.npy indptr.npy indices.npy data.npy)
    format  = bytes                     "csr"
    shape   = i64 i64                   rows, columns
    indptr  = INT{rows + 1}             the first entry of each row, and the end of the last
    indices = INT{entries}              term ids
    data    = f32{entries}              when reading, any kind of number
    INT     = i32 | i64                 i64 where i32 does not reach

Every member is an array in NumPy's .npy format, version 1.0 when written.  Source: the function
`save_npz` of SciPy 1.17.  Members are written uncompressed, and may be compressed when read.
Nothing is unpickled.  FILE.ids and FILE.words stand beside it (`lsr.data.interchange.matrix`).
Memory: a chunk, and 8 bytes a row; written in two passes.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Chunk
from lsr.data.interchange.base import Source, columns, damaged, walk
from lsr.data.interchange.matrix import MatrixReader, ids_beside
from lsr.errors import CorpusError, first_line
from lsr.progress import Progress

_NPY = np.lib.format
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what NumPy writes
_MOST_PACKED = 1100  # deflate makes at most 1,032 bytes of one
# What zipfile raises over foreign bytes; the last two stand for encryption and the like.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError),
    *(NotImplementedError, RuntimeError),
)


def write(
    file: IO[bytes], path: Path, source: Source, scale: float | None, progress: type[Progress]
) -> str:
    """Write all documents."""
    width = columns(source, progress)
    short = max(width, source.postings) <= np.iinfo(np.int32).max
    kind = "<i4" if short else "<i8"
    starts = [np.zeros(1, np.int64)]
    with ids_beside(path, source) as (write_ids, note), zipfile.ZipFile(file, "w") as archive:
        with _member(archive, "indices", kind, source.postings) as member:
            for chunk in walk(source, "Writing terms", progress):
                member.write(chunk.vectors.terms.astype(kind).tobytes())
                starts.append(chunk.vectors.indptr[1:] + starts[-1][-1])
                write_ids(chunk.ids)
        with _member(archive, "indptr", kind, source.documents + 1) as member:
            member.write(np.concatenate(starts).astype(kind).tobytes())
        with _member(archive, "data", "<f4", source.postings) as member:
            for chunk in walk(source, "Writing weights", progress):
                member.write(chunk.vectors.weights.astype("<f4").tobytes())
        with _member(archive, "shape", "<i8", 2) as member:
            member.write(np.array([source.documents, width], "<i8").tobytes())
        with _member(archive, "format", "|S3") as member:
            member.write(b"csr")
    return note


def _member(archive: zipfile.ZipFile, name: str, kind: str, *shape: int) -> IO[bytes]:
    """A new member of the archive with the header of an array."""
    # A ZipInfo has a fixed date: the same vectors make the same bytes.
    member = archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    _NPY.write_array_header_1_0(member, header)
    return member


class Reader(MatrixReader):
    """Rows of the archive, read as a stream."""

    def __iter__(self) -> Iterator[Chunk]:
        try:
            with zipfile.ZipFile(self._path) as archive, ExitStack() as closing:
                yield from self._read(archive, closing)
        except OSError as error:
            raise CorpusError(f"{self._path} cannot be read: {error.strerror}") from error
        except _UNREADABLE as error:
            damaged(self._path, f"is not a readable npz file ({error})")

    def _read(self, archive: zipfile.ZipFile, closing: ExitStack) -> Iterator[Chunk]:
        open_member = partial(self._member, archive, closing)
        form = open_member("format", "S", 1).read().tobytes()
        if form != b"csr":
            raise CorpusError(
                f"{self._path} holds a matrix in the form {form.decode('latin-1')!r}; save its "
                "tocsr() instead"
            )
        rows, width = open_member("shape", "iu", 2).read().tolist()
        indptr = open_member("indptr", "iu", rows + 1).read().astype(np.int64)
        terms = open_member("indices", "iu")
        weights = open_member("data", "fiu", terms.size)
        self._check_starts(indptr, terms.size)
        yield from self._chunks(
            indptr, width, lambda a, b: (terms.read(b - a), weights.read(b - a))
        )
        # With its last item read, the checksum of a member has been compared.

    def _member(
        self,
        archive: zipfile.ZipFile,
        closing: ExitStack,
        name: str,
        kinds: str,
        size: int | None = None,
    ) -> _Member:
        try:
            info = archive.getinfo(f"{name}.npy")
        except KeyError:
            raise CorpusError(
                f"{self._path} has no {name}.npy, so it is not a sparse matrix of SciPy; write one "
                "with scipy.sparse.save_npz"
            ) from None
        if info.compress_type not in _PACKED:
            raise CorpusError(
                f"{self._path} is compressed in a way that SciPy does not write; write it again "
                "with scipy.sparse.save_npz"
            )
        member = _Member(closing.enter_context(archive.open(info)), info, kinds)
        if member.problem is None and size not in (None, member.size):
            member.problem = f"has {member.size:,} items instead of {size:,}"
        if member.problem is not None:
            damaged(self._path, f"is not a matrix of rows: its {name}.npy {member.problem}")
        return member


class _Member:
    """An array in the archive, read from its start on.

    Attributes:
        kind, size: of its items, and how many.
        problem: why it cannot be read; None when it can.
    """

    def __init__(self, stream: IO[bytes], info: zipfile.ZipInfo, kinds: str) -> None:
        self._stream = stream
        self.kind, self.size = np.dtype(np.uint8), 0
        self.problem: str | None = None
        try:
            version = _NPY.read_magic(stream)
            parse = {(1, 0): _NPY.read_array_header_1_0, (2, 0): _NPY.read_array_header_2_0}
            shape, _, self.kind = parse[version](stream)
        except Exception as error:  # whatever foreign bytes provoke in NumPy's parser
            self.problem = f"has no header ({first_line(error)})"
            return
        self.size = math.prod(shape)
        size = stream.tell() + self.size * self.kind.itemsize
        fits = info.file_size == size <= _MOST_PACKED * info.compress_size
        if self.kind.kind not in kinds:
            self.problem = f"is of {self.kind}"
        elif len(shape) > 1:
            self.problem = f"has the shape {shape}"
        elif self.kind.itemsize == 0 or not fits:
            self.problem = f"does not have the {self.size:,} items that it declares"

    def read(self, count: int | None = None) -> npt.NDArray[Any]:
        """The next items, or all that are left; raises `EOFError` when they are cut short."""
        size = self.kind.itemsize
        data = self._stream.read(-1 if count is None else count * size)
        if len(data) % size or len(data) < (count or 0) * size:
            raise EOFError("cut short")
        return np.frombuffer(data, self.kind)


reader = Reader

"""Arrow IPC files as NumPy columns: written batch by batch, mapped without copying.

Nothing read from a file is trusted: lengths, types and addresses are compared with what
the file can hold before an array over it is made.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lsr.errors import IndexCorrupt, SystemCallError, first_line

Columns = dict[str, npt.NDArray[Any]]


Write: TypeAlias = Callable[[Mapping[str, Any]], None]


@contextmanager
def arrow_writer(path: Path, schema: pa.Schema, compression: str | None = None) -> Iterator[Write]:
    """Write a new Arrow IPC file and flush it to the disk at the end.

    Gives a function that appends a batch: one array a column of the schema, all of one length.
    """
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with path.open("wb") as file:
        with pa.ipc.new_file(file, schema, options=options) as writer:

            def write(columns: Mapping[str, Any]) -> None:
                arrays = [pa.array(columns[field.name], field.type) for field in schema]
                writer.write_batch(pa.record_batch(arrays, schema=schema))

            yield write
        file.flush()
        os.fsync(file.fileno())


def write_arrow(path: Path, columns: Mapping[str, pa.Array]) -> None:
    """Write one batch of Arrow arrays to a new file."""
    schema = pa.schema([(name, array.type) for name, array in columns.items()])
    with arrow_writer(path, schema) as write:
        write(columns)


def map_file(path: Path) -> pa.Buffer:
    """The bytes of a file, mapped.

    The mapping keeps them readable when the file is replaced or removed, and holds no descriptor:
    a process may have a thousand of these and tens of thousands of mappings.  Raises
    `FileNotFoundError`, and `SystemCallError` for every other refusal of the system.
    """
    try:
        if path.stat().st_size == 0:  # nothing that could be mapped
            return pa.py_buffer(b"")
        with pa.memory_map(os.fsencode(path)) as source:  # a name need not be UTF-8
            return source.read_buffer()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except OSError as error:
        if error.errno is not None:
            raise SystemCallError("opened", path, error) from error
        # Arrow has the number of the error for a file that it cannot open, and only the text of it
        # for a mapping that it cannot make.
        reason = str(error).rpartition(": ")[2]
        numbers = {os.strerror(number): number for number in errno.errorcode}
        refused = OSError(numbers.get(reason, 0), reason, str(path))
        raise SystemCallError("mapped", path, refused) from error


class ArrowFile:
    """A memory-mapped Arrow IPC file.

    Raises `IndexCorrupt` when the file is missing, has another size than `size` bytes, is
    no Arrow file, or holds another number of batches than `batches`; `SystemCallError` when the
    system does not let it be opened.
    """

    def __init__(self, path: Path, *, size: int, batches: int | None = None) -> None:
        self.path = path
        try:
            whole = map_file(path)
        except FileNotFoundError:
            raise IndexCorrupt(path, "the file is missing") from None
        if whole.size != size:
            raise IndexCorrupt(path, f"it has {whole.size:,} bytes instead of {size:,}")
        try:
            self._reader = pa.ipc.open_file(pa.BufferReader(whole))
            self.names: list[str] = self._reader.schema.names
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise IndexCorrupt(path, _reason(error)) from None
        self._range = (whole.address, whole.address + size)
        if batches is not None and self._reader.num_record_batches != batches:
            raise IndexCorrupt(
                path, f"it holds {self._reader.num_record_batches} batches instead of {batches}"
            )

    @property
    def batches(self) -> int:
        count: int = self._reader.num_record_batches
        return count

    def read(self, batch: int) -> pa.RecordBatch:
        """One batch, its shape checked but not its values."""
        try:
            record = self._reader.get_batch(batch)
            record.validate()
        except (pa.ArrowException, OSError, IndexError) as error:
            raise IndexCorrupt(self.path, _reason(error)) from None
        return record

    def numbers(self, batch: int, **dtypes: npt.DTypeLike) -> Columns:
        """Numeric columns of a batch as read-only arrays over the mapped file."""
        record = self.read(batch)
        return {name: self._number(record, name, np.dtype(d)) for name, d in dtypes.items()}

    def vectors(self, batch: int, name: str, width: int) -> npt.NDArray[np.float32]:
        """A column of lists of `width` float32 as a read-only matrix over the mapped file."""
        record = self.read(batch)
        column = self._column(record, name, pa.list_(pa.float32(), width))
        values = column.values
        if column.null_count or values.null_count:
            raise IndexCorrupt(self.path, f"column {name!r} has empty cells")
        first, count = values.offset + column.offset * width, len(column) * width
        flat = self._view(values.buffers()[1], np.dtype(np.float32), first, count, name)
        return flat.reshape(len(column), width)

    def strings(self, batch: int, name: str) -> Strings:
        """A string column of a batch, read from the mapped file a value at a time."""
        column = self._column(self.read(batch), name, pa.large_string())
        _, offsets, data = column.buffers()
        bounds = self._view(offsets, np.dtype(np.int64), column.offset, len(column) + 1, name)
        size = data.size if data is not None else 0
        return Strings(self.path, name, bounds, self._view(data, np.dtype(np.uint8), 0, size, name))

    def _number(self, record: pa.RecordBatch, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        column = self._column(record, name, pa.from_numpy_dtype(dtype))
        return self._view(column.buffers()[1], dtype, column.offset, len(column), name)

    def _column(self, record: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
        if self.names.count(name) != 1:
            raise IndexCorrupt(self.path, f"it has no column {name!r}")
        column = record.column(self.names.index(name))
        if column.type != kind:
            raise IndexCorrupt(self.path, f"column {name!r} is {column.type}, not {kind}")
        return column

    def _view(
        self, buffer: pa.Buffer | None, dtype: np.dtype[Any], offset: int, count: int, name: str
    ) -> npt.NDArray[Any]:
        if count == 0 or buffer is None:
            if count:
                raise IndexCorrupt(self.path, f"column {name!r} has no data")
            return np.empty(0, dtype)
        low, high = self._range
        if buffer.address < low or buffer.address + buffer.size > high:
            raise IndexCorrupt(self.path, f"column {name!r} reaches beyond the file")
        if buffer.address % dtype.itemsize:
            raise IndexCorrupt(self.path, f"column {name!r} is not aligned")
        if offset < 0 or (offset + count) * dtype.itemsize > buffer.size:
            raise IndexCorrupt(self.path, f"column {name!r} is shorter than its length")
        return np.frombuffer(buffer, dtype, count, offset * dtype.itemsize)


class Strings:
    """A column of strings over mapped memory, decoded when asked for."""

    def __init__(
        self, path: Path, name: str, bounds: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]
    ) -> None:
        self._path, self._name = path, name
        self._bounds, self._data = bounds, data

    def __len__(self) -> int:
        return max(0, self._bounds.size - 1)

    def bytes(self, row: int) -> bytes:
        """The UTF-8 bytes of a row."""
        if not 0 <= row < len(self):
            raise IndexCorrupt(self._path, f"it has {len(self)} rows, and no row {row}")
        start, end = int(self._bounds[row]), int(self._bounds[row + 1])
        if not 0 <= start <= end <= self._data.size:
            raise IndexCorrupt(self._path, f"row {row} of column {self._name!r} lies outside it")
        return self._data[start:end].tobytes()

    def __getitem__(self, row: int) -> str:
        try:
            return self.bytes(row).decode()
        except UnicodeDecodeError:
            raise IndexCorrupt(
                self._path, f"row {row} of column {self._name!r} is not UTF-8"
            ) from None


class SortedStrings:
    """Distinct strings that can be looked up both ways without loading them.

    `order` lists the rows in the byte order of their strings; a search by value is a binary
    search over the mapped file, so opening a table of millions costs nothing.
    """

    def __init__(self, strings: Strings, order: npt.NDArray[np.uint32]) -> None:
        self._strings, self._order = strings, order

    def __len__(self) -> int:
        return len(self._strings)

    def __getitem__(self, row: int) -> str:
        return self._strings[row]

    def in_order(self) -> bool:
        """Whether `order` lists every row once, by strictly ascending strings."""
        values = map(self._strings.bytes, self._order.tolist())
        return self._order.size == len(self) and all(a < b for a, b in pairwise(values))

    def find(self, word: str) -> int | None:
        """The row of a string, or None."""
        try:
            wanted = word.encode()
        except UnicodeEncodeError:  # a lone surrogate is in no file
            return None
        number = bisect_left(self._order, wanted, key=lambda row: self._strings.bytes(int(row)))
        if number == self._order.size:
            return None
        row = int(self._order[number])
        return row if self._strings.bytes(row) == wanted else None


def _reason(error: Exception) -> str:
    return first_line(error) or type(error).__name__

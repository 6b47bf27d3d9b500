"""Writing a segment: documents and their vectors stream in, Arrow files come out.

Memory: the partition being filled and those being inverted, about 40 bytes an entry, and no more
entries than `max_memory` allows (a partition is closed early when they would not fit); and
for the whole collection its external ids (their bytes and about 16 more each) and 8 bytes
a document.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lsr.index.format import DENSE_TERM, PARTITION, STORED_BATCH, SegmentEntry
from lsr.index.postings.blocks import gathered, partition_columns, split_terms
from lsr.index.postings.inversion import Inverted
from lsr.index.postings.lists import list_columns
from lsr.index.segments.schema import ALIVE, DOCUMENTS, STORED, partition_schemas
from lsr.storage.arrow import Columns, arrow_writer
from lsr.vectors import SparseVectors

BYTES_PER_ENTRY = 40
_SMALLEST_PARTITION = 1 << 16  # entries; below it a partition's fixed costs dominate


class SegmentWriter:
    """Writes one segment directory from documents in stored order.

    Args:
        directory: created; must not exist.
        bits, step: of the quantizer; with 1 bit all weights must be `step`.
        keep_floats: also write the weights as floats; not with 1 bit.
        keep_text: also write titles and texts.
        max_memory: bytes the partitions being worked on may take.
        threads: partitions inverted at once.
        partition: most documents of a partition; readers take no more than the default.
        density: a term in at least one of so many documents of a partition is dense.
        smallest: entries that a partition may have whatever `max_memory` is.

    `error` is the largest quantization error so far.  Use as a context manager; `finish`
    completes the files.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bits: int,
        step: float,
        keep_floats: bool,
        keep_text: bool,
        max_memory: int,
        threads: int = 1,
        partition: int = PARTITION,
        density: int = DENSE_TERM,
        smallest: int = _SMALLEST_PARTITION,
    ) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._step, self._bits = step, bits
        self._partition, self._density = partition, density
        self._files = ExitStack()
        schemas = partition_schemas(bits, keep_floats)
        self._writers = {
            name: self._files.enter_context(arrow_writer(directory / f"{name}.arrow", schema))
            for name, schema in schemas.items()
        }
        if keep_text:
            stored = arrow_writer(
                directory / "stored.arrow", pa.schema(list(STORED.items())), compression="zstd"
            )
            self._writers["stored"] = self._files.enter_context(stored)
        # The partition being filled, and those being inverted.
        self._most_entries = max(smallest, max_memory // (BYTES_PER_ENTRY * (threads + 1)))
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._inverting: deque[Future[tuple[dict[str, Columns], float]]] = deque()
        self._ids: list[pa.Array] = []
        self._positions: list[npt.NDArray[np.uint32]] = []
        self._counts: list[npt.NDArray[np.uint32]] = []
        self._stored: tuple[list[str], list[str]] = ([], [])
        self._open: list[SparseVectors] = []
        self._open_documents = self._open_entries = 0
        self._partitions: list[int] = []
        self._postings = 0
        self.error = 0.0

    def add(
        self,
        ids: Sequence[str],
        vectors: SparseVectors,
        positions: npt.NDArray[np.uint32],
        titles: Sequence[str] | None = None,
        texts: Sequence[str] | None = None,
    ) -> None:
        """Append documents, one a row of `vectors`; `positions` break ties between them."""
        vectors = vectors.where(vectors.weights > 0)  # a weight of 0 is no posting
        self._ids.append(pa.array(ids, pa.large_string()))
        self._positions.append(positions)
        self._counts.append(np.diff(vectors.indptr).astype(np.uint32))
        if titles is not None and texts is not None:
            self._stored[0].extend(titles)
            self._stored[1].extend(texts)
            while len(self._stored[0]) >= STORED_BATCH:
                self._write_stored(STORED_BATCH)
        start = 0
        while start < len(vectors):
            stop = self._fitting(vectors, start)
            if stop == start:
                self._close_partition()
                continue
            rows = vectors[start:stop]
            self._open.append(rows)
            self._open_documents += len(rows)
            self._open_entries += rows.terms.size
            start = stop

    def finish(self) -> SegmentEntry:
        """Write what is open and the documents' columns."""
        if self._open_documents:
            self._close_partition()
        while self._inverting:
            self._write_partition()
        self._pool.shutdown()
        if self._stored[0]:
            self._write_stored(STORED_BATCH)
        self._files.close()
        ids = pa.concat_arrays(self._ids) if self._ids else pa.array([], pa.large_string())
        counts = np.concatenate([np.empty(0, np.uint32), *self._counts])
        positions = np.concatenate([np.empty(0, np.uint32), *self._positions])
        alive = np.packbits(np.ones(counts.size, np.uint8), bitorder="little")
        for name, columns, values in (
            (
                "documents",
                DOCUMENTS,
                [ids, pc.sort_indices(ids).cast(pa.uint32()), positions, counts],
            ),
            ("alive", ALIVE, [alive]),
        ):
            path = self._directory / f"{name}.arrow"
            with arrow_writer(path, pa.schema(list(columns.items()))) as write:
                write(dict(zip(columns, values, strict=True)))
        return SegmentEntry(self._directory.name, self._partitions, self._postings)

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._pool.shutdown(cancel_futures=True)
            self._files.__exit__(kind, error, trace)

    def _fitting(self, vectors: SparseVectors, start: int) -> int:
        """The end of the rows from `start` on that the open partition can still take."""
        room = max(0, self._most_entries - self._open_entries)  # one long document may exceed it
        by_entries = np.searchsorted(vectors.indptr, vectors.indptr[start] + room, "right") - 1
        stop = min(int(by_entries), start + self._partition - self._open_documents, len(vectors))
        if stop == start and not self._open_documents:
            return start + 1  # a partition takes at least one document, however long
        return stop

    def _close_partition(self) -> None:
        entries = SparseVectors.concatenate(self._open)
        self._open.clear()
        self._partitions.append(len(entries))
        self._postings += entries.terms.size
        self._open_documents = self._open_entries = 0
        while len(self._inverting) >= self._threads:
            self._write_partition()
        self._inverting.append(self._pool.submit(self._invert, entries))

    def _invert(self, entries: SparseVectors) -> tuple[dict[str, Columns], float]:
        """The batches of a partition, and its largest quantization error."""
        documents = len(entries)
        owners = entries.row_of_entry(np.uint16)
        inverted = Inverted(
            entries.terms, owners, entries.weights, step=self._step, bits=self._bits
        )
        if self._bits == 1:
            files = list_columns(inverted.terms, inverted.starts, inverted.documents, documents)
            return files, inverted.error
        files = partition_columns(
            inverted.terms,
            inverted.starts,
            inverted.maxima,
            inverted.documents,
            inverted.weights,
            documents,
            density=self._density,
        )
        if "floats" in self._writers:
            runs = np.concatenate(split_terms(inverted.starts, documents, self._density))
            floats = entries.weights[inverted.order]
            files["floats"] = {"weight": gathered(runs, inverted.starts, floats)}
        return files, inverted.error

    def _write_partition(self) -> None:
        files, error = self._inverting.popleft().result()
        for name, columns in files.items():
            if name in self._writers:  # ranks are for floats only
                self._writers[name](columns)
        self.error = max(self.error, error)

    def _write_stored(self, count: int) -> None:
        titles, texts = self._stored
        self._writers["stored"]({"title": titles[:count], "text": texts[:count]})
        del titles[:count], texts[:count]

"""The vectors of an index read back: document by document, in the order given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lsr.data.corpus import Chunk
from lsr.data.vectors.rows import RowStore
from lsr.errors import IndexCorrupt, VectorError
from lsr.index.format import STORED_BATCH
from lsr.index.postings.decoding import decode
from lsr.index.reader import IndexReader
from lsr.index.segments.reader import Segment
from lsr.progress import Progress
from lsr.storage.arrow import SortedStrings
from lsr.vectors import SparseVectors

_TAKEN = 2048  # documents given at a time


class IndexVectors:
    """The documents of an index in the order they were given to it.

    Weights are those the index stores, or those given to it where it keeps them.

    Args:
        scratch: a file to be written, which the caller removes: an index is stored term by term and
            in another order, so its documents are written there first, with 8 bytes a posting
            and their texts.

    Attributes:
        documents, postings: how many there are.
        words: the word of each term; None when they are not known.

    Raises `IndexCorrupt` when the index cannot be read.
    """

    def __init__(self, index: IndexReader, scratch: Path, progress: type[Progress]) -> None:
        self.documents, self.postings = index.manifest.documents, index.manifest.postings
        self.words: SortedStrings | None = index.words
        stored = _Stored(index, None if self.words is None else len(self.words))
        self._order = np.argsort(stored.positions, kind="stable").astype(np.uint32)
        self._rows = RowStore(scratch, stored, progress)

    def chunks(self) -> Iterator[Chunk]:
        """The documents, some thousand at a time."""
        for start in range(0, self.documents, _TAKEN):
            yield self._rows.take(self._order[start : start + _TAKEN])


class _Stored:
    """The documents of an index in the order it stores them, a partition at a time."""

    def __init__(self, index: IndexReader, words: int | None) -> None:
        self.path, self._words = index.path, words
        self.documents = index.manifest.documents
        self.keeps_text = "text" in index.manifest.kept
        self._step = index.manifest.step
        self._segments = index.segments
        self.positions = np.concatenate(
            [np.empty(0, np.uint32), *(segment.positions for segment in self._segments)]
        )

    def chunks(self) -> Iterator[Chunk]:
        for segment in self._segments:
            texts = self._texts(segment)
            first = 0
            for number, count in enumerate(segment.entry.partitions):
                ids = [segment.ids[row] for row in range(first, first + count)]
                both = [next(texts) for _ in ids] if self.keeps_text else []
                yield Chunk(
                    ids,
                    [title for title, _ in both] if self.keeps_text else None,
                    [text for _, text in both] if self.keeps_text else None,
                    self._rows(segment, number, count),
                )
                first += count

    def _rows(self, segment: Segment, partition: int, count: int) -> SparseVectors:
        """The postings of a partition by document."""
        try:
            postings = decode(segment.partition(partition), count)
            if postings.documents.max(initial=0) >= count:
                raise ValueError("a posting is of a document beyond its end")
            if self._words is not None and postings.terms.max(initial=0) >= max(self._words, 1):
                raise ValueError(f"it has the term {postings.terms.max()}, which has no word")
            lengths = np.bincount(postings.documents, minlength=count)
            terms = np.repeat(postings.terms, np.diff(postings.starts))
            weights = postings.floats
            if weights is None:
                weights = (postings.weights * self._step).astype(np.float32)
            by_document = np.argsort(postings.documents.astype(np.uint16), kind="stable")
            return SparseVectors(
                np.concatenate([[0], np.cumsum(lengths)]), terms[by_document], weights[by_document]
            )
        except (ValueError, VectorError) as error:
            raise IndexCorrupt(segment.path, f"partition {partition}: {error}") from None

    def _texts(self, segment: Segment) -> Iterator[tuple[str, str]]:
        for batch in range(-(-segment.entry.documents // STORED_BATCH)):
            yield from segment.stored_batch(batch)

"""`IndexReader`: one edition of an index directory, without its encoders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lsr.errors import IndexChanged, IndexCorrupt, IndexFormatError, LsrError, VectorError
from lsr.index.dense import has_dense
from lsr.index.format import Manifest
from lsr.index.search.options import SearchOptions
from lsr.index.search.searcher import Searcher, TopDocs
from lsr.index.segments.reader import Segment, open_vocabulary
from lsr.storage.arrow import SortedStrings
from lsr.storage.files import steady
from lsr.storage.manifest import MANIFEST
from lsr.vectors import Floats, SparseVectors, add_up

if TYPE_CHECKING:
    from lsr.index.dense.side import DenseSide


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A stored document; `vector` has one row, title and text are "" if the index has no texts."""

    id: str
    title: str
    text: str
    vector: SparseVectors


class IndexReader:
    """The files of one edition of an index, mapped; safe to use from several threads.

    Opening maps all files and reads no postings: whatever becomes of the directory, answers are
    those of the edition that was opened.  Documents have a *docid*, their number in the order the
    index stores them, uint32, and a *position* in the collection as given, int64.

    A pickled reader is its absolute path and its editions.  Unpickling opens the index again, and
    raises `IndexChanged` when another edition is there.

    Attributes:
        path: the directory.
        manifest: its published list of files.
        segments: in the order of their docids.
        words: the words of the terms; None for vectors without words.
        word_columns: the encoder's columns beside the words.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self.segments = [Segment(path, entry, manifest) for entry in manifest.segments]
        self._searcher = Searcher(self.segments, manifest)
        vocabulary = open_vocabulary(path, manifest)
        self.words: SortedStrings | None = None
        self.word_columns: dict[str, npt.NDArray[Any]] = {}
        if vocabulary is not None:
            self.words, self.word_columns = vocabulary
        self._dense: DenseSide | None = None
        self._dense_problem: LsrError | None = None
        if not has_dense(path):
            return
        from lsr.index.dense.side import DenseSide  # an index without one starts quicker

        try:
            self._dense = DenseSide.find(path, manifest)
        except LsrError as error:  # raised by `dense`: nothing else in the index needs it
            self._dense_problem = error

    @classmethod
    def open(cls, path: str | PathLike[str]) -> IndexReader:
        """Open the published edition, also while another process publishes the next.

        Raises `IndexFormatError` when there is no index at `path` or its format is another
        version's, `IndexCorrupt` when a file is missing, cut short or not as it should be, and
        `SystemCallError` when the system does not let a file be opened.
        """
        folder = Path(path).absolute()
        return steady(folder / MANIFEST, lambda: cls(folder, Manifest.read(folder)))

    def __reduce__(self) -> tuple[Any, ...]:
        dense = None if self._dense is None else self._dense.manifest.edition
        return _reopen, (self.path, self.manifest.edition, dense)

    def __copy__(self) -> IndexReader:
        return self  # readers never change

    def __deepcopy__(self, memo: object) -> IndexReader:
        return self

    def __len__(self) -> int:
        return self.manifest.documents

    @property
    def dense(self) -> DenseSide | None:
        """The dense vectors of the documents; None without any.

        Raises `DenseCorrupt`, `IndexFormatError` or `SystemCallError` when they cannot be used;
        the rest of the index can.
        """
        if self._dense_problem is not None:
            raise self._dense_problem
        return self._dense

    def word(self, term: int) -> str:
        """The word of a term; "#" and the term's number without one."""
        if self.words is not None and term < len(self.words):
            return self.words[term]
        return f"#{term}"

    def find_term(self, word: str) -> int | None:
        """The term of a word, or None."""
        return self.words.find(word) if self.words is not None else None

    def find(self, id: str) -> int | None:
        """The docid of an external id, or None."""
        for segment, base in zip(self.segments, self._searcher.bases.tolist(), strict=False):
            row = segment.ids.find(id)
            if row is not None:
                return int(base + row)
        return None

    def get(self, id: str) -> StoredDocument | None:
        """The document with an external id, or None; title and text are "" where not kept."""
        docid = self.find(id)
        if docid is None:
            return None
        title, text = self.stored_text(docid) or ("", "")
        return StoredDocument(id, title, text, self.vector_of(docid))

    def id_of(self, docid: int) -> str:
        """The external id of a document."""
        segment, row = self._locate(docid)
        return segment.ids[row]

    @property
    def ids(self) -> pa.ChunkedArray:
        """All external ids by docid, as Arrow strings over the mapped files."""
        return pa.chunked_array([s.id_column() for s in self.segments], pa.large_string())

    def stored_text(self, docid: int) -> tuple[str, str] | None:
        """Title and text of a document, or None when the index keeps no text."""
        segment, row = self._locate(docid)
        return segment.stored(row)

    def vector_of(self, docid: int) -> SparseVectors:
        """The vector of a document, one row: as given where the index keeps that, or else as
        stored.  Its terms are gathered one by one, which takes about a millisecond."""
        terms, stored, weights = self._searcher.vector(docid)
        if "floats" not in self.manifest.kept:
            weights = (stored * self.manifest.step).astype(np.float32)
        try:
            return SparseVectors.from_rows([(terms, weights)])
        except VectorError as error:
            segment, row = self._locate(docid)
            raise IndexCorrupt(segment.path, f"document {segment.ids[row]!r}: {error}") from None

    def positions_of(self, docids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The positions of documents in the collection as given."""
        return self._searcher.positions[np.asarray(docids, np.int64)].astype(np.int64)

    def docids_of(self, positions: npt.ArrayLike) -> npt.NDArray[np.uint32]:
        """The docids of documents by their positions: the inverse of `positions_of`."""
        return self._docids[np.asarray(positions, np.int64)]

    @cached_property
    def _docids(self) -> npt.NDArray[np.uint32]:
        positions = self._searcher.positions
        beyond = positions.max(initial=0) >= max(1, positions.size)
        if beyond or np.bincount(positions, minlength=1).max() > 1:
            raise IndexCorrupt(self.path, "two documents have one position, or one lies beyond all")
        docids = np.empty(positions.size, np.uint32)
        docids[positions] = np.arange(positions.size, dtype=np.uint32)
        return docids

    @property
    def active_terms(self) -> npt.NDArray[np.uint32]:
        """The number of terms of each document, by docid."""
        return np.concatenate([np.empty(0, np.uint32), *(s.active for s in self.segments)])

    def search(self, queries: SparseVectors, options: SearchOptions) -> list[TopDocs]:
        """The best documents of each query; see `lsr.index.search.searcher`."""
        return self._searcher.search(queries, options)

    def score(
        self, query: SparseVectors, docids: npt.ArrayLike, *, exact_floats: bool = False
    ) -> Floats:
        """The scores of documents for a query of one row, float64.

        They are those of a search, and 0 for documents that share no term with the query.
        """
        products = self.products(query, docids, exact_floats=exact_floats)[3]
        return add_up(products.T)  # a sum of floats depends on its order: by ascending terms

    def products(
        self, query: SparseVectors, docids: npt.ArrayLike, *, exact_floats: bool
    ) -> tuple[npt.NDArray[np.uint32], Floats, Floats, Floats]:
        """A query's terms and weights, the documents' weights, and the products, as scored.

        The last two have the shape (documents, terms), and 0 where a document lacks a term.
        """
        docids = np.asarray(docids, np.uint32)
        integers = self._searcher.quantize(query)
        if exact_floats:
            entries = np.searchsorted(query.terms, integers.terms)
            query_weights = query.weights[entries].astype(np.float64)
            weights = self._searcher.given_weights(docids, integers.terms).astype(np.float64)
            return integers.terms, query_weights, weights, query_weights * weights
        stored = self._searcher.stored_weights(docids, integers.terms).astype(np.float64)
        query_weights = integers.weights * (integers.steps[0] / self.manifest.step)
        products = integers.weights * stored * integers.steps[0]
        return integers.terms, query_weights, stored * self.manifest.step, products

    def _locate(self, docid: int) -> tuple[Segment, int]:
        """The segment of a document, and its row there."""
        bases = self._searcher.bases
        number = int(np.searchsorted(bases, docid, side="right")) - 1
        return self.segments[number], docid - int(bases[number])


def _reopen(path: Path, edition: str, dense: str | None) -> IndexReader:
    """The reader of a pickle; raises `IndexChanged` when that edition is gone."""
    try:
        reader = IndexReader.open(path)
    except IndexFormatError as error:
        raise IndexChanged(f"{path} no longer holds the index that was pickled: {error}") from error
    opened = None if reader._dense is None else reader._dense.manifest.edition
    if reader.manifest.edition != edition or dense not in (None, opened):
        raise IndexChanged(
            f"{path} was rebuilt after it was pickled, and the new index would answer otherwise; "
            "open the index and pickle it again"
        )
    if dense is None:
        reader._dense, reader._dense_problem = None, None
    return reader

"""`Index`: build it, open it, search it, ask it why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from lsr.arguments import listed
from lsr.data.records import BadRecord, as_id
from lsr.encoders import DEFAULT_ENCODER, Encoder, restore_encoder
from lsr.encoders.base import MatchKind
from lsr.encoders.names import lasting_name, part_slices
from lsr.encoders.text.words import reader
from lsr.errors import (
    EncoderError,
    EncoderMismatch,
    IndexChanged,
    IndexCorrupt,
    IndexFormatError,
    LsrError,
    QueryError,
    VectorError,
)
from lsr.fusion.methods import DEFAULT_FUSION, Floats, add_up
from lsr.index.dense.format import DENSE, no_dense
from lsr.index.dense.side import DenseSide
from lsr.index.format import MANIFEST, Manifest
from lsr.index.search.searcher import Searcher
from lsr.index.segments.reader import Segment, open_vocabulary
from lsr.retrieval.hits import Explanation, Hits, TermMatch
from lsr.storage.files import steady
from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    import pyarrow as pa

    from lsr.encoders.dense.encoder import DenseEncoder
    from lsr.retrieval.hybrid import Hybrid


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as the index keeps it; `vector` has one row."""

    id: str
    title: str
    text: str
    vector: SparseVectors


class Index:
    """An index directory, open for searching.

    Opening maps all files of one edition and reads no postings: whatever becomes of the directory,
    answers are those of the edition that was opened.  Searching from several threads at once is
    safe.  The files stay mapped until the index is garbage; `with` is offered for scripts
    that like to see the end of its use.

    A pickled index is its absolute path, its edition and its encoders' settings.  Unpickling opens
    it again, and raises `IndexChanged` when another edition is there.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._encoder: Encoder | None = None
        self._encoder_options: dict[str, Any] = {}
        self._dense_encoder: DenseEncoder | None = None
        self._dense_encoder_options: dict[str, Any] = {}
        self.segments: list[Segment] = [
            Segment(path, entry, manifest) for entry in manifest.segments
        ]
        self._searcher = Searcher(self.segments, manifest)
        self.vocabulary = open_vocabulary(path, manifest)
        """The words of the index's terms and the encoder's columns beside them."""
        self._dense: DenseSide | None = None
        self._dense_problem: LsrError | None = None
        try:
            self._dense = DenseSide.find(path, manifest)
        except LsrError as error:  # for those who ask for it: nothing else in the index needs it
            self._dense_problem = error

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Index:
        """Open an index: its published edition, also while another process publishes the next.

        Raises `IndexFormatError` when there is none at `path` or its format is another
        version's, `IndexCorrupt` when a file is missing, cut short or not what it should be, and
        `SystemCallError` when the system does not let one be opened.
        """
        place = Path(path).absolute()
        return steady(place / MANIFEST, lambda: cls(place, Manifest.read(place)))

    def __reduce__(self) -> tuple[Any, ...]:
        dense = None if self._dense is None else self._dense.manifest.edition
        options = (self._encoder_options, self._dense_encoder_options)
        return _open_again, (self.path, self.manifest.edition, dense, options)

    def __copy__(self) -> Index:
        """Another handle on the same mapped files, with encoders of its own."""
        copied = Index.__new__(Index)
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: object) -> Index:
        return self.__copy__()

    @classmethod
    def build(
        cls,
        path: str | PathLike[str],
        documents: Iterable[Any],
        encoder: str | PathLike[str] | Encoder = DEFAULT_ENCODER,
        **options: Any,
    ) -> Index:
        """Encode documents and write them as a new index at `path`; see `lsr.indexing.build`."""
        from lsr.indexing.build import build  # brings the compiler, which searching does without

        build(path, documents, encoder, **options)
        return cls.open(path)

    @classmethod
    def from_vectors(
        cls, path: str | PathLike[str], ids: Iterable[Any], vectors: Any, **options: Any
    ) -> Index:
        """Write encoded documents as a new index at `path`; see `lsr.indexing.build.build_vectors`.

        `vectors` are what `SparseVectors.of` takes, such as a sparse matrix of SciPy.
        """
        from lsr.indexing.build import build_vectors

        build_vectors(path, ids, vectors, **options)
        return cls.open(path)

    def __len__(self) -> int:
        return self.manifest.documents

    def __contains__(self, id: object) -> bool:
        """Whether there is a document with this external id; see `get`.

        Raises `QueryError` for what can be no id, such as a float.
        """
        wanted = _id(id)
        return any(segment.ids.find(wanted) is not None for segment in self.segments)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        """The mapped files are released with the object."""

    def __repr__(self) -> str:
        name = self.manifest.encoder["name"] if self.manifest.encoder else "vectors"
        return f"Index({str(self.path)!r}: {len(self):,} documents, {name})"

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a sequence of str too
        self,
        queries: str,
        k: int = ...,
        *,
        hybrid: str | None = ...,
        method: str = ...,
        exact_floats: bool = ...,
        threads: int = ...,
    ) -> Hits: ...

    @overload
    def search(
        self,
        queries: Iterable[str],
        k: int = ...,
        *,
        hybrid: str | None = ...,
        method: str = ...,
        exact_floats: bool = ...,
        threads: int = ...,
    ) -> list[Hits]: ...

    def search(
        self,
        queries: str | Iterable[str],
        k: int = 10,
        *,
        hybrid: str | None = None,
        method: str = "auto",
        exact_floats: bool = False,
        threads: int = 1,
    ) -> Hits | list[Hits]:
        """The k best documents for a question, or for each of several.

        Args:
            k: hits wanted; there may be fewer, for a document that shares no term with the
                query is never a hit.
            hybrid: a fusion with the dense vectors, such as "rrf"; see `hybrid` for more.
            method: "scan" reads all postings of the query's terms, "pruned" skips blocks
                that cannot matter, "auto" chooses; "reference" is a slow check in Numba.
                All give the same hits.
            exact_floats: rank by the weights as given instead of the rounded ones.
            threads: queries are spread over so many.

        Raises `QueryError` for bad parameters, `EncoderError` when the index's encoder cannot
        be loaded (see `use_encoder`).
        """
        texts = [queries] if isinstance(queries, str) else listed("questions", queries)
        if hybrid is not None:
            searching = {"method": method, "exact_floats": exact_floats, "threads": threads}
            fused = self.hybrid(hybrid, **searching).search(texts, k)
            return fused[0] if isinstance(queries, str) else fused
        hits = self.search_vectors(
            self.encoder.encode_queries(texts),
            k,
            method=method,
            exact_floats=exact_floats,
            threads=threads,
            queries=texts,
        )
        return hits[0] if isinstance(queries, str) else hits

    def hybrid(self, fusion: str = DEFAULT_FUSION, **options: Any) -> Hybrid:
        """Search by several retrievers of this index, by default its terms and dense vectors.

        `options` are those of `lsr.retrieval.named.of_index`.  Keep what it returns, for many
        questions.
        """
        from lsr.retrieval.named import of_index

        return of_index(self, fusion, **options)

    def search_vectors(
        self,
        vectors: Any,
        k: int = 10,
        *,
        method: str = "auto",
        exact_floats: bool = False,
        threads: int = 1,
        queries: Iterable[str] | None = None,
    ) -> list[Hits]:
        """The k best documents for each row of `vectors`; parameters as for `search`.

        Args:
            vectors: what `SparseVectors.of` takes, such as a sparse matrix of SciPy.
            queries: the texts that the vectors are of, where there are any, for explanations.
        """
        rows = SparseVectors.of(vectors)
        texts: Sequence[str | None] = [None] * len(rows)
        if queries is not None:
            texts = listed("queries", queries)
        if len(texts) != len(rows):
            raise QueryError(
                f"there are {len(texts)} queries for {len(rows)} vectors; give one each"
            )
        return self._hits(texts, rows, k, method, exact_floats, threads)

    def get(self, id: Any) -> StoredDocument:
        """The document with an external id; raises `QueryError` when there is none.

        An integer stands for the id of its digits, as in `build`.
        """
        id = _id(id)
        for segment, base in zip(self.segments, self._searcher.bases, strict=False):
            row = segment.ids.find(id)
            if row is not None:
                title, text = self.stored_text(int(base) + row) or ("", "")
                return StoredDocument(id, title, text, self.vector_of(int(base) + row))
        raise QueryError(f"there is no document {id!r} in {self.path}")

    @property
    def encoder(self) -> Encoder:
        """The encoder the index was built with, loaded when first asked for."""
        if self._encoder is None:
            self.use_encoder(**self._encoder_options)
        assert self._encoder is not None
        return self._encoder

    def use_encoder(
        self,
        source: str | PathLike[str] | None = None,
        *,
        device: str | None = None,
        weights: Mapping[str, float] | str | None = None,
    ) -> None:
        """Load the index's encoder, from another place than the recorded one if need be.

        `weights` are for the parts of an encoder of several (see `lsr.load_encoder`); they act
        on queries alone, so the index stays as it is.

        Raises `EncoderMismatch` when what is there is not the encoder of this index.
        """
        if self.manifest.encoder is None or self.vocabulary is None:
            raise EncoderError(
                f"{self.path} was built from vectors without an encoder; search it with vectors"
            )
        words, columns = self.vocabulary
        self._encoder = restore_encoder(
            self.manifest.encoder, words, columns, source=source, device=device, weights=weights
        )
        self._encoder_options = {
            "source": None if source is None else lasting_name(source),
            "device": device,
            "weights": weights,
        }

    @property
    def dense(self) -> DenseSide | None:
        """The dense vectors of the documents; None without any.

        Raises `DenseCorrupt`, `IndexFormatError` or `SystemCallError` when they cannot be used;
        all else of the index can.
        """
        if self._dense_problem is not None:
            raise self._dense_problem
        return self._dense

    @property
    def dense_encoder(self) -> DenseEncoder:
        """The encoder that the dense vectors were made with, loaded when first asked for."""
        if self._dense_encoder is None:
            self.use_dense_encoder(**self._dense_encoder_options)
        assert self._dense_encoder is not None
        return self._dense_encoder

    def use_dense_encoder(
        self, source: str | PathLike[str] | None = None, *, device: str | None = None
    ) -> None:
        """Load the dense side's encoder, from another place than the recorded one if need be.

        Raises `EncoderMismatch` when what is there is not the encoder of the dense vectors,
        `EncoderError` when it cannot be loaded, `IndexFormatError` without a dense side.
        """
        from lsr.encoders.dense.encoder import restore_dense

        if self.dense is None:
            raise no_dense(self.path)
        encoder = restore_dense(self.dense.encoder, source=source, device=device)
        if encoder.dimensions != self.dense.dimensions:
            raise EncoderMismatch(
                f"the dense encoder {encoder.name!r} makes vectors of {encoder.dimensions} "
                f"dimensions, and those of {self.path} have {self.dense.dimensions}; remove "
                f"{self.path / DENSE} and make it again"
            )
        self._dense_encoder = encoder
        self._dense_encoder_options = {
            "source": None if source is None else lasting_name(source),
            "device": device,
        }

    def word(self, term: int) -> str:
        """The word of a term; `#` and its number when it has none."""
        if self.vocabulary is not None and term < len(self.vocabulary[0]):
            return self.vocabulary[0][term]
        return f"#{term}"

    @cached_property
    def _parts(self) -> list[tuple[str, int, int]]:
        """Name, first term and end of each part of an encoder of several."""
        try:
            return part_slices(self.manifest.encoder)
        except (KeyError, TypeError, ValueError) as error:
            raise IndexCorrupt(
                self.path, f"its encoder's parts are incomplete ({error!r})"
            ) from None

    @cached_property
    def _readers(self) -> dict[str | None, Callable[[str], str]]:
        """What makes words readable, by part; None for an encoder of one."""
        if not self._parts:
            return {None: reader(self.find_term)}
        return {
            name: reader(lambda word, name=name: self.find_term(f"{name}:{word}"))  # type: ignore[misc]
            for name, _, _ in self._parts
        }

    def _part_and_word(self, term: int) -> tuple[str | None, str]:
        """The part that a term belongs to, if there are several, and the term's word in it, as
        people read it."""
        word = self.word(term)
        for name, start, stop in self._parts:
            if start <= term < stop:
                return name, self._readers[name](word.removeprefix(f"{name}:"))
        return None, word if self._parts else self._readers[None](word)

    def find_term(self, word: str) -> int | None:
        """The term of a word, or None."""
        return self.vocabulary[0].find(word) if self.vocabulary is not None else None

    def id_of(self, document: int) -> str:
        """The external id of a document's number."""
        segment, row = self._place(document)
        return segment.ids[row]

    @property
    def ids(self) -> pa.ChunkedArray:
        """All external ids by the documents' numbers, as Arrow strings over the mapped files."""
        import pyarrow as pa

        return pa.chunked_array([s.id_column() for s in self.segments], pa.large_string())

    def stored_text(self, document: int) -> tuple[str, str] | None:
        """Title and text of a document's number, or None when the index keeps no text."""
        segment, row = self._place(document)
        return segment.stored(row)

    def vector_of(self, document: int) -> SparseVectors:
        """The vector of a document's number, one row: as given where the index keeps that, or
        else as stored.  Its terms are gathered one by one, which takes about a millisecond."""
        terms, stored, given = self._searcher.vector(document)
        if "floats" not in self.manifest.kept:
            given = (stored * self.manifest.step).astype(np.float32)
        try:
            return SparseVectors.from_rows([(terms, given)])
        except VectorError as error:
            segment, row = self._place(document)
            raise IndexCorrupt(segment.path, f"document {segment.ids[row]!r}: {error}") from None

    def places(self, documents: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Where documents, by their numbers, stood in the collection as it was given."""
        return self._searcher.positions[np.asarray(documents, np.int64)].astype(np.int64)

    def numbers(self, places: npt.ArrayLike) -> npt.NDArray[np.uint32]:
        """The numbers of documents by their places in the collection: what `places` undoes."""
        return self._numbers[np.asarray(places, np.int64)]

    @cached_property
    def _numbers(self) -> npt.NDArray[np.uint32]:
        positions = self._searcher.positions
        numbers = np.empty(positions.size, np.uint32)
        if positions.max(initial=0) >= max(1, positions.size):
            raise IndexCorrupt(self.path, "a document has an impossible place")
        numbers[positions] = np.arange(positions.size, dtype=np.uint32)
        return numbers

    def score(self, vector: Any, documents: npt.ArrayLike, *, exact_floats: bool = False) -> Floats:
        """The scores of documents, by their numbers, for a query of one row, float64.

        They are those of a search, and 0 for documents that share no term with the query.
        """
        numbers = np.asarray(documents, np.uint32)
        # A sum of floats depends on its order: by ascending terms, as in a search.
        row = SparseVectors.of(vector)
        return add_up(self._products(row, numbers, exact_floats)[3].T)

    def explain(
        self,
        query: str | None,
        vector: SparseVectors,
        document: int,
        score: float,
        *,
        exact_floats: bool = False,
    ) -> Explanation:
        """The products behind a document's score; `Hit.explain` fills in the arguments."""
        found, query_weights, (weights,), (products,) = self._products(
            vector, np.array([document], np.uint32), exact_floats
        )
        literal = self._literal(query, document)
        terms = []
        for place in np.lexsort((found, -products)):
            if weights[place] == 0:
                continue
            term = int(found[place])
            part, word = self._part_and_word(term)
            kind: MatchKind | None = None
            if literal is not None:
                kind = "literal" if term in literal else "expansion"
            terms.append(
                TermMatch(
                    word,
                    float(query_weights[place]),
                    float(weights[place]),
                    float(products[place]),
                    kind,
                    part,
                )
            )
        return Explanation(self.id_of(document), score, terms)

    def _products(
        self, vector: SparseVectors, documents: npt.NDArray[np.uint32], exact_floats: bool
    ) -> tuple[npt.NDArray[np.uint32], Floats, Floats, Floats]:
        """A query's terms and weights, those of documents, and the products, as scored.

        The last two have the shape (documents, terms), and 0 where a document lacks a term.
        """
        integers = self._searcher.quantize(vector)
        if exact_floats:
            given = np.searchsorted(vector.terms, integers.terms)
            query_weights = vector.weights[given].astype(np.float64)
            weights = self._searcher.given_weights(documents, integers.terms).astype(np.float64)
            return integers.terms, query_weights, weights, query_weights * weights
        stored = self._searcher.stored_weights(documents, integers.terms).astype(np.float64)
        query_weights = integers.weights * (integers.steps[0] / self.manifest.step)
        products = integers.weights * stored * integers.steps[0]
        return integers.terms, query_weights, stored * self.manifest.step, products

    @property
    def active_terms(self) -> npt.NDArray[np.uint32]:
        """How many terms each document has, by its number."""
        return np.concatenate(
            [np.empty(0, np.uint32), *(segment.active for segment in self.segments)]
        )

    def info(self) -> dict[str, Any]:
        """Counts, sizes by part in bytes, active terms a document, encoders: JSON values."""
        from lsr.retrieval.info import info

        return info(self)

    def _hits(
        self,
        texts: Sequence[str | None],
        vectors: SparseVectors,
        k: int,
        method: str,
        exact_floats: bool,
        threads: int,
    ) -> list[Hits]:
        found = self._searcher.search(
            vectors, k, method=method, exact_floats=exact_floats, threads=threads
        )

        hits = []
        for row, text in enumerate(texts):
            documents, scores = found[row].documents, found[row].scores
            why = _Why(self, text, vectors[row], documents, scores, exact_floats)
            hits.append(Hits(self, text, documents, scores, why))
        return hits

    def _place(self, document: int) -> tuple[Segment, int]:
        bases = self._searcher.bases
        number = int(np.searchsorted(bases, document, side="right")) - 1
        return self.segments[number], document - int(bases[number])

    def _literal(self, query: str | None, document: int) -> set[int] | None:
        """Terms among the tokens of both texts, or None when one is not at hand."""
        stored = self.stored_text(document)
        if query is None or stored is None:
            return None
        from lsr.data.corpus import Document

        text = Document("", *stored).indexed_text
        both = (self.encoder.literal_terms(part) for part in (query, text))
        return set.intersection(*(set(terms.tolist()) for terms in both))


@dataclass(frozen=True, slots=True)
class _Why:
    """Explains the documents found for one query by their rank; see `Index.explain`."""

    index: Index
    text: str | None
    vector: SparseVectors
    documents: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float64]
    exact_floats: bool

    def __call__(self, rank: int) -> Explanation:
        return self.index.explain(
            self.text,
            self.vector,
            int(self.documents[rank]),
            float(self.scores[rank]),
            exact_floats=self.exact_floats,
        )


def _open_again(
    path: Path, edition: str, dense: str | None, options: tuple[dict[str, Any], dict[str, Any]]
) -> Index:
    """The index of a pickled handle; raises `IndexChanged` when that edition is gone."""
    try:
        index = Index.open(path)
    except IndexFormatError as error:
        raise IndexChanged(f"{path} no longer holds the index that was pickled: {error}") from error
    there = None if index._dense is None else index._dense.manifest.edition
    if index.manifest.edition != edition or dense not in (None, there):
        raise IndexChanged(
            f"{path} was rebuilt after it was pickled, and the new index would answer otherwise; "
            "open the index and pickle it again"
        )
    if dense is None:
        index._dense, index._dense_problem = None, None
    index._encoder_options, index._dense_encoder_options = options
    return index


def _id(value: Any) -> str:
    if isinstance(value, str):  # what cannot be an id is the id of no document
        return str(value)
    try:
        return as_id(value)
    except BadRecord as error:
        raise QueryError(f"the document asked for {error}") from None

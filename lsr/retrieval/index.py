"""`Index`: build, open, search and explain an index."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack, overload

from lsr.arguments import listed
from lsr.data.records import BadRecord, as_id
from lsr.encoders import DEFAULT_ENCODER, Encoder
from lsr.errors import QueryError
from lsr.fusion import DEFAULT_FUSION
from lsr.index.info import info
from lsr.index.reader import IndexReader, StoredDocument
from lsr.index.search.options import SearchKeywords, SearchOptions
from lsr.retrieval.context import SearchContext
from lsr.retrieval.hits import Hits
from lsr.retrieval.search import search
from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.retrieval.hybrid import Hybrid


class Index(SearchContext):
    """An index directory, open for searching.

    `reader` maps the files of one edition (`IndexReader`); `encoder` and `dense_encoder` are loaded
    at first use.  Several threads may search at once.  Files stay mapped until the index is
    garbage-collected; `with` only marks the end of its use.
    """

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Index:
        """Open the published edition of an index; see `IndexReader.open` for errors."""
        return cls(IndexReader.open(path))

    @classmethod
    def build(
        cls,
        path: str | PathLike[str],
        documents: Iterable[Any],
        encoder: str | PathLike[str] | Encoder = DEFAULT_ENCODER,
        **options: Any,
    ) -> Index:
        """Encode documents and write them as a new index at `path`.

        Args:
            documents: mappings with "id", optional "title", and "text".
            encoder: an `Encoder`, or a name for `lsr.load_encoder`.
            options: those of `lsr.indexing.build.BuildOptions` and of `lsr.load_encoder`.

        Raises the errors of `lsr.indexing.build.build`.
        """
        from lsr.indexing.build import BuildOptions, Texts, build  # with the compiler, so late

        of_build, settings = BuildOptions.split(options)
        build(path, Texts(documents, encoder, settings), of_build)
        return cls.open(path)

    @classmethod
    def from_vectors(
        cls, path: str | PathLike[str], ids: Iterable[Any], vectors: Any, **options: Any
    ) -> Index:
        """Write vectors as a new index at `path`; see `SparseVectors.of` for their types.

        `ids` has one id a row; `options` are those of `BuildOptions`.
        """
        from lsr.indexing.build import BuildOptions, Vectors, build

        build(path, Vectors(ids, vectors), BuildOptions(**options))
        return cls.open(path)

    def __len__(self) -> int:
        return len(self.reader)

    def __contains__(self, id: object) -> bool:
        """Whether there is a document with this external id; see `get`."""
        return self.reader.find(_as_id(id)) is not None

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        """The mapped files are released with the object."""

    def __repr__(self) -> str:
        name = self.manifest.encoder["name"] if self.manifest.encoder else "vectors"
        return f"Index({str(self.path)!r}: {len(self):,} documents, {name})"

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is iterable too
        self,
        queries: str,
        k: int = ...,
        *,
        hybrid: str | None = ...,
        **options: Unpack[SearchKeywords],
    ) -> Hits: ...

    @overload
    def search(
        self,
        queries: Iterable[str],
        k: int = ...,
        *,
        hybrid: str | None = ...,
        **options: Unpack[SearchKeywords],
    ) -> list[Hits]: ...

    def search(
        self,
        queries: str | Iterable[str],
        k: int = 10,
        *,
        hybrid: str | None = None,
        **options: Unpack[SearchKeywords],
    ) -> Hits | list[Hits]:
        """The k best documents for a query, or for each of several queries.

        Args:
            hybrid: a method that fuses the terms with the dense vectors, such as "rrf"; the method
                `hybrid` has more settings.
            options: `method`, `exact_floats`, `threads` and `boosts`; see `SearchOptions`.

        Raises `QueryError` for invalid parameters, `EncoderError` when the index's encoder cannot
        be loaded (see `use_encoder`).
        """
        texts = [queries] if isinstance(queries, str) else listed("questions", queries)
        if hybrid is not None:
            hits = self.hybrid(hybrid, **options).search(texts, k)
        else:
            checked = SearchOptions(k, **options)  # before the encoder is loaded
            hits = search(self, self.encoder.encode_queries(texts), texts, checked)
        return hits[0] if isinstance(queries, str) else hits

    def search_vectors(
        self,
        vectors: Any,
        k: int = 10,
        *,
        queries: Iterable[str] | None = None,
        **options: Unpack[SearchKeywords],
    ) -> list[Hits]:
        """The k best documents for each row of `vectors`; options as for `search`.

        Args:
            vectors: any value for `SparseVectors.of`, such as a sparse matrix of SciPy.
            queries: the texts of the queries, for explanations.
        """
        rows = SparseVectors.of(vectors)
        texts = [None] * len(rows) if queries is None else listed("queries", queries)
        if len(texts) != len(rows):
            raise QueryError(
                f"there are {len(texts)} queries for {len(rows)} vectors; give one each"
            )
        return search(self, rows, texts, SearchOptions(k, **options))

    def hybrid(self, fusion: str = DEFAULT_FUSION, **settings: Any) -> Hybrid:
        """Several retrievers of this index as one, by default its terms and dense vectors.

        `settings` are those of `lsr.retrieval.named.build_hybrid` and of `SearchOptions`.  Reuse
        the `Hybrid` for further queries.
        """
        from lsr.retrieval.named import build_hybrid  # late: most searches need none of it

        of_search = {n: settings.pop(n) for n in SearchKeywords.__annotations__ if n in settings}
        return build_hybrid(self, fusion, options=SearchOptions(**of_search), **settings)

    def get(self, id: Any) -> StoredDocument:
        """The document with an external id; raises `QueryError` when there is none.

        An integer stands for its digits, as in `build`.
        """
        name = _as_id(id)
        document = self.reader.get(name)
        if document is None:
            raise QueryError(f"there is no document {name!r} in {self.path}")
        return document

    def info(self) -> dict[str, Any]:
        """Counts, bytes of each part, active terms per document, and encoders, as JSON values."""
        return info(self.reader)


def _as_id(value: Any) -> str:
    if isinstance(value, str):  # a text that is not a valid id matches no document
        return str(value)
    try:
        return as_id(value)
    except BadRecord as error:
        raise QueryError(f"the requested document {error}") from None

"""lsr in PyTerrier: an indexer and a retriever.

    index = LsrIndexer("notes", "splade-tiny").index([{"docno": "1", "text": "…"}])
    pt.Experiment([LsrRetriever(index) % 100], topics, qrels, ["nDCG@10"])

PyTerrier (Macdonald and Tonellotto, ICTIR 2020) passes data frames along a pipeline: queries
(`qid`, `query`) in, results (and `docno`, `score`, `rank` from 0) out.  The package `pyterrier` is
enough for it; `python-terrier` adds Terrier, which needs Java.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from lsr.encoders import DEFAULT_ENCODER, Encoder
from lsr.encoders.names import lasting_name
from lsr.errors import CorpusError, LsrError, QueryError
from lsr.retrieval.index import Index
from lsr.vectors import SparseVectors

try:
    import pyterrier as pt
except ImportError as error:
    raise LsrError(
        f"PyTerrier cannot be imported ({error}); install it with "
        'pip install "lsr-engine[pyterrier]"'
    ) from error


class LsrIndexer(pt.Indexer):  # type: ignore[misc]  # pyterrier may be absent
    """The end of an indexing pipeline.

    Args:
        path: the index directory.
        encoder: a name, a folder or an `Encoder`.
        options: of `lsr.indexing.build.build` (`force=True` replaces an index), and of
            `lsr.load_encoder` when `encoder` is a name.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        encoder: str | PathLike[str] | Encoder = DEFAULT_ENCODER,
        **options: Any,
    ) -> None:
        self.path = Path(path).absolute()
        self.encoder = encoder if isinstance(encoder, Encoder) else lasting_name(encoder)
        self.options = options

    def index(self, iter: Iterable[Mapping[str, Any]], **_: Any) -> Index:
        """Encode and index records with "docno", "text" and maybe "title"; read as a stream.

        Raises `CorpusError` for a record that cannot be indexed, `IndexExists` when the place
        is taken.
        """
        return Index.build(self.path, _documents(iter), self.encoder, **self.options)

    def index_inputs(self) -> list[list[str]]:
        """The columns that `index` reads, by which PyTerrier checks pipelines."""
        return [["docno", "text", "title"], ["docno", "text"]]

    def __repr__(self) -> str:
        return f"LsrIndexer({fspath(self.path)!r})"


class LsrRetriever(pt.Transformer):  # type: ignore[misc]  # pyterrier may be absent
    """Queries to their best documents.

    Takes frames with the columns `qid` and `query`, or `qid` and `query_toks`: a mapping of the
    index's words to weights, which is searched for as it is.  (Where both are there, the latter;
    words that the index lacks match nothing.)  Other columns are kept.  Returns a row for each
    hit, best first, and none for a query that finds nothing.  Equal scores are ranked by place
    in the collection, as in all of lsr; ir-measures ranks them again, as the measure does.

    Args:
        index: an index, or its directory.
        num_results: documents for each query; `retriever % k` searches for `k` at once.
        threads: queries are spread over so many.

    Raises `IndexFormatError` when there is no index, `QueryError` for wrong numbers.
    """

    def __init__(
        self, index: Index | str | PathLike[str], *, num_results: int = 1000, threads: int = 1
    ) -> None:
        self.index = index if isinstance(index, Index) else Index.open(index)
        self.num_results, self.threads = num_results, threads

    def transform(self, inp: Any) -> Any:
        """Search for the queries of a data frame."""
        with pt.validate.any(inp, context=self) as frame:
            frame.query_frame(["query_toks"], mode="query_toks")
            frame.query_frame(["query"], mode="query")
        if frame.mode == "query_toks":
            all_hits = self.index.search_vectors(
                self._vectors(inp["qid"], inp["query_toks"]), self.num_results, threads=self.threads
            )
        else:
            all_hits = self.index.search(list(inp["query"]), self.num_results, threads=self.threads)
        queries = inp.drop(columns=["score", "rank"], errors="ignore").reset_index(drop=True)
        results = queries.loc[queries.index.repeat([len(hits) for hits in all_hits])]
        return results.assign(
            docno=[document for hits in all_hits for document in hits.ids.tolist()],
            score=np.array([score for hits in all_hits for score in hits.scores], np.float64),
            rank=np.array([rank for hits in all_hits for rank in range(len(hits))], np.int64),
        ).reset_index(drop=True)

    def fuse_rank_cutoff(self, k: int) -> LsrRetriever:
        """This retriever with the cutoff `% k`: hits and ranks are those of the deeper search."""
        if k >= self.num_results:
            return self
        return LsrRetriever(self.index, num_results=k, threads=self.threads)

    def _vectors(self, ids: Any, weights: Any) -> SparseVectors:
        """The words of each query as terms, their weights."""
        rows = []
        for query, words in zip(ids, weights, strict=True):
            if not isinstance(words, Mapping):
                raise QueryError(
                    f"the query_toks of query {query!r} are {type(words).__name__}; give a mapping "
                    "of words to weights"
                )
            terms = [(self.index.reader.find_term(word), weight) for word, weight in words.items()]
            rows.append(sorted((term, weight) for term, weight in terms if term is not None))
        return SparseVectors.from_rows(
            ([term for term, _ in row], [weight for _, weight in row]) for row in rows
        )

    def __repr__(self) -> str:
        return f"LsrRetriever({fspath(self.index.path)!r}, num_results={self.num_results})"


def _documents(records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, record in enumerate(records, 1):
        if "docno" not in record:
            raise CorpusError(f'document {number} has no docno; give each record a "docno"')
        yield {"id": record["docno"], "title": record.get("title"), "text": record.get("text")}

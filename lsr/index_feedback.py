"""Feedback on an index: the first documents found change the query; see `lsr.feedback`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Document
from lsr.encoders import Encoder
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.composite import CompositeEncoder
from lsr.encoders.names import part_slices
from lsr.errors import QueryError
from lsr.feedback import Feedback, refine_rm3, refine_sparse
from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.retrieval import Index

MOST_FREQUENT = 0.1  # of the documents; more frequent words are no feedback


def refine(
    index: Index,
    query: SparseVectors,
    documents: Sequence[int],
    scores: npt.ArrayLike,
    feedback: Feedback,
) -> SparseVectors:
    """The query of an index, one row, after feedback by its documents.

    Of an encoder of several parts, rm3 changes the BM25 part, and average and rocchio the others:
    BM25's vectors of documents hold the idf that a query's must not.

    Args:
        query: of the index's encoder.
        documents: the numbers of the first documents, best first, as `Hits.documents`.
        scores: theirs, which only rm3 uses.

    Raises `QueryError` when the index has no part of that kind, or rm3 no text to count words in.
    """
    used = list(documents)[: feedback.documents]
    parts = list(_parts(index))
    lexical = feedback.kind == "rm3"
    changing = [isinstance(part.encoder, BM25Encoder) == lexical for part in parts]
    if not any(changing):
        raise QueryError(
            f"the encoder of {index.path} has no part that {feedback.kind} can refine; use "
            f"{'average or rocchio' if lexical else 'rm3'}"
        )
    vectors = SparseVectors.concatenate(
        [] if lexical else [index.vector_of(int(number)) for number in used]
    )
    rows = []
    for part, changes in zip(parts, changing, strict=True):
        own = part.of(query)
        if changes and part.query_factor:  # parts of weight 0 have no say
            given = part.of(query, 1 / part.query_factor)
            if isinstance(part.encoder, BM25Encoder):
                counts = _feedback_words(index, part.encoder, used)
                refined = refine_rm3(given, counts, np.asarray(scores, np.float64), feedback)
            else:
                refined = refine_sparse(given, part.of(vectors, part.scale), feedback)
            own = SparseVectors(
                refined.indptr, refined.terms, refined.weights * np.float32(part.query_factor)
            )
        rows.append((own.terms + np.uint32(part.start), own.weights))
    return SparseVectors(
        [0, sum(terms.size for terms, _ in rows)],
        np.concatenate([terms for terms, _ in rows]),
        np.concatenate([weights for _, weights in rows]),
    )


class _Part(NamedTuple):
    """An encoder of the index, its terms, and what its weights were multiplied with."""

    encoder: Encoder | None
    start: int
    stop: int
    query_factor: float = 1.0
    scale: float = 1.0  # of documents: they were divided by it

    def of(self, vectors: SparseVectors, factor: float = 1.0) -> SparseVectors:
        """Its own terms of vectors, numbered as its own, times a factor."""
        own = (vectors.terms >= self.start) & (vectors.terms < self.stop)
        before = np.concatenate([[0], np.cumsum(own)])
        return SparseVectors(
            before[vectors.indptr],
            vectors.terms[own] - np.uint32(self.start),
            vectors.weights[own] * np.float32(factor),
        )


def _parts(index: Index) -> Iterator[_Part]:
    if index.manifest.encoder is None:
        yield _Part(None, 0, 1 << 32)
        return
    encoder = index.encoder
    if not isinstance(encoder, CompositeEncoder):
        yield _Part(encoder, 0, 1 << 32)
        return
    for part, (_, start, stop) in zip(encoder.parts, part_slices(encoder.identity), strict=True):
        yield _Part(part.encoder, start, stop, part.query_factor, part.scale)


def _feedback_words(index: Index, encoder: BM25Encoder, documents: Sequence[int]) -> SparseVectors:
    """The counts of the documents' words that are not too frequent."""
    texts = []
    for number in documents:
        stored = index.stored_text(int(number))
        if stored is None:
            raise QueryError(
                f"{index.path} keeps no text, and rm3 counts the words of documents; use average "
                "or rocchio, or build the index from texts"
            )
        texts.append(Document("", *stored).indexed_text)
    counts = encoder.count(texts)
    kept = encoder.document_share(counts.terms) <= MOST_FREQUENT
    before = np.concatenate([[0], np.cumsum(kept)])
    return SparseVectors(before[counts.indptr], counts.terms[kept], counts.weights[kept])

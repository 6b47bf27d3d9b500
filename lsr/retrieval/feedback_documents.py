"""Feedback on an index: the top documents change the query; see `lsr.retrieval.feedback`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Document
from lsr.encoders.lexical.bm25 import BM25Encoder
from lsr.errors import QueryError
from lsr.index.reader import IndexReader
from lsr.retrieval import FeedbackKind
from lsr.retrieval.context import SearchContext
from lsr.retrieval.feedback import Feedback, refine_rm3, refine_sparse
from lsr.retrieval.parts import IndexPart, parts_of
from lsr.vectors import SparseVectors

MOST_FREQUENT = 0.1  # of the documents; more frequent words are no feedback


def changes(part: IndexPart, kind: FeedbackKind) -> bool:
    """Whether feedback of a kind changes the queries of a part.

    rm3 changes those of BM25, average and rocchio all others: BM25's document vectors hold the
    idf, which a query must not.
    """
    return part.is_lexical == (kind == "rm3")


def refine(
    context: SearchContext,
    query: SparseVectors,
    docids: Sequence[int],
    scores: npt.ArrayLike,
    feedback: Feedback,
    parts: Sequence[IndexPart] | None = None,
) -> SparseVectors:
    """The query, one row, after feedback by documents of the index.

    Args:
        query: with terms of `parts`.
        docids: of the top documents, best first, as `Hits.docids`.
        scores: of these documents; only rm3 uses them.
        parts: the parts whose terms the query has; None is all of the index.  Parts that feedback
            of this kind does not change (`changes`) keep their terms.

    Raises `QueryError` when it changes none of them, or rm3 has no text to count words in.
    """
    top = list(docids)[: feedback.documents]
    parts = parts_of(context) if parts is None else parts
    if not any(changes(part, feedback.kind) for part in parts):
        raise QueryError(
            f"the encoder of {context.path} has no part that {feedback.kind} can refine; use "
            f"{'average or rocchio' if feedback.kind == 'rm3' else 'rm3'}"
        )
    vectors = SparseVectors.concatenate(
        [] if feedback.kind == "rm3" else [context.reader.vector_of(int(docid)) for docid in top]
    )
    rows = []
    for part in parts:
        part_query = part.of(query)
        if changes(part, feedback.kind) and part.query_factor:  # a part of weight 0 is ignored
            unscaled = part.of(query, 1 / part.query_factor)
            if isinstance(part.encoder, BM25Encoder):
                counts = _word_counts(context.reader, part.encoder, top)
                refined = refine_rm3(unscaled, counts, np.asarray(scores, np.float64), feedback)
            else:
                refined = refine_sparse(unscaled, part.of(vectors, part.scale), feedback)
            weights = refined.weights * np.float32(part.query_factor)
            part_query = SparseVectors(refined.indptr, refined.terms, weights)
        rows.append((part_query.terms + np.uint32(part.start), part_query.weights))
    terms, weights = (np.concatenate(arrays) for arrays in zip(*rows, strict=True))
    return SparseVectors([0, terms.size], terms, weights)


def _word_counts(reader: IndexReader, encoder: BM25Encoder, docids: Sequence[int]) -> SparseVectors:
    """The counts of the documents' words that are not too frequent."""
    texts = []
    for docid in docids:
        stored = reader.stored_text(int(docid))
        if stored is None:
            raise QueryError(
                f"{reader.path} keeps no text, and rm3 counts the words of documents; use average "
                "or rocchio, or build the index from texts"
            )
        texts.append(Document("", *stored).indexed_text)
    counts = encoder.count(texts)
    return counts.where(encoder.document_share(counts.terms) <= MOST_FREQUENT)

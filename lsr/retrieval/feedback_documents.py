"""Feedback on an index: the top documents change the query; see `lsr.retrieval.feedback`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Document
from lsr.encoders.lexical.bm25 import BM25Encoder
from lsr.errors import QueryError
from lsr.retrieval.feedback import Feedback, Kind, refine_rm3, refine_sparse
from lsr.retrieval.parts import IndexPart, parts_of
from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.retrieval.index import Index

MOST_FREQUENT = 0.1  # of the documents; more frequent words are no feedback


def changes(part: IndexPart, kind: Kind) -> bool:
    """Whether feedback of a kind changes the queries of a part.

    rm3 changes those of BM25, average and rocchio all others: BM25's vectors of documents hold
    the idf that a query's must not.
    """
    return part.is_lexical == (kind == "rm3")


def refine(
    index: Index,
    query: SparseVectors,
    documents: Sequence[int],
    scores: npt.ArrayLike,
    feedback: Feedback,
    parts: Sequence[IndexPart] | None = None,
) -> SparseVectors:
    """The query of an index, one row, after feedback by its documents.

    Args:
        query: of `parts`.
        documents: the numbers of the first documents, best first, as `Hits.documents`.
        scores: theirs, which only rm3 uses.
        parts: whose terms the query has; None is all of the index.  Parts that feedback of this
            kind does not change (`changes`) keep their terms.

    Raises `QueryError` when it changes none of them, or rm3 has no text to count words in.
    """
    used = list(documents)[: feedback.documents]
    parts = parts_of(index) if parts is None else parts
    if not any(changes(part, feedback.kind) for part in parts):
        raise QueryError(
            f"the encoder of {index.path} has no part that {feedback.kind} can refine; use "
            f"{'average or rocchio' if feedback.kind == 'rm3' else 'rm3'}"
        )
    vectors = SparseVectors.concatenate(
        [] if feedback.kind == "rm3" else [index.vector_of(int(number)) for number in used]
    )
    rows = []
    for part in parts:
        own = part.of(query)
        if changes(part, feedback.kind) and part.query_factor:  # those of weight 0 have no say
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
    return counts.where(encoder.document_share(counts.terms) <= MOST_FREQUENT)

"""Search by the terms of an index, and the terms behind a score."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from lsr.data.corpus import Document
from lsr.encoders.base import MatchKind
from lsr.index.search.options import SearchOptions
from lsr.retrieval.boosting import boost
from lsr.retrieval.context import SearchContext
from lsr.retrieval.explanation import Explanation, TermMatch
from lsr.retrieval.hits import Hits
from lsr.vectors import SparseVectors


def search(
    context: SearchContext,
    vectors: SparseVectors,
    texts: Sequence[str | None],
    options: SearchOptions,
) -> list[Hits]:
    """The best documents for each query.

    Args:
        vectors: the queries, one a row.
        texts: of the queries, for explanations; None for a vector without a text.
    """
    queries = boost(context, vectors, options.boosts)
    reader, floats = context.reader, options.exact_floats
    return [
        Hits(reader, text, docids, scores, partial(_explain, context, queries, row, text, floats))
        for row, (text, (docids, scores)) in enumerate(
            zip(texts, reader.search(queries, options), strict=True)
        )
    ]


def _explain(
    context: SearchContext,
    queries: SparseVectors,
    row: int,
    text: str | None,
    exact_floats: bool,
    docid: int,
    score: float,
) -> Explanation:
    """`explain`, for a query of several: cutting out its row takes longer than its hits."""
    query = queries if len(queries) == 1 else queries[row : row + 1]
    return explain(context, text, query, docid, score, exact_floats=exact_floats)


def explain(
    context: SearchContext,
    text: str | None,
    query: SparseVectors,
    docid: int,
    score: float,
    *,
    exact_floats: bool = False,
) -> Explanation:
    """The products behind a document's score for a query of one row.

    Args:
        text: of the query, where there is one: it tells literal matches from expansions.
        score: of the document, as searched.
    """
    terms, query_weights, (weights,), (products,) = context.reader.products(
        query, [docid], exact_floats=exact_floats
    )
    literal = _literal_terms(context, text, docid)
    matches = []
    for i in np.lexsort((terms, -products)):
        if weights[i] == 0:
            continue
        part, word = context.part_and_word(int(terms[i]))
        kind: MatchKind | None = None
        if literal is not None:
            kind = "literal" if int(terms[i]) in literal else "expansion"
        numbers = float(query_weights[i]), float(weights[i]), float(products[i])
        matches.append(TermMatch(word, *numbers, kind, part))
    return Explanation(context.reader.id_of(docid), score, matches)


def _literal_terms(context: SearchContext, text: str | None, docid: int) -> set[int] | None:
    """Terms among the tokens of both texts, or None when one is not at hand."""
    stored = context.reader.stored_text(docid)
    if text is None or stored is None:
        return None
    both = (text, Document("", *stored).indexed_text)
    return set.intersection(*(set(context.encoder.literal_terms(t).tolist()) for t in both))

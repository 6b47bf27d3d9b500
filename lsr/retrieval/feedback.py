"""Pseudo-relevance feedback: the top documents refine the query for a second search.

- average: the mean of the query and the first 3 documents, as vectors.
- rocchio: .4 query + .6 mean of the first 5 documents.  Both are H. Li et al., "Pseudo relevance
  feedback with deep language models and dense retrievers" (TOIS 2023), for dense vectors and, in
  the same words, for sparse ones.
- rm3, for BM25: a language model of the first 10 documents, P(t|R) = sum over documents of
  P(t|d) P(d), its 10 likeliest terms, mixed half and half with the query's own P(t|Q).
  N. Abdul-Jaleel et al., "UMass at TREC 2004", from V. Lavrenko and W. B. Croft's relevance models.

Choices, where descriptions differ:

- A refined query keeps its length: the Euclidean norm of a vector, the number of words for RM3.
  The papers do not rescale; rescaling changes no ranking, but cosines stay cosines, and scores keep
  the scale on which they are fused with those of other retrievers.
- A sparse query gains all terms of its documents, some hundred each, which makes its search slower.
  It keeps only its `Feedback.terms` strongest terms: 32, about as many as a long question has.
  Of 16 to all terms, 32 was best on NFCorpus and Cranfield.
- RM3's P(d) are the documents' scores, as in Anserini, not query likelihoods, which BM25 lacks.
  Words in over a tenth of the collection are ignored, as in Anserini.  P(t|d) is over all other
  words of the document; Anserini first cuts each document to its 10 most frequent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.arguments import real, whole
from lsr.errors import QueryError
from lsr.fusion.lists import NOTHING, Ranked
from lsr.retrieval import FEEDBACK_KINDS, INTERPOLATE, FeedbackKind, Interpolate
from lsr.vectors import Floats, SparseVectors

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Feedback:
    """A kind of feedback and its parameters; `Feedback.of` has the usual ones as defaults.

    Attributes:
        documents: number of top documents used as feedback.
        terms: number of strongest terms a sparse query keeps; for rm3, number of terms taken from
            the documents.
        query: weight of the query, 0 to 1; the documents have the rest.  Ignored by average, where
            the query counts as much as one document.
    """

    kind: FeedbackKind
    documents: int
    terms: int
    query: float

    @classmethod
    def of(
        cls,
        kind: FeedbackKind,
        *,
        documents: int | None = None,
        terms: int | None = None,
        query: float | None = None,
    ) -> Feedback:
        """Feedback with the parameters of the papers as defaults.

        Raises `QueryError` for numbers out of range.
        """
        if kind not in FEEDBACK_KINDS:
            raise QueryError(f"there is no feedback {kind!r}; use {', '.join(FEEDBACK_KINDS)}")
        if kind == "average" and query is not None:
            raise QueryError(
                "average has no weight for the query; use rocchio, or leave the weight out"
            )
        usual = _USUAL[kind]
        share = usual.query if query is None else query
        return cls(
            kind,
            whole("documents", usual.documents if documents is None else documents),
            whole("terms", usual.terms if terms is None else terms),
            real("the query's weight in feedback", share, 0, 1),
        )

    def share(self, documents: int) -> float:
        """The weight of the query next to this many documents."""
        return 1 / (documents + 1) if self.kind == "average" else self.query


_USUAL = {
    "average": Feedback("average", 3, 32, 0.25),
    "rocchio": Feedback("rocchio", 5, 32, 0.4),
    "rm3": Feedback("rm3", 10, 10, 0.5),
}


def refine_dense(query: Vector, documents: Vector, feedback: Feedback) -> Vector:
    """The query after average or rocchio; float32, shape (dimensions,).

    Args:
        documents: the vectors of the first documents, shape (n, dimensions); without documents the
            query does not change.
    """
    used = documents[: feedback.documents].astype(np.float64)
    if not len(used):
        return query
    share = feedback.share(len(used))
    mixed = share * query.astype(np.float64) + (1 - share) * used.mean(axis=0)
    refined: Vector = (mixed * _back_to(query, mixed)).astype(np.float32)
    return refined


def refine_sparse(
    query: SparseVectors, documents: SparseVectors, feedback: Feedback
) -> SparseVectors:
    """The query, one row, after average or rocchio with the rows of the first documents.

    Its `feedback.terms` strongest terms are kept, of equal ones the lower, and then it is scaled.
    """
    used = documents[: feedback.documents]
    if not len(used):
        return query
    share = feedback.share(len(used))
    terms, weights = _added(
        (query.terms, share * query.weights.astype(np.float64)),
        (used.terms, (1 - share) / len(used) * used.weights.astype(np.float64)),
    )
    return _cut(terms, weights, feedback.terms, query)


def refine_rm3(
    query: SparseVectors, counts: SparseVectors, scores: Floats, feedback: Feedback
) -> SparseVectors:
    """The query, one row of counts, after rm3.

    Args:
        counts: how often each of the first documents has each term that may be feedback.
        scores: of these documents; those below 0 count as 0, and if all do, all count alike.

    Of equally likely terms the lower are taken.  Without a term in any document, the query stays.
    """
    counts = counts[: feedback.documents]
    document_weights = np.maximum(scores[: feedback.documents], 0)
    row = counts.row_of_entry()
    if not row.size:
        return query
    if not document_weights[row].any():
        document_weights = np.ones(len(counts))
    lengths = np.bincount(row, counts.weights, len(counts))
    terms, likelihoods = _added(
        (counts.terms, counts.weights * document_weights[row] / lengths[row])
    )
    model = _cut(terms, likelihoods, feedback.terms)
    words = float(query.weights.sum())
    share = feedback.query if words else 0.0
    terms, probabilities = _added(
        (query.terms, share * query.weights.astype(np.float64) / (words or 1.0)),
        (model.terms, (1 - share) * model.weights / model.weights.sum(dtype=np.float64)),
    )
    return _cut(terms, (words or 1.0) * probabilities, terms.size)


def search_again(
    first: Sequence[Ranked],
    again: Mapping[int, Callable[[Ranked], Ranked]],
    fused: Callable[[Sequence[Ranked]], Ranked],
    interpolate: Interpolate,
) -> list[Ranked]:
    """The lists to fuse, one a retriever, after some retrievers searched again with feedback.

    H. Li et al., "To interpolate or not to interpolate: PRF, dense and sparse retrievers" (SIGIR
    2022), which refines one of two retrievers:

    - before: the feedback documents are the top of the fused list, and the result is the lists of
      the refined retrievers.
    - after: each retriever takes the top of its list, and the result is fused with the lists of
      the others.
    - both: documents of the fused list, and a fused result.  The paper finds it best.
    - none: neither.

    Args:
        first: the lists of all retrievers for the original query.
        again: number of a retriever -> its search with feedback documents, best first.
        fused: fuses lists.

    Returns:
        one list for each of `first`, empty where the retriever is left out of the result.
    """
    if interpolate not in INTERPOLATE:
        raise QueryError(f"there is no interpolation {interpolate!r}; use {', '.join(INTERPOLATE)}")
    joint = fused(first) if interpolate in ("before", "both") else None
    kept = interpolate in ("after", "both")
    return [
        again[number](ranked if joint is None else joint)
        if number in again
        else (ranked if kept else NOTHING)
        for number, ranked in enumerate(first)
    ]


def _added(
    *vectors: tuple[npt.NDArray[np.uint32], Floats],
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[Any]]:
    """The terms of some vectors, ascending, and the sum of the weights of each."""
    all_terms, all_weights = map(np.concatenate, zip(*vectors, strict=True))
    terms, column = np.unique(all_terms, return_inverse=True)
    return terms, np.bincount(column, all_weights, terms.size)


def _cut(
    terms: npt.NDArray[np.uint32],
    weights: npt.NDArray[Any],
    count: int,
    like: SparseVectors | None = None,
) -> SparseVectors:
    """One row of the strongest terms; as long as another row, if one is given."""
    kept = weights > 0
    cut = SparseVectors([0, kept.sum()], terms[kept], weights[kept]).strongest(count)
    if like is None:
        return cut
    return SparseVectors(cut.indptr, cut.terms, cut.weights * _back_to(like.weights, cut.weights))


def _back_to(query: npt.NDArray[Any], refined: npt.NDArray[Any]) -> np.float32:
    """The factor that makes a refined query as long as the query; 1 where either has no length."""
    length, wanted = (float(np.linalg.norm(v.astype(np.float64))) for v in (refined, query))
    return np.float32(wanted / length if length and wanted else 1.0)

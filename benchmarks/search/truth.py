"""Exact answers by brute force on the weights as given, and the recall of other answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from lsr import SparseVectors

SPARE = 100  # answers beyond the largest k, for scores equal to the k-th


def exact(
    documents: SparseVectors, queries: SparseVectors, depth: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The best `depth` documents of each query by float64 inner product, and their scores.

    Shape (queries, depth) each; -1 and 0 where fewer documents share a term with the query.
    """
    vocabulary = int(max(documents.terms.max(initial=0), queries.terms.max(initial=0))) + 1
    weights = documents.weights.astype(np.float64)
    shape = len(documents), vocabulary
    columns = csr_array((weights, documents.terms, documents.indptr), shape=shape).tocsc()
    answers = np.full((len(queries), depth), -1, np.int64)
    scores = np.zeros((len(queries), depth))
    for number, query in enumerate(queries):
        sums = columns[:, query.terms] @ query.weights.astype(np.float64)
        count = min(depth, int((sums > 0).sum()))
        best = np.argpartition(-sums, count - 1)[:count] if count else np.empty(0, np.int64)
        best = best[np.lexsort((best, -sums[best]))]
        answers[number, :count], scores[number, :count] = best, sums[best]
    return answers, scores


def cached(path: Path, documents: SparseVectors, queries: SparseVectors, largest_k: int) -> None:
    """Write `exact` for every k up to `largest_k` to a file, unless it is there."""
    depth = largest_k + SPARE
    if path.exists():
        with np.load(path) as arrays:
            if arrays["documents"].shape[1] >= depth:
                return
    answers, scores = exact(documents, queries, depth)
    np.savez(path, documents=answers, scores=scores)


def recall(
    answers: Sequence[Sequence[int]],
    exact_answers: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    k: int,
) -> float:
    """Mean share of the exact best k in the answers; scores equal to the k-th all count."""
    shares = []
    for answer, best, score in zip(answers, exact_answers, scores, strict=True):
        count = min(k, int((best >= 0).sum()))
        if count:
            correct = best[(score >= score[count - 1]) & (best >= 0)]
            shares.append(min(count, np.isin(np.array(answer[:k]), correct).sum()) / count)
    return float(np.mean(shares)) if shares else 1.0

"""Exact answers by brute force on the weights as given, and the share of them that was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsr import SparseVectors

SPARE = 100  # answers kept beyond the largest k, for scores equal to the k-th


def exact(
    documents: SparseVectors, queries: SparseVectors, depth: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The best `depth` documents of each query by float64 inner product, and their scores.

    Shape (queries, depth) each; -1 and 0 where fewer documents share a term with the query.
    """
    order = np.argsort(documents.terms, kind="stable")
    rows = np.repeat(np.arange(len(documents)), np.diff(documents.indptr))[order]
    weights = documents.weights[order].astype(np.float64)
    vocabulary = int(documents.terms.max(initial=0)) + 1
    starts = np.zeros(vocabulary + 1, np.int64)
    np.cumsum(np.bincount(documents.terms, minlength=vocabulary), out=starts[1:])

    found = np.full((len(queries), depth), -1, np.int64)
    scores = np.zeros((len(queries), depth))
    for number, query in enumerate(queries):
        sums = np.zeros(len(documents))
        for term, weight in zip(query.terms.tolist(), query.weights.tolist(), strict=True):
            if term < vocabulary:
                span = slice(starts[term], starts[term + 1])
                sums[rows[span]] += weight * weights[span]
        kept = min(depth, int((sums > 0).sum()))
        best = np.argpartition(-sums, kept - 1)[:kept] if kept else np.empty(0, np.int64)
        best = best[np.lexsort((best, -sums[best]))]
        found[number, :kept], scores[number, :kept] = best, sums[best]
    return found, scores


def cached(
    path: Path, documents: SparseVectors, queries: SparseVectors, largest_k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """`exact` for every k up to `largest_k`, kept in a file."""
    depth = largest_k + SPARE
    if path.exists():
        with np.load(path) as arrays:
            if arrays["found"].shape[1] >= depth:
                return arrays["found"], arrays["scores"]
    found, scores = exact(documents, queries, depth)
    np.savez(path, found=found, scores=scores)
    return found, scores


def recall(
    answers: Sequence[Sequence[int]],
    found: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    k: int,
) -> float:
    """Mean share of the exact best k among the answers; any of equal score to the k-th counts."""
    shares = []
    for answer, best, score in zip(answers, found, scores, strict=True):
        wanted = min(k, int((best >= 0).sum()))
        if wanted:
            right = best[score >= score[wanted - 1]]
            right = right[right >= 0]
            shares.append(min(wanted, np.isin(np.array(answer[:k]), right).sum()) / wanted)
    return float(np.mean(shares)) if shares else 1.0

"""The baseline of every measurement here: add up all postings, pick the best.

Postings lie by window of 65,536 documents, so that a document's number takes 16 bits and a
window's accumulators fit the second-level cache.  Weights are 8 bits on one linear scale, query
weights integers of at most 14 bits, so scores are the integers that `lsr` computes, and equal
scores go by position as there.  An engine that is slower than this has no reason to exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt

from lsr import SparseVectors

WINDOW = 65_536
LEVELS = 2**14 - 1  # the largest integer of a query
LIMIT = 2**31 - 1  # the largest score
STRETCH = 2_048  # documents compared with the threshold at once; of these ...
PIECE = 32  # ... pieces of so many are looked at one by one


@dataclass(frozen=True, slots=True)
class PlainIndex:
    """Postings by window, then by term, then by document.

    Attributes:
        starts: int64, shape (windows, terms + 1); where a term's postings of a window lie.
        documents: uint16, shape (postings,); numbers within the window.
        weights: uint8, shape (postings,).
        maxima: uint32, shape (terms,); the largest weight of each term.
        step: of the weights.
        count: documents in all.
        sums: a window's accumulators, kept so that no query allocates them.
    """

    starts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.uint16]
    weights: npt.NDArray[np.uint8]
    maxima: npt.NDArray[np.uint32]
    step: float
    count: int
    sums: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(WINDOW, np.uint32))

    @classmethod
    def build(cls, vectors: SparseVectors) -> PlainIndex:
        """Quantize and invert documents; term numbers should be dense, as a vocabulary's are."""
        step = float(vectors.weights.max(initial=0)) / 255 or 1.0
        levels = np.rint(vectors.weights.astype(np.float64) / step)
        weights = np.where(vectors.weights > 0, np.maximum(levels, 1), 0).astype(np.uint8)
        terms = int(vectors.terms.max(initial=0)) + 1
        maxima = np.zeros(terms, np.uint32)
        np.maximum.at(maxima, vectors.terms, weights)
        windows = -(-len(vectors) // WINDOW)
        starts = np.zeros((windows, terms + 1), np.int64)
        documents = np.empty(vectors.terms.size, np.uint16)
        placed = np.empty(vectors.terms.size, np.uint8)
        for window in range(windows):
            bounds = vectors.indptr[window * WINDOW : (window + 1) * WINDOW + 1]
            span = slice(bounds[0], bounds[-1])
            here = vectors.terms[span]
            order = np.argsort(here, kind="stable")  # stable: documents ascend within a term
            rows = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))
            documents[span], placed[span] = rows[order], weights[span][order]
            np.cumsum(np.bincount(here, minlength=terms), out=starts[window, 1:])
            starts[window] += bounds[0]
        return cls(starts, documents, placed, maxima, step, len(vectors))

    def save(self, directory: Path) -> None:
        """One .npy file an array."""
        for name in ("starts", "documents", "weights", "maxima"):
            np.save(directory / f"{name}.npy", getattr(self, name))
        np.save(directory / "step_count.npy", np.array([self.step, self.count]))

    @classmethod
    def open(cls, directory: Path) -> PlainIndex:
        """What `save` wrote."""
        names = ("starts", "documents", "weights", "maxima", "step_count")
        starts, documents, weights, maxima, rest = (np.load(directory / f"{n}.npy") for n in names)
        return cls(starts, documents, weights, maxima, float(rest[0]), int(rest[1]))

    def quantize(
        self, query: SparseVectors
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32], float]:
        """Terms, integers and unit of the score for one query, as `lsr` has them.

        The unit is the least power of two for which the integers take 14 bits and no score can
        reach 2**31, lifting each integer by 1 for its rounding included.
        """
        known = query.terms < self.maxima.size
        terms, weights = query.terms[known], query.weights[known]
        found = (self.maxima[terms] > 0) & (weights > 0)
        terms, exact = terms[found], weights[found].astype(np.float64) * self.step
        if not terms.size:
            return terms, np.empty(0, np.int32), 1.0
        maxima = self.maxima[terms].astype(np.float64)
        needed = max(exact.max() / LEVELS, (exact * maxima).sum() / (LIMIT - maxima.sum()))
        fraction, exponent = np.frexp(needed)  # of [.5, 1) times a power of two
        unit = float(np.ldexp(1.0, exponent - (fraction == 0.5)))
        return terms, np.maximum(np.rint(exact / unit), 1).astype(np.int32), unit

    def search(
        self, terms: npt.NDArray[np.uint32], weights: npt.NDArray[np.int32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Documents and integer scores of the best k, for terms and integers of `quantize`."""
        postings = (self.starts, self.documents, self.weights)
        keys = scan(*postings, self.count, self.sums, terms, weights, k)
        keys.sort()
        best = keys[::-1]
        return 0xFFFFFFFF - (best & 0xFFFFFFFF), best >> 32


@numba.njit(nogil=True, inline="always")
def reaches(sums, threshold):  # type: ignore[no-untyped-def]
    """Whether a sum is above the threshold; without a branch, so that it is vectorised."""
    largest = np.uint32(0)
    for place in range(sums.size):
        largest = max(largest, sums[place])
    return largest > threshold


@numba.njit(nogil=True)
def select(keys, k):  # type: ignore[no-untyped-def]
    """Bring the k largest keys to the front, the k-th largest last of them (quickselect)."""
    low, high = 0, keys.size
    while high - low > 1:
        # The median of three goes first; no two keys are equal.
        middle, last = (low + high) // 2, high - 1
        if (keys[low] > keys[middle]) == (keys[middle] > keys[last]):
            keys[low], keys[middle] = keys[middle], keys[low]
        elif (keys[low] > keys[last]) == (keys[last] > keys[middle]):
            keys[low], keys[last] = keys[last], keys[low]
        pivot, end = keys[low], low
        for place in range(low + 1, high):
            key = keys[place]  # swapped always, kept by moving on, as in `scan`
            keys[place], keys[end + 1] = keys[end + 1], key
            end += key > pivot
        keys[low], keys[end] = keys[end], pivot
        if end == k - 1:
            return
        if end > k - 1:
            high = end
        else:
            low = end + 1


@numba.njit("i8[::1](i8[:,::1], u2[::1], u1[::1], i8, u4[::1], u4[::1], i4[::1], i8)", nogil=True)
def scan(starts, documents, weights, count, sums, terms, integers, k):  # type: ignore[no-untyped-def]
    """The k best documents as keys, score * 2**32 + 2**32 - 1 - document, in any order."""
    kept, size, threshold = np.empty(2 * k + PIECE, np.int64), 0, np.uint32(0)
    for window in range(starts.shape[0]):
        base = window * WINDOW
        stretches = -(-min(WINDOW, count - base) // STRETCH)
        sums[: stretches * STRETCH] = 0
        for place in range(terms.size):
            first, last = starts[window, terms[place]], starts[window, terms[place] + 1]
            ids, values = documents[first:last], weights[first:last]
            integer = np.uint32(integers[place])
            for posting in range(ids.size):
                sums[ids[posting]] += integer * np.uint32(values[posting])
        for stretch in range(0, stretches * STRETCH, STRETCH):
            if not reaches(sums[stretch : stretch + STRETCH], threshold):
                continue
            for piece in range(stretch, stretch + STRETCH, PIECE):
                if not reaches(sums[piece : piece + PIECE], threshold):
                    continue
                for document in range(piece, piece + PIECE):
                    # Written always, kept by moving on: a branch here would be mispredicted.
                    key = (np.int64(sums[document]) << 32) + (0xFFFFFFFF - base - document)
                    kept[size] = key
                    size += sums[document] > threshold
                if size >= 2 * k:
                    select(kept[:size], k)
                    size, threshold = k, np.uint32(kept[k - 1] >> 32)
    if size > k:
        select(kept[:size], k)
    return kept[: min(size, k)]

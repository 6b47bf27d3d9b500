"""The plain scan, baseline of every measurement here: add up all postings, pick the best.

Postings lie in partitions of 65,536 documents, so that a document's number takes 16
bits and the accumulators of a partition fit the second-level cache.  Weights have 8 bits on one
linear scale and query weights are integers of at most 14 bits, so scores are the integers that
`lsr` computes, and equal scores go by position as they do there.  An engine that is slower than
this has no reason to exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from benchmarks.engines import Engine, eight_bits
from lsr import SparseVectors, kernels

# Where LSR_ISA keeps lsr from AVX-512, the scan does without it too.
if kernels.instruction_set("index") == "avx2" and kernels.ISAS["index"][-1] != "avx2":
    numba.config.CPU_NAME = "haswell"  # the first processor with AVX2 ...
    numba.config.CPU_FEATURES = ""  # ... and what it has, not what this one has

PARTITION = 65_536
LEVELS = 2**14 - 1  # the largest integer of a query
LIMIT = 2**31 - 1  # the largest score
STRETCH = 2_048  # documents compared with the threshold at once
PIECE = 32  # documents compared one by one, if the largest sum of a stretch passes


@dataclass(frozen=True, slots=True)
class PlainIndex:
    """Postings by partition, then by term, then by document.

    Attributes:
        starts: int64, shape (partitions, terms + 1); offsets of a term's postings in a partition.
        documents: uint16, shape (postings,); numbers within the partition.
        weights: uint8, shape (postings,).
        maxima: uint32, shape (terms,); the largest weight of each term.
        step: the weight that 1 stands for.
        count: number of documents.
        sums: accumulators of a partition, allocated once for all queries.
    """

    starts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.uint16]
    weights: npt.NDArray[np.uint8]
    maxima: npt.NDArray[np.uint32]
    step: float
    count: int
    sums: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(PARTITION, np.uint32))

    @classmethod
    def build(cls, vectors: SparseVectors) -> PlainIndex:
        """Quantize and invert documents; term ids should have few gaps, as a vocabulary's have."""
        weights, step = eight_bits(vectors)
        terms = int(vectors.terms.max(initial=0)) + 1
        maxima = np.zeros(terms, np.uint32)
        np.maximum.at(maxima, vectors.terms, weights)
        partitions = -(-len(vectors) // PARTITION)
        starts = np.zeros((partitions, terms + 1), np.int64)
        documents = np.empty(vectors.terms.size, np.uint16)
        sorted_weights = np.empty(vectors.terms.size, np.uint8)
        for partition in range(partitions):
            bounds = vectors.indptr[partition * PARTITION : (partition + 1) * PARTITION + 1]
            span = slice(bounds[0], bounds[-1])
            terms_here = vectors.terms[span]
            order = np.argsort(terms_here, kind="stable")  # stable: documents ascend within a term
            rows = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))
            documents[span], sorted_weights[span] = rows[order], weights[span][order]
            np.cumsum(np.bincount(terms_here, minlength=terms), out=starts[partition, 1:])
            starts[partition] += bounds[0]
        return cls(starts, documents, sorted_weights, maxima, step, len(vectors))

    def save(self, directory: Path) -> None:
        """Write one .npy file an array."""
        for name in ("starts", "documents", "weights", "maxima", "step", "count"):
            np.save(directory / f"{name}.npy", getattr(self, name))

    @classmethod
    def open(cls, directory: Path) -> PlainIndex:
        """Read what `save` wrote."""
        arrays = {file.stem: np.load(file) for file in directory.glob("*.npy")}
        step, count = float(arrays.pop("step")), int(arrays.pop("count"))
        return cls(**arrays, step=step, count=count)

    def quantize(
        self, query: SparseVectors
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32], float]:
        """Terms, integers and unit of the score for one query, as `lsr` computes them.

        The unit is the least power of two for which the integers take 14 bits and no score can
        reach 2**31, even if rounding raises each integer by 1.
        """
        known = query.terms < self.maxima.size
        terms, weights = query.terms[known], query.weights[known]
        matching = (self.maxima[terms] > 0) & (weights > 0)
        terms, exact = terms[matching], weights[matching].astype(np.float64) * self.step
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


class PlainScan(Engine):
    name = "plain scan"
    settings = "8 bit"
    version = "1"

    def build(self, documents: SparseVectors, directory: Path) -> None:
        PlainIndex.build(documents).save(directory)

    def open(self, directory: Path) -> None:
        self._index = PlainIndex.open(directory)

    def prepare(self, query: SparseVectors) -> Any:
        return self._index.quantize(query)[:2]

    def search(self, query: Any, k: int) -> Any:
        return self._index.search(*query, k)

    def documents(self, answer: Any) -> list[int]:
        return [int(document) for document in answer[0]]


BUILDS = {"scan": [PlainScan]}


@numba.njit(nogil=True, inline="always")
def reaches(sums, threshold):  # type: ignore[no-untyped-def]
    """Whether a sum is above the threshold; without a branch, so that it is vectorised."""
    largest = np.uint32(0)
    for i in range(sums.size):
        largest = max(largest, sums[i])
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
        for i in range(low + 1, high):
            key = keys[i]  # swapped always, kept by moving on, as in `scan`
            keys[i], keys[end + 1] = keys[end + 1], key
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
    candidates, size, threshold = np.empty(2 * k + PIECE, np.int64), 0, np.uint32(0)
    for partition in range(starts.shape[0]):
        base = partition * PARTITION
        stretches = -(-min(PARTITION, count - base) // STRETCH)
        sums[: stretches * STRETCH] = 0
        for i in range(terms.size):
            first, last = starts[partition, terms[i]], starts[partition, terms[i] + 1]
            ids, values = documents[first:last], weights[first:last]
            integer = np.uint32(integers[i])
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
                    candidates[size] = key
                    size += sums[document] > threshold
                if size >= 2 * k:
                    select(candidates[:size], k)
                    size, threshold = k, np.uint32(candidates[k - 1] >> 32)
    if size > k:
        select(candidates[:size], k)
    return candidates[: min(size, k)]

"""Turning the documents of one partition into postings: the compiled part of the builder.

All functions are plain nogil Numba (no `prange`: its default thread layer aborts the
process when two Python threads enter it at once).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.index.postings.quantizer import weight_dtype
from lsr.jit import compiled

_DIGIT_BITS = 16
_DIGITS = 1 << _DIGIT_BITS


@compiled
def quantize(weights: Any, step: float, levels: int, stored: Any) -> float:
    """Fill `stored` with integer weights, 1 to `levels`; return the largest error made."""
    error = 0.0
    for i in range(weights.size):
        weight = np.float64(weights[i])
        integer = min(max(np.rint(weight / step), 1.0), np.float64(levels))
        stored[i] = np.uint16(integer)
        error = max(error, abs(weight - integer * step))
    return error


@compiled
def sort_by_term(terms: Any, order: Any, scratch: Any, counts: Any) -> None:
    """Fill `order` with the entries in stable order of their 32-bit terms.

    A radix sort of two 16-bit digits; the second is skipped when no term needs it.
    `scratch` is as long as `order`, `counts` has 65,537 values.
    """
    largest = np.uint32(0)
    for i in range(terms.size):
        largest = max(largest, terms[i])
    for i in range(terms.size):
        order[i] = i
    for shift in (0, _DIGIT_BITS):
        if largest >> np.uint32(shift) == 0 and shift > 0:
            return
        counts[:] = 0
        for i in range(terms.size):
            counts[((terms[i] >> np.uint32(shift)) & np.uint32(_DIGITS - 1)) + 1] += 1
        for digit in range(_DIGITS):
            counts[digit + 1] += counts[digit]
        for i in range(terms.size):
            entry = order[i]
            digit = (terms[entry] >> np.uint32(shift)) & np.uint32(_DIGITS - 1)
            scratch[counts[digit]] = entry
            counts[digit] += 1
        order[:] = scratch


@compiled
def count_runs(terms: Any, order: Any) -> int:
    """Number of distinct terms."""
    runs = 0
    for i in range(order.size):
        if i == 0 or terms[order[i]] != terms[order[i - 1]]:
            runs += 1
    return runs


@compiled
def fill_runs(
    terms: Any, owners: Any, integers: Any, order: Any, postings: Any, weights: Any, runs: Any
) -> None:
    """Write postings in order, and a row (term, start, maximum) a distinct term."""
    run_terms, run_starts, run_maxima = runs
    run = -1
    for i in range(order.size):
        entry = order[i]
        if run < 0 or terms[entry] != run_terms[run]:
            run += 1
            run_terms[run] = terms[entry]
            run_starts[run] = i
            run_maxima[run] = 0
        postings[i] = owners[entry]
        weights[i] = integers[entry]
        run_maxima[run] = max(run_maxima[run], integers[entry])


class Inverted:
    """The inverted form of a partition.

    Attributes:
        terms: uint32, ascending, those with postings.
        starts: int64, first posting of each term, and one more: the number of postings.
        maxima: largest weight of each term.
        documents: uint16, a value a posting, ascending in a term.
        weights: uint8 or uint16, likewise.
        order: uint32, the entry behind each posting.
        error: largest quantization error.
    """

    def __init__(
        self,
        terms: npt.NDArray[np.uint32],
        owners: npt.NDArray[np.uint16],
        floats: npt.NDArray[np.float32],
        *,
        step: float,
        bits: int,
    ) -> None:
        """Invert entries given in document order; none may have a weight of zero."""
        dtype = weight_dtype(bits)
        integers = np.empty(terms.size, dtype)
        self.error = quantize(floats, step, 2**bits - 1, integers)
        self.order = np.empty(terms.size, np.uint32)
        scratch = np.empty_like(self.order)
        sort_by_term(terms, self.order, scratch, np.empty(_DIGITS + 1, np.int64))
        del scratch
        runs = count_runs(terms, self.order)
        self.terms = np.empty(runs, np.uint32)
        self.starts = np.full(runs + 1, terms.size, np.int64)
        self.maxima = np.empty(runs, dtype)
        self.documents = np.empty(terms.size, np.uint16)
        self.weights = np.empty(terms.size, dtype)
        fill_runs(
            terms,
            owners,
            integers,
            self.order,
            self.documents,
            self.weights,
            (self.terms, self.starts, self.maxima),
        )

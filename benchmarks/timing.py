"""Timed passes over queries, and whether the machine was quiet during them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.commands import Row

Call = tuple[Callable[[Any], Any], Any]  # a function and its argument


class Pass(NamedTuple):
    """Calls timed one after another.

    Attributes:
        times: microseconds of each call.
        core_share: the share of the time that this process was on a processor.
        reference_us: `reference` around the pass, the longer one.
    """

    times: npt.NDArray[np.float64]
    core_share: float
    reference_us: float


def passes(
    calls: Sequence[Call], count: int, clock: Callable[[], int] = time.perf_counter_ns
) -> list[Pass]:
    """Time all calls `count` times, with the garbage collector off; none of them warms up."""
    timed = []
    gc.collect()
    gc.disable()
    for _ in range(count):
        before = reference()
        busy, marks = time.process_time(), [clock()]
        for function, value in calls:
            function(value)
            marks.append(clock())
        busy = time.process_time() - busy
        times = np.diff(marks) / 1e3
        share = min(1.0, busy * 1e6 / float(times.sum()))
        timed.append(Pass(times, share, max(before, reference())))
    gc.enable()
    return timed


def latency(ask: Callable[[Any], Any], queries: Sequence[Any], count: int) -> dict[str, float]:
    """Microseconds a query in the fastest of `count` passes, and how quiet the machine was."""
    timed = passes([(ask, query) for query in queries], count)
    best = min(timed, key=lambda timed_pass: float(timed_pass.times.sum()))
    return {**spread(best.times), "core_share": best.core_share, "reference_us": best.reference_us}


def spread(times: npt.NDArray[np.float64]) -> dict[str, float]:
    """Median, mean and percentiles of microseconds."""
    return {
        "median_us": float(np.median(times)),
        "mean_us": float(times.mean()),
        "p90_us": float(np.percentile(times, 90)),
        "p99_us": float(np.percentile(times, 99)),
    }


def reference() -> float:
    """Microseconds that sorting 2,000 numbers and adding 65,536 take now, the median of 20."""
    numbers, sums, spent = list(range(500, 0, -1)) * 4, np.ones(65_536, np.uint32), []
    for _ in range(20):
        start = time.perf_counter_ns()
        sorted(numbers, key=str)
        sums.sum()
        spent.append(time.perf_counter_ns() - start)
    return float(np.median(spent)) / 1e3


def quiet(row: Row, rows: Iterable[Row]) -> bool:
    """Whether nothing slowed a measurement down, judged by all rows measured on the machine.

    Below 97 % of its core, something else ran there.  A reference a quarter above the lowest
    is a sign of work on other cores, of other virtual machines or of a lower clock.
    """
    lowest = min(other["reference_us"] for other in rows)
    return bool(row["core_share"] >= 0.97 and row["reference_us"] <= 1.25 * lowest)


def star(row: Row, rows: Iterable[Row]) -> str:
    """The mark of a row that was not measured on a quiet machine."""
    return "" if quiet(row, rows) else " *"

"""The machine of a run, and processes that have one core and their own memory."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_POOLS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")


def circumstances(module: str, *packages: str) -> dict[str, Any]:
    """Time, machine and versions of a run of `python -m benchmarks.<module>`.

    Args:
        packages: distributions whose versions matter besides those of NumPy and Numba.

    Raises `LsrError` if LSR_ISA names an instruction set that this machine lacks.
    """
    from lsr.eval.experiments.provenance import machine  # heavy, for the processes of `alone`

    facts = machine()
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": ["python", "-m", f"benchmarks.{module}", *sys.argv[1:]],
        "cpu": facts["processor"],
        "lsr_isa": facts["instruction_set"],
        "cores": facts["cores"],
        "system": facts["system"],
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", *packages)},
    }


def pin(core: int | None) -> int | None:
    """Run this process on one core, by default the last one, and return it; Linux alone can."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


def limit_threads(threads: int) -> None:
    """Bound the threads of libraries that this process, or its children, load from now on."""
    for pool in _POOLS:
        os.environ[f"{pool}_NUM_THREADS"] = str(threads)


def alone(
    function: Callable[..., T], *values: Any, core: int | None = None, log: Path | None = None
) -> T:
    """Call a function in a process of its own.

    Args:
        core: to run on; None leaves the choice to the system.
        log: the file for what it prints.

    Raises what the function raises, or `BrokenProcessPool` if its process dies.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_begin, initargs=(core, log)) as pool:
        return pool.submit(function, *values).result()


def _begin(core: int | None, log: Path | None) -> None:
    if core is not None:
        pin(core)
    if log is not None:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)


def forget_peak() -> None:
    """Start to measure peak memory anew; Linux alone can."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most memory this process has had resident, in bytes; on Linux since `forget_peak`."""
    if Path("/proc/self/status").exists():
        return memory(Path("/proc/self/status").read_text(), "VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory() -> float:
    """Bytes available without swapping; infinite on a system that does not tell."""
    file = Path("/proc/meminfo")
    return memory(file.read_text(), "MemAvailable") if file.exists() else float("inf")


def memory(text: str, name: str) -> int:
    """Bytes that a file of /proc gives for a name, such as VmHWM."""
    return next(int(x.split()[1]) * 1024 for x in text.splitlines() if x.startswith(f"{name}:"))


def busy_seconds() -> float:
    """Seconds since the start that all processors together were busy, or were kept from this
    machine by other virtual ones; 0 on a system that does not tell."""
    file = Path("/proc/stat")
    if not file.exists():
        return 0.0
    counts = file.read_text().split("\n")[0].split()[1:9]
    user, nice, system, _idle, _wait, *others = map(int, counts)
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")

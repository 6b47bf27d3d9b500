"""Where and how a run was made."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lsr.index.search.searcher import instruction_set

# What kernels for products of matrices can be built on, as Linux names it.
_PRODUCTS = {"avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"}
_PRODUCTS |= {"amx_int8", "asimd", "asimddp", "bf16", "i8mm"}


def circumstances(module: str, *packages: str) -> dict[str, Any]:
    """Time, machine and versions of a run of `python -m benchmarks.<module>`.

    Args:
        packages: distributions whose versions matter besides those of NumPy and Numba.

    Raises `LsrError` where LSR_ISA names an instruction set that this machine lacks.
    """
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": ["python", "-m", f"benchmarks.{module}", *sys.argv[1:]],
        "cpu": _of_cpu("model name") or platform.processor() or platform.machine(),
        "cpu_flags": sorted(set(_of_cpu("flags", "Features").split()) & _PRODUCTS),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", *packages)},
        "lsr_isa": instruction_set(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
    }


def available_memory() -> float:
    """Bytes that can be had without swapping; infinite where the system does not tell."""
    file = Path("/proc/meminfo")
    return memory(file.read_text(), "MemAvailable") if file.exists() else float("inf")


def busy_seconds() -> float:
    """Seconds that processors have spent on anything since the start, or that other virtual
    machines kept from them, all processors together; 0 where the system does not tell."""
    file = Path("/proc/stat")
    if not file.exists():
        return 0.0
    user, nice, system, _idle, _wait, *others = map(
        int, file.read_text().split("\n")[0].split()[1:9]
    )
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


def memory(text: str, name: str) -> int:
    """Bytes that a file of /proc gives under a name, such as VmHWM."""
    return next(int(x.split()[1]) * 1024 for x in text.splitlines() if x.startswith(f"{name}:"))


def _of_cpu(*names: str) -> str:
    """What /proc/cpuinfo says of the first processor under one of the names, or nothing."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() in names), "")

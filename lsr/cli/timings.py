"""Time of each step of a command."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lsr.terminal import note


class Timings:
    """The wall time between steps, the first counted from the start of the process."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._steps = [("starting Python", _process_age())]

    def done(self, step: str) -> None:
        """Note the end of a step."""
        now = time.monotonic()
        self._steps.append((step, now - self._last))
        self._last = now

    def show(self) -> None:
        """Print the steps on standard error."""
        for step, seconds in [*self._steps, ("in all", sum(seconds for _, seconds in self._steps))]:
            note(f"{1e3 * seconds:8.1f} ms  {step}")


def _process_age() -> float:
    """Seconds since this process was started; 0 if the system does not tell."""
    try:
        # The name of the program, which is in brackets, may hold spaces.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError):
        return 0.0

"""Where the time of a command went."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lsr.terminal import note


class Laps:
    """The wall time between steps, the first counted from the start of the process."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._laps = [("starting Python", _process_age())]

    def done(self, step: str) -> None:
        """Note the end of a step."""
        now = time.monotonic()
        self._laps.append((step, now - self._last))
        self._last = now

    def show(self) -> None:
        """Print the steps on standard error."""
        for step, seconds in [*self._laps, ("in all", sum(lap for _, lap in self._laps))]:
            note(f"{1e3 * seconds:8.1f} ms  {step}")


def _process_age() -> float:
    """Seconds since this process was started; 0 where that cannot be told."""
    try:
        # The name of the program, which is in brackets, may hold spaces.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError):
        return 0.0

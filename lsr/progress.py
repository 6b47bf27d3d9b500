"""Progress of a long piece of work: a bar by rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from lsr.terminal import Notes, note, one_line

_SECONDS_BETWEEN = {True: 0.2, False: 10.0}  # on a terminal, elsewhere


class Progress:
    """Reports the count, rate and time left of one piece of work to a stream.

    A stream that cannot be written stops no work: reports end.

    Args:
        what: such as "Encoding".
        unit: such as "documents".
        total: how many there will be, if known.
        fraction: else a function giving the share done, 0 to 1, or None when unknown.

    """

    def __init__(
        self,
        what: str,
        unit: str,
        total: int | None = None,
        fraction: Callable[[], float | None] | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._what, self._unit, self._total, self._fraction = one_line(what), unit, total, fraction
        self._stream = Notes.of(stream if stream is not None else sys.stderr)
        self._bar: Any = None  # rich's, from the first report on
        self._done = self._free = 0
        self._began = self._shown = time.monotonic()

    def advance(self, count: int, *, free: bool = False) -> None:
        """Count work done; `free` work (found done already) does not enter the rate."""
        self._done += count
        self._free += count if free else 0
        if time.monotonic() - self._shown >= _SECONDS_BETWEEN[self._stream.isatty()]:
            self._show()

    @staticmethod
    def note(text: str) -> None:
        """Report a sentence beside the work."""
        note(text)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.live.transient = kind is None  # how far failed work came stays
            self._bar.stop()
        if kind is None:
            seconds = time.monotonic() - self._began
            rate = f" ({self._rate():,.0f} a second)" if seconds >= 1 else ""
            text = f"{self._what}: {self._done:,} {self._unit} in {duration(seconds)}{rate}"
            self._stream.write(text + "\n")
        self._stream.flush()

    def _rate(self) -> float:
        return (self._done - self._free) / max(time.monotonic() - self._began, 1e-9)

    def _share(self) -> float | None:
        if self._total is not None:
            return self._done / self._total if self._total else 1.0
        return self._fraction() if self._fraction is not None else None

    def _show(self) -> None:
        self._shown = time.monotonic()
        share, rate = self._share(), self._rate()
        total = "" if self._total is None else f" of {self._total:,}"
        text = f"{self._done:,}{total} {self._unit}, {rate:,.0f} a second"
        if share and rate:
            text += f", {duration(self._done * (1 - share) / share / rate)} left"
        if self._stream.isatty():
            self._draw(share, text)
        else:
            self._stream.write(f"{self._what}: {text}\n")
            self._stream.flush()

    def _draw(self, share: float | None, text: str) -> None:
        from rich import progress as rich
        from rich.console import Console

        if self._bar is None:
            columns = [
                rich.TextColumn("{task.description}", markup=False),
                *([rich.BarColumn(24), rich.TaskProgressColumn()] if share is not None else []),
                rich.TextColumn("{task.fields[text]}", markup=False),
            ]
            self._bar = rich.Progress(
                *columns,
                console=Console(file=self._stream),
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.add_task(self._what, total=1.0, text=text)
            self._bar.start()
        self._bar.update(0, completed=share or 0, text=text, refresh=True)


class Silent(Progress):
    """Prints nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take what `Progress` takes."""

    def advance(self, count: int, *, free: bool = False) -> None:
        """Do nothing."""

    @staticmethod
    def note(text: str) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


def duration(seconds: float) -> str:
    """Such as "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

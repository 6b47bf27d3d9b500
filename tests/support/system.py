"""The operating system at the moments that matter: calls watched or refused, and limits."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lsr.progress import Progress, Silent


@contextmanager
def before_call(name: str, act: Callable[..., object]) -> Iterator[None]:
    """Let `act` see the arguments of each call of a function such as "os.fsync" before it is made.

    What `act` raises, the call raises: so a disk fails, or a process is interrupted, at any step.
    """
    module, _, function = name.rpartition(".")
    owner = importlib.import_module(module)
    call = getattr(owner, function)

    def called(*arguments: Any, **options: Any) -> Any:
        act(*arguments)
        return call(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        # No file system fails, and no process dies, at a step that a test can choose.
        patch.setattr(owner, function, called)
        yield


class FailAt:
    """Raises an error the `number`-th time it is called; counts the calls."""

    def __init__(self, number: int, error: BaseException) -> None:
        self.calls = 0
        self._number, self._error = number, error

    def __call__(self, *_: object) -> None:
        self.calls += 1
        if self.calls == self._number:
            raise self._error


def limited(limit: int, command: list[str]) -> list[str]:
    """The command whose files may not grow beyond a number of bytes, which fails as a full disk
    does."""
    program = (
        "import os, resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", program, *command]


def wait_for(what: Callable[[], object]) -> None:
    """Return when something is true; fails after a minute."""
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def killed(command: list[str], when: Callable[[], object]) -> None:
    """Start a command and kill it when something is true."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(when)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL


def stopped_at(step: str) -> type[Progress]:
    """A progress that is interrupted where a step, such as "Ordering", begins."""

    class Stopped(Silent):
        def __init__(self, what: str, *_: Any) -> None:
            if what == step:
                raise KeyboardInterrupt

    return Stopped

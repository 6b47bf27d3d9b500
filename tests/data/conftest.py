"""Standard input of bytes."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], io.BytesIO]:
    """feed(data) makes standard input give some bytes; returns the stream that it reads."""

    def give(data: bytes) -> io.BytesIO:
        stream = io.BytesIO(data)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        return stream

    return give

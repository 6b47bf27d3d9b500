"""Compiling is announced where it happens, and not where the cache has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsr import jit
from lsr.terminal import standard_streams

numba = pytest.importorskip("numba")

ONCE = "Compiling, which takes some seconds: once, kept in the cache\n"


def doubled(value: int) -> int:
    return 2 * value


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing was said yet, and nothing is in the cache; the function is one of lsr."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit._Announcer, "said", False)
    monkeypatch.setattr(jit._Announcer, "kept", True)
    monkeypatch.setattr(doubled, "__module__", "lsr.doubled")


def test_once_by_a_command(said: None, capsys: pytest.CaptureFixture[str]) -> None:
    with standard_streams():
        assert jit.compiled(doubled)(2) == 4  # type: ignore[comparison-overlap]
        assert jit.compiled(lambda value: value)(2) == 2
    assert capsys.readouterr() == ("", ONCE)


def test_not_where_it_is_kept(
    said: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with standard_streams():
        jit.compiled(doubled)(2)
        monkeypatch.setattr(jit._Announcer, "said", False)
        jit.compiled(doubled)(2)
    assert capsys.readouterr() == ("", ONCE)


def test_not_by_a_library(said: None, capsys: pytest.CaptureFixture[str]) -> None:
    jit.compiled(doubled)(2)
    assert capsys.readouterr() == ("", "")


def test_not_of_others(
    said: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubled, "__module__", "other")
    with standard_streams():
        jit.compiled(doubled)(2)
    assert capsys.readouterr() == ("", "")


def test_without_a_cache(
    said: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def njit(**options: object) -> object:
        if "cache" in options:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(jit, "njit", njit)
    with standard_streams():
        jit.compiled(doubled)(2)
    assert "no cache can be written to keep it" in capsys.readouterr().err

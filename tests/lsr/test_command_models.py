"""`lsr models`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
import pytest

from lsr.encoders.known import KNOWN


def test_json(run: Callable[..., Any]) -> None:
    answer = run("models", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == [asdict(model) for model in KNOWN]


def test_table_in_a_pipe(run: Callable[..., Any]) -> None:
    answer = run("models")
    assert (answer.code, answer.err) == (0, "")
    assert "\x1b" not in answer.out
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 100
    names = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert names == [model.name for model in KNOWN]
    rows = [line.split() for line in lines]
    assert ["splade-tiny", "splade-max", "4.4", "mit", ".309", ".406"] in rows
    assert ["naver/splade-v3", "splade-max", "110", "cc-by-nc-sa-4.0", ".402", ".517"] in rows
    assert lines[0].startswith("built in")
    assert lines.index(next(line for line in lines if line.startswith("on the"))) > 6
    assert sum("cannot be loaded: " in line for line in lines) == 1
    assert "--encoder NAME" in answer.out


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_table_on_a_terminal(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run("models").code == 0
    lines = click.unstyle(screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= columns
    rows = [line.split() for line in lines]
    wide = ["opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill"]
    figures = ["inference-free-l0", "67", "apache-2.0", ".517"]
    if columns == 160:
        assert wide + figures in rows
    else:  # a long name has a line of its own, and is never cut
        assert rows[rows.index(wide) + 1] == figures


def test_bad_usage(run: Callable[..., Any]) -> None:
    assert run("models", "more").code == 2

"""`lsr models`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
import pytest

from lsr.encoders.catalogue import known_models, listed_methods
from lsr.encoders.methods import METHODS


def test_json(run: Callable[..., Any]) -> None:
    answer = run("models", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == [asdict(model) for model in known_models()]


def test_table_in_a_pipe(run: Callable[..., Any]) -> None:
    answer = run("models")
    assert (answer.code, answer.err) == (0, "")
    assert "\x1b" not in answer.out
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 100
    names = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert names == [model.name for model in known_models()]
    rows = [line.split() for line in lines]
    assert ["splade-tiny", "splade-max", "4.4", "mit", ".309", ".406"] in rows
    assert ["naver/splade-v3", "splade-max", "110", "cc-by-nc-sa-4.0", ".402", ".517"] in rows
    assert lines[0].startswith("built in")
    assert lines.index(next(line for line in lines if line.startswith("on the"))) > 6
    assert sum("cannot be loaded: " in line for line in lines) == 3
    assert "--encoder NAME" in answer.out


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_table_on_a_terminal(
    run: Callable[..., Any], terminal: Callable[..., io.StringIO], columns: int
) -> None:
    screen = terminal(columns)
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


def test_methods_as_json(run: Callable[..., Any]) -> None:
    answer = run("models", "--methods", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = {method["name"]: method for method in answer.json}
    assert list(found) == [method.name for method in listed_methods()]
    assert found["splade-max"]["weights"]["splade-tiny"] == "built in"
    assert found["epic"] == {
        "name": "epic",
        "queries": "mlp log1p-softplus sum",
        "documents": "epic log1p-softplus top 1000",
        "paper": next(method.paper for method in listed_methods() if method.name == "epic"),
        "query_model": True,
        "pair": False,
        "expanded": False,
        "sides": {
            "query": METHODS["epic"].query.to_json(),
            "document": METHODS["epic"].document.to_json(),
        },
        "weights": {},
    }
    assert found["bm25"]["sides"] is None
    assert found["qmlp-dmlm"]["pair"]
    assert found["tildev2"]["expanded"]


@pytest.mark.parametrize("columns", [None, 80, 120])
def test_methods_as_a_table(
    run: Callable[..., Any], terminal: Callable[..., io.StringIO], columns: int | None
) -> None:
    screen = terminal(columns) if columns else None
    answer = run("models", "--methods")
    assert answer.code == 0
    lines = click.unstyle(screen.getvalue() if screen else answer.out).splitlines()
    assert max(map(len, lines)) <= (columns or 100)
    assert all(line == line.rstrip() for line in lines)
    rows = [line.split() for line in lines]
    for row in (
        ["●", "splade-max", "mlm", "mlm"],
        ["●", "bm25:bm25+", "counts", "idf", "x", "tf,", "with", "a", "lower", "bound"],
        ["○", "tildev2", "binary", "mlp", "relu,", "expanded"],
        ["○", "casper", "mlm", "phrases", "sum", "mlm", "phrases", "sum"],
        ["·", "epic", "mlp", "log1p-softplus", "sum", "epic", "log1p-softplus", "top", "1000"],
    ):
        assert row in rows
    marked = [row[1] for row in rows if row and row[0] in "●◐○·"]
    methods = listed_methods()
    assert sorted(marked) == sorted(method.name for method in methods)
    groups = [n for n, row in enumerate(rows) if row[-2:] == ["queries", "documents"]]
    assert len(groups) == 3
    places = [next(n for n, row in enumerate(rows) if row[1:2] == [m.name]) for m in methods]
    for method, place in zip(methods, places, strict=True):
        needs = sum(place > start for start in groups) - 1
        assert needs == (0 if not method.query_model else 1 + method.pair)
        after = next(n for n in range(place + 1, len(lines)) if lines[n][5:6].strip())
        assert lines[after].split()[0] == method.paper.split()[0]
        # Long words go on in the next line, each side below its own.
        cells = [line.ljust(columns or 100)[28:] for line in lines[place:after]]
        queries = " ".join(" ".join(cell[:22] for cell in cells).split())
        documents = " ".join(" ".join(cell[22:] for cell in cells).split())
        assert queries == method.queries
        assert documents == f"{method.documents}{', expanded' if method.expanded else ''}"
    heads = {lines[n].index("documents") for n in groups}
    assert heads == {lines[place].index("mlm", 35) for place in places if "mlm  " in lines[place]}


def test_bad_usage(run: Callable[..., Any]) -> None:
    assert run("models", "more").code == 2

"""`lsr encode --text`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr

TEXT = "robots that walk over rough ground"


def test_bars(run: Callable[..., Any]) -> None:
    answer = run("encode", "--text", TEXT, "--show")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{lsr.show_terms(TEXT)}\n"
    assert "\x1b" not in answer.out
    assert run("encode", "--text", TEXT).out == answer.out
    few = run("encode", "--text", TEXT, "--top", 4).out
    assert few == f"{lsr.show_terms(TEXT, top=4)}\n"
    assert "… and 14 weaker" in few


def test_json_has_all_terms_unless_told(run: Callable[..., Any]) -> None:
    text = (
        "Mars is known for its reddish appearance. Tidal mills, glass bees, winter wheat and "
        "paper maps; neural networks are pruned, vitamins prevent falls, and pilots guide ships."
    )
    view = lsr.show_terms(text)
    assert len(view.terms) > 30
    answer = run("encode", "--text", text, "--show", "--json")
    assert (answer.code, answer.err) == (0, "")
    wanted = [{"word": t.word, "weight": t.weight, "kind": t.kind} for t in view.terms]
    shown = answer.json
    assert shown.pop("terms") == wanted
    assert shown == {
        "encoder": "splade-tiny",
        "text": text,
        "query": False,
        "terms_in_all": len(view.terms),
    }
    assert run("encode", "--text", text, "--json", "--top", 2).json["terms"] == wanted[:2]


def test_settings_reach_the_encoder(run: Callable[..., Any]) -> None:
    for option, setting in (
        (["--max-length", 4], {"max_length": 4}),
        (["--document-terms", 3], {"document_terms": 3}),
        (["--query", "--query-terms", 2], {"query": True, "query_terms": 2}),
        (["--encoder", "splade-tiny", "--device", "cpu"], {}),
    ):
        answer = run("encode", "--text", TEXT, *option)
        assert answer.out == f"{lsr.show_terms(TEXT, **setting)}\n"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bm25_index", "splade_index"])
def test_encoder_of_an_index(
    run: Callable[..., Any], name: str, request: pytest.FixtureRequest
) -> None:
    index: lsr.Index = request.getfixturevalue(name)
    for flags, query in (([], False), (["--query"], True)):
        answer = run("encode", "--text", "Copper bees repair!", "--index", index.path, *flags)
        assert (answer.code, answer.err) == (0, "")
        assert (
            answer.out == f"{lsr.show_terms('Copper bees repair!', index.encoder, query=query)}\n"
        )
        assert "copper" in answer.out


def test_on_a_terminal(run: Callable[..., Any], terminal: Callable[..., io.StringIO]) -> None:
    screen = terminal(40, colour=True)
    assert run("encode", "--text", TEXT).code == 0
    lines = screen.getvalue().splitlines()
    assert any("\x1b[32m█" in line for line in lines)
    assert any("\x1b[33m█" in line for line in lines)
    assert max(line.count("█") for line in lines) == 40 - len("  scientist    0.433  ")


def test_odd_texts(run: Callable[..., Any], bm25_index: lsr.Index) -> None:
    for text in ("", "😀"):
        assert run("encode", "--text", text).code == 0
        answer = run("encode", "--text", text, "--index", bm25_index.path)
        assert (answer.code, answer.out) == (0, "bm25: no terms\n")
        answer = run("encode", "--text", text, "--index", bm25_index.path, "--json")
        assert answer.json["terms"] == []
    for where in ([], ["--index", bm25_index.path]):
        answer = run("encode", "--text", "a\udcff", *where)
        assert (answer.code, answer.out) == (1, "")
        assert "lone surrogate" in answer.error


def test_bm25_needs_a_collection(run: Callable[..., Any]) -> None:
    answer = run("encode", "--text", "copper", "--encoder", "bm25")
    assert (answer.code, answer.out) == (1, "")
    assert answer.error == (
        "bm25 needs the statistics of a collection; build an index "
        "with it and use the index's encoder (--index DIR)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "or a text to show: --text TEXT."),
        (["--show", "--json"], "or a text to show: --text TEXT."),
        (["--text", "a", "--top", "0"], "Invalid value for '--top'"),
        (["--text", "a", "more"], "Give a CORPUS or a --text, not both."),
        (["--text", "a", "--index", "i", "--encoder", "bm25"], "leave out --encoder."),
        (["--text", "a", "--index", "i", "--max-length", "256"], "leave out --max-length."),
        (["--text", "a", "--index", "i", "--weights", "bm25=1"], "leave out --weights."),
        (["--text", "a", "--index", "i", "--prune-ratio", ".1"], "leave out --prune-ratio."),
    ],
)
def test_bad_usage(run: Callable[..., Any], arguments: list[str], message: str) -> None:
    answer = run("encode", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: lsr encode [OPTIONS] [CORPUS]\n")
    assert message in answer.err.splitlines()[-1]


def test_what_is_no_index(run: Callable[..., Any], tmp_path: Path) -> None:
    answer = run("encode", "--text", "a", "--index", tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert "is not an index" in answer.error
    one = lsr.SparseVectors([0, 1], [1], [1])
    index = lsr.Index.from_vectors(tmp_path / "v", ["a"], one)
    assert "without an encoder" in run("encode", "--text", "a", "--index", index.path).error

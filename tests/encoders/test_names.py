"""Names of encoders of several parts, and weights for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lsr.encoders.names import parse_weights, split_name
from lsr.errors import EncoderError

NAMES = ["bm25", "bm25:bm25l,k1=1.2", "my model"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bm25", ["bm25"]),
        ("bm25+splade-tiny", ["bm25", "splade-tiny"]),
        ("bm25:bm25+", ["bm25:bm25+"]),
        ("bm25:bm25+,k1=2", ["bm25:bm25+,k1=2"]),
        ("splade-tiny+bm25:bm25++bm25", ["splade-tiny", "bm25:bm25+", "bm25"]),
        ("a/b@v1+bm25", ["a/b@v1", "bm25"]),
        ("bm25+", ["bm25", ""]),
        ("", [""]),
    ],
)
def test_plus_signs_separate_parts(name: str, parts: list[str]) -> None:
    assert split_name(name) == parts


def test_folders_are_not_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a+b", "a", "bm25+splade-tiny"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    assert split_name("a+b") == ["a+b"]
    assert split_name(f"bm25+{tmp_path}/a+b+bm25:atire") == [
        "bm25",
        f"{tmp_path}/a+b",
        "bm25:atire",
    ]
    assert split_name("a+c") == ["a", "c"]
    # Built-in names come first, as they do alone: an index may well be called by its encoder.
    assert split_name("bm25+splade-tiny") == ["bm25", "splade-tiny"]


@pytest.mark.parametrize(
    "weights",
    [
        "bm25=.5,bm25:bm25l,k1=1.2=2,my model=0",
        "my model=0,bm25:bm25l,k1=1.2=2.0,bm25=5e-1",
        dict(zip(NAMES, (0.5, 2, 0), strict=True)),
    ],
)
def test_weights_as_text_and_as_a_mapping(weights: Any) -> None:
    assert parse_weights(weights, NAMES) == dict(zip(NAMES, (0.5, 2.0, 0.0), strict=True))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("bm25=.5", "weights lack bm25:bm25l,k1=1.2, my model; give one"),
        ("bm25", "are not weights"),
        ("bm25=x", "are not weights"),
        ("bm25=1,", "are not weights"),
        ("bm25=1,bm25=1", "are not weights"),
        ("bm25=1 bm25=2", "are not weights"),
        ("bm26=1", "nothing called 'bm26' .*weights for bm25, bm25:bm25l,k1=1.2, my model"),
        ("bm25=nan", "bm25 must be a finite number of at least 0, not nan"),
        ("bm25=inf", "not inf"),
        ("bm25=-1", "not -1.0"),
        ("", "weights lack bm25"),
        (dict.fromkeys(NAMES, 0), "all weights are 0"),
        ({"bm25": "1"}, "not '1'"),
        ({"bm25": True}, "not True"),
    ],
)
def test_weights_that_cannot_be(weights: Any, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        parse_weights(weights, NAMES)

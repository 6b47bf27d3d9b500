"""docs/encoders.md says what the code declares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lsr.encoders.methods import METHODS, Side

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "encoders.md"


@pytest.mark.parametrize("name", METHODS)
def test_the_declaration_of_every_method(name: str) -> None:
    row = re.search(rf"^\| `{name}`.*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert row is not None
    declared = re.findall(r'`Side\("([\w-]+)"(?:, "([\w-]+)")?(?:, "(\w+)")?(.*?)\)`', row[0])
    sides = []
    for head, activation, pooling, rest in declared:
        options: dict[str, Any] = dict(re.findall(r'(\w+)="?(\w+)"?', rest))
        for option, value in options.items():
            options[option] = value == "True" or (int(value) if value.isdigit() else value)
        sides.append(
            Side.from_json(
                {
                    "head": head,
                    "activation": activation or "log1p",
                    "pooling": pooling or options.get("pooling", "max"),
                    **{option: value for option, value in options.items() if option != "pooling"},
                }
            )
        )
    method = METHODS[name]
    assert sides == [method.query, method.document]
    assert ("a second checkpoint" in row[0]) == method.pair
    assert ("expanded" in row[0]) == method.expanded
    (test,) = re.findall(r"`(test_\w+)`", row[0])
    files = [
        HERE / f"test_{file}.py" for file in ("methods", "framework", "decoders", "keyphrases")
    ]
    assert any(f"\ndef {test}(" in file.read_text("utf-8") for file in files)

"""docs/encoders.md says what the code declares."""

from __future__ import annotations

import re
from pathlib import Path

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
        options = dict(re.findall(r'(\w+)="?(\w+)"?', rest))
        sides.append(
            Side.from_json(
                {
                    "head": head,
                    "activation": activation or "log1p",
                    "pooling": pooling or options.get("pooling", "max"),
                    "own_terms": options.get("own_terms") == "True",
                    "top": int(options["top"]) if "top" in options else None,
                }
            )
        )
    method = METHODS[name]
    assert sides == [method.query, method.document]
    assert ("a second checkpoint" in row[0]) == method.pair
    assert ("expanded" in row[0]) == method.expanded
    (test,) = re.findall(r"`(test_\w+)`", row[0])
    files = [HERE / file for file in ("test_methods.py", "test_framework.py")]
    assert any(f"\ndef {test}(" in file.read_text("utf-8") for file in files)

"""Figures that others published, to hold one's own against."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True, slots=True)
class Reference:
    """The published figure of a system on a dataset.

    Attributes:
        system: its name.
        value: of the measure asked for.
        source: where the figure stands, in words.
        url: the same place.
    """

    system: str
    value: float
    source: str
    url: str


def published(dataset: str, measure: str) -> list[Reference]:
    """The published figures of a dataset, mostly none.

    Args:
        dataset: BEIR's name of it, such as "nfcorpus" or "cqadupstack-gis", in any case and with
            / or -; "beir13" for the mean of the thirteen that papers report.
        measure: ir-measures' name; only nDCG@10 has figures.
    """
    name = dataset.lower().replace("/", "-")
    return [
        Reference(table["system"], table["figures"][name], table["source"], table["url"])
        for table in _tables()
        if table["measure"] == measure and name in table["figures"]
    ]


@cache
def _tables() -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = json.loads(_FILE.read_text("utf-8"))
    return tables

"""The provenance card: everything that decided the figures of several results, each entry once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lsr.eval.results import Result

# From the widest: an entry stands in the first scope whose groups each agree on it.
_SCOPES: list[Callable[[Result], str]] = [
    lambda result: "all results",
    lambda result: result.encoder,
    lambda result: result.dataset,
    lambda result: f"{result.encoder} on {result.dataset}",
]


@dataclass(frozen=True, slots=True)
class Card:
    """Part of the provenance: the results it holds for, and (key, value) as text."""

    holds_for: str
    entries: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """A line an entry."""
        return "\n".join(f"{key}: {' '.join(text.split())}" for key, text in self.entries)


def cards(results: Sequence[Result]) -> list[Card]:
    """The entries common to all results, then those of an encoder, a dataset, a single result.

    Keys of nested provenance are joined by points, {"index": {"bits": 8}} is ("index.bits", "8"),
    and so are the places, from 0, in lists of more than plain values.
    An entry missing from a result is a value of its own: it is not common to all.
    """
    left = [dict(_flat(result.provenance)) for result in results]
    common: list[Card] = []
    for scope in _SCOPES:
        groups: dict[str, list[dict[str, str]]] = {}
        for result, entries in zip(results, left, strict=True):
            groups.setdefault(scope(result), []).append(entries)
        paths = dict.fromkeys(path for entries in left for path in entries)
        agreed = [
            path
            for path in paths
            if all(len({entries.get(path) for entries in group}) == 1 for group in groups.values())
        ]
        for name, group in groups.items():
            shared = [(path, group[0][path]) for path in agreed if path in group[0]]
            if shared:
                common.append(Card(name, shared))
        left = [
            {path: text for path, text in entries.items() if path not in agreed} for entries in left
        ]
    return common


def _flat(value: object, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, list) and any(isinstance(item, list | Mapping) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping) and (value or not path):
        return [
            entry
            for key, inner in value.items()
            for entry in _flat(inner, f"{path}.{key}" if path else str(key))
        ]
    return [(path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]

"""`lsr models --methods`."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from lsr.terminal import columns, echo, styled, write_json

if TYPE_CHECKING:
    from lsr.encoders.catalogue import ListedMethod, Place

_QUERIES = 22  # columns at most; longer words go on in the next line
# Where the nearest weights of a method are: mark, colour, legend.
_MARKS: dict[Place | None, tuple[str, str | None, str]] = {
    "built in": ("●", "green", "built in"),
    "cached": ("◐", "green", "downloaded"),
    "on the hub": ("○", "yellow", "on the model hub"),
    None: ("·", None, "none known that load"),
}
_GROUPS: dict[str, Callable[[ListedMethod], bool]] = {
    "no model for queries": lambda method: not method.query_model,
    "the same model for queries": lambda method: method.query_model and not method.pair,
    "a second model for queries": lambda method: method.pair,
}


def print_methods(as_json: bool) -> None:
    """Print all methods as a table, or as JSON."""
    from lsr.encoders.catalogue import listed_methods, weights_of

    methods = {method: weights_of(method.name) for method in listed_methods()}
    if as_json:
        write_json([_as_json(method, weights) for method, weights in methods.items()])
        return
    width = columns()
    # The titles stand above the names, two columns further left.
    first = max(*(len(method.name) + 3 for method in methods), *map(len, _GROUPS))
    second = min(_QUERIES, max(len(method.queries) for method in methods))
    for title, belongs in _GROUPS.items():
        echo(f"{title:<{first}}  {'queries':<{second}}  documents", bold=True)
        for method, weights in methods.items():
            if belongs(method):
                _print(method, next(iter(weights.values()), None), first, second, width)
        echo()
    _print_legend(width)


def _as_json(method: ListedMethod, weights: Mapping[str, Place]) -> dict[str, Any]:
    from lsr.encoders.methods import METHODS

    declared = METHODS.get(method.name)
    sides = declared and {
        "query": declared.query.to_json(),
        "document": declared.document.to_json(),
    }
    return {**asdict(method), "sides": sides, "weights": dict(weights)}


def _print(method: ListedMethod, place: Place | None, first: int, second: int, width: int) -> None:
    mark, colour, _ = _MARKS[place]
    documents = f"{method.documents}{', expanded' if method.expanded else ''}"
    echo(f" {mark}", fg=colour, nl=False)
    cells = (
        textwrap.wrap(words, room, break_on_hyphens=False)
        for words, room in ((method.queries, second), (documents, width - first - second - 4))
    )
    name = f" {method.name:<{first - 3}}"
    for queries, rest in zip_longest(*cells, fillvalue=""):
        echo(f"{name}  {queries:<{second}}  {rest}".rstrip())
        name = " " * first
    indent = " " * 5
    lines = textwrap.fill(
        method.paper,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    echo(lines, dim=True)


def _print_legend(width: int) -> None:
    from lsr.encoders.methods import COMBINATIONS

    echo("weights:", nl=False, bold=True)
    for number, (mark, colour, what) in enumerate(_MARKS.values()):
        echo("  " if number else " ", styled(mark, fg=colour), f" {what}", nl=False)
    echo("\n")
    echo("Use one:  lsr index CORPUS -o INDEX --encoder METHOD:CHECKPOINT\n")
    parts = ", ".join(dict.fromkeys(name.partition("-d")[2] for name in COMBINATIONS))
    for line in (
        f"Any two sides together are a method too: qX-dY, X and Y being one of {parts}, as in "
        "qlex-dmlm:splade-tiny; lex is mlm for the text's own terms alone.",
        "What is expanded was published for documents with predicted queries or terms appended: "
        "append them before indexing.",
        "lsr models lists checkpoints by name; docs/encoders.md says what each word means.",
    ):
        echo(textwrap.fill(line, width, break_on_hyphens=False))

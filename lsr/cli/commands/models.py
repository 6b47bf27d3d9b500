"""`lsr models`."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

from lsr.cli.options import flag, json_option
from lsr.terminal import columns, echo, styled, write_json

if TYPE_CHECKING:
    from lsr.encoders.catalogue import KnownModel, ListedMethod, Place

_MODEL = "{:<{room}}  {:<17}  {:>6}  {:<15}  {:>6}  {:>4}"
_HEADER = ("method", "params", "licence", "MRR@10", "BEIR")
_FIGURES = len(_MODEL.format("", *_HEADER, room=0))

_QUERIES = 22  # columns at most; longer words go on in the next line
# Where the nearest weights of a method are: mark, colour, legend.
_MARKS: dict[Place | None, tuple[str, str | None, str]] = {
    "built in": ("●", "green", "built in"),
    "cached": ("◐", "green", "downloaded"),
    "on the hub": ("○", "yellow", "on the model hub"),
    None: ("·", None, "none that lsr can load"),
}
_GROUPS: dict[str, Callable[[ListedMethod], bool]] = {
    "no model for queries": lambda method: not method.query_model,
    "the same model for queries": lambda method: method.query_model and not method.pair,
    "a second model for queries": lambda method: method.pair,
}


@click.command()
@flag("--methods", "List methods, with their requirements.")
@json_option
def models(methods: bool, as_json: bool) -> None:
    """List the encoders that come with lsr and those known by name.

    \b
    lsr models
    lsr models --methods
    lsr models --json
    """
    from lsr.encoders.catalogue import known_models, listed_methods, weights_of
    from lsr.encoders.methods import METHODS

    if not methods:
        listed = known_models()
        if as_json:
            write_json([asdict(model) for model in listed])
        else:
            _print_models(listed)
        return
    weights = {method: weights_of(method.name) for method in listed_methods()}
    if not as_json:
        _print_methods(weights)
        return
    rows = []
    for method, places in weights.items():
        declared = METHODS.get(method.name)
        sides = declared and {
            "query": declared.query.to_json(),
            "document": declared.document.to_json(),
        }
        rows.append({**asdict(method), "sides": sides, "weights": places})
    write_json(rows)


def _print_models(listed: tuple[KnownModel, ...]) -> None:
    width = columns()
    longest = max(len(model.name) for model in listed)
    room = min(longest + 2, max(20, width - _FIGURES))
    for title, builtin in (("built in", True), ("on the model hub", False)):
        echo(_MODEL.format(title, *_HEADER, room=room), bold=True)
        for model in listed:
            if model.builtin == builtin:
                _print_model(model, room, width)
        echo()
    echo("Use one by name:  lsr index CORPUS -o INDEX --encoder NAME")
    echo("With constants:   --encoder bm25:lucene,k1=1.2,b=0.75\n")
    for line in (
        "Folders with checkpoints and other hub ids also work. Weights that exist only as a pickle "
        "(.bin) are not loaded: the error explains how to convert them.",
        "MRR@10 is on MS MARCO dev, BEIR the mean nDCG@10 of 13 collections, both as published "
        "(--json has the sources and more figures); params are millions of parameters.",
    ):
        echo(textwrap.fill(line, width))


def _print_model(model: KnownModel, room: int, width: int) -> None:
    name = f"  {model.name}"
    if len(name) > room:  # names are copied, so they are never cut
        echo(name)
        name = ""
    parameters = "" if model.parameters is None else f"{model.parameters:g}"
    figures = (
        "" if figure is None else f"{figure:.3f}".removeprefix("0")
        for figure in (model.mrr, model.beir)
    )
    row = _MODEL.format(name, model.method, parameters, model.licence or "", *figures, room=room)
    echo(row.rstrip())
    about = f"cannot be loaded: {model.obstacle}" if model.obstacle else model.note
    if about:
        lines = textwrap.fill(about, width, initial_indent=" " * 4, subsequent_indent=" " * 4)
        echo(lines, fg="red" if model.obstacle else None, dim=not model.obstacle or None)


def _print_methods(methods: Mapping[ListedMethod, Mapping[str, Place]]) -> None:
    width = columns()
    # The titles stand above the names, two columns further left.
    first = max(*(len(method.name) + 3 for method in methods), *map(len, _GROUPS))
    second = min(_QUERIES, max(len(method.queries) for method in methods))
    for title, belongs in _GROUPS.items():
        echo(f"{title:<{first}}  {'queries':<{second}}  documents", bold=True)
        for method, weights in methods.items():
            if belongs(method):
                _print_method(method, next(iter(weights.values()), None), first, second, width)
        echo()
    _print_legend(width)


def _print_method(
    method: ListedMethod, place: Place | None, first: int, second: int, width: int
) -> None:
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
    paper = textwrap.wrap(method.paper, width - 5, break_on_hyphens=False)
    echo(textwrap.indent("\n".join(paper), " " * 5), dim=True)


def _print_legend(width: int) -> None:
    from lsr.encoders.methods import COMBINATIONS

    echo("weights:", nl=False, bold=True)
    for number, (mark, colour, meaning) in enumerate(_MARKS.values()):
        echo("  " if number else " ", styled(mark, fg=colour), f" {meaning}", nl=False)
    echo("\n")
    echo("Use one:  lsr index CORPUS -o INDEX --encoder METHOD:CHECKPOINT\n")
    parts = ", ".join(dict.fromkeys(name.partition("-d")[2] for name in COMBINATIONS))
    for line in (
        f"Any two sides form a method qX-dY, where X and Y are {parts}, as in "
        "qlex-dmlm:splade-tiny; lex is mlm for terms of the text only.",
        "expanded: published for documents with predicted queries or terms appended; append them "
        "before indexing.",
        "lsr models lists checkpoints by name; docs/encoders.md explains the words.",
    ):
        echo(textwrap.fill(line, width, break_on_hyphens=False))

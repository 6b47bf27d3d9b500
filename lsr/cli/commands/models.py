"""`lsr models`."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lsr.terminal import columns, echo, write_json

if TYPE_CHECKING:
    from lsr.encoders.known import KnownModel

_HEADER = ("method", "params", "licence", "MRR@10", "BEIR")
_WIDTHS = (17, 6, 15, 6, 4)
_FIGURES = sum(width + 2 for width in _WIDTHS)


@click.command()
@click.option("--methods", is_flag=True, help="List methods: what each computes and needs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(methods: bool, as_json: bool) -> None:
    """List the encoders that come with lsr and those known by name.

    \b
    lsr models
    lsr models --methods
    lsr models --json
    """
    from lsr.encoders.known import KNOWN

    if methods:
        from lsr.cli.commands.methods import print_methods

        print_methods(as_json)
        return
    if as_json:
        write_json([asdict(model) for model in KNOWN])
        return
    width = columns()
    longest = max(len(model.name) for model in KNOWN)
    room = min(longest + 2, max(20, width - _FIGURES))
    for title, group in (
        ("built in", [model for model in KNOWN if model.builtin]),
        ("on the model hub", [model for model in KNOWN if not model.builtin]),
    ):
        echo(_row(title, _HEADER, room), bold=True)
        for model in group:
            _print(model, room, width)
        echo()
    echo("Use one by name:  lsr index CORPUS -o INDEX --encoder NAME")
    echo("With constants:   --encoder bm25:lucene,k1=1.2,b=0.75\n")
    for line in (
        "A folder with a checkpoint, or another hub id, does as well. Weights that are there only "
        "as a pickle (.bin) are not loaded: the error says how to convert them.",
        "MRR@10 is on MS MARCO dev, BEIR the mean nDCG@10 of 13 collections, both as published "
        "(--json has the sources and more figures); params are millions of parameters.",
    ):
        echo(textwrap.fill(line, width))


def _print(model: KnownModel, room: int, width: int) -> None:
    figures = (
        model.method,
        "" if model.parameters is None else f"{model.parameters:g}",
        model.licence or "",
        _figure(model.mrr),
        _figure(model.beir),
    )
    name = f"  {model.name}"
    if len(name) > room:  # a name is there to be copied, so it is never cut
        echo(name)
        name = ""
    echo(_row(name, figures, room))
    about = f"cannot be loaded: {model.obstacle}" if model.obstacle else model.note
    if about:
        indent = " " * 4
        lines = textwrap.fill(about, width, initial_indent=indent, subsequent_indent=indent)
        echo(lines, fg="red" if model.obstacle else None, dim=not model.obstacle or None)


def _row(name: str, figures: tuple[str, ...], room: int) -> str:
    method, parameters, licence, mrr, beir = (
        f"  {text:>{width}}" if heading in ("params", "MRR@10", "BEIR") else f"  {text:<{width}}"
        for text, width, heading in zip(figures, _WIDTHS, _HEADER, strict=True)
    )
    return f"{name:<{room}}{method}{parameters}{licence}{mrr}{beir}".rstrip()


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".removeprefix("0")

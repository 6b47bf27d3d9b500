"""`lsr encode`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from lsr.cli.options import encoder_options, write_json

_COLOURS = {"literal": "green", "expansion": "yellow"}
_OF_THE_INDEX = ("encoder", "max_length", "document_terms", "query_terms", "batch_size")


@click.command()
@click.option("--text", metavar="TEXT", help="The text to encode.")
@click.option("--show", is_flag=True, help="Show its terms as bars: what --text does anyway.")
@click.option("--query", is_flag=True, help="Encode it as a query, not as a document.")
@click.option(
    "--index",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Take the encoder of this index, with its settings and statistics.",
)
@encoder_options
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Show the N strongest terms.  [default: 30; with --json all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def encode(
    context: click.Context,
    /,
    text: str | None,
    show: bool,
    query: bool,
    index: Path | None,
    encoder: str | None,
    top: int | None,
    as_json: bool,
    device: str | None,
    **settings: Any,
) -> None:
    """Show the vector of a text: its own terms and those the encoder added.

    \b
    lsr encode --text "robots that walk over rough ground" --show
    lsr encode --text "robots that walk" --query --encoder naver/splade-v3
    lsr encode --text "robots that walk" --index demo/arxiv-cs --json
    """
    if text is None:
        raise click.UsageError("Give the text to encode: --text TEXT.")
    if index is not None:
        for name in _OF_THE_INDEX:
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                option = name.replace("_", "-")
                raise click.UsageError(f"--index has an encoder of its own; leave out --{option}.")
    from lsr.terms import SHOWN, look

    if index is None:
        view = look(
            text,
            encoder or "splade-tiny",
            query=query,
            top=top or SHOWN,
            device=device,
            **settings,
        )
    else:
        from lsr.retrieval import Index

        opened = Index.open(index)
        if device is not None:
            opened.use_encoder(None, device=device)
        view = look(text, opened.encoder, query=query, top=top or SHOWN)
    if as_json:
        write_json(
            {
                "encoder": view.encoder,
                "text": text,
                "query": query,
                "terms": [
                    {"word": term.word, "weight": term.weight, "kind": term.kind}
                    for term in view.terms[:top]
                ],
                "terms_in_all": len(view.terms),
            }
        )
    elif sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        click.echo(view.draw(columns, lambda bar, kind: click.style(bar, fg=_COLOURS[kind])))
    else:
        click.echo(str(view))

"""`lsr add-keyphrases`: the phrases of a collection become terms of a checkpoint."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lsr.cli.corpora import open_documents, scanned
from lsr.cli.options import Output, on_error_option
from lsr.terminal import conclude, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 8


@click.command()
@click.argument("corpus")
@click.option(
    "-o",
    "--output",
    type=Output(),
    required=True,
    metavar="FOLDER",
    help="A new folder for the checkpoint.",
)
@click.option(
    "--encoder",
    default="splade-tiny",
    show_default=True,
    metavar="E",
    help="The checkpoint: a built-in name, a folder or a hub id.",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=30_000,
    show_default=True,
    metavar="N",
    help="Add at most N phrases.",
)
@click.option(
    "--least",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="A phrase is a keyphrase of N documents or more.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Read the first N documents.",
)
@on_error_option
@click.option("--json", "as_json", is_flag=True, help="Print the phrases as JSON.")
def add_keyphrases(
    corpus: str,
    output: Path,
    encoder: str,
    count: int,
    least: int,
    sample: int,
    on_error: str,
    as_json: bool,
) -> None:
    """Mine the keyphrases of CORPUS and write a checkpoint that has them as terms (CASPER).

    The checkpoint works at once, a phrase meaning about what its words mean together; training
    is what makes it mean more.

    \b
    lsr add-keyphrases docs.jsonl.gz -o with-phrases --count 5000
    lsr index docs.jsonl.gz -o docs --encoder ./with-phrases
    """
    from lsr.encoders.training.keyphrases import add_phrases, mine
    from lsr.errors import EncoderError
    from lsr.progress import Progress

    if output.exists():
        raise EncoderError(f"{output} exists already; give a new folder")
    documents = open_documents(corpus, on_error)
    scanned(documents, corpus)
    with Progress("Reading", "documents") as progress:

        def texts() -> Iterator[str]:
            for document in islice(documents, sample):
                progress.advance(1)
                yield document.indexed_text

        phrases = mine(texts(), count, least)
    added = add_phrases(encoder, phrases, output)
    if as_json:
        write_json(added)
        return
    some = ", ".join(added[:_SHOWN]) + (", …" if len(added) > _SHOWN else "")
    conclude(f"{output}: {encoder} with {len(added):,} phrases: {some}")

"""`lsr add-keyphrases`: the phrases of a collection become terms of a checkpoint."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lsr.cli.corpora import open_documents, scanned
from lsr.cli.options import flag, number_option, on_error_option, output_option
from lsr.progress import Progress
from lsr.terminal import conclude, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 8


@click.command()
@click.argument("corpus")
@output_option("A new folder for the checkpoint.", "FOLDER", required=True)
@click.option(
    "--encoder",
    default="splade-tiny",
    show_default=True,
    metavar="E",
    help="Base checkpoint: a built-in name, a folder or a hub id.",
)
@number_option("--count", "Add at most N phrases.", 30_000)
@number_option("--least", "Keep keyphrases of at least N documents.", 20)
@number_option("--sample", "Read the first N documents.", 20_000)
@on_error_option
@flag("--json", "Print the phrases as JSON.", "as_json")
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

    The checkpoint works without training, but a phrase then means no more than its words.

    \b
    lsr add-keyphrases docs.jsonl.gz -o with-phrases --count 5000
    lsr index docs.jsonl.gz -o docs --encoder ./with-phrases
    """
    from lsr.encoders.training.keyphrases import add_phrases, mine
    from lsr.errors import EncoderError

    if output.exists():
        raise EncoderError(f"{output} already exists; give a new folder")
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

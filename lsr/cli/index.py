"""`lsr index`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lsr.cli.corpora import open_surveyed
from lsr.cli.options import Bytes, encoder_options, given, on_error_option, precision_option
from lsr.errors import IndexExists, LsrError

# What decides vectors, and so has no place where they are there already.
_OF_ENCODING = (
    "encoder",
    "weights",
    "max_length",
    "document_terms",
    "query_terms",
    "prune_ratio",
    "device",
    "batch_size",
    "precision",
    "on_error",
)


@click.command()
@click.argument("corpus", metavar="CORPUS|VECTORS")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The index directory."
)
@encoder_options
@precision_option
@click.option(
    "--bits",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits of a stored weight.",
)
@click.option("--keep-floats", is_flag=True, help="Also keep the weights as given.")
@click.option(
    "--order",
    type=click.Choice(["bisection", "none"]),
    default="bisection",
    show_default=True,
    help="Store similar documents side by side, for speed, or as they come.",
)
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="For the model, ordering and writing."
)
@click.option(
    "--max-memory",
    type=Bytes(),
    default="1GB",
    show_default=True,
    help="For the vectors being worked on; models and ids come on top.",
)
@on_error_option
@click.option("--force", is_flag=True, help="Replace an index that is there.")
@click.pass_context
def index(
    context: click.Context,
    /,
    corpus: str,
    output: Path,
    encoder: str | None,
    on_error: str,
    bits: str,
    keep_floats: bool,
    order: str,
    threads: int | None,
    max_memory: int,
    force: bool,
    **settings: Any,
) -> None:
    """Encode the documents of CORPUS and write an index, or write one of VECTORS.

    CORPUS is a BEIR folder or zip, a .parquet, .jsonl (`_id` or `id`, `title`, `text` or
    `contents`), .tsv or .txt file, text also with .gz or .zst; "-" for jsonl on standard
    input; irds:DATASET; or arxiv-cs, which comes with lsr.  VECTORS is a folder that `lsr
    encode` made: the index is the same, and encoding is done once for all of its settings.

    \b
    lsr index nfcorpus.zip -o nfcorpus
    lsr index docs.jsonl.gz -o docs --encoder bm25
    zcat docs.jsonl.gz | lsr index - -o docs --max-length 128
    lsr encode docs.jsonl.gz -o vectors && lsr index vectors -o docs --bits 16

    A build that was interrupted goes on where it was when the same command is run again.
    """
    from lsr.build import build, build_folder
    from lsr.encoders import DEFAULT_ENCODER
    from lsr.progress import Progress
    from lsr.retrieval import Index
    from lsr.vector_folder import VectorFolder
    from lsr.vector_manifest import is_vector_folder
    from lsr.workplace import check_target

    check_target(output, force)
    how: dict[str, Any] = {
        "bits": int(bits),
        "keep_floats": keep_floats,
        "order": order,
        "threads": threads,
        "max_memory": max_memory,
        "force": force,
        "progress": Progress,
    }
    skipped = 0
    if is_vector_folder(Path(corpus)):
        option = given(context, *_OF_ENCODING)
        if option is not None:
            raise click.UsageError(
                f"{corpus} holds vectors, which are encoded already; leave out {option}."
            )
        build_folder(output, VectorFolder.open(corpus), **how)
    else:
        documents, survey = open_surveyed(corpus, on_error)
        partial = output.absolute().with_name(output.absolute().name + ".partial")
        try:
            build(output, documents, encoder or DEFAULT_ENCODER, survey=survey, **how, **settings)
        except (LsrError, KeyboardInterrupt) as error:
            if partial.exists() and not isinstance(error, IndexExists):
                click.echo(
                    f"Finished work is kept in {partial}: the same command goes on from there.",
                    err=True,
                )
            raise
        skipped = documents.skipped
    if skipped:
        click.echo(f"{skipped:,} bad records were skipped.", err=True)
    built = Index.open(output)
    megabytes = sum(entry.size for entry in built.manifest.files.values()) / 1e6
    click.echo(
        f"{output}: {len(built):,} documents, {built.manifest.postings:,} postings, "
        f"{megabytes:,.1f} MB"
    )

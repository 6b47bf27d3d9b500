"""`lsr index`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lsr.cli.options import Bytes, encoder_options
from lsr.errors import IndexExists, LsrError


@click.command()
@click.argument("corpus")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The index directory."
)
@encoder_options
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
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do with a bad record.",
)
@click.option("--force", is_flag=True, help="Replace an index that is there.")
def index(
    corpus: str,
    output: Path,
    encoder: str | None,
    bits: str,
    keep_floats: bool,
    order: str,
    threads: int | None,
    max_memory: int,
    on_error: str,
    force: bool,
    **settings: Any,
) -> None:
    """Encode the documents of CORPUS and write an index.

    CORPUS is a BEIR folder or zip, a .parquet, .jsonl (`_id` or `id`, `title`, `text` or
    `contents`), .tsv or .txt file, text also with .gz or .zst; "-" for jsonl on standard
    input; irds:DATASET; or arxiv-cs, which comes with lsr.

    \b
    lsr index nfcorpus.zip -o nfcorpus
    lsr index docs.jsonl.gz -o docs --encoder bm25
    zcat docs.jsonl.gz | lsr index - -o docs --max-length 128

    A build that was interrupted goes on where it was when the same command is run again.
    """
    from lsr.build import build
    from lsr.data.corpus import open_corpus
    from lsr.encoders import DEFAULT_ENCODER
    from lsr.progress import Progress
    from lsr.retrieval import Index
    from lsr.workplace import check_target

    check_target(output, force)
    documents = open_corpus(corpus, "skip" if on_error == "skip" else "stop")
    partial = output.absolute().with_name(output.absolute().name + ".partial")
    try:
        build(
            output,
            documents,
            encoder or DEFAULT_ENCODER,
            bits=int(bits),
            keep_floats=keep_floats,
            order=order,
            threads=threads,
            max_memory=max_memory,
            force=force,
            total=_check(corpus, on_error),
            progress=Progress,
            **settings,
        )
    except (LsrError, KeyboardInterrupt) as error:
        if partial.exists() and not isinstance(error, IndexExists):
            click.echo(
                f"Finished work is kept in {partial}: the same command goes on from there.",
                err=True,
            )
        raise
    if documents.skipped:
        click.echo(f"{documents.skipped:,} bad records were skipped.", err=True)
    built = Index.open(output)
    megabytes = sum(entry.size for entry in built.manifest.files.values()) / 1e6
    click.echo(
        f"{output}: {len(built):,} documents, {built.manifest.postings:,} postings, "
        f"{megabytes:,.1f} MB"
    )


def _check(corpus: str, on_error: str) -> int | None:
    """Read the whole corpus once before the work, for its errors and its length.

    Encoding takes hours where reading takes seconds, so a bad line must not be found late.
    What can be read only once, or comes over a network, is not read ahead.
    """
    if corpus == "-" or corpus.startswith("irds:"):
        return None
    from lsr.data.corpus import open_corpus
    from lsr.errors import CorpusError
    from lsr.progress import Progress

    ahead = open_corpus(corpus, "skip" if on_error == "skip" else "stop")
    seen: set[str] = set()
    with Progress("Checking", "documents", fraction=lambda: ahead.fraction) as bar:
        for document in ahead:
            if document.id in seen:
                raise CorpusError(
                    f"{corpus}: document {len(seen) + 1:,} has the id {document.id!r} of an "
                    "earlier one; ids must differ"
                )
            seen.add(document.id)
            bar.advance(1)
    return len(seen)

"""`lsr index`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lsr.cli.corpora import open_surveyed, read_again
from lsr.cli.options import Bytes, Output, encoder_options, given, on_error_option, precision_option
from lsr.errors import IndexExists, VectorFolderError
from lsr.terminal import conclude, note

if TYPE_CHECKING:
    from lsr.data.corpus import Document
    from lsr.data.vectors.folder import VectorFolder

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
@click.option("-o", "--output", required=True, type=Output(), help="The index directory.")
@encoder_options
@precision_option
@click.option(
    "--bits",
    type=click.Choice(["1", "8", "16"]),
    default="8",
    show_default=True,
    help="Bits of a stored weight; 1 stores none, where all are equal (binary vectors).",
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
@click.option(
    "--dense",
    metavar="D",
    help="Dense vectors, too: by minilm, a folder that sentence-transformers saved, or a HUB-ID.",
)
@click.option(
    "--faiss",
    type=click.Choice(["flat", "ivf", "hnsw", "sq8", "pq"]),
    default="flat",
    show_default=True,
    help="How dense vectors are searched: all of them, or candidates of an index by faiss.",
)
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
    dense: str | None,
    faiss: str,
    force: bool,
    **settings: Any,
) -> None:
    """Encode the documents of CORPUS and write an index, or write one of VECTORS.

    CORPUS is a BEIR folder or zip, a .parquet, .jsonl (`_id` or `id`, `title`, `text` or
    `contents`), .tsv or .txt file, text also with .gz or .zst; "-" for jsonl on standard
    input, or a pipe of it; irds:DATASET; or arxiv-cs, which comes with lsr.  VECTORS is a
    folder that `lsr encode` made: the index is the same, and encoding is done once for all of
    its settings.

    \b
    lsr index nfcorpus.zip -o nfcorpus
    lsr index docs.jsonl.gz -o docs --encoder bm25
    zcat docs.jsonl.gz | lsr index - -o docs --max-length 128
    lsr encode docs.jsonl.gz -o vectors && lsr index vectors -o docs --bits 16
    lsr index nfcorpus.zip -o nfcorpus --dense minilm

    A build that was interrupted goes on where it was when the same command is run again.  With
    --dense, an index that is there without dense vectors is given them and stays as it is.
    """
    if dense is None and given(context, "faiss"):
        raise click.UsageError("--faiss says how dense vectors are searched; add --dense.")
    if bits == "1" and keep_floats:
        raise click.UsageError(
            "--bits 1 is for weights that are all equal, and keeps them; leave out --keep-floats."
        )
    side = None
    if dense is not None:
        documents = _documents(corpus, on_error)
        from lsr.encoders.dense.encoder import load_dense

        # Before the work: what cannot be loaded must not be found after it.
        side = load_dense(dense, threads=threads, device=settings["device"])
    if side is None or force or not _has_place_for_dense(output):
        how = {
            "bits": int(bits),
            "keep_floats": keep_floats,
            "order": order,
            "threads": threads,
            "max_memory": max_memory,
            "force": force,
        }
        _build(context, corpus, output, encoder, on_error, how, settings)
    else:
        note(f"{output} is an index already: only its dense vectors are made.")
    if side is None:
        return
    from lsr.index.dense.side import DenseSide
    from lsr.indexing.dense import add_dense
    from lsr.progress import Progress

    add_dense(output, documents, side, faiss, threads=threads, force=force, progress=Progress)
    made = DenseSide.open(output)
    megabytes = sum(entry.size for entry in made.manifest.files.values()) / 1e6
    conclude(
        f"{output}: {made.documents:,} dense vectors of {made.dimensions:,} dimensions, "
        f"{made.kind}, {megabytes:,.1f} MB"
    )


def _build(
    context: click.Context,
    corpus: str,
    output: Path,
    encoder: str | None,
    on_error: str,
    how: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """Build the index of sparse vectors."""
    from lsr.data.vectors.folder import VectorFolder
    from lsr.data.vectors.manifest import is_vector_folder
    from lsr.encoders import DEFAULT_ENCODER
    from lsr.indexing.build import build, build_folder, check_place
    from lsr.progress import Progress
    from lsr.retrieval.index import Index

    check_place(output, how["force"])
    how["progress"] = Progress
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
        build(output, documents, encoder or DEFAULT_ENCODER, survey=survey, **how, **settings)
        skipped = documents.skipped
    if skipped:
        note(f"{skipped:,} bad records were skipped.")
    built = Index.open(output)
    megabytes = sum(entry.size for entry in built.manifest.files.values()) / 1e6
    conclude(
        f"{output}: {len(built):,} documents, {built.manifest.postings:,} postings, "
        f"{megabytes:,.1f} MB"
    )


def _has_place_for_dense(output: Path) -> bool:
    """Whether there is an index that is to be given dense vectors."""
    from lsr.data.vectors.manifest import is_vector_folder
    from lsr.index.dense.format import has_dense
    from lsr.storage.manifest import MANIFEST

    if not (output / MANIFEST).is_file() or is_vector_folder(output):
        return False
    if has_dense(output):
        raise IndexExists(
            f"{output} is an index with dense vectors already; add --force to replace both"
        )
    return True


def _documents(corpus: str, on_error: str) -> Any:
    """The documents that the index was built from, to be read again."""
    from lsr.data.corpus import open_corpus
    from lsr.data.vectors.folder import VectorFolder
    from lsr.data.vectors.manifest import is_vector_folder

    if is_vector_folder(Path(corpus)):
        return _FolderDocuments(VectorFolder.open(corpus))
    documents = open_corpus(corpus, "skip" if on_error == "skip" else "stop")
    read_again(documents, "--dense")
    return documents


class _FolderDocuments:
    """The documents of a folder of vectors, which has their texts."""

    def __init__(self, folder: VectorFolder) -> None:
        if not folder.keeps_text:
            raise VectorFolderError(
                f"{folder.path} has no texts that dense vectors could be made of; give the "
                "collection itself"
            )
        self._folder = folder

    def __iter__(self) -> Iterator[Document]:
        for chunk in self._folder.chunks():
            yield from chunk.documents()

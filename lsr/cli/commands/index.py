"""`lsr index`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lsr.cli.corpora import open_documents, scanned
from lsr.cli.options import (
    Bytes,
    choice_option,
    encoder_options,
    flag,
    given,
    number_option,
    on_error_option,
    output_option,
    precision_option,
)
from lsr.errors import IndexExists
from lsr.progress import Progress
from lsr.terminal import conclude, note

if TYPE_CHECKING:
    from lsr.data.collection import Collection
    from lsr.data.corpus import Corpus
    from lsr.data.vectors.folder import VectorFolder
    from lsr.indexing.build import Texts

# Options that determine vectors, and so cannot be given with vectors.
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
@output_option("The index directory.", required=True)
@encoder_options
@precision_option
@choice_option(
    "--bits",
    "Bits of a stored weight; 1 is for binary vectors, whose weights are all equal.",
    ("1", "8", "16"),
    "8",
)
@flag("--keep-floats", "Also store the original weights, for --exact-floats.")
@choice_option(
    "--order",
    "Store similar documents next to each other, for speed, or in the order given.",
    ("bisection", "none"),
    "bisection",
)
@number_option("--threads", "Threads for the model, ordering and writing.")
@click.option(
    "--max-memory",
    type=Bytes(),
    default="1GB",
    show_default=True,
    help="Memory for vectors during the build; models and ids are extra.",
)
@on_error_option
@click.option(
    "--dense",
    metavar="D",
    help="Also add dense vectors, by minilm, a folder of sentence-transformers, or a HUB-ID.",
)
@choice_option(
    "--faiss",
    "Search all dense vectors (flat), or candidates from a faiss index.",
    ("flat", "ivf", "hnsw", "sq8", "pq"),
    "flat",
)
@flag("--force", "Replace an existing index.")
@click.pass_context
def index(
    context: click.Context,
    /,
    corpus: str,
    output: Path,
    encoder: str | None,
    on_error: str,
    bits: str,
    dense: str | None,
    faiss: str,
    force: bool,
    **options: Any,
) -> None:
    """Build an index of the documents of CORPUS, or of encoded VECTORS.

    CORPUS is a BEIR folder or zip; a .parquet, .jsonl (`_id` or `id`, `title`, `text` or
    `contents`), .tsv or .txt file, text files also as .gz or .zst; a pipe, or "-" for standard
    input, of JSON lines; irds:DATASET; or arxiv-cs, which comes with lsr.  VECTORS is a folder
    written by `lsr encode`: encode once, and build any number of indexes with other settings.

    \b
    lsr index nfcorpus.zip -o nfcorpus
    lsr index docs.jsonl.gz -o docs --encoder bm25
    zcat docs.jsonl.gz | lsr index - -o docs --max-length 128
    lsr encode docs.jsonl.gz -o vectors && lsr index vectors -o docs --bits 16
    lsr index nfcorpus.zip -o nfcorpus --dense minilm

    To resume an interrupted build, run the same command again.  --dense adds dense vectors to an
    existing index that has none, and changes nothing else in it.
    """
    if dense is None and given(context, "faiss"):
        raise click.UsageError("--faiss only applies to --dense; add --dense.")
    if bits == "1" and options["keep_floats"]:
        raise click.UsageError("--bits 1 stores equal weights exactly; leave out --keep-floats.")
    from lsr.data.collection import Collection
    from lsr.data.vectors.folder import FolderDocuments, VectorFolder
    from lsr.data.vectors.manifest import is_vector_folder

    vectors = VectorFolder.open(corpus) if is_vector_folder(Path(corpus)) else None
    options |= {"bits": int(bits), "force": force, "progress": Progress}
    threads, device = options["threads"], options["device"]
    side = None
    if dense is not None:
        from lsr.encoders.dense.encoder import load_dense

        collection = Collection(
            FolderDocuments(vectors)
            if vectors is not None
            else open_documents(corpus, on_error, "--dense")
        )
        # Before the work, so that an encoder that cannot be loaded is reported at once.
        side = load_dense(dense, threads=threads, device=device)
    if side is not None and not force and _has_place_for_dense(output):
        note(f"{output} is an existing index: only its dense vectors are added.")
    elif vectors is not None:
        if option := given(context, *_OF_ENCODING):
            raise click.UsageError(
                f"{corpus} contains vectors that are already encoded; leave out {option}."
            )
        _build(output, vectors, options)
    else:
        collection = _build_of_texts(corpus, output, encoder, on_error, options)
    if side is not None:
        from lsr.indexing.dense import add_dense

        add_dense(output, collection, side, faiss, threads=threads, force=force, progress=Progress)
        _conclude_dense(output)


def _build_of_texts(
    corpus: str, output: Path, encoder: str | None, on_error: str, options: dict[str, Any]
) -> Collection:
    """Build an index of a collection, and return the collection, which was scanned."""
    from lsr.encoders import DEFAULT_ENCODER
    from lsr.indexing.build import BuildOptions, Texts, check_output

    check_output(output, options["force"])
    documents = open_documents(corpus, on_error)
    collection = scanned(documents, corpus)
    settings = BuildOptions.split(options)[1]
    _build(output, Texts(collection, encoder or DEFAULT_ENCODER, settings), options, documents)
    return collection


def _build(
    output: Path,
    source: Texts | VectorFolder,
    options: dict[str, Any],
    documents: Corpus | None = None,
) -> None:
    """Build an index, and report its size."""
    from lsr.indexing.build import BuildOptions, build
    from lsr.retrieval.index import Index

    build(output, source, BuildOptions.split(options)[0])
    if documents is not None and documents.skipped:
        note(f"{documents.skipped:,} bad records were skipped.")
    built = Index.open(output)
    megabytes = sum(entry.size for entry in built.manifest.files.values()) / 1e6
    conclude(
        f"{output}: {len(built):,} documents, {built.manifest.postings:,} postings, "
        f"{megabytes:,.1f} MB"
    )


def _conclude_dense(output: Path) -> None:
    from lsr.index.dense.side import DenseSide

    made = DenseSide.open(output)
    megabytes = sum(entry.size for entry in made.manifest.files.values()) / 1e6
    conclude(
        f"{output}: {made.documents:,} dense vectors of {made.dimensions:,} dimensions, "
        f"{made.kind}, {megabytes:,.1f} MB"
    )


def _has_place_for_dense(output: Path) -> bool:
    """Whether there is an index that is to be given dense vectors."""
    from lsr.index.dense import has_dense
    from lsr.index.format import is_index

    if not is_index(output):
        return False
    if has_dense(output):
        raise IndexExists(
            f"{output} is already an index with dense vectors; add --force to replace both"
        )
    return True

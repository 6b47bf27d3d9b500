"""`lsr encode`: encode a collection into a folder of vectors, or show the vector of a text."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from lsr.cli.corpora import open_documents, scanned
from lsr.cli.options import (
    Bytes,
    as_text,
    encoder_options,
    flag,
    given,
    json_option,
    number_option,
    on_error_option,
    output_option,
    precision_option,
)
from lsr.progress import Progress
from lsr.terminal import (
    Styled,
    cell,
    columns,
    conclude,
    echo,
    is_terminal,
    note,
    styled,
    write_json,
)

_COLOURS = {"literal": "green", "expansion": "yellow"}
_OF_A_TEXT = ("show", "query", "index", "top", "as_json")
_OF_A_CORPUS = ("output", "max_memory", "on_error", "force")
_OF_THE_INDEX = (
    "encoder",
    "weights",
    "max_length",
    "document_terms",
    "query_terms",
    "prune_ratio",
    "batch_size",
    "threads",
    "precision",
)


@click.command()
@click.argument("corpus", required=False)
@output_option("The folder for the vectors of CORPUS.", "VECTORS")
@encoder_options
@precision_option
@number_option("--threads", "Threads for the model.")
@click.option("--max-memory", type=Bytes(), help="Memory limit of the process, such as 2GB.")
@on_error_option
@flag(
    "--force",
    "Start over if VECTORS is from another encoder; encode changed documents again.",
)
@click.option("--text", metavar="TEXT", callback=as_text, help="A text to encode and show.")
@flag("--show", "Show the terms of --text as bars (the default).")
@flag("--query", "Encode --text as a query, not as a document.")
@click.option(
    "--index",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Encode --text with the encoder of this index, its settings and statistics.",
)
@number_option("--top", "Show the N strongest terms.  [default: 30; with --json all]")
@json_option
@click.pass_context
def encode(
    context: click.Context,
    /,
    corpus: str | None,
    output: Path | None,
    text: str | None,
    show: bool,
    query: bool,
    index: Path | None,
    top: int | None,
    as_json: bool,
    max_memory: int | None,
    on_error: str,
    force: bool,
    **settings: Any,
) -> None:
    """Encode the documents of CORPUS into VECTORS, or show the vector of a text.

    CORPUS is any collection that `lsr index` reads; VECTORS is a folder of Parquet files, from
    which `lsr index` builds indexes.  To resume after an interruption, run the same command
    again.  Several processes that run it at the same time share the work, except with bm25, which
    needs statistics of the whole collection, and from standard input or a pipe.

    \b
    lsr encode docs.jsonl.gz -o vectors --encoder splade-tiny
    lsr encode docs.jsonl.gz -o vectors --encoder naver/splade-v3 --precision bf16
    lsr index vectors -o docs

    With --text, show the terms that the text contains and those that the encoder added:

    \b
    lsr encode --text "robots that walk over rough ground" --show
    lsr encode --text "robots that walk" --query --encoder naver/splade-v3
    lsr encode --text "robots that walk" --index demo/arxiv-cs --json
    """
    if corpus is not None and text is not None:
        raise click.UsageError("Give a CORPUS or a --text, not both.")
    if corpus is None and text is None:
        raise click.UsageError("Give a CORPUS and -o VECTORS, or a text to show: --text TEXT.")
    if corpus is not None:
        if output is None:
            raise click.UsageError("Give a folder for the vectors of CORPUS: -o VECTORS.")
        if option := given(context, *_OF_A_TEXT):
            raise click.UsageError(f"{option} only applies to --text; leave it out.")
        _encode_corpus(corpus, output, on_error, force, max_memory=max_memory, **settings)
        return
    if option := given(context, *_OF_A_CORPUS):
        raise click.UsageError(f"{option} only applies to a CORPUS; leave it out.")
    if index is not None and (option := given(context, *_OF_THE_INDEX)):
        raise click.UsageError(f"--index uses the encoder of the index; leave out {option}.")
    assert text is not None
    _show(text, index, query, top, as_json, **settings)


def _encode_corpus(
    corpus: str, output: Path, on_error: str, force: bool, *, encoder: str | None, **settings: Any
) -> None:
    from lsr.data.vectors.locking import check_folder
    from lsr.encoders import DEFAULT_ENCODER, load_encoder
    from lsr.indexing.encode import encode as encode_corpus
    from lsr.storage.files import writing

    check_folder(output)
    documents = open_documents(corpus, on_error)
    collection = scanned(documents, corpus)
    loaded = load_encoder(encoder or DEFAULT_ENCODER, **settings)
    with writing(output):
        folder, encoded = encode_corpus(
            output, collection, loaded, progress=Progress, alone=documents.once, force=force
        )
    if documents.skipped:
        note(f"{documents.skipped:,} bad records were skipped.")
    megabytes = sum(shard.size for shard in folder.manifest.shards) / 1e6
    conclude(
        f"{output} is complete: {folder.documents:,} documents, {folder.postings:,} postings, "
        f"{megabytes:,.1f} MB" + ("" if encoded else "; all of it was already encoded")
    )


def _show(
    text: str,
    index: Path | None,
    query: bool,
    top: int | None,
    as_json: bool,
    *,
    encoder: str | None,
    device: str | None,
    **settings: Any,
) -> None:
    from lsr.encoders.term_view import SHOWN, show_terms

    if index is None:
        view = show_terms(
            text, encoder or "splade-tiny", query=query, top=top or SHOWN, device=device, **settings
        )
    else:
        from lsr.retrieval.index import Index

        opened = Index.open(index)
        if device is not None:
            opened.use_encoder(None, device=device)
        view = show_terms(text, opened.encoder, query=query, top=top or SHOWN)
    if as_json:
        write_json(
            {
                "encoder": view.encoder,
                "text": text,
                "query": query,
                "terms": [asdict(term) for term in view.terms[:top]],
                "terms_in_all": len(view.terms),
            }
        )
        return
    terms = [replace(term, word=cell(term.word)) for term in view.terms]
    view = replace(view, encoder=cell(view.encoder), terms=terms)
    if is_terminal():
        echo(Styled(view.draw(columns(), lambda bar, kind: styled(bar, fg=_COLOURS[kind]))))
    else:
        echo(str(view))

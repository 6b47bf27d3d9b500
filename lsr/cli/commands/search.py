"""`lsr search`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lsr.cli.hits import as_json, print_plain, print_table
from lsr.cli.hybrid import hybrid_of, hybrid_options
from lsr.cli.options import STANDARD_OUTPUT, Output, as_text, weights_option, writable
from lsr.cli.timings import Timings
from lsr.index.search.options import METHODS
from lsr.terminal import emit, is_terminal, note, write_json

if TYPE_CHECKING:
    from lsr.eval.runs import RunRow
    from lsr.retrieval.hits import Hits
    from lsr.retrieval.hybrid import Hybrid
    from lsr.retrieval.index import Index

_BATCH = 256  # queries encoded, searched and written together


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("question", required=False, callback=as_text)
@click.option(
    "-k", default=10, show_default=True, type=click.IntRange(1), metavar="N", help="Number of hits."
)
@click.option(
    "--method",
    type=click.Choice([method for method in METHODS if method != "reference"]),
    default="auto",
    show_default=True,
    help="Search method; all give the same hits.",
)
@click.option("--explain", is_flag=True, help="Show the terms behind each score.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@click.option("--profile", is_flag=True, help="Show the time of each step.")
@click.option(
    "--queries",
    metavar="FILE",
    help="Search for all queries of a file: BEIR's jsonl, TSV, or encoded vectors.",
)
@click.option(
    "--run",
    "run_file",
    type=Output(run=True),
    callback=writable,
    metavar="OUT.trec|.jsonl",
    help="With --queries: write this run, in TREC's format, or as JSON lines, which allow any id; "
    "- is standard output.",
)
@hybrid_options
@click.option("--encoder", metavar="E", help="New location of the index's encoder, if it moved.")
@click.option("--dense", metavar="D", help="New location of its dense encoder.")
@weights_option
@click.option(
    "--boost",
    "boosts",
    multiple=True,
    callback=as_text,
    metavar="TERM=F",
    help="Multiply the query's weight of a term, named as by --explain; 0 mutes it.  Repeatable.",
)
@click.option("--device", metavar="D", help="Device for models, such as cpu or cuda:0.")
@click.option(
    "--exact-floats", is_flag=True, help="Rank by the original weights (needs --keep-floats)."
)
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Threads that share the queries.",
)
@click.pass_context
def search(
    context: click.Context,
    /,
    index: Path,
    question: str | None,
    k: int,
    method: str,
    explain: bool,
    json_wanted: bool,
    profile: bool,
    queries: str | None,
    run_file: Path | None,
    encoder: str | None,
    dense: str | None,
    weights: str | None,
    boosts: tuple[str, ...],
    device: str | None,
    exact_floats: bool,
    threads: int,
    **values: Any,
) -> None:
    """Search INDEX for a QUESTION, or for every query of a file.

    \b
    lsr search nfcorpus "does vitamin D prevent falls"
    lsr search nfcorpus "does vitamin D prevent falls" -k 3 --explain
    lsr search nfcorpus "does vitamin D prevent falls" --boost bone=1.5 --boost falls=0
    lsr search nfcorpus --queries nfcorpus.zip --run nfcorpus.trec -k 1000
    lsr search nfcorpus "does vitamin D prevent falls" --hybrid --weight .4 --prf rocchio
    """
    settings = hybrid_of(context, values)
    if (question is None) == (queries is None):
        raise click.UsageError("Give one QUESTION, or --queries FILE.")
    if queries is not None and run_file is None:
        raise click.UsageError("Name the run to write: --queries FILE --run OUT.trec.")
    if run_file is not None and queries is None:
        raise click.UsageError("--run needs --queries FILE.")
    timings = Timings()
    from lsr.retrieval.boosting import parse_boosts
    from lsr.retrieval.index import Index

    options: Any = {
        "method": method,
        "exact_floats": exact_floats,
        "threads": threads,
        "boosts": parse_boosts(boosts),
    }
    opened = Index.open(index)
    timings.done("opening the index")
    if encoder is not None or device is not None or weights is not None:
        opened.use_encoder(encoder, device=device, weights=weights)
    if dense is not None:
        opened.use_dense_encoder(dense, device=device)
    hybrid = opened.hybrid(**settings, **options) if settings is not None else None
    if question is None:
        assert queries is not None
        assert run_file is not None
        count = _search_file(opened, queries, run_file, k, options, hybrid)
        target = "Standard output" if run_file is STANDARD_OUTPUT else run_file
        note(f"{target}: {count:,} queries")
        return
    if hybrid is not None:
        timings.done("loading the encoders")
        hits = hybrid.search(question, k)
        timings.done("encoding the question and searching")
    else:  # as `Index.search`, step by step
        loaded = opened.encoder
        timings.done("loading the encoder")
        vectors = loaded.encode_queries([question])
        timings.done("encoding the question")
        (hits,) = opened.search_vectors(vectors, k, queries=[question], **options)
        timings.done("searching")
    if json_wanted:
        write_json(
            {"query": question, "hits": [as_json(hit, explain) for hit in hits]},
        )
    else:
        show = print_table if is_terminal() else print_plain
        show(hits, explain, "" if len(hits) else _why_nothing(opened, question))
    timings.done("explaining and printing")
    if profile:
        timings.show()


def _why_nothing(index: Index, question: str) -> str:
    """Why a question has no hits."""
    if index.encoder.encode_queries([question]).terms.size:
        return "No document shares a term with the question."
    return "The question has no terms that the index knows."


def _search_file(
    index: Index,
    queries: str,
    run_file: Path,
    k: int,
    options: Any,
    hybrid: Hybrid | None,
) -> int:
    """Search every query of a file and write a run; return the number of queries.

    Raises `QueryError` before the search for ids that the run's format cannot hold.
    """
    from lsr.data.queries import QueryFile
    from lsr.errors import QueryError
    from lsr.eval.runs import check_ids, check_ids_of, run_lines, write_run
    from lsr.progress import Progress

    file = QueryFile(queries)
    search: Callable[[slice], list[Hits]]
    if file.encoded:
        if hybrid is not None:
            raise QueryError(
                f"{queries} contains vectors, and --hybrid and --prf need the texts of queries; "
                "give a file of texts, or leave out --hybrid and --prf"
            )
        names, vectors = file.vectors(index.reader.find_term)

        def search(part: slice) -> list[Hits]:
            return index.search_vectors(vectors[part], k, **options)

    else:
        texts = file.texts()
        names = [query.id for query in texts]

        def search(part: slice) -> list[Hits]:
            questions = [query.text for query in texts[part]]
            return hybrid.search(questions, k) if hybrid else index.search(questions, k, **options)

    check_ids(run_file, names)
    check_ids_of(run_file, index.reader.ids)
    with Progress("Searching", "queries", len(names)) as bar:

        def rows() -> Iterator[RunRow]:
            for start in range(0, len(names), _BATCH):
                part = slice(start, start + _BATCH)
                for name, hits in zip(names[part], search(part), strict=True):
                    yield name, hits.ids.tolist(), hits.scores.tolist()
                bar.advance(len(names[part]))

        if run_file is STANDARD_OUTPUT:
            emit(run_lines(run_file, rows(), "lsr"))
        else:
            write_run(run_file, rows(), "lsr")
    return len(names)

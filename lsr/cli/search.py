"""`lsr search`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lsr.cli.hybrid import hybrid_of, hybrid_options
from lsr.cli.laps import Laps
from lsr.cli.options import weights_option, writable, write_json

if TYPE_CHECKING:
    from lsr.eval.runs import RunRow
    from lsr.hits import Explanation, Hit, Hits
    from lsr.hybrid import Hybrid
    from lsr.retrieval import Index

_SNIPPET = 240
_BATCH = 256  # queries encoded, searched and written together
_BESIDE_BARS = 56  # columns of a table with explanations beside terms and bars


@click.command()
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("question", required=False)
@click.option(
    "-k", default=10, show_default=True, type=click.IntRange(1), metavar="N", help="Hits wanted."
)
@click.option(
    "--method",
    type=click.Choice(["auto", "scan", "pruned"]),
    default="auto",
    show_default=True,
    help="How to search; all give the same hits.",
)
@click.option("--explain", is_flag=True, help="Show which terms made the score.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--profile", is_flag=True, help="Show where the time of a question went.")
@click.option(
    "--queries",
    metavar="FILE",
    help="Search all queries of a BEIR jsonl, TSV or encoded-vectors file.",
)
@click.option(
    "--run",
    "run_file",
    type=click.Path(path_type=Path),
    callback=writable,
    metavar="OUT.trec",
    help="With --queries: the TREC run to write.",
)
@hybrid_options
@click.option("--encoder", metavar="E", help="Where the index's encoder is now, if it moved.")
@click.option("--dense", metavar="D", help="Where that of its dense vectors is now.")
@weights_option
@click.option("--device", metavar="D", help="Where the model runs, such as cpu or cuda:0.")
@click.option("--exact-floats", is_flag=True, help="Rank by the weights as given (--keep-floats).")
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Queries are spread over so many.",
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
    as_json: bool,
    profile: bool,
    queries: str | None,
    run_file: Path | None,
    encoder: str | None,
    dense: str | None,
    weights: str | None,
    device: str | None,
    exact_floats: bool,
    threads: int,
    **asked: Any,
) -> None:
    """Search INDEX for a QUESTION, or for every query of a file.

    \b
    lsr search nfcorpus "does vitamin D prevent falls"
    lsr search nfcorpus "does vitamin D prevent falls" -k 3 --explain
    lsr search nfcorpus --queries nfcorpus.zip --run nfcorpus.trec -k 1000
    lsr search nfcorpus "does vitamin D prevent falls" --hybrid --weight .4 --prf rocchio
    """
    how = hybrid_of(context, asked)
    if (question is None) == (queries is None):
        raise click.UsageError("Give one QUESTION, or --queries FILE.")
    if queries is not None and run_file is None:
        raise click.UsageError("Say where the run goes: --queries FILE --run OUT.trec.")
    if run_file is not None and queries is None:
        raise click.UsageError("--run needs --queries FILE.")
    laps = Laps()
    from lsr.retrieval import Index

    opened = Index.open(index)
    laps.done("opening the index")
    if encoder is not None or device is not None or weights is not None:
        opened.use_encoder(encoder, device=device, weights=weights)
    if dense is not None:
        opened.use_dense_encoder(dense, device=device)
    options: dict[str, Any] = {"method": method, "exact_floats": exact_floats, "threads": threads}
    hybrid = opened.hybrid(**how, **options) if how is not None else None
    if question is None:
        assert queries is not None
        assert run_file is not None
        count = search_file(opened, queries, run_file, k, options, hybrid)
        click.echo(f"{run_file}: {count:,} queries", err=True)
        return
    if hybrid is not None:
        laps.done("loading the encoders")
        hits = hybrid.search(question, k)
        laps.done("encoding the question and searching")
    else:
        loaded = opened.encoder
        laps.done("loading the encoder")
        vectors = loaded.encode_queries([question])
        laps.done("encoding the question")
        (hits,) = opened.search_vectors(vectors, k, queries=[question], **options)
        laps.done("searching")
    if as_json:
        write_json(
            {"query": question, "hits": [_as_json(hit, explain) for hit in hits]},
        )
    elif sys.stdout.isatty():
        _print_table(hits, explain)
    else:
        _print_plain(hits, explain)
    laps.done("explaining and printing")
    if profile:
        laps.show()


def search_file(
    index: Index,
    queries: str,
    run_file: Path,
    k: int,
    options: dict[str, Any],
    hybrid: Hybrid | None,
) -> int:
    """Search every query of a file and write a run; return how many there were."""
    from lsr.data.queries import is_encoded, read_queries, read_query_vectors
    from lsr.errors import QueryError
    from lsr.eval.runs import write_run
    from lsr.progress import Progress

    vectors = None
    if is_encoded(queries):
        if hybrid is not None:
            raise QueryError(
                f"{queries} holds vectors of terms, and several retrievers need the texts of "
                "queries; give a file of texts, or leave out --hybrid and --prf"
            )
        names, vectors = read_query_vectors(queries, index.find_term)
    else:
        asked = read_queries(queries)
        names = [query.id for query in asked]
    with Progress("Searching", "queries", len(names)) as bar:

        def rows() -> Iterator[RunRow]:
            for start in range(0, len(names), _BATCH):
                stop = min(start + _BATCH, len(names))
                if vectors is not None:
                    hits = index.search_vectors(vectors[start:stop], k, **options)
                else:
                    texts = [query.text for query in asked[start:stop]]
                    hits = hybrid.search(texts, k) if hybrid else index.search(texts, k, **options)
                for name, found in zip(names[start:stop], hits, strict=True):
                    yield name, found.ids.tolist(), found.scores.tolist()
                bar.advance(stop - start)

        write_run(run_file, rows(), "lsr")
    return len(names)


def _as_json(hit: Hit, explain: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": hit.id,
        "score": hit.score,
        "title": hit.title,
        "text": hit.text,
    }
    if explain:
        why = hit.explain()
        if why.shares:
            found["shares"] = [
                {
                    "retriever": share.retriever,
                    "share": share.share,
                    "rank": share.rank,
                    "score": share.score,
                    **(_terms_as_json(share.terms) if share.terms is not None else {}),
                }
                for share in why.shares
            ]
        else:
            found |= _terms_as_json(why)
    return found


def _terms_as_json(why: Explanation) -> dict[str, Any]:
    return {
        **({"parts": why.parts} if why.parts else {}),
        "terms": [
            {
                "term": match.term,
                "query_weight": match.query_weight,
                "document_weight": match.document_weight,
                "product": match.product,
                "kind": match.kind,
                **({"part": match.part} if match.part is not None else {}),
            }
            for match in why.terms
        ],
    }


def snippet(text: str, words: list[str], length: int = _SNIPPET) -> str:
    """A piece of a text around the first of the words that it contains."""
    text = re.sub(r"\s+", " ", text).strip()
    if len(text) <= length:
        return text
    places = [
        match.start()
        for word in words
        if (match := re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE))
    ]
    start = max(0, min(places, default=0) - length // 4)
    if start:
        start = text.find(" ", start) + 1
    end = text.rfind(" ", 0, start + length) if start + length < len(text) else len(text)
    end = end if end > start else start + length
    return ("… " if start else "") + text[start:end] + (" …" if end < len(text) else "")


def _words(explanation: Explanation) -> list[str]:
    """Words to show a text around; pieces of words stand in too many places."""
    return [word for word in explanation.literal_words() if len(word) > 2]


def _print_plain(hits: Hits, explain: bool) -> None:
    for rank, hit in enumerate(hits, 1):
        why = hit.explain()
        click.echo(f"{rank}\t{hit.score:.4f}\t{hit.id}\t{hit.title}")
        click.echo(f"\t{snippet(hit.text, _words(why))}")
        if explain:
            for line in str(why).splitlines()[1:]:
                click.echo(f"\t{line.removeprefix('  ')}")
    if not len(hits):
        click.echo("No document shares a term with the question.", err=True)


def _print_table(hits: Hits, explain: bool) -> None:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not len(hits):
        console.print("No document shares a term with the question.")
        return
    table = Table(show_header=True, header_style="bold", box=None, pad_edge=False, padding=(0, 2))
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right", style="cyan")
    table.add_column("document", ratio=1)
    for rank, hit in enumerate(hits, 1):
        why = hit.explain()
        parts: list[Any] = [
            Text.assemble((hit.title, "bold"), ("  " + hit.id, "dim"))
            if hit.title
            else Text(hit.id, "bold")
        ]
        words = _words(why)
        body = Text(snippet(hit.text, words))
        if words:
            pattern = "|".join(rf"\b{re.escape(word)}\w*" for word in words)
            body.highlight_regex(f"(?i){pattern}", "green")
        parts.append(body)
        if explain:
            parts += _why(why, console.width)
        parts.append(Text(""))
        table.add_row(str(rank), f"{hit.score:.3f}", Group(*parts))
    console.print(table)


def _why(why: Explanation, width: int) -> list[Any]:
    """The tables behind a score: the retrievers' shares, if any, and the terms of each."""
    if not why.shares:
        return [_bars(why, "term", width)] if why.terms else []
    tables = [
        _bars(share.terms, share.retriever, width)
        for share in why.shares
        if share.terms is not None and share.terms.terms
    ]
    return [_shares(why, width), *tables]


def _shares(why: Explanation, width: int) -> Any:
    from rich.text import Text

    names = [share.retriever for share in why.shares]
    shares = _table("retriever", "", "rank", "score", "share")
    longest, most = _longest(names, width), max(abs(share.share) for share in why.shares)
    for share in why.shares:
        shares.add_row(
            Text(share.retriever),
            "",
            "" if share.rank is None else f"{share.rank:,}",
            "" if share.score is None else f"{share.score:.3f}",
            f"{share.share:.4f}",
            Text("█" * round(longest * share.share / most) if most else "", "cyan"),
        )
    shares.add_row(Text("sum", "dim"), "", "", "", Text(f"{why.score:.4f}", "bold"), "")
    return shares


def _bars(why: Explanation, title: str, width: int) -> Any:
    from rich.text import Text

    bars = _table(title, "kind", "query", "document", "product")
    names = [title, *why.parts, *(match.term for match in why.terms)]
    longest, most = _longest(names, width), why.terms[0].product
    for part, matches in why.groups():
        if part is not None:
            bars.add_row(Text(part, "bold"), "", "", "", Text(f"{why.parts[part]:.3f}", "bold"))
        for match in matches:
            colour = "green" if match.kind == "literal" else "yellow"
            length = max(1, round(longest * match.product / most)) if longest else 0
            bars.add_row(
                Text(match.term),  # a term may look like markup: [unused-7]
                match.kind or "",
                f"{match.query_weight:.3f}",
                f"{match.document_weight:.3f}",
                f"{match.product:.3f}",
                Text("█" * length, colour),
            )
    bars.add_row(Text("sum", "dim"), "", "", "", Text(f"{why.score:.3f}", "bold"), "")
    return bars


def _table(name: str, kind: str, *numbers: str) -> Any:
    """A table of names, kinds, three columns of numbers, and bars."""
    from rich.table import Table

    table = Table(show_header=True, header_style="dim", box=None, pad_edge=False, padding=(0, 1))
    table.add_column(name, overflow="fold", min_width=8)
    table.add_column(kind, no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    return table


def _longest(names: list[str], width: int) -> int:
    """The length of the longest bar; 0 where the numbers need the room."""
    room = width - _BESIDE_BARS - max(map(len, names))
    return min(20, room) if room >= 4 else 0

"""`lsr search`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lsr.cli.laps import Laps
from lsr.cli.options import weights_option, writable, write_json

if TYPE_CHECKING:
    from lsr.eval.runs import RunRow
    from lsr.hits import Explanation, Hit, Hits
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
@click.option("--encoder", metavar="E", help="Where the index's encoder is now, if it moved.")
@weights_option
@click.option(
    "--boost",
    "boosts",
    multiple=True,
    metavar="TERM=F",
    help="Multiply the question's weight of a term that --explain names; 0 mutes it.  Repeatable.",
)
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
def search(
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
    weights: str | None,
    boosts: tuple[str, ...],
    device: str | None,
    exact_floats: bool,
    threads: int,
) -> None:
    """Search INDEX for a QUESTION, or for every query of a file.

    \b
    lsr search nfcorpus "does vitamin D prevent falls"
    lsr search nfcorpus "does vitamin D prevent falls" -k 3 --explain
    lsr search nfcorpus "does vitamin D prevent falls" --boost bone=1.5 --boost falls=0
    lsr search nfcorpus --queries nfcorpus.zip --run nfcorpus.trec -k 1000
    """
    if (question is None) == (queries is None):
        raise click.UsageError("Give one QUESTION, or --queries FILE.")
    if queries is not None and run_file is None:
        raise click.UsageError("Say where the run goes: --queries FILE --run OUT.trec.")
    if run_file is not None and queries is None:
        raise click.UsageError("--run needs --queries FILE.")
    laps = Laps()
    from lsr.boosting import boost, parse_boosts
    from lsr.retrieval import Index

    factors = parse_boosts(boosts)

    opened = Index.open(index)
    laps.done("opening the index")
    if encoder is not None or device is not None or weights is not None:
        opened.use_encoder(encoder, device=device, weights=weights)
    options: dict[str, Any] = {"method": method, "exact_floats": exact_floats, "threads": threads}
    if question is None:
        assert queries is not None
        assert run_file is not None
        count = search_file(opened, queries, run_file, k, options, factors)
        click.echo(f"{run_file}: {count:,} queries", err=True)
        return
    loaded = opened.encoder
    laps.done("loading the encoder")
    vectors = boost(opened, loaded.encode_queries([question]), factors)
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
    boosts: Mapping[str, float],
) -> int:
    """Search every query of a file and write a run; return how many there were."""
    from lsr.boosting import boost
    from lsr.data.queries import is_encoded, read_queries, read_query_vectors
    from lsr.eval.runs import write_run
    from lsr.progress import Progress

    vectors = None
    if is_encoded(queries):
        names, vectors = read_query_vectors(queries, index.find_term)
    else:
        asked = read_queries(queries)
        names = [query.id for query in asked]
    with Progress("Searching", "queries", len(names)) as bar:

        def rows() -> Iterator[RunRow]:
            for start in range(0, len(names), _BATCH):
                stop = min(start + _BATCH, len(names))
                if vectors is not None:
                    part = vectors[start:stop]
                else:
                    part = index.encoder.encode_queries([q.text for q in asked[start:stop]])
                hits = index.search_vectors(boost(index, part, boosts), k, **options)
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
        if why.parts:
            found["parts"] = why.parts
        found["terms"] = [
            {
                "term": match.term,
                "query_weight": match.query_weight,
                "document_weight": match.document_weight,
                "product": match.product,
                "kind": match.kind,
                **({"part": match.part} if match.part is not None else {}),
            }
            for match in why.terms
        ]
    return found


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
    literal = (match.term for match in explanation.terms if match.kind == "literal")
    return [term for term in literal if len(term) > 2]


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
        if explain and why.terms:
            parts.append(_bars(why, console.width))
        parts.append(Text(""))
        table.add_row(str(rank), f"{hit.score:.3f}", Group(*parts))
    console.print(table)


def _bars(why: Explanation, width: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    most = why.terms[0].product
    names = [*why.parts, *(match.term for match in why.terms)]
    room = width - _BESIDE_BARS - max(map(len, names))
    longest = min(20, room) if room >= 4 else 0  # no bars where the numbers need the room
    bars = Table(show_header=True, header_style="dim", box=None, pad_edge=False, padding=(0, 1))
    bars.add_column("term", overflow="fold", min_width=8)
    bars.add_column("kind", no_wrap=True)
    for name in ("query", "document", "product"):
        bars.add_column(name, justify="right", no_wrap=True)
    bars.add_column("", no_wrap=True)
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

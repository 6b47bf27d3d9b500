"""Runs: the documents that a system retrieved for each query, in TREC's form or as JSON lines.

TREC's form has six columns: query, Q0, document, rank from 1, score, tag.  Other programs read it,
and it holds no ids with white space.  JSON lines hold any id; a file is one by its name, `.jsonl`:

    LINE = {"query": ID, "hits": {ID: number, …}}       documents best first

Either may be compressed (.gz, .zst).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from io import TextIOWrapper
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeAlias

from lsr.data.records import BadRecord, as_id, parse_json, unique_fields
from lsr.data.streams import LineStream, compressed
from lsr.errors import CorpusError, QueryError
from lsr.eval import trec
from lsr.eval.results import Qrels, Run
from lsr.storage.files import replacing, writing
from lsr.terminal import printable

if TYPE_CHECKING:
    import pyarrow as pa

# (query id, document ids best first, their scores)
RunRow: TypeAlias = tuple[Any, Iterable[Any], Iterable[SupportsFloat]]

TREC, JSON_LINES = ".trec", ".jsonl"

_LONGEST_NAME = 60  # of a dataset or encoder in a file's name
# As strtod reads it, less what is no finite decimal.
_SCORE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def file_name(name: str) -> str:
    """A name as part of a file's name, wherever it is read: no folders, no hidden files."""
    return re.sub(r"[^A-Za-z0-9._+=,@-]", "_", name)[:_LONGEST_NAME].lstrip(".") or "_"


def is_json_lines(path: str | PathLike[str]) -> bool:
    """Whether a run is JSON lines by the name of its file, compressed or not."""
    name = Path(path).name.lower().removesuffix(".gz").removesuffix(".zst")
    return name.endswith(JSON_LINES)


def check_ids(
    path: str | PathLike[str], queries: Iterable[str] = (), documents: Iterable[str] = ()
) -> None:
    """Refuse a run file whose form cannot hold some ids, before the work for it.

    Raises `QueryError` naming the first id in the way, and the form that holds it.
    """
    if not is_json_lines(path):
        for query in queries:
            _check_word(path, "query", query)
        for document in documents:
            _check_word(path, "document", document)


def check_ids_of(path: str | PathLike[str], ids: pa.Array) -> None:
    """As `check_ids`, for the ids of all documents of an index, in one pass over their bytes."""
    import pyarrow.compute as pc

    if is_json_lines(path):
        return
    spaced = pc.index(pc.match_substring_regex(ids, trec.NO_WORD), True).as_py()
    if spaced >= 0:
        check_ids(path, documents=[ids[spaced].as_py()])


def suffix_for(run: Run) -> str:
    """The end of a run's file name: `TREC` where that form holds all of its ids."""
    try:
        for query, hits in run.items():
            check_ids("run", [query], hits)
    except QueryError:
        return JSON_LINES
    return TREC


def write_run(path: str | PathLike[str], rows: Iterable[RunRow], tag: str) -> None:
    """Write a run as JSON lines where the file's name says so, and else in TREC's form.

    Rows are written as they come.  The file appears complete or not at all: it is written
    under a temporary name beside `path`, flushed to disk and renamed; compressed where its
    name ends in .gz or .zst.  Scores are written as the shortest decimals that read back as the
    same float64.  A query without documents has no line.  Control characters of
    the tag are shown as symbols; ids are written as they are.

    Args:
        tag: the last column of TREC's form.

    Raises `QueryError` for what is no id, for an id or a tag with white space in TREC's form, for
    a document that a query has twice and for scores that are not finite; `SystemCallError` when
    the file cannot be written.
    """
    path = Path(path)
    lines = run_lines(path, rows, tag)
    with writing(path):
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace
            with path.open("w", encoding="utf-8", newline="\n") as device:
                device.writelines(lines)
            return
        target = path.resolve()  # renaming over a link would replace the link
        with replacing(target) as file, ExitStack() as closing:
            out = TextIOWrapper(compressed(file, target.name, closing), "utf-8", newline="\n")
            closing.callback(out.detach)  # flushes; its end would close the file too
            out.writelines(lines)


def run_lines(path: str | PathLike[str], rows: Iterable[RunRow], tag: str) -> Iterator[str]:
    """The lines that `write_run` writes to a file of this name, as they come; raises `QueryError`
    as it does."""
    if is_json_lines(path):
        return _json_lines(rows)
    tag = printable(tag)
    if tag.split() != [tag]:
        raise QueryError(f"the tag {tag!r} is empty or has white space; give one word")
    return _trec_lines(Path(path), rows, tag)


def read_run(path: str | PathLike[str]) -> dict[str, dict[str, float]]:
    """The run of a file in TREC's form, or of JSON lines by the file's name.

    TREC's files are read as by trec_eval (`lsr.eval.trec`): six columns, of which ranks and tags
    are not read, nor what follows the tag.

    Returns:
        query id -> document id -> score, in the order of the file.  Measures rank by score, and
        equal scores by id, as trec_eval does.

    Raises `CorpusError` naming the line of other columns or fields, of a score that is no finite
    number, and of a document that a query has already; and when there are no lines.
    """
    stream = LineStream(Path(path))
    parse = _parse_json if is_json_lines(path) else _parse_trec
    run: dict[str, dict[str, float]] = {}
    for number, line in stream.lines():
        try:
            for query, document, score in parse(number, line):
                hits = run.setdefault(query, {})
                if document in hits:
                    raise BadRecord(
                        f"repeats the document {document!r} for query {query!r}; keep it once"
                    )
                hits[document] = score
        except BadRecord as error:
            raise CorpusError(f"{stream.where}, line {number} {error}") from None
    if not run:
        raise CorpusError(f"{stream.where} holds no run; check that it is the right file")
    return run


def read_judged_run(
    path: str | PathLike[str], qrels: Qrels, judgments: str | PathLike[str]
) -> tuple[dict[str, dict[str, float]], list[str], list[str]]:
    """The run of a file, the judged queries that it lacks, and its queries without judgments.

    Raises `CorpusError` when no query of it is among `qrels`, which `judgments` holds.
    """
    run = read_run(path)
    missing = [query for query in qrels if query not in run]
    if len(missing) == len(qrels):
        raise CorpusError(
            f"{path} answers none of the {len(qrels):,} queries judged in {judgments}; check that "
            "they belong together"
        )
    return run, missing, [query for query in run if query not in qrels]


def _parse_trec(number: int, line: bytes) -> Iterator[tuple[str, str, float]]:
    cells = trec.columns(line)
    if not cells:
        return
    if len(cells) < 6:
        raise BadRecord(
            f"has {len(cells)} columns instead of query, Q0, document, rank, score, tag; "
            "complete the line"
        )
    score = float(cells[4]) if _SCORE.fullmatch(cells[4]) else math.nan
    yield as_id(cells[0]), as_id(cells[2]), _finite(score, cells[4])


def _parse_json(number: int, line: bytes) -> Iterator[tuple[str, str, float]]:
    record = parse_json(number, line, unique_fields)
    if record is None:
        return
    hits = record.get("hits")
    if "query" not in record or not isinstance(hits, dict):
        raise BadRecord('is not a query of a run; give it as {"query": id, "hits": {id: score, …}}')
    query = as_id(record["query"])
    for document, value in hits.items():
        try:
            score = float(value) if type(value) in (int, float) else math.nan
        except OverflowError:
            score = math.nan
        yield query, as_id(document), _finite(score, json.dumps(value))


def _finite(score: float, text: str) -> float:
    if not math.isfinite(score):
        raise BadRecord(f"has the score {text[:40]!r}; scores are finite numbers")
    return score


def _trec_lines(path: Path, rows: Iterable[RunRow], tag: str) -> Iterator[str]:
    for query, hits in _checked(rows):
        _check_word(path, "query", query)
        for rank, (document, score) in enumerate(hits.items(), 1):
            _check_word(path, "document", document)
            yield f"{query} Q0 {document} {rank} {score!r} {tag}\n"


def _json_lines(rows: Iterable[RunRow]) -> Iterator[str]:
    for query, hits in _checked(rows):
        if hits:
            yield json.dumps({"query": query, "hits": hits}, ensure_ascii=False) + "\n"


def _checked(rows: Iterable[RunRow]) -> Iterator[tuple[str, dict[str, float]]]:
    """The id of each query, and its documents' ids and scores; raises `QueryError`."""
    for name, documents, scores in rows:
        try:
            query = as_id(name)
            ids = [as_id(document) for document in documents]
        except BadRecord as error:
            raise QueryError(f"a row of the run {error}") from None
        values = [float(score) for score in scores]
        if len(values) != len(ids):
            raise QueryError(
                f"query {query!r} has {len(ids)} documents and {len(values)} scores; give one each"
            )
        hits = dict(zip(ids, values, strict=True))
        if len(hits) < len(ids):
            twice = next(document for document in ids if ids.count(document) > 1)
            raise QueryError(f"query {query!r} has the document {twice!r} twice; give it once")
        for document, score in hits.items():
            if not math.isfinite(score):
                raise QueryError(
                    f"query {query!r} gives document {document!r} the score {score}; "
                    "scores of a run must be finite"
                )
        yield query, hits


def _check_word(path: str | PathLike[str], of: str, identifier: str) -> None:
    if (wrong := trec.problem(identifier, first=of == "query")) is not None:
        name = Path(path).name.partition(".")[0].strip("-") or "run"  # - is standard output
        raise QueryError(
            f"the {of} id {identifier[:80]!r} {wrong}, which a TREC run cannot hold; write the run "
            f"as JSON lines, {name}{JSON_LINES}"
        )

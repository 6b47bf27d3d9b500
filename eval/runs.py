"""Runs: what a system retrieved for each query, as a TREC file."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import SupportsFloat, TypeAlias

from lsr.data.records import BadRecord, checked_id, decode
from lsr.data.streams import LineStream, compressed
from lsr.errors import CorpusError, LsrError, QueryError
from lsr.terminal import printable

# (query id, document ids best first, their scores)
RunRow: TypeAlias = tuple[str, Sequence[str], Iterable[SupportsFloat]]


_LONGEST_NAME = 60  # of a dataset or encoder in a file's name


def file_name(name: str) -> str:
    """A name as part of a file's name, wherever it is read: no folders, no hidden files."""
    return re.sub(r"[^A-Za-z0-9._+=,@-]", "_", name)[:_LONGEST_NAME].lstrip(".") or "_"


def write_run(path: str | Path, rows: Iterable[RunRow], tag: str) -> None:
    """Write a run in TREC's six columns: query, Q0, document, rank from 1, score, tag.

    Rows are written as they come.  The file appears complete or not at all: it is written
    under a temporary name beside `path`, flushed to disk and renamed; compressed where its
    name ends in .gz or .zst.  Scores are written as
    the shortest decimals that read back as the same float64.  Control characters of the tag are
    shown as symbols; ids are written as they are.

    Raises `QueryError` for ids or a tag with white space and for scores that are not finite;
    `LsrError` when the file cannot be written.
    """
    path = Path(path)
    lines = run_lines(rows, tag)
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace
            with path.open("w", encoding="utf-8", newline="\n") as out:
                out.writelines(lines)
            return
        target = path.resolve()  # renaming over a link would replace the link
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                with ExitStack() as closing:
                    stream = compressed(file, target.name, closing)
                    out = TextIOWrapper(stream, "utf-8", newline="\n")
                    closing.callback(out.detach)  # flushes; its end would close the file too
                    out.writelines(lines)
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise LsrError(f"{path} cannot be written: {error.strerror or error}") from error


def run_lines(rows: Iterable[RunRow], tag: str) -> Iterator[str]:
    """The lines that `write_run` writes, as they come; raises `QueryError` as it does."""
    tag = printable(tag)
    _check_word("the tag", tag)
    return _lines(rows, tag)


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """The run of a file in TREC's six columns, which may be compressed (.gz, .zst).

    Returns:
        query id -> document id -> score.  Ranks are not read: measures rank by score, and
        equal scores by id, as trec_eval does.

    Raises `CorpusError` naming the line of other columns, of a score that is no finite number,
    and of a document that a query has already; and when there are no lines.
    """
    stream = LineStream(Path(path))
    run: dict[str, dict[str, float]] = {}
    for number, line in stream.lines():
        try:
            cells = decode(line).split()
            if not cells:
                continue
            if len(cells) != 6:
                raise BadRecord(
                    f"has {len(cells)} columns instead of query, Q0, document, rank, score, tag; "
                    "complete the line"
                )
            query, document = checked_id(cells[0]), checked_id(cells[2])
            found = run.setdefault(query, {})
            if document in found:
                raise BadRecord(
                    f"repeats the document {document!r} for query {query!r}; keep one of its lines"
                )
            found[document] = _score(cells[4])
        except BadRecord as error:
            raise CorpusError(f"{stream.where}, line {number} {error}") from None
    if not run:
        raise CorpusError(f"{stream.where} holds no run; check that it is the right file")
    return run


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score) or "_" in text:
        raise BadRecord(f"has the score {text[:40]!r}; scores are finite numbers")
    return score


def _lines(rows: Iterable[RunRow], tag: str) -> Iterator[str]:
    for query, documents, scores in rows:
        _check_word("the query id", query)
        values = [float(score) for score in scores]
        if len(values) != len(documents):
            raise QueryError(
                f"query {query!r} has {len(documents)} documents and {len(values)} scores; "
                "give one each"
            )
        for rank, (document, score) in enumerate(zip(documents, values, strict=True), 1):
            _check_word("the document id", document)
            if not math.isfinite(score):
                raise QueryError(
                    f"query {query!r} gives document {document!r} the score {score}; "
                    "scores of a run must be finite"
                )
            yield f"{query} Q0 {document} {rank} {score!r} {tag}\n"


def _check_word(what: str, value: str) -> None:
    if value.split() != [value]:
        raise QueryError(f"{what} {value!r} is empty or has white space; a run needs plain words")

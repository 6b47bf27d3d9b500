"""Runs: what a system retrieved for each query, as a TREC file."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import SupportsFloat, TextIO, TypeAlias

from lsr.data.records import BadRecord, decode
from lsr.data.streams import locate
from lsr.errors import CorpusError, LsrError, QueryError

# (query id, document ids best first, their scores)
RunRow: TypeAlias = tuple[str, Sequence[str], Iterable[SupportsFloat]]


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """A run in TREC's six columns, apart by any white space; .gz and .zst are read too.

    The order of lines and the column of ranks mean nothing: scores decide, as in trec_eval.

    Returns:
        query id -> document id -> score, in the order of the file.

    Raises `CorpusError` naming the line of a wrong number of columns, a score that is no finite
    number, or a document given twice for one query; and when the file holds no line.
    """
    stream = locate(Path(path), "run.trec")
    run: dict[str, dict[str, float]] = {}
    for number, line in stream.lines():
        try:
            cells = decode(line).split()
            if not cells:
                continue
            if len(cells) != 6:
                raise BadRecord(
                    f"has {len(cells)} columns instead of query, Q0, document, rank, score, tag; "
                    "write a run in TREC's form"
                )
            query, document, score = cells[0], sys.intern(cells[2]), _score(cells[4])
            found = run.setdefault(query, {})
            if document in found:
                raise BadRecord(
                    f"has document {document!r} for query {query!r} a second time; keep one"
                )
            found[document] = score
        except BadRecord as error:
            raise CorpusError(f"{stream.where}, line {number} {error}") from None
    if not run:
        raise CorpusError(f"{stream.where} holds no line of a run; check that it is the right file")
    return run


def write_run(path: str | Path, rows: Iterable[RunRow], tag: str) -> None:
    """Write a run in TREC's six columns: query, Q0, document, rank from 1, score, tag.

    Rows are written as they come.  The file appears complete or not at all: it is written
    under a temporary name beside `path`, flushed to disk and renamed.  Scores are written as
    the shortest decimals that read back as the same float64.

    Raises `QueryError` for ids or a tag with white space and for scores that are not finite;
    `LsrError` when the file cannot be written.
    """
    path = Path(path)
    _check_word("the tag", tag)
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace
            with path.open("w", encoding="utf-8", newline="\n") as out:
                _write(out, rows, tag)
            return
        target = path.resolve()  # renaming over a link would replace the link
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as out:
                _write(out, rows, tag)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise LsrError(f"{path} cannot be written: {error.strerror or error}") from error


def _write(out: TextIO, rows: Iterable[RunRow], tag: str) -> None:
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
            out.write(f"{query} Q0 {document} {rank} {score!r} {tag}\n")


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score) or "_" in text:  # Python reads 1_0 as 10
        raise BadRecord(f"has the score {text[:40]!r}; scores are finite numbers")
    return score


def _check_word(what: str, value: str) -> None:
    if value.split() != [value]:
        raise QueryError(f"{what} {value!r} is empty or has white space; a run needs plain words")

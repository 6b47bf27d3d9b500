"""Runs: what a system retrieved for each query, as a TREC file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import SupportsFloat, TextIO, TypeAlias

from lsr.errors import LsrError, QueryError

# (query id, document ids best first, their scores)
RunRow: TypeAlias = tuple[str, Sequence[str], Iterable[SupportsFloat]]


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


def _check_word(what: str, value: str) -> None:
    if value.split() != [value]:
        raise QueryError(f"{what} {value!r} is empty or has white space; a run needs plain words")

"""Relevance judgments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from lsr.data.records import BadRecord, as_id, decode
from lsr.data.streams import LineStream, locate
from lsr.errors import CorpusError
from lsr.eval import trec

BEIR_HEADER = ["query-id", "corpus-id", "score"]

_GRADE = re.compile(r"([+-]?[0-9]{1,9})(?:\.0*)?")


class _Judgment(NamedTuple):
    line: int
    query: str
    document: str
    grade: int


def read_qrels(path: str | PathLike[str], split: str = "test") -> dict[str, dict[str, int]]:
    """The judgments of a BEIR folder or zip (qrels/`split`.tsv), or of one file.

    A file has BEIR's header query-id, corpus-id, score and columns with one tab between, which
    hold any id without a tab; or it has TREC's four columns (query, ignored, document, grade),
    read as by trec_eval (`lsr.eval.trec`).  .gz and .zst are read too.  Grades are integers, which
    may be written as 1.0.

    Returns:
        query id -> document id -> grade, in the order of the file.

    Raises `CorpusError` naming the line of a wrong header, a grade that is no integer, or a
    pair judged twice with different grades; and when there are no judgments at all.
    """
    stream = locate(Path(path), f"qrels/{split}.tsv")
    qrels: dict[str, dict[str, int]] = {}
    for number, query, document, grade in _judgments(stream):
        judged = qrels.setdefault(query, {})
        if judged.setdefault(document, grade) != grade:
            raise CorpusError(
                f"{stream.where}, line {number} grades document {document!r} for query {query!r} "
                f"{grade}, and an earlier line {judged[document]}; keep one of them"
            )
    if not qrels:
        raise CorpusError(f"{stream.where} holds no judgments; check that it is the right file")
    return qrels


def location_of(
    path: str | PathLike[str], query: str, document: str | None = None, split: str = "test"
) -> str:
    """Where the first judgment of a query, or of a document for it, stands: "FILE, line 7"."""
    stream = locate(Path(path), f"qrels/{split}.tsv")
    if stream.once:  # it was read already
        return stream.where
    for judgment in _judgments(stream):
        if judgment.query == query and document in (None, judgment.document):
            return f"{stream.where}, line {judgment.line}"
    return stream.where


def _judgments(stream: LineStream) -> Iterator[_Judgment]:
    beir: bool | None = None  # the first line that holds anything says
    for number, line in stream.lines():
        try:
            if beir is None and trec.columns(line):
                beir = _has_header(line)
                if beir:
                    continue
            cells = _beir_columns(line) if beir else trec.columns(line)
            if not cells:
                continue
            if len(cells) != (3 if beir else 4):
                columns = ", ".join(BEIR_HEADER) if beir else "query, 0, document, grade"
                raise BadRecord(f"has {len(cells)} columns instead of {columns}; correct the line")
            grade = _GRADE.fullmatch(cells[-1])
            if grade is None:
                raise BadRecord(f"has the grade {cells[-1][:40]!r}; grades are integers")
            judgment = _Judgment(number, as_id(cells[0]), as_id(cells[-2]), int(grade[1]))
        except BadRecord as error:
            raise CorpusError(f"{stream.where}, line {number} {error}") from None
        yield judgment


def _has_header(line: bytes) -> bool:
    """Whether a file that begins with this line is BEIR's; raises `BadRecord` when it is none."""
    text = decode(line)
    names = [cell.strip().lower().replace("_", "-") for cell in text.split("\t")]
    if names == BEIR_HEADER:
        return True
    if len(trec.columns(line)) != 4:
        raise BadRecord(
            f"is {text[:80]!r} instead of the header {', '.join(BEIR_HEADER)} "
            "(tab-separated) or a line of four TREC columns; add the header"
        )
    return False


def _beir_columns(line: bytes) -> list[str]:
    text = decode(line)
    *ids, grade = text.split("\t")
    return [*ids, grade.strip()] if text.strip() else []

"""Relevance judgments."""

from __future__ import annotations

import re
from pathlib import Path

from lsr.data.records import BadRecord, checked_id, decode
from lsr.data.streams import locate
from lsr.errors import CorpusError

BEIR_HEADER = ["query-id", "corpus-id", "score"]

_GRADE = re.compile(r"[+-]?[0-9]{1,9}")


def read_qrels(path: str, split: str = "test") -> dict[str, dict[str, int]]:
    """The judgments of a BEIR folder or zip (qrels/`split`.tsv), or of one file.

    A file is tab-separated with BEIR's header query-id, corpus-id, score, or has TREC's four
    columns (query, ignored, document, grade) and no header; .gz and .zst are read too.

    Returns:
        query id -> document id -> grade, in the order of the file.

    Raises `CorpusError` naming the line of a wrong header, a grade that is no integer, or a
    pair judged twice with different grades; and when there are no judgments at all.
    """
    stream = locate(Path(path), f"qrels/{split}.tsv")
    qrels: dict[str, dict[str, int]] = {}
    beir = False
    for number, line in stream.lines():
        try:
            text = decode(line)
            if not text.strip():
                continue
            if number == 1 and len(text.split()) != 4:
                if text.split("\t") != BEIR_HEADER:
                    raise BadRecord(
                        f"is {text[:80]!r} instead of the header {', '.join(BEIR_HEADER)} "
                        "(tab-separated) or a line of four TREC columns; add the header"
                    )
                beir = True
                continue
            query, document, grade = _judgment(text, beir)
            judged = qrels.setdefault(query, {})
            if judged.setdefault(document, grade) != grade:
                raise BadRecord(
                    f"grades document {document!r} for query {query!r} {grade}, and an earlier "
                    f"line {judged[document]}; keep one of them"
                )
        except BadRecord as error:
            raise CorpusError(f"{stream.where}, line {number} {error}") from None
    if not qrels:
        raise CorpusError(f"{stream.where} holds no judgments; check that it is the right file")
    return qrels


def place_of(path: str, query: str, document: str | None = None, split: str = "test") -> str:
    """Where the first judgment of a query, or of a document for it, stands: "FILE, line 7"."""
    stream = locate(Path(path), f"qrels/{split}.tsv")
    if stream.once:  # it was read already
        return stream.where
    for number, line in stream.lines():
        cells = decode(line).split()
        if len(cells) > 2 and cells[0] == query and document in (None, cells[-2]):
            return f"{stream.where}, line {number}"
    return stream.where


def _judgment(text: str, beir: bool) -> tuple[str, str, int]:
    cells = text.split("\t") if beir else text.split()
    if len(cells) != (3 if beir else 4):
        columns = ", ".join(BEIR_HEADER) if beir else "query, 0, document, grade"
        raise BadRecord(f"has {len(cells)} columns instead of {columns}; complete the line")
    grade = cells[-1].strip()
    if not _GRADE.fullmatch(grade):
        raise BadRecord(f"has the grade {grade[:40]!r}; grades are integers")
    return checked_id(cells[0]), checked_id(cells[-2]), int(grade)

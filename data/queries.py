"""Queries as text, and queries that are already encoded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lsr.data.records import ID_FIELDS, BadRecord, Record, record_id, record_text
from lsr.data.sources import PARQUET, ParquetSource, RecordSource, open_records, read, stop
from lsr.errors import CorpusError, VectorError
from lsr.vectors import MAX_TERM, SparseVectors

T = TypeVar("T")

_MAX_DIGITS = len(str(MAX_TERM))


@dataclass(frozen=True, slots=True)
class Query:
    """One query."""

    id: str
    text: str


def read_queries(path: str) -> list[Query]:
    """The queries of a BEIR folder or zip, .jsonl, .tsv (id, text) or .parquet file.

    jsonl records and Parquet rows have `_id` or `id`, and `text`; text files may be compressed
    (.gz, .zst).  Raises `CorpusError` naming the line of a bad record or a repeated id.
    """
    return [Query(*pair) for pair in _distinct(_open(path), record_text).items()]


def is_encoded(path: str) -> bool:
    """Whether a query file holds vectors (`read_query_vectors`) rather than texts.

    It does when it is Parquet with a column `terms`, or jsonl whose first record has a
    `vector`.
    """
    if _is_parquet(path):
        return "terms" in ParquetSource(Path(path)).columns()
    records = read(_open(path), lambda record: record, stop)
    with closing(records):
        return any("vector" in record for _, record in islice(records, 1))


def read_query_vectors(
    path: str, find: Callable[[str], int | None]
) -> tuple[list[str], SparseVectors]:
    """The ids and vectors of encoded queries, one row each, terms put in ascending order.

    Two forms: JSON lines `{"id": ..., "vector": {token: weight}}` (Anserini's
    JsonVectorCollection), and Parquet with the columns `id`, `terms` (list of unsigned
    integers) and `weights` (list of floats).

    Args:
        path: the file; jsonl may be compressed (.gz, .zst).
        find: the term id of a token, None when there is no such token.  A token that is not
            found but all digits is taken for a term id itself.

    Raises `CorpusError` naming the line of a token that is not found, of a repeated id, or of
    a vector that breaks the rules of `SparseVectors`.
    """
    if _is_parquet(path):
        source = ParquetSource(Path(path), ID_FIELDS, ("terms",), ("weights",))
        rows = _distinct(source, _columns_vector)
    else:
        rows = _distinct(_open(path), lambda record: _json_vector(record, find))
    return list(rows), SparseVectors.concatenate(rows.values())


def _open(path: str) -> RecordSource:
    return open_records(Path(path), "queries.jsonl", ("id", "text"))


def _is_parquet(path: str) -> bool:
    return Path(path).suffix.lower() == PARQUET


def _distinct(source: RecordSource, build: Callable[[Record], T]) -> dict[str, T]:
    """What each record builds, by id, in order; at least one, and no id twice."""
    built: dict[str, T] = {}
    for number, (identifier, value) in read(source, lambda r: (record_id(r), build(r)), stop):
        if identifier in built:
            raise CorpusError(
                f"{source.where}, {source.unit} {number} repeats the query id {identifier!r}; "
                "give each query an id of its own"
            )
        built[identifier] = value
    if not built:
        raise CorpusError(f"{source.where} holds no query; check that it is the right file")
    return built


def _json_vector(record: Record, find: Callable[[str], int | None]) -> SparseVectors:
    vector = record.get("vector")
    if not isinstance(vector, dict):
        raise BadRecord('has no vector; give each query a "vector" of {token: weight}')
    return _row([_term(token, find) for token in vector], list(vector.values()))


def _term(token: str, find: Callable[[str], int | None]) -> int:
    term = find(token)
    if term is not None:
        return term
    if token.isascii() and token.isdigit() and len(token) <= _MAX_DIGITS:
        return int(token)
    raise BadRecord(
        f"weighs {token[:80]!r}, which is no word of the vocabulary; "
        "encode the queries with the index's encoder"
    )


def _columns_vector(record: Record) -> SparseVectors:
    terms, weights = record["terms"], record["weights"]
    if not isinstance(terms, list) or not isinstance(weights, list):
        raise BadRecord("has no lists of terms and weights; give both, if need be empty")
    if not all(type(term) is int for term in terms):
        raise BadRecord("has terms that are not integers; give term ids")
    return _row(terms, weights)


def _row(terms: list[int], weights: list[Any]) -> SparseVectors:
    """One vector, its terms put in ascending order."""
    if any(isinstance(w, bool) or not isinstance(w, int | float | np.floating) for w in weights):
        raise BadRecord("has weights that are not numbers; give finite ones, none negative")
    order = sorted(range(len(terms)), key=terms.__getitem__)
    try:
        if len(weights) == len(terms):
            weights = [float(weights[i]) for i in order]
        with np.errstate(over="ignore"):  # it becomes infinite, which is refused below
            row = np.asarray(weights, np.float64).astype(np.float32)
        return SparseVectors.from_rows([([terms[i] for i in order], row)])
    except OverflowError:  # an integer beyond float64
        raise BadRecord("has a weight too large for a number; give finite ones") from None
    except VectorError as error:
        message = str(error).removeprefix("row 0 ")
        raise BadRecord(message if message != str(error) else f"is no vector: {message}") from None

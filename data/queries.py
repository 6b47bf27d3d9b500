"""Queries as text, and queries that are already encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import TypeVar

from lsr.data.records import ID_FIELDS, BadRecord, Record, record_id, record_text
from lsr.data.sources import ParquetSource, RecordSource, open_records, read, stop
from lsr.data.token_vectors import one_row, term_of
from lsr.errors import CorpusError
from lsr.vectors import SparseVectors

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """One query."""

    id: str
    text: str


class QueryFile:
    """A file of queries as texts or as vectors, read a single time, so that it may be a pipe.

    Attributes:
        encoded: whether it holds vectors rather than texts: it does when it is Parquet with a
            column `terms`, or jsonl whose first record has a `vector`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Raises `CorpusError` when it cannot be opened, or its first record is bad."""
        self._path = Path(path)
        self._source = open_records(self._path, "queries.jsonl", ("id", "text"))
        self._records = _records(self._source)
        if isinstance(self._source, ParquetSource):
            self.encoded = "terms" in self._source.columns()
        else:
            first = list(islice(self._records, 1))
            self.encoded = any("vector" in record for _, record in first)
            self._records = chain(first, self._records)

    def texts(self) -> list[Query]:
        """The queries, as from `read_queries`; to be called once, as is `vectors`."""
        return [Query(*pair) for pair in self._distinct(record_text).items()]

    def vectors(self, find: Callable[[str], int | None]) -> tuple[list[str], SparseVectors]:
        """The ids and vectors of encoded queries, one row each, terms put in ascending order.

        Two forms: JSON lines `{"id": ..., "vector": {token: weight}}` (Anserini's
        JsonVectorCollection), and Parquet with the columns `id`, `terms` (list of unsigned
        integers) and `weights` (list of floats).

        Args:
            find: the term id of a token, None when there is no such token.  A token that is not
                found but all digits is taken for a term id itself.

        Raises `CorpusError` naming the line of a token that is not found, of a repeated id, or of
        a vector that breaks the rules of `SparseVectors`.
        """
        if isinstance(self._source, ParquetSource):
            columns = ParquetSource(self._path, ID_FIELDS, ("terms",), ("weights",))
            self._records = _records(columns)
            rows = self._distinct(_columns_vector)
        else:
            rows = self._distinct(lambda record: _json_vector(record, find))
        return list(rows), SparseVectors.concatenate(rows.values())

    def _distinct(self, build: Callable[[Record], T]) -> dict[str, T]:
        """The value built of each record, by id, in order; at least one, and no id twice."""
        built: dict[str, T] = {}
        for number, record in self._records:
            place = f"{self._source.where}, {self._source.unit} {number}"
            try:
                identifier, value = record_id(record), build(record)
            except BadRecord as error:
                stop(place, error)
            if identifier in built:
                raise CorpusError(
                    f"{place} repeats the query id {identifier!r}; give each query a unique id"
                )
            built[identifier] = value
        if not built:
            raise CorpusError(
                f"{self._source.where} holds no query; check that it is the right file"
            )
        return built


def read_queries(path: str | PathLike[str]) -> list[Query]:
    """The queries of a BEIR folder or zip, .jsonl, .tsv (id, text) or .parquet file.

    jsonl records and Parquet rows have `_id` or `id`, and `text`; text files may be compressed
    (.gz, .zst).  Raises `CorpusError` naming the line of a bad record or a repeated id.
    """
    return QueryFile(path).texts()


def _records(source: RecordSource) -> Iterator[tuple[int, Record]]:
    return read(source, lambda record: record, stop)


def _json_vector(record: Record, find: Callable[[str], int | None]) -> SparseVectors:
    vector = record.get("vector")
    if not isinstance(vector, dict):
        raise BadRecord('has no vector; give each query a "vector" of {token: weight}')
    words = "the vocabulary; encode the queries with the index's encoder"
    return one_row([term_of(token, find, words) for token in vector], vector.values())


def _columns_vector(record: Record) -> SparseVectors:
    terms, weights = record["terms"], record["weights"]
    if not isinstance(terms, list) or not isinstance(weights, list):
        raise BadRecord("has no lists of terms and weights; give both, if need be empty")
    if not all(type(term) is int for term in terms):
        raise BadRecord("has terms that are not integers; give term ids")
    return one_row(terms, weights)

"""Where records come from: text files, Parquet files, ir_datasets; one way to read them all."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from lsr.data.records import (
    ID_FIELDS,
    TEXT_FIELDS,
    BadRecord,
    Parser,
    Record,
    parse_json,
    parse_passage,
    tsv_parser,
)
from lsr.data.streams import LineStream, locate
from lsr.errors import CorpusError, refusal

T = TypeVar("T")

IRDS = "irds:"
PARQUET = ".parquet"
_JSON_LINES = (".jsonl", ".json", ".ndjson")
_PARQUET_BATCH = 1024  # rows made into Python objects at a time


class RecordSource(ABC):
    """Records of one source, numbered from 1 as lines, rows or documents (`unit`)."""

    where: str
    unit: str
    once = False  # whether it can be read a single time only
    _read = _count = 0

    @property
    def fraction(self) -> float | None:
        """The share read so far, 0 to 1; None when it is unknown."""
        return min(1.0, self._read / self._count) if self._count else None

    @abstractmethod
    def records(self) -> Iterator[tuple[int, Record | BadRecord]]:
        """Yield the number of each record and the record, or why it is none.

        From the start each time; raises `CorpusError` when reading fails.
        """


def read(
    source: RecordSource, build: Callable[[Record], T], refuse: Callable[[str, BadRecord], None]
) -> Generator[tuple[int, T], None, None]:
    """Yield (number, built record); `refuse(place, error)` decides about bad ones."""
    for number, record in source.records():
        try:
            if isinstance(record, BadRecord):
                raise record
            built = build(record)
        except BadRecord as error:
            refuse(f"{source.where}, {source.unit} {number}", error)
            continue
        yield number, built


def stop(place: str, error: BadRecord) -> NoReturn:
    """The `refuse` that ends reading."""
    raise CorpusError(f"{place} {error}")


def open_records(
    path: Path | None, member: str, *tsv_layouts: tuple[str, ...], passages: bool = False
) -> RecordSource:
    """The records of a file, of `member` of a BEIR folder or zip, or (None) of standard input.

    Plain text counts as a format, one passage a line, when `passages` is set.
    """
    stream = LineStream(None) if path is None else locate(path, member)
    if path is not None and path.suffix.lower() == PARQUET:
        return ParquetSource(path, ID_FIELDS, TEXT_FIELDS, optional=("title",))
    if stream.suffix in _JSON_LINES:
        return TextSource(stream, lambda: parse_json)
    if stream.suffix == ".tsv":
        return TextSource(stream, lambda: tsv_parser(*tsv_layouts))
    if stream.suffix == ".txt" and passages:
        return TextSource(stream, lambda: parse_passage)
    raise CorpusError(
        f"{path} is of no known format ({stream.suffix or 'no suffix'}); give a BEIR folder or "
        f"zip, .jsonl, .tsv, {'.txt, ' if passages else ''}.parquet, or text as .gz or .zst"
    )


class TextSource(RecordSource):
    """One record a line."""

    unit = "line"

    def __init__(self, stream: LineStream, new_parser: Callable[[], Parser]) -> None:
        self.where, self.once = stream.where, stream.once
        self._stream, self._new_parser = stream, new_parser

    @property
    def fraction(self) -> float | None:
        return self._stream.fraction

    def records(self) -> Iterator[tuple[int, Record | BadRecord]]:
        parse = self._new_parser()
        for number, line in self._stream.lines():
            try:
                record = parse(number, line)
            except BadRecord as error:
                yield number, error
                continue
            if record is not None:
                yield number, record


class ParquetSource(RecordSource):
    """One record a row, of the columns `optional` and, for each tuple of names, any of those."""

    unit = "row"

    def __init__(
        self, path: Path, *required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> None:
        self.where = str(path)
        self._path = path.absolute()
        self._required, self._optional = required, optional

    def columns(self) -> list[str]:
        """The names of all columns in the file."""
        with self._opened() as file:
            return list(file.schema_arrow.names)

    def records(self) -> Iterator[tuple[int, Record]]:
        self._read = 0
        with self._opened() as file:
            self._count = file.metadata.num_rows
            columns = self._wanted(file.schema_arrow.names)
            for batch in file.iter_batches(_PARQUET_BATCH, columns=columns):
                for record in batch.to_pylist():
                    self._read += 1
                    yield self._read, record

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            # Opened here, because pyarrow takes only names in UTF-8.
            with pa.OSFile(os.fsencode(self._path)) as raw, pq.ParquetFile(raw) as file:
                yield file
        except FileNotFoundError as error:
            raise CorpusError(f"{self.where} does not exist; check the path") from error
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise refusal("read", self._path, error) or CorpusError(
                f"{self.where} is not a readable Parquet file after row {self._read} ({reason}); "
                "fetch or write it again"
            ) from error

    def _wanted(self, names: list[str]) -> list[str]:
        for fields in self._required:
            if not set(names).intersection(fields):
                raise CorpusError(
                    f"{self.where} has the columns {', '.join(names)} but no "
                    f"{' or '.join(fields)}; rename or add it"
                )
        wanted = {*self._optional}.union(*self._required)
        return [name for name in names if name in wanted]


class IrDatasetsSource(RecordSource):
    """The documents of a dataset known to ir_datasets, which may download it."""

    unit = "document"

    def __init__(self, name: str) -> None:
        self.where = f"{IRDS}{name}"
        self._dataset = irds_dataset(self.where)
        if not self._dataset.has_docs():
            raise CorpusError(f"{self.where} contains no documents; name its collection")

    def records(self) -> Iterator[tuple[int, Record]]:
        self._read = 0
        with reading_irds(self.where, lambda: f" after document {self._read}"):
            self._count = self._dataset.docs_count() or 0
            for document in self._dataset.docs_iter():
                self._read += 1
                titled = hasattr(document, "title") and hasattr(document, "text")
                yield (
                    self._read,
                    {
                        "id": document.doc_id,
                        "title": document.title if titled else None,
                        "text": document.text if titled else document.default_text(),
                    },
                )


def irds_dataset(source: str) -> Any:
    """The dataset of an ir_datasets id with `IRDS` before it."""
    import ir_datasets

    name = source.removeprefix(IRDS)
    try:
        return ir_datasets.load(name)
    except KeyError:
        raise CorpusError(
            f"ir_datasets knows no dataset {name!r}; see https://ir-datasets.com for their ids"
        ) from None


@contextmanager
def reading_irds(where: str, after: Callable[[], str] = str) -> Iterator[None]:
    """Make one sentence of an error of ir_datasets; `after` says how far reading came."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # downloads, checksums, formats
        raise refusal("read", where, error) or CorpusError(
            f"{where} cannot be read{after()} ({error}); fetch the dataset again"
        ) from error

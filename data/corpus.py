"""Collections of documents, read as a stream; `Chunk`, some of them with their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

from lsr.arguments import named
from lsr.data.builtin import COLLECTIONS, collection_path
from lsr.data.records import BadRecord, Record, record_id, record_text, record_title
from lsr.data.sources import IRDS, IrDatasetsSource, RecordSource, open_records, read, stop
from lsr.data.streams import in_zip
from lsr.errors import CorpusError
from lsr.terminal import utf8
from lsr.vectors import SparseVectors

ACCEPTED = (
    "a BEIR folder or zip, a .jsonl, .tsv, .txt or .parquet file (text also as .gz or .zst), "
    f"irds:<dataset id>, - for standard input, or a built-in one ({', '.join(COLLECTIONS)})"
)

_TSV_LAYOUTS = (("id", "text"), ("id", "title", "text"))


@dataclass(frozen=True, slots=True)
class Document:
    """One document; `title` is "" when it has none."""

    id: str
    title: str
    text: str

    @property
    def indexed_text(self) -> str:
        """The text to encode: title, a space, text; the text alone when there is no title."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring documents with their vectors; titles and texts are both there or both not."""

    ids: list[str]
    titles: list[str] | None
    texts: list[str] | None
    vectors: SparseVectors

    @classmethod
    def of(cls, documents: Sequence[Document], vectors: SparseVectors) -> Chunk:
        """Documents with their titles, texts and vectors."""
        titles, texts = [d.title for d in documents], [d.text for d in documents]
        return cls([d.id for d in documents], titles, texts, vectors)

    def __getitem__(self, rows: slice) -> Chunk:
        """Some of the documents, next to each other."""
        titles, texts = (None if c is None else c[rows] for c in (self.titles, self.texts))
        return Chunk(self.ids[rows], titles, texts, self.vectors[rows])

    def documents(self) -> Iterator[Document]:
        """The documents, with empty titles and texts where there are none."""
        empty = [""] * len(self.ids)
        for parts in zip(self.ids, self.titles or empty, self.texts or empty, strict=True):
            yield Document(*parts)


class Corpus:
    """An iterable of `Document`, streamed from its source.

    Iterating starts from the beginning each time, unless it is read `once`, and raises
    `CorpusError` at a record that breaks the rules, when the source is damaged, or when it
    held no documents at all.  Ids are not checked for duplicates.

    Attributes:
        name: of the collection: "nfcorpus" for beir/nfcorpus.zip.
        once: whether it can be read a single time only, as standard input and pipes.
        skipped: how many bad records were left out so far, with `on_error` "skip".
        place: of the document read last, such as "docs.jsonl, line 7".
    """

    def __init__(self, name: str, source: RecordSource, on_error: Literal["stop", "skip"]) -> None:
        self.name = name
        self.once = source.once
        self.skipped = 0
        self._number = 0
        self._source = source
        self._refuse = stop if on_error == "stop" else self._skip

    @property
    def fraction(self) -> float | None:
        """The share of the source read so far, 0 to 1; None when unknown (a pipe)."""
        return self._source.fraction

    @property
    def where(self) -> str:
        """Its name in messages: a path, "standard input", an id."""
        return self._source.where

    @property
    def place(self) -> str:
        return f"{self._source.where}, {self._source.unit} {self._number}"

    def __iter__(self) -> Iterator[Document]:
        self.skipped = 0
        any_good = False
        for number, document in read(self._source, document_of, self._refuse):
            self._number = number
            any_good = True
            yield document
        if not any_good:
            bad = f", only {self.skipped:,} bad records" if self.skipped else ""
            raise CorpusError(
                f"{self._source.where} holds no documents{bad}; check that it is the right file"
            )

    def _skip(self, place: str, error: BadRecord) -> None:
        self.skipped += 1


def open_corpus(source: str | PathLike[str], on_error: Literal["stop", "skip"] = "stop") -> Corpus:
    """Open a collection of documents.

    Args:
        source: as text or a path, a BEIR folder or zip; a file of one record a line: .jsonl
            (.json, .ndjson) with `_id` or `id`, `title` (optional), `text` or `contents`; .tsv
            of id, text or id, title, text; .txt of passages, numbered by line; each may be
            compressed as .gz or .zst; .parquet with jsonl's names for columns.  As text also
            "-" for JSON lines on standard input; "irds:" and an ir_datasets id; or the name of a
            built-in collection, where no file has that name.  Pipes of any name are JSON lines,
            too; those and standard input may be gzip.
        on_error: for bad records: "stop" raises when one is read, "skip" leaves it
            out and counts it.  A damaged file always stops.

    Raises `CorpusError` when the source does not exist or has no known format; reading
    raises the rest.
    """
    if on_error not in ("stop", "skip"):
        raise CorpusError(f'on_error is "stop" or "skip", not {on_error!r}')
    source = named("a collection", source, error=CorpusError)
    if source == "-":
        return Corpus("stdin", _open(None), on_error)
    if source.startswith(IRDS):
        dataset = source.removeprefix(IRDS)
        return Corpus(dataset, IrDatasetsSource(dataset), on_error)
    path = Path(source)
    try:
        missing = not (path.exists() or in_zip(path))
    except OSError:  # opening it says why
        missing = False
    if missing:
        builtin = collection_path(source)
        if builtin is None:
            raise CorpusError(f"{utf8(source)!r} does not exist; give {ACCEPTED}")
        path = builtin
    records = _open(path)
    name = utf8(path.resolve().name)
    return Corpus(name if path.is_dir() else name.split(".")[0], records, on_error)


def _open(path: Path | None) -> RecordSource:
    return open_records(path, "corpus.jsonl", *_TSV_LAYOUTS, passages=True)


def document_of(record: Record) -> Document:
    """The document of a record with `_id` or `id`, `title` and `text` or `contents`."""
    return Document(record_id(record), record_title(record), record_text(record))

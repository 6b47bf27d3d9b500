"""The documents of a collection as encoding takes them: checked once, and by the shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from os import PathLike
from typing import Any, TypeAlias

from lsr.data.corpus import Corpus, Document, document_of
from lsr.data.records import BadRecord
from lsr.data.vectors.shards import digest_of, groups
from lsr.errors import CorpusError
from lsr.progress import Progress

# What can be encoded: "id", optional "title" and "text" of each.
Documents: TypeAlias = Iterable[Document | Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ShardSpan:
    """A shard of the collection: its number, first document (from 1), ends, and digest."""

    number: int
    first: int
    last: int
    ids: tuple[str, str]
    digest: str

    def __str__(self) -> str:
        first, last = self.ids
        return (
            f"shard {self.number} (documents {self.first:,} to {self.last:,}, "
            f"{first!r} to {last!r})"
        )


Shards: TypeAlias = Iterator[tuple[ShardSpan, list[Document]]]


@dataclass(frozen=True, slots=True)
class CollectionScan:
    """A collection that was read to its end: how many documents, and its shards."""

    documents: int
    spans: list[ShardSpan]


class Collection:
    """Documents, and the scan of the first complete reading.

    The first reading checks every document and every id; of later ones the digest of each shard
    is compared with the scan.

    Attributes:
        documents: a `Corpus`, or mappings with "id", optional "title", and "text".
        scan: None before the documents were read to their end.
    """

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.scan: CollectionScan | None = None

    @classmethod
    def of(cls, documents: Documents | Collection) -> Collection:
        return documents if isinstance(documents, Collection) else cls(documents)

    @property
    def once(self) -> bool:
        """Whether it can be read a single time only."""
        documents = self.documents
        return documents.once if isinstance(documents, Corpus) else isinstance(documents, Iterator)

    def fraction(self) -> float | None:
        """The share read so far, 0 to 1; None when unknown."""
        return self.documents.fraction if isinstance(self.documents, Corpus) else None

    def scanned(self, progress: type[Progress]) -> CollectionScan:
        """The scan; reads the documents if they have not been read yet.

        Encoding takes hours where reading takes seconds, so a bad record must not be found late.
        Raises `CorpusError` at one, and for a repeated id.
        """
        if self.scan is None:
            with progress("Checking", "documents", None, self.fraction) as bar:
                for _, group in self.shards():
                    bar.advance(len(group))
        assert self.scan is not None
        return self.scan

    def shards(self) -> Shards:
        """The documents by the shard; raises `CorpusError` when they are not those of the scan."""
        known = self.scan
        spans: list[ShardSpan] = []
        documents = checked(self.documents) if known is None else _documents(self.documents)
        for span, group in spans_of(groups(documents)):
            if known is not None and known.spans[span.number : span.number + 1] != [span]:
                raise CorpusError(f"{span} changed while it was read; run the command again")
            spans.append(span)
            yield span, group
        if known is None:
            self.scan = CollectionScan(spans[-1].last if spans else 0, spans)
        elif len(spans) < len(known.spans):
            raise CorpusError(
                f"{known.spans[len(spans)]} was missing in a later reading; run the command again"
            )


def spans_of(batches: Iterable[list[Document]]) -> Shards:
    """The groups of `lsr.data.vectors.shards.groups`, each with its span."""
    before = 0
    for number, group in enumerate(batches):
        last = before + len(group)
        ids = (group[0].id, group[-1].id)
        yield ShardSpan(number, before + 1, last, ids, digest_of(group)), group
        before = last


def checked(documents: Documents) -> Iterator[Document]:
    """The documents; raises `CorpusError` for a bad one or a repeated id."""
    seen: set[str] = set()
    for number, document in enumerate(_documents(documents), 1):
        if document.id in seen:
            where = documents.place if isinstance(documents, Corpus) else f"document {number}"
            raise CorpusError(f"{where}: the id {document.id!r} is repeated; ids must differ")
        seen.add(document.id)
        yield document


def _documents(documents: Iterable[Any]) -> Iterator[Document]:
    """The documents; raises `CorpusError` for a source that cannot be read."""
    if isinstance(documents, str | bytes | PathLike) or not hasattr(documents, "__iter__"):
        raise CorpusError(
            f"documents are mappings, one after another, not {type(documents).__name__}; open "
            "a collection's file by lsr.data.corpus.open_corpus"
        )
    try:
        if isinstance(documents, Corpus):  # which checks its records
            yield from documents
        else:
            yield from map(_document, documents, count(1))
    except OSError as error:
        raise CorpusError(f"the documents cannot be read: {error}") from error


def _document(item: Any, number: int) -> Document:
    if isinstance(item, Document):
        item = {"id": item.id, "title": item.title, "text": item.text}
    elif not isinstance(item, Mapping):
        raise CorpusError(
            f"document {number} is {type(item).__name__}, not a mapping; give each document "
            'as {"id": ..., "text": ...}'
        )
    try:
        return document_of(item)
    except BadRecord as error:
        raise CorpusError(f"document {number}: {error}") from None

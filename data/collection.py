"""The documents of a collection as encoding takes them: checked, and by the shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeAlias

from lsr.data.corpus import Corpus, Document, document_of
from lsr.data.records import BadRecord
from lsr.data.vectors.shards import digest_of, groups
from lsr.errors import CorpusError
from lsr.index.search.searcher import MOST_DOCUMENTS
from lsr.progress import Progress

# What can be encoded: "id", optional "title" and "text" of each.
Documents: TypeAlias = Iterable[Document | Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Place:
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


@dataclass(frozen=True, slots=True)
class Survey:
    """A collection that was read once: how many documents, and its shards."""

    documents: int
    places: list[Place]


def survey(corpus: Corpus, progress: type[Progress]) -> Survey:
    """Read a collection once before the work, for its errors and its length.

    Encoding takes hours where reading takes seconds, so a bad record must not be found late.
    Raises `CorpusError` at one, and for a repeated id.
    """
    places = []
    with progress("Checking", "documents", None, lambda: corpus.fraction) as bar:
        for place, group in placed(groups(distinct(corpus))):
            places.append(place)
            bar.advance(len(group))
    return Survey(places[-1].last if places else 0, places)


def placed(batches: Iterable[list[Document]]) -> Iterator[tuple[Place, list[Document]]]:
    """The groups of `lsr.data.vectors.shards.groups`, each with its place."""
    before = 0
    for number, group in enumerate(batches):
        last = before + len(group)
        ids = (group[0].id, group[-1].id)
        yield Place(number, before + 1, last, ids, digest_of(group)), group
        before = last


def distinct(documents: Documents) -> Iterator[Document]:
    """The documents, checked; raises `CorpusError` for a bad one or a repeated id."""
    seen: set[str] = set()
    for number, item in enumerate(_reading(documents), 1):
        if not isinstance(item, Document | Mapping):
            raise CorpusError(
                f"document {number} is {type(item).__name__}, not a mapping; give each document "
                'as {"id": ..., "text": ...}'
            )
        try:
            document = _checked(item) if isinstance(item, Document) else document_of(item)
        except BadRecord as error:
            raise CorpusError(f"document {number}: {error}") from None
        if document.id in seen:
            place = documents.place if isinstance(documents, Corpus) else f"document {number}"
            raise CorpusError(f"{place}: the id {document.id!r} was there before; ids must differ")
        if number > MOST_DOCUMENTS:
            raise CorpusError(f"an index holds at most {MOST_DOCUMENTS:,} documents")
        seen.add(document.id)
        yield document


def _checked(document: Document) -> Document:
    return document_of({"id": document.id, "title": document.title, "text": document.text})


def _reading(documents: Iterable[Any]) -> Iterator[Any]:
    """The documents; a source that cannot be read is no fault of the place written to."""
    if isinstance(documents, str | bytes | PathLike) or not hasattr(documents, "__iter__"):
        raise CorpusError(
            f"documents are mappings, one after another, not {type(documents).__name__}; open "
            "a collection's file by lsr.data.corpus.open_corpus"
        )
    try:
        yield from documents
    except OSError as error:
        raise CorpusError(f"the documents cannot be read: {error}") from error

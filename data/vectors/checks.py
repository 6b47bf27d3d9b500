"""Vectors encoded elsewhere, held to the rules of a folder of vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lsr.data.corpus import Chunk
from lsr.data.records import BadRecord, checked_id, well_formed
from lsr.errors import VectorError
from lsr.vectors import SparseVectors


def check_words(words: Sequence[str]) -> None:
    """Raise `VectorError` for a word that is not a text, or is repeated."""
    if len(set(words)) != len(words):
        raise VectorError("a word is in the vocabulary twice; words must differ")
    for term, word in enumerate(words):
        try:
            well_formed(word, "word")
        except BadRecord as error:
            raise VectorError(f"term {term} {error}") from None


def checked(chunks: Iterable[Chunk], words: Sequence[str] | None) -> Iterator[Chunk]:
    """The chunks as they come; raises `VectorError` naming the document that breaks a rule.

    Ids are fit for every file and differ, texts are there in all or in none, vectors keep the
    rules of `SparseVectors`, and terms lie below the number of words, if there are words.
    """
    seen: set[str] = set()
    text: bool | None = None
    for chunk in chunks:
        vectors = chunk.vectors
        if len(vectors) != len(chunk.ids):
            raise VectorError(
                f"there are {len(chunk.ids)} ids for {len(vectors)} vectors; give one each"
            )
        if chunk.ids and text is None:
            text = chunk.texts is not None
        for row, document in enumerate(chunk.documents()):
            place = f"document {len(seen) + 1:,}"
            try:
                checked_id(document.id)
                well_formed(document.title, "title")
                well_formed(document.text, "text")
            except BadRecord as error:
                raise VectorError(f"{place} {error}") from None
            if document.id in seen:
                raise VectorError(
                    f"{place} has the id {document.id!r} of an earlier one; ids must differ"
                )
            if (chunk.texts is not None) != text:
                raise VectorError(
                    f"{place}, {document.id!r}, has {'a' if chunk.texts else 'no'} text, unlike "
                    "those before; give all documents a text, or none"
                )
            last = vectors.terms[vectors.indptr[row] : vectors.indptr[row + 1]].max(initial=0)
            if words is not None and last >= max(len(words), 1):
                raise VectorError(
                    f"{place}, {document.id!r}, has the term {last}, and there are {len(words):,} "
                    "words"
                )
            seen.add(document.id)
        try:
            SparseVectors(vectors.indptr, vectors.terms, vectors.weights)
        except VectorError as error:
            raise VectorError(f"the documents from {chunk.ids[0]!r} on: {error}") from None
        yield chunk

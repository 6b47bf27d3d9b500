"""Opening the collection that a command works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import click

from lsr.progress import Progress

if TYPE_CHECKING:
    from lsr.data.collection import Collection
    from lsr.data.corpus import Corpus


def open_documents(source: str, on_error: str, reads_again: str | None = None) -> Corpus:
    """Open a collection; refuse one that can be read only once if `reads_again` names a command or
    option that reads it again."""
    from lsr.data.corpus import open_corpus

    corpus = open_corpus(source, cast(Literal["stop", "skip"], on_error))
    if reads_again is not None and corpus.once:
        raise click.UsageError(
            f"{reads_again} reads the collection several times, and {corpus.where} can be read "
            "only once; save it to a file first."
        )
    return corpus


def scanned(corpus: Corpus, source: str) -> Collection:
    """The collection, scanned for errors and its length.

    A collection that can be read only once, or comes from a network, is not scanned.
    """
    from lsr.data.collection import Collection

    collection = Collection(corpus)
    if not corpus.once and not source.startswith("irds:"):
        collection.scanned(Progress)
    return collection

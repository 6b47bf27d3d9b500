"""Opening the collection that a command works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import click

from lsr.progress import Progress

if TYPE_CHECKING:
    from lsr.data.collection import Collection
    from lsr.data.corpus import Corpus


def open_documents(source: str, on_error: str, reads_again: str | None = None) -> Corpus:
    """A collection; refuses one that can be read once, where `reads_again` names who does."""
    from lsr.data.corpus import open_corpus

    corpus = open_corpus(source, cast(Literal["stop", "skip"], on_error))
    if reads_again is not None and corpus.once:
        raise click.UsageError(
            f"{reads_again} reads the collection several times, and {corpus.where} can be read "
            "once; save it to a file first."
        )
    return corpus


def scanned(corpus: Corpus, source: str) -> Collection:
    """The collection, scanned for its errors and its length where that is possible.

    What can be read only once, or comes over a network, is not read ahead.
    """
    from lsr.data.collection import Collection

    collection = Collection(corpus)
    if not corpus.once and not source.startswith("irds:"):
        collection.scanned(Progress)
    return collection

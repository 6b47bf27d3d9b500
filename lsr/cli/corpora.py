"""Opening the collection that a command works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import click

if TYPE_CHECKING:
    from lsr.data.collection import Survey
    from lsr.data.corpus import Corpus


def open_surveyed(source: str, on_error: str) -> tuple[Corpus, Survey | None]:
    """A collection, read once for its errors and its length where that is possible.

    What can be read only once, or comes over a network, is not read ahead.
    """
    from lsr.data.collection import survey
    from lsr.data.corpus import open_corpus
    from lsr.progress import Progress

    corpus = open_corpus(source, cast(Literal["stop", "skip"], on_error))
    if corpus.once or source.startswith("irds:"):
        return corpus, None
    return corpus, survey(corpus, Progress)


def read_again(corpus: Corpus, who: str) -> None:
    """Refuse a collection that can be read once, where `who` reads it several times."""
    if corpus.once:
        raise click.UsageError(
            f"{who} reads the collection several times, and {corpus.where} can be read once; save "
            "it to a file first."
        )

"""Vectors to write and read in the tests of `lsr.data.interchange`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from lsr.data.corpus import Chunk
from lsr.data.interchange import load
from lsr.data.interchange.vocabulary import Given
from lsr.progress import Silent
from lsr.storage.files import replacing
from lsr.vectors import MAX_TERM, SparseVectors

GOLDEN = Path(__file__).parents[1] / "data" / "interchange"
SUFFIXES = {"npz": ".npz", "csr": ".csr", "ciff": ".ciff"}

Row = dict[int, float]


@dataclass
class Documents:
    """Documents in memory, in the form the formats write and the readers give."""

    ids: list[str]
    rows: list[Row]
    words: Sequence[str] | None = None
    titles: list[str] | None = None
    texts: list[str] | None = None
    chunk_size: int = 2

    @property
    def documents(self) -> int:
        return len(self.ids)

    @property
    def postings(self) -> int:
        return sum(map(len, self.rows))

    def chunks(self) -> Iterator[Chunk]:
        for start in range(0, len(self.ids), self.chunk_size):
            part = slice(start, start + self.chunk_size)
            yield Chunk(
                self.ids[part],
                self.titles[part] if self.titles is not None else None,
                self.texts[part] if self.texts is not None else None,
                SparseVectors.from_rows(
                    (sorted(row), [row[term] for term in sorted(row)]) for row in self.rows[part]
                ),
            )

    @property
    def by_word(self) -> list[dict[str, float]]:
        """The rows with words, or digits, for terms."""
        words = self.words
        name = str if words is None else words.__getitem__
        return [{name(term): weight for term, weight in row.items()} for row in self.rows]


def write(format: str, path: Path, documents: Documents, scale: float | None = None) -> str:
    """Write documents as `lsr export` does; returns the note for the user."""
    with replacing(path) as file:
        note: str = load(format).write(file, path, documents, scale, Silent)
    return note


def read(format: str, path: Path, given: Given | None = None) -> Documents:
    """Read documents as `lsr import` does."""
    reader = load(format).reader(path, given)
    read = Documents([], [])
    for chunk in reader:
        read.ids += chunk.ids
        for titles, more in (("titles", chunk.titles), ("texts", chunk.texts)):
            if more is not None:
                setattr(read, titles, (getattr(read, titles) or []) + more)
        vectors = chunk.vectors
        # Held to the rules: the formats must not give rows that others would refuse.
        SparseVectors(vectors.indptr, vectors.terms, vectors.weights)
        for row in vectors:
            read.rows.append(dict(zip(row.terms.tolist(), row.weights.tolist(), strict=True)))
    read.words = reader.words
    return read


def name_of(format: str) -> str:
    return "vectors" + SUFFIXES.get(format, ".jsonl")


weights = st.floats(0, float(np.finfo(np.float32).max), width=32)
# No NUL, no blank ids, and for matrices no line ends; "\ufeff" may not begin a file.
ids = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r\ufeff"),
    min_size=1,
    max_size=8,
).filter(lambda text: not text.isspace()) | st.sampled_from(
    ["0", "😀", "é" * 9, "a,b", '"', "\\", "a b#0", " a ", "a\tb"]
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@st.composite
def documents(draw: st.DrawFn, largest_term: int = MAX_TERM, worded: bool = False) -> Documents:
    """Some documents: rows empty and full, terms up to `largest_term`, or `worded` ones."""
    names = draw(st.lists(ids, min_size=1, max_size=7, unique=True))
    vocabulary = draw(st.lists(words, min_size=1, max_size=9, unique=True)) if worded else None
    last = largest_term if vocabulary is None else len(vocabulary) - 1
    terms = st.integers(0, last) | st.just(last)
    rows = draw(
        st.lists(
            st.dictionaries(terms, weights, max_size=6), min_size=len(names), max_size=len(names)
        )
    )
    return Documents(names, rows, vocabulary, chunk_size=draw(st.integers(1, 3)))

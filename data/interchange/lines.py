"""What the formats of JSON lines share: a document a line, its vector an object.

    FILE    = LINE*                     UTF-8; as .gz or .zst compressed
    LINE    = {ID: string | integer, ["title": string,] [TEXT: string,] VECTOR: {WEIGHTS}}
    WEIGHTS = (token: number)*          finite, not negative; each token once

Every weight is written as the shortest decimal that is the same float32, always with a point or
an exponent (2.0), or as an integer when a scale is given: some readers go by that difference.
Memory: a chunk, and the words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lsr.data.corpus import Chunk
from lsr.data.interchange.base import CHUNK_DOCUMENTS, Source, checked, walk, whole
from lsr.data.interchange.vocabulary import Given, Learned, Vocabulary
from lsr.data.records import (
    BadRecord,
    Record,
    checked_text,
    parse_json,
    record_id,
    record_title,
    unique_fields,
)
from lsr.data.sources import TextSource, read, stop
from lsr.data.streams import LineStream, compressed
from lsr.data.token_vectors import as_floats
from lsr.errors import CorpusError
from lsr.progress import Progress
from lsr.vectors import SparseVectors


@dataclass(frozen=True)
class Lines:
    """The names of the fields in one format, and what to know of its other readers."""

    id: str
    text: str
    vector: str
    advice: str = ""

    def write(
        self,
        file: IO[bytes],
        path: Path,
        source: Source,
        scale: float | None,
        progress: type[Progress],
    ) -> str:
        """Write all documents; weights times `scale` as integers, or as they are."""
        tokens = _Tokens(source)
        with ExitStack() as closing:
            stream = compressed(file, path.name, closing)
            for chunk in walk(source, "Writing", progress):
                vectors = tokens.objects(chunk.vectors, scale)
                for row, vector in enumerate(vectors):
                    stream.write(f"{{{self._fields(chunk, row)}{{{vector}}}}}\n".encode())
        if scale is None:
            return f"It holds no term ids{self.advice}."
        return f"It holds no term ids, and weights as integers: times {scale:g}, rounded."

    def _fields(self, chunk: Chunk, row: int) -> str:
        fields = {self.id: chunk.ids[row]}
        if chunk.titles is not None and chunk.titles[row]:
            fields["title"] = chunk.titles[row]
        if chunk.texts is not None:
            fields[self.text] = chunk.texts[row]
        return "".join(f'"{name}": {_json(value)}, ' for name, value in fields.items()) + (
            f'"{self.vector}": '
        )

    def reader(self, path: Path, vocabulary: Given | None) -> LineReader:
        """The documents of a file; see `LineReader`."""
        return LineReader(self, path, vocabulary or Learned())


class LineReader:
    """Documents of JSON lines; titles and texts are kept when the first document has one.

    Each id may occur once.  See `lsr.data.interchange.base.Reader`.
    """

    def __init__(self, fields: Lines, path: Path, vocabulary: Vocabulary) -> None:
        self._fields, self._vocabulary = fields, vocabulary
        parser = partial(parse_json, pairs=unique_fields)
        self._source = TextSource(LineStream(path), lambda: parser)

    @property
    def fraction(self) -> float | None:
        return self._source.fraction

    @property
    def words(self) -> Sequence[str]:
        return self._vocabulary.words

    def __iter__(self) -> Iterator[Chunk]:
        seen: set[str] = set()
        group: list[_Document] = []
        lines: list[int] = []
        texts = False
        for line, document in read(self._source, self._document, stop):
            if document.id in seen:
                raise CorpusError(
                    f"{self._source.where}, line {line} repeats the id {document.id!r}; give each "
                    "document an id of its own"
                )
            if not seen:
                texts = document.text is not None or document.title != ""
            seen.add(document.id)
            group.append(document)
            lines.append(line)
            if len(group) == CHUNK_DOCUMENTS:
                yield self._chunk(lines, group, texts)
                group, lines = [], []
        if group:
            yield self._chunk(lines, group, texts)

    def _document(self, record: Record) -> _Document:
        vector = record.get(self._fields.vector)
        if not isinstance(vector, dict):
            raise BadRecord(
                f'has no vector; give each document a "{self._fields.vector}" of {{token: weight}}'
            )
        text = record.get(self._fields.text)
        return _Document(
            record_id(record, (self._fields.id,)),
            record_title(record),
            None if text is None else checked_text(text, "text"),
            [self._vocabulary.term(token) for token in vector],
            as_floats(vector.values()),
        )

    def _chunk(self, lines: list[int], group: list[_Document], texts: bool) -> Chunk:
        vectors = checked(
            f"{self._source.where}, line",
            lines,
            np.cumsum([0, *(document.weights.size for document in group)]),
            np.array([term for document in group for term in document.terms], np.int64),
            np.concatenate([document.weights for document in group]),
        )
        return Chunk(
            [document.id for document in group],
            [document.title for document in group] if texts else None,
            [document.text or "" for document in group] if texts else None,
            vectors,
        )


@dataclass(frozen=True, slots=True)
class _Document:
    id: str
    title: str
    text: str | None
    terms: list[int]
    weights: npt.NDArray[np.float32]


class _Tokens:
    """Makes the inside of JSON objects of vectors, all postings of a chunk at once."""

    def __init__(self, source: Source) -> None:
        import pyarrow as pa

        self._words = None
        if (words := source.words) is not None:
            escaped = [_json(words[term]) for term in range(len(words))]
            self._words = pa.array(escaped, pa.large_string())

    def objects(self, vectors: SparseVectors, scale: float | None) -> list[str]:
        """Such as '"red": 1.5, "planet": 0.25' for each row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        impacts: npt.NDArray[Any] = vectors.weights
        if scale is not None:
            vectors, impacts = whole(vectors, scale)
        if self._words is None:
            quote = _scalar('"')
            digits = pc.cast(pa.array(vectors.terms), pa.large_string())
            tokens = _joined(quote, digits, quote)
        else:
            tokens = self._words.take(pa.array(vectors.terms))
        weights = pc.cast(pa.array(impacts), pa.large_string())
        if scale is None:
            bare = pc.invert(pc.match_substring_regex(weights, "[.e]"))
            weights = pc.if_else(bare, _joined(weights, _scalar(".0")), weights)
        pairs = _joined(tokens, _scalar(": "), weights)
        rows = pa.LargeListArray.from_arrays(pa.array(vectors.indptr), pairs)
        objects: list[str] = pc.binary_join(rows, _scalar(", ")).to_pylist()
        return objects


def _scalar(text: str) -> Any:
    import pyarrow as pa

    return pa.scalar(text, pa.large_string())


def _joined(*parts: Any) -> Any:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, _scalar(""))


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

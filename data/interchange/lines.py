"""The formats of JSON lines: a document a line, its vector an object.

    FILE    = LINE*                     UTF-8; as .gz or .zst compressed
    LINE    = {ID: string | integer, ["title": string,] [TEXT: string,] VECTOR: {WEIGHTS}}
    WEIGHTS = (token: number)*          finite, not negative; each token once

    format       ID     TEXT        VECTOR
    jsonvectors  id     contents    vector
    seismic      id     content     vector
    pyterrier    docno  text        toks

Every weight is written as the shortest decimal that is the same float32, always with a point or
an exponent (2.0), or as an integer when a scale is given: some readers go by that difference.
Memory: a chunk, and the words.

jsonvectors is Anserini's JsonVectorCollection, which Pyserini shares.  Source:
io.anserini.collection.JsonVectorCollection and Anserini's guides to impact indexes.  Anserini takes
the whole part of a weight as the number of times that the token occurs, so what it is to index
needs a scale, such as the 100 of its own SPLADE collections; it gives an integer and takes tokens
of any characters but white space (`-impact -pretokenized`).  Other tools read floats in the same
layout.

seismic is what the package pyseismic-lsr reads.  Source: docs and `src/json_utils.rs` of
TusKANNy/seismic.  It keeps weights in 16 bits.

pyterrier are PyTerrier's pretokenised documents.  Source: the packages python-terrier,
pyterrier-pisa and bmp, which index an iterable of such objects.  Terrier takes the whole part of a
weight (`int(weight)`); PISA that of 100 times the weight, if not told another `scale`; BMP that of
100 times the weight, when the first of a document is a float, and the weight itself when it is an
integer.  So give a scale for Terrier, and for PISA `scale=1` with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lsr.data.corpus import Chunk
from lsr.data.interchange.base import CHUNK_DOCUMENTS, Source, checked, unique, walk, whole
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
from lsr.progress import Progress
from lsr.vectors import SparseVectors

# Id, title, text, terms and weights of a document.
_Document = tuple[str, str, str | None, list[int], npt.NDArray[np.float32]]

_WHOLE = "; {} itself reads whole weights only (--scale 100 makes them)"


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
        tokens = _tokens(source)
        with ExitStack() as closing:
            stream = compressed(file, path.name, closing)
            for chunk in walk(source, "Writing", progress):
                for row, vector in enumerate(_objects(chunk.vectors, tokens, scale)):
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
        pairs = (f'"{name}": {_json(value)}, ' for name, value in fields.items())
        return f'{"".join(pairs)}"{self.vector}": '

    def reader(self, path: Path, vocabulary: Given | None) -> LineReader:
        """The documents of a file; see `LineReader`."""
        return LineReader(self, path, vocabulary or Learned())


LINES = {
    "jsonvectors": Lines("id", "contents", "vector", _WHOLE.format("Anserini")),
    "seismic": Lines("id", "content", "vector"),
    "pyterrier": Lines("docno", "text", "toks", _WHOLE.format("Terrier")),
}


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
        group: list[tuple[int, _Document]] = []
        has_text = False
        for line, document in read(self._source, self._document, stop):
            identifier, title, text, *_ = document
            if not seen:
                has_text = text is not None or title != ""
            unique(seen, identifier, f"{self._source.where}, line {line}", "document")
            group.append((line, document))
            if len(group) == CHUNK_DOCUMENTS:
                yield self._chunk(group, has_text)
                group = []
        if group:
            yield self._chunk(group, has_text)

    def _document(self, record: Record) -> _Document:
        vector = record.get(self._fields.vector)
        if not isinstance(vector, dict):
            raise BadRecord(
                f'has no vector; give each document a "{self._fields.vector}" of {{token: weight}}'
            )
        text = record.get(self._fields.text)
        return (
            record_id(record, (self._fields.id,)),
            record_title(record),
            None if text is None else checked_text(text, "text"),
            [self._vocabulary.term(token) for token in vector],
            as_floats(vector.values()),
        )

    def _chunk(self, group: list[tuple[int, _Document]], has_text: bool) -> Chunk:
        lines, documents = zip(*group, strict=True)
        ids, titles, texts, terms, weights = map(list, zip(*documents, strict=True))
        vectors = checked(
            f"{self._source.where}, line",
            lines,
            np.cumsum([0, *map(len, terms)]),
            np.array([term for row in terms for term in row], np.int64),
            np.concatenate(weights),
        )
        if not has_text:
            return Chunk(ids, None, None, vectors)
        return Chunk(ids, titles, [text or "" for text in texts], vectors)


def _tokens(source: Source) -> Callable[[pa.Array], pa.Array]:
    """From terms to what stands for them in JSON: words, or else term ids as strings."""
    words = source.words
    if words is None:
        return lambda terms: _joined('"', pc.cast(terms, pa.large_string()), '"')
    tokens = pa.array([_json(words[term]) for term in range(len(words))], pa.large_string())
    return lambda terms: tokens.take(terms)


def _objects(
    vectors: SparseVectors, tokens: Callable[[pa.Array], pa.Array], scale: float | None
) -> list[str]:
    """The inside of a JSON object for each row, such as '"red": 1.5, "planet": 0.25'."""
    impacts: npt.NDArray[Any] = vectors.weights
    if scale is not None:
        vectors, impacts = whole(vectors, scale)
    weights = pc.cast(pa.array(impacts), pa.large_string())
    if scale is None:
        bare = pc.invert(pc.match_substring_regex(weights, "[.e]"))
        weights = pc.if_else(bare, _joined(weights, ".0"), weights)
    pairs = _joined(tokens(pa.array(vectors.terms)), ": ", weights)
    rows = pa.LargeListArray.from_arrays(pa.array(vectors.indptr), pairs)
    objects: list[str] = pc.binary_join(rows, pa.scalar(", ", pa.large_string())).to_pylist()
    return objects


def _joined(*parts: Any) -> pa.Array:
    """Columns of text, and texts that are the same in each row, joined."""
    scalars = (pa.scalar(p, pa.large_string()) if isinstance(p, str) else p for p in (*parts, ""))
    return pc.binary_join_element_wise(*scalars)


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

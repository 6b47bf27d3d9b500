"""Anserini's JsonVectorCollection, which Pyserini shares.

    LINE = {"id": string, ["title": string,] ["contents": string,] "vector": {token: weight}}

Source: io.anserini.collection.JsonVectorCollection and Anserini's guides to impact indexes.
Anserini takes the whole part of a weight as the number of times that the token occurs, so what
it is to index needs a scale, such as the 100 of its own SPLADE collections; it gives an integer
and takes tokens of any characters but white space (`-impact -pretokenized`).  Other tools read
floats in the same layout.  The rest of the grammar: `lsr.data.interchange.lines`.
"""

from __future__ import annotations

from lsr.data.interchange.lines import Lines

LINES = Lines(
    "id",
    "contents",
    "vector",
    "; Anserini itself reads whole weights only (--scale 100 makes them)",
)
write, reader = LINES.write, LINES.reader

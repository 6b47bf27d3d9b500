"""PyTerrier's pretokenised documents, one JSON object a line.

    LINE = {"docno": string, ["title": string,] ["text": string,] "toks": {token: weight}}

Source: the packages python-terrier, pyterrier-pisa and bmp, which index an iterable of such
objects.  Weights: Terrier takes their whole part (`int(weight)`); PISA that of 100 times the
weight, if not told another `scale`; BMP's of 100 times the weight, when the first of a document
is a float, and the weight itself when it is an integer.  So give a scale for Terrier, and
for PISA `scale=1` with it.
The rest of the grammar: `lsr.data.interchange.lines`.
"""

from __future__ import annotations

from lsr.data.interchange.lines import Lines

LINES = Lines(
    "docno", "text", "toks", "; Terrier itself reads whole weights only (--scale 100 makes them)"
)
write, reader = LINES.write, LINES.reader

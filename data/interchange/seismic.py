"""Seismic's JSON lines, as the package pyseismic-lsr reads them.

    LINE = {"id": string | integer, ["title": string,] ["content": string,] "vector":
            {token: float}}

Source: docs and `src/json_utils.rs` of TusKANNy/seismic.  It keeps weights in 16 bits.
The rest of the grammar: `lsr.data.interchange.lines`.
"""

from __future__ import annotations

from lsr.data.interchange.lines import Lines

LINES = Lines("id", "content", "vector")
write, reader = LINES.write, LINES.reader

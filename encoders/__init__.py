"""Text to sparse vectors: learned encoders from checkpoints, and lexical BM25.

Importing this is light; the modules of a kind of encoder are imported when one is loaded.
"""

from __future__ import annotations

from lsr.encoders.base import Encoder, Vocabulary
from lsr.encoders.registry import load_encoder, restore_encoder

__all__ = ["DEFAULT_ENCODER", "Encoder", "Vocabulary", "load_encoder", "restore_encoder"]

# What `lsr index`, `lsr eval` and `Index.build` use when not told otherwise.
DEFAULT_ENCODER = "bm25+splade-tiny"

"""The parts of an index's encoder: whose terms are whose, and what their weights were scaled by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lsr.encoders import Encoder
from lsr.encoders.composite.encoder import CompositeEncoder
from lsr.encoders.lexical.bm25 import BM25Encoder
from lsr.encoders.names import part_slices
from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.retrieval.index import Index

_ALL_TERMS = 1 << 32


@dataclass(frozen=True, slots=True)
class IndexPart:
    """An encoder of an index, and where its terms are in the index's vectors.

    Attributes:
        name: of the encoder; of an index of vectors alone, "vectors".
        encoder: None for vectors alone.
        start, stop: its terms, as the index numbers them.
        query_factor: what weights of its queries are multiplied with; 0 where it has no say.
        scale: what weights of its documents were divided by.
    """

    name: str
    encoder: Encoder | None
    start: int = 0
    stop: int = _ALL_TERMS
    query_factor: float = 1.0
    scale: float = 1.0

    @property
    def is_lexical(self) -> bool:
        """Whether its document vectors hold BM25's idf, which those of its queries must not."""
        return isinstance(self.encoder, BM25Encoder)

    def of(self, vectors: SparseVectors, factor: float = 1.0) -> SparseVectors:
        """Its own terms of the index's vectors, numbered as its own, times a factor."""
        own = vectors.where((vectors.terms >= self.start) & (vectors.terms < self.stop))
        return SparseVectors(
            own.indptr, own.terms - np.uint32(self.start), own.weights * np.float32(factor)
        )

    def queries(self, texts: Sequence[str]) -> SparseVectors:
        """Its queries as the index's vectors, whose products with documents are its own scores."""
        assert self.encoder is not None
        own = self.encoder.encode_queries(texts)
        return SparseVectors(
            own.indptr, own.terms + np.uint32(self.start), own.weights * np.float32(self.scale)
        )


def parts_of(index: Index) -> list[IndexPart]:
    """The parts of an index, in the order of their terms; one where its encoder has no parts."""
    if index.manifest.encoder is None:
        return [IndexPart("vectors", None)]
    encoder = index.encoder
    if not isinstance(encoder, CompositeEncoder):
        return [IndexPart(encoder.name, encoder)]
    slices = part_slices(encoder.identity)
    return [
        IndexPart(part.name, part.encoder, start, stop, part.query_factor, part.scale)
        for part, (_, start, stop) in zip(encoder.parts, slices, strict=True)
    ]

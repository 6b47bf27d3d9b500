"""The parts of an index's encoder: the terms of each, and the scale of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsr.encoders import Encoder
from lsr.encoders.composite.encoder import CompositeEncoder
from lsr.encoders.lexical.bm25 import BM25Encoder
from lsr.retrieval.context import SearchContext
from lsr.vectors import SparseVectors

_ALL_TERMS = 1 << 32


@dataclass(frozen=True, slots=True)
class IndexPart:
    """An encoder of an index, and where its terms are in the index's vectors.

    Attributes:
        name: of the encoder; of an index of vectors alone, "vectors".
        encoder: None for vectors alone.
        start, stop: its first term in the index, and the end of its terms.
        query_factor: weights of its queries are multiplied by this; 0 where it is ignored.
        scale: weights of its documents were divided by this.
    """

    name: str
    encoder: Encoder | None
    start: int = 0
    stop: int = _ALL_TERMS
    query_factor: float = 1.0
    scale: float = 1.0

    @property
    def is_lexical(self) -> bool:
        """Whether its document vectors hold BM25's idf, which its queries must not."""
        return isinstance(self.encoder, BM25Encoder)

    def of(self, vectors: SparseVectors, factor: float = 1.0) -> SparseVectors:
        """The part's entries of the index's vectors, its first term as 0, times a factor."""
        part = vectors.where((vectors.terms >= self.start) & (vectors.terms < self.stop))
        terms = part.terms - np.uint32(self.start)
        return SparseVectors(part.indptr, terms, part.weights * np.float32(factor))

    def queries(self, texts: Sequence[str]) -> SparseVectors:
        """Queries of this part alone as the index's vectors: products with documents are the
        part's scores."""
        assert self.encoder is not None
        queries = self.encoder.encode_queries(texts)
        terms = queries.terms + np.uint32(self.start)
        return SparseVectors(queries.indptr, terms, queries.weights * np.float32(self.scale))


def parts_of(context: SearchContext) -> list[IndexPart]:
    """The parts of an index, in the order of their terms; one where its encoder has no parts."""
    if context.manifest.encoder is None:
        return [IndexPart("vectors", None)]
    encoder = context.encoder
    if not isinstance(encoder, CompositeEncoder):
        return [IndexPart(encoder.name, encoder)]
    return [
        IndexPart(part.name, part.encoder, start, stop, part.query_factor, part.scale)
        for part, (_, start, stop) in zip(encoder.parts, context.part_terms, strict=True)
    ]

"""DSR: of each slice of the vocabulary, only the strongest term is kept.

S.-C. Lin and J. Lin, "Densifying sparse representations for passage retrieval by representational
slicing" (2021), and "A dense representation framework for lexical and semantic matching" (ACM TOIS
41(4), 2023).  The first terms are dropped, so that what is left divides by 768 (of BERT's 30,522
words the first 570, which are special or unused); the rest, 39 rows of 768, has a slice a column:
the terms whose ids are equal modulo 768.  A text's representation is each slice's largest weight
and where in the slice it stands, and two are compared by the gated inner product

    sum over slices m of  q_m p_m [idx_q,m = idx_p,m]

Two slices agree on where their largest weight stands exactly when they kept the same term.  So the
gated inner product is the inner product of what is left of the sparse vectors, and an inverted
index of that searches it exactly.  `Slices` has the same as dense arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import Advance, Encoder, Recorded, Settings, Where
from lsr.encoders.registry import load_with, restore_with
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors

KIND = "dsr"
SLICES = 768


@dataclass(frozen=True)
class Slices:
    """Densified rows: what the paper keeps of a text.

    Attributes:
        values: float32, (rows, slices); the largest weight of each slice, 0 without any.
        indices: uint16, (rows, slices); of that value in its slice, 0 without any.
    """

    values: npt.NDArray[np.float32]
    indices: npt.NDArray[np.uint16]

    def products(self, others: Slices) -> npt.NDArray[np.float32]:
        """The gated inner products of all rows with all of others, (rows, others)."""
        products = np.zeros((len(self.values), len(others.values)), np.float32)
        for row, (values, indices) in enumerate(zip(self.values, self.indices, strict=True)):
            used = np.flatnonzero(values)  # other slices add nothing
            gate = others.indices[:, used] == indices[used]
            gated = np.where(gate, others.values[:, used], np.float32(0))
            products[row] = np.einsum("dm,m->d", gated, values[used])
        return products

    def take(self, rows: npt.NDArray[np.int64]) -> Slices:
        """The given rows, in the given order."""
        return Slices(self.values[rows], self.indices[rows])


def densified(vectors: SparseVectors, terms: int, slices: int = SLICES) -> Slices:
    """Vectors over so many terms as dense arrays; raises `EncoderError` for too few terms."""
    dropped = _dropped(terms, slices)
    kept = strongest_of_slices(vectors, terms, slices)
    rows = kept.row_of_entry()
    index, column = np.divmod(kept.terms - np.uint32(dropped), np.uint32(slices))
    # By column, since a query reads its own slices of all documents.
    values = np.zeros((len(kept), slices), np.float32, order="F")
    indices = np.zeros((len(kept), slices), np.uint16, order="F")
    values[rows, column], indices[rows, column] = kept.weights, index
    return Slices(values, indices)


def strongest_of_slices(vectors: SparseVectors, terms: int, slices: int = SLICES) -> SparseVectors:
    """The strongest term of each slice of each row; of equal ones, the lowest."""
    dropped = _dropped(terms, slices)
    sliced = vectors.where((vectors.terms >= dropped) & (vectors.weights > 0))
    column = (sliced.terms - np.uint32(dropped)) % np.uint32(slices)
    cell = sliced.row_of_entry() * slices + column
    # By slice, then weight descending; stable, so equal weights keep their ascending terms.
    order = np.lexsort((-sliced.weights, cell))
    first = np.ones(order.size, bool)
    first[1:] = cell[order[1:]] != cell[order[:-1]]
    strongest = np.zeros(order.size, bool)
    strongest[order[first]] = True
    return sliced.where(strongest)


def _dropped(terms: int, slices: int) -> int:
    if terms < slices:
        raise EncoderError(f"{terms} terms cannot be cut into {slices} slices; give more terms")
    return terms % slices


def load(name: str, settings: Settings) -> DsrEncoder:
    """The encoder of `dsr:ENCODER`."""
    inner = name.removeprefix(KIND).removeprefix(":") or "splade-tiny"
    return DsrEncoder(load_with(inner, settings))


def restore(recorded: Recorded, where: Where) -> DsrEncoder:
    """The encoder of an index, from `recorded.source` (`dsr:ENCODER`) or from where it was."""
    identity, source = recorded.identity, recorded.source
    inner = identity.get("encoder")
    if not isinstance(inner, Mapping):
        raise EncoderError("the recorded encoder lacks the one it slices; rebuild the index")
    if identity.get("slices") != SLICES:
        raise EncoderMismatch(
            f"the index has {identity.get('slices')} slices per text, and this release makes "
            f"{SLICES}; rebuild the index"
        )
    source = None if source is None else source.removeprefix(f"{KIND}:")
    return DsrEncoder(restore_with(replace(recorded, identity=inner, source=source), where))


class DsrEncoder(Encoder):
    """Another encoder's vectors, of each slice the strongest term.

    Raises `EncoderError` for an encoder whose words are not known beforehand, as BM25's, or are
    too few.
    """

    def __init__(self, encoder: Encoder) -> None:
        if encoder.gathers_statistics or encoder.identity["kind"] == "composite":
            raise EncoderError(
                f"{encoder.name} has no fixed vocabulary that could be cut into slices; give a "
                "model with one, as dsr:splade-tiny"
            )
        self.name = f"{KIND}:{encoder.name}"
        self._encoder = encoder
        self.vocabulary = encoder.vocabulary
        _dropped(len(self.vocabulary), SLICES)

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "name": self.name,
            "slices": SLICES,
            "encoder": self._encoder.identity,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return DsrEncoder, (self._encoder,)

    def term_columns(self) -> dict[str, npt.NDArray[Any]]:
        return self._encoder.term_columns()

    def collect(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        return self._sliced(self._encoder.collect(texts, advance))

    def encode_documents(self, texts: Iterable[str]) -> SparseVectors:
        """The strongest term of each slice of documents."""
        return self._sliced(self._encoder.encode_documents(texts))

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """The strongest term of each slice of queries."""
        return self._sliced(self._encoder.encode_queries(texts))

    def literal_terms(self, text: str) -> npt.NDArray[np.uint32]:
        return self._encoder.literal_terms(text)

    def _sliced(self, vectors: SparseVectors) -> SparseVectors:
        return strongest_of_slices(vectors, len(self.vocabulary))

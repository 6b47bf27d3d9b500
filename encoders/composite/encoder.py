"""Several encoders side by side in one vocabulary: `bm25+splade-tiny`.

A text's vector is its vectors by all parts one after another, so one inner product over one
index is the weighted sum of what the parts score:

    score(q, d) = sum over parts of  weight / mean_best * (q_part . d_part)

`mean_best` is the part's mean best score over pseudo-queries of the collection
(`lsr.encoders.composite.calibration`), so that equal weights mean equal influence.
A convex combination of normalized scores: S. Bruch, S. Gai, A. Ingber, "An Analysis of Fusion
Functions for Hybrid Retrieval" (ACM TOIS 42(1), 2023); theirs is normalized query by query, ours by
one constant a part, so that it stays an inner product.

Documents are divided by the part's largest weight, so that each part uses the whole range of the
index's integers; queries carry all the rest.  The weights can therefore change without a new
index, while the statistics (words and document frequencies of a lexical part, `mean_best`, the
largest weight) are those of the collection when the index was built.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import Advance, Encoder, Recorded, Settings, Vocabulary, Where, check_texts
from lsr.encoders.composite.calibration import BestScores, PseudoQueries
from lsr.encoders.composite.joining import Joined, Slice, join
from lsr.encoders.names import parse_weights, part_slices, split_name
from lsr.encoders.registry import load_with, restore_with
from lsr.encoders.restoring import reading
from lsr.encoders.rows import EMPTY_ROW, stack
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors


@dataclass
class Part:
    """One of the encoders.

    Attributes:
        name: what its words are prefixed with.
        weight: of the part in the score.
        mean_best: its mean best score over the pseudo-queries.
        scale: its largest weight of a document.
    """

    name: str
    encoder: Encoder
    weight: float
    mean_best: float = 1.0
    scale: float = 1.0

    @property
    def query_factor(self) -> float:
        """The factor of query weights."""
        return self.weight / self.mean_best * self.scale


def load(name: str, settings: Settings) -> CompositeEncoder:
    """The encoders of "NAME+NAME…", which have seen no documents."""
    settings = replace(settings, weights=None)
    loaded = [load_with(part, settings) for part in split_name(name)]
    names = [encoder.name for encoder in loaded]
    repeated = [part for number, part in enumerate(names) if part in names[:number]]
    if repeated:
        raise EncoderError(
            f"the encoder {name!r} has two parts called {repeated[0]!r}; their names must differ"
        )
    return CompositeEncoder([Part(part.name, part, 1 / len(loaded)) for part in loaded])


def restore(recorded: Recorded, where: Where) -> CompositeEncoder:
    """The encoders of an index; the parts of `recorded.source` replace theirs in order."""
    identity, vocabulary, source = recorded.identity, recorded.vocabulary, recorded.source
    with reading("the recorded encoder of several parts"):
        entries = list(identity["parts"])
        slices = part_slices(identity)
        numbers = [
            [float(entry[key]) for key in ("weight", "mean_best", "scale")] for entry in entries
        ]
        for entry, (weight, *divisors) in zip(entries, numbers, strict=True):
            if not (all(map(math.isfinite, [weight, *divisors])) and weight >= 0 < min(divisors)):
                raise ValueError(f"{entry['name']} has the numbers {[weight, *divisors]}")
        identities = [dict(entry["encoder"]) for entry in entries]
        if not slices or slices[-1][2] != len(vocabulary):
            raise ValueError(f"the parts do not make up {len(vocabulary)} words")
    sources: list[str | None] = [None] * len(entries)
    if source is not None:
        sources = [*split_name(source)]
        if len(sources) != len(entries):
            raise EncoderMismatch(
                f"the index was built with the encoder {identity.get('name')!r} of "
                f"{len(entries)} parts, but {source!r} has {len(sources)}; give as many, in the "
                "same order"
            )
    parts = []
    for (name, start, stop), inner, part_source, weights in zip(
        slices, identities, sources, numbers, strict=True
    ):
        columns = {
            column.removeprefix(f"{name}:"): values[start:stop]
            for column, values in recorded.term_columns.items()
            if column.startswith(f"{name}:")
        }
        words = Slice(vocabulary, name, start, stop)
        encoder = restore_with(Recorded(inner, words, columns, part_source), where)
        parts.append(Part(name, encoder, *weights))
    return CompositeEncoder(parts, vocabulary)


class CompositeEncoder(Encoder):
    """Encoders side by side; see the module.

    A new one is calibrated by `finalize`; before that it encodes nothing.  `document_terms` and
    `query_terms` hold for each part.
    """

    def __init__(self, parts: Sequence[Part], vocabulary: Vocabulary | None = None) -> None:
        self.parts = list(parts)
        self.name = "+".join(part.name for part in parts)
        self._is_final = vocabulary is not None
        if vocabulary is None:
            vocabulary = Joined([(part.name, part.encoder.vocabulary) for part in self.parts])
        self.vocabulary = vocabulary
        self._queries = PseudoQueries()
        # Term ids of `collect`: vocabularies may still grow, so each part has a fixed share.
        self._share = 2**32 // len(self.parts)

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": "composite",
            "name": self.name,
            "parts": [
                {
                    "name": part.name,
                    "weight": part.weight,
                    "mean_best": part.mean_best,
                    "scale": part.scale,
                    "size": len(part.encoder.vocabulary),
                    "encoder": part.encoder.identity,
                }
                for part in self.parts
            ],
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """By its parts; one that has seen some of a collection goes on where this one is."""
        state = {"_is_final": self._is_final, "_queries": self._queries}
        return CompositeEncoder, (self.parts,), state

    def __copy__(self) -> CompositeEncoder:
        """With parts of its own, since weights and statistics change in place."""
        return deepcopy(self)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each part by its name."""
        return {part.name: part.weight for part in self.parts}

    def set_part_weights(self, weights: Mapping[str, float] | str) -> None:
        """Change the weights for queries from now on; vectors of documents stay as they are."""
        parsed = parse_weights(weights, [part.name for part in self.parts])
        for part in self.parts:
            part.weight = parsed[part.name]

    @property
    def gathers_statistics(self) -> bool:
        return any(part.encoder.gathers_statistics for part in self.parts)

    def term_columns(self) -> dict[str, npt.NDArray[Any]]:
        """The columns of each part as "PART:column", zero for the words of other parts."""
        columns = {}
        for part, start, stop in self._slices():
            for name, values in part.encoder.term_columns().items():
                column = np.zeros(len(self.vocabulary), values.dtype)
                column[start:stop] = values
                columns[f"{part.name}:{name}"] = column
        return columns

    def collect(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        """The vectors of the parts, side by side; also draws pseudo-queries."""
        # The progress of a part that runs a model is that of all: counting words takes no time.
        slow = [number for number, p in enumerate(self.parts) if not p.encoder.gathers_statistics]
        shown = slow[0] if slow else 0
        collected = [
            part.encoder.collect(texts, advance if number == shown else None)
            for number, part in enumerate(self.parts)
        ]
        self._queries.add(texts)
        return join(collected, [self._share * number for number in range(len(collected))])

    def replay(self, texts: Sequence[str]) -> None:
        for part in self.parts:
            part.encoder.replay(texts)
        self._queries.add(texts)

    def finalize(self, collected: Callable[[], Iterable[SparseVectors]]) -> None:
        """Calibrate the parts: their largest weights and mean best scores."""

        def collected_by(number: int) -> Callable[[], Iterable[SparseVectors]]:
            return lambda: (self._split(vectors)[number] for vectors in collected())

        for number, part in enumerate(self.parts):
            part.encoder.finalize(collected_by(number))
        texts, sources = self._queries.texts, self._queries.sources
        best = [BestScores(part.encoder.encode_queries(texts), sources) for part in self.parts]
        largest = [0.0] * len(self.parts)
        for vectors in collected():
            for number, weighed in enumerate(self._weigh_parts(vectors)):
                best[number].add(weighed)
                largest[number] = max(largest[number], float(weighed.weights.max(initial=0)))
        own = not all(scores.enough for scores in best)
        for part, scores, scale in zip(self.parts, best, largest, strict=True):
            part.mean_best, part.scale = scores.mean(own=own), scale or 1.0
        self._is_final = True

    def apply_statistics(self, vectors: SparseVectors) -> SparseVectors:
        """The final weights of vectors of `collect`; raises `EncoderError` before `finalize`."""
        self._check_final()
        return self._documents(self._weigh_parts(vectors))

    def encode_documents(self, texts: Iterable[str]) -> SparseVectors:
        """The documents' vectors by all parts, with the statistics of the collection."""
        self._check_final()
        texts = check_texts(texts)
        return self._documents([part.encoder.encode_documents(texts) for part in self.parts])

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """The queries' vectors by all parts; parts of weight 0 have no terms."""
        self._check_final()
        texts = check_texts(texts)
        encoded = [
            part.encoder.encode_queries(texts) if part.weight else stack([EMPTY_ROW] * len(texts))
            for part in self.parts
        ]
        return join(encoded, self._starts(), [part.query_factor for part in self.parts])

    def literal_terms(self, text: str) -> npt.NDArray[np.uint32]:
        """The literal terms of all parts."""
        return np.concatenate(
            [
                part.encoder.literal_terms(text) + np.uint32(start)
                for part, start, _ in self._slices()
            ]
        )

    def _documents(self, vectors: Sequence[SparseVectors]) -> SparseVectors:
        return join(vectors, self._starts(), [1 / part.scale for part in self.parts])

    def _weigh_parts(self, vectors: SparseVectors) -> list[SparseVectors]:
        split = self._split(vectors)
        return [part.encoder.apply_statistics(v) for part, v in zip(self.parts, split, strict=True)]

    def _split(self, vectors: SparseVectors) -> list[SparseVectors]:
        """The vectors of each part from those that `collect` returned."""
        owners = vectors.terms // np.uint32(self._share)
        split = []
        for number in range(len(self.parts)):
            part = vectors.where(owners == number)
            terms = part.terms - np.uint32(number * self._share)
            split.append(SparseVectors.trusted(part.indptr, terms, part.weights))
        return split

    def _slices(self) -> Iterator[tuple[Part, int, int]]:
        start = 0
        for part in self.parts:
            stop = start + len(part.encoder.vocabulary)
            yield part, start, stop
            start = stop

    def _starts(self) -> list[int]:
        return [start for _, start, _ in self._slices()]

    def _check_final(self) -> None:
        if not self._is_final:
            raise EncoderError(
                f"the encoder {self.name!r} weighs its parts by a collection and has seen none; "
                "build an index with it"
            )

"""The retrievers of one index by their names, for `Index.hybrid` and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lsr.arguments import real
from lsr.encoders import Encoder
from lsr.encoders.names import parse_weights
from lsr.errors import FusionError, IndexCorrupt, QueryError
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.methods import DEFAULT_FUSION, METHODS
from lsr.index.format import Manifest
from lsr.retrieval.feedback import Feedback, Kind
from lsr.retrieval.hybrid import Hybrid
from lsr.retrieval.index import Index
from lsr.retrieval.parts import parts_of
from lsr.retrieval.retrievers import DenseRetriever, Retriever, SparseRetriever
from lsr.storage.files import steady
from lsr.storage.manifest import MANIFEST

TERMS, DENSE = "terms", "dense"  # an index's retrievers, whatever their names
LEARNED = "learned"


class Names(NamedTuple):
    """What the retrievers of an index are called.

    Attributes:
        whole: the index's encoder, for all of its terms.
        parts: encoders that make up that one.
        dense: the encoder of the dense vectors; None without any.
    """

    whole: str
    parts: tuple[str, ...]
    dense: str | None

    @classmethod
    def of(cls, index: Index) -> Names:
        """Those of an index."""
        dense = index.dense.encoder["name"] if index.dense is not None else None
        parts = tuple(part.name for part in parts_of(index))
        return cls(SparseRetriever(index).name, parts, dense)

    @classmethod
    def of_encoders(cls, encoder: Encoder, dense: str | None) -> Names:
        """Those of an index yet to be built by an encoder, with dense vectors by another."""
        parts = encoder.identity.get("parts", [{"name": encoder.name}])
        return cls(encoder.name, tuple(part["name"] for part in parts), dense)

    def chosen(self, retrievers: str) -> list[str]:
        """The retrievers in a text, TERMS and DENSE included; see `of_index`.

        A name may hold a comma itself, as bm25:bm25l,k1=1.2 does.  Raises `QueryError` for what is
        none of them.
        """
        known = list(
            dict.fromkeys([TERMS, DENSE, self.whole, *self.parts, *filter(None, [self.dense])])
        )
        names = []
        rest = retrievers
        while rest:
            fitting = [name for name in known if f"{rest},".startswith(f"{name},")]
            if not fitting:
                raise QueryError(
                    f"{rest.partition(',')[0]!r} is no retriever of this index; it has "
                    f"{', '.join(known)}"
                )
            names.append(max(fitting, key=len))
            rest = rest[len(names[-1]) + 1 :]
        return [{self.whole: TERMS, self.dense: DENSE}.get(name, name) for name in names]

    def weights(
        self, chosen: Sequence[str], weights: float | str | Mapping[str, float] | None
    ) -> list[float] | None:
        """The weight of each of the chosen; see `of_index`."""
        if weights is None:
            return None
        names = [{TERMS: self.whole, DENSE: self.dense or DENSE}.get(name, name) for name in chosen]
        if isinstance(weights, str | Mapping):
            parsed = parse_weights(weights, names)
            return [parsed[name] for name in names]
        if len(chosen) != 2 or chosen.count(DENSE) != 1:
            raise QueryError(
                "one weight is that of dense vectors beside one other retriever; give one for "
                f"each of {', '.join(names)}, as NAME=WEIGHT,…"
            )
        weight = real("the weight of the dense vectors", weights, 0, 1)
        return [weight if name == DENSE else 1.0 - weight for name in chosen]


def of_index(
    index: Index,
    fusion: str = DEFAULT_FUSION,
    *,
    retrievers: str = f"{TERMS},{DENSE}",
    weights: float | str | Mapping[str, float] | None = None,
    prf: Kind | None = None,
    boosts: Mapping[str, float] | None = None,
    threads: int = 1,
    method: str = "auto",
    exact_floats: bool = False,
    **how: Any,
) -> Hybrid:
    """Retrievers of one index, by their names.

    Args:
        fusion: a method of `lsr.fusion.methods`, or "learned" for the one that `lsr tune` left in
            the index.
        retrievers: names with commas between: "terms" for all terms of the index, "dense" for its
            dense vectors, or names of encoders, also of a part such as "bm25".
        weights: of every retriever by its name, as a mapping or as text,
            "bm25+splade-tiny=.6,minilm=.4"; a number is that of the dense vectors beside one other
            retriever, which has the rest of 1.
        prf: feedback with the usual numbers; `feedback` of `Hybrid` takes others.
        boosts: factors of named terms of queries, see `lsr.retrieval.boosting`.
        threads: queries are spread over so many; those of one question run one after another.
        method, exact_floats: of searching the terms, see `Index.search`.
        how: `missing`, `depth`, `rescore`, `feedback` and `interpolate` of `Hybrid`.

    Raises `IndexFormatError` without the dense vectors that are asked for, `QueryError`,
    `EncoderError` and `FusionError` for what does not fit the index.
    """
    if fusion not in (*METHODS, LEARNED):
        raise QueryError(f"there is no fusion {fusion!r}; use {', '.join((*METHODS, LEARNED))}")
    searching = {"method": method, "exact_floats": exact_floats, "threads": threads}
    names = Names.of(index)
    chosen = names.chosen(retrievers)
    made: list[Retriever[Any]] = []
    for name in chosen:
        if name == DENSE:
            made.append(DenseRetriever(index, threads=threads))
        else:
            part = None if name == TERMS else name
            made.append(SparseRetriever(index, part, boosts, **searching))
    if prf is not None:
        how["feedback"] = Feedback.of(prf)
    return Hybrid(
        made,
        LearnedFusion.load(learned_file(index)) if fusion == LEARNED else fusion,  # type: ignore[arg-type]  # checked above
        weights=names.weights(chosen, weights),
        **how,
    )


def learned_file(index: Index) -> Path:
    """Where `lsr tune` leaves the learned fusion of an index: its name is that of the edition."""
    return index.path / index.manifest.fusion_file


def learned_problems(path: Path) -> list[str]:
    """What is wrong with the learned fusion of an index, if it has one."""

    def attempt() -> list[str]:
        try:
            file = path / Manifest.read(path).fusion_file
            if file.exists():
                LearnedFusion.load(file)
        except FusionError as error:
            return [str(error)]
        except IndexCorrupt:  # said by others
            return []
        return []

    return steady(path / MANIFEST, attempt)

"""A hybrid from the names of an index's retrievers, for `Index.hybrid` and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lsr.arguments import real
from lsr.encoders import Encoder
from lsr.encoders.names import parse_weights
from lsr.errors import FusionError, IndexCorrupt, QueryError
from lsr.fusion import DEFAULT_FUSION, LEARNED, METHODS
from lsr.fusion.learned import LearnedFusion
from lsr.index.format import Manifest
from lsr.index.search.options import SearchOptions
from lsr.retrieval import FeedbackKind
from lsr.retrieval.context import SearchContext
from lsr.retrieval.feedback import Feedback
from lsr.retrieval.hybrid import Hybrid
from lsr.retrieval.parts import parts_of
from lsr.retrieval.retrievers import DenseRetriever, Retriever, SparseRetriever
from lsr.storage.files import steady
from lsr.storage.manifest import MANIFEST

TERMS, DENSE = "terms", "dense"  # names of the retrievers of any index


class Names(NamedTuple):
    """The names of the retrievers of an index.

    Attributes:
        whole: the index's encoder, for all of its terms.
        parts: encoders that make up that one.
        dense: the encoder of the dense vectors; None without any.
    """

    whole: str
    parts: tuple[str, ...]
    dense: str | None

    @classmethod
    def of(cls, context: SearchContext) -> Names:
        """The names for an open index."""
        dense = context.dense.encoder["name"] if context.dense is not None else None
        encoder = context.manifest.encoder
        parts = tuple(part.name for part in parts_of(context))
        return cls(encoder["name"] if encoder else "vectors", parts, dense)

    @classmethod
    def of_encoders(cls, encoder: Encoder, dense: str | None) -> Names:
        """The names for an index yet to be built, and the dense encoder of its dense side."""
        parts = encoder.identity.get("parts", [{"name": encoder.name}])
        return cls(encoder.name, tuple(part["name"] for part in parts), dense)

    def select(self, retrievers: str) -> list[str]:
        """The retrievers in a text, TERMS and DENSE included; see `build_hybrid`.

        A name may contain a comma, as bm25:bm25l,k1=1.2 does.  Raises `QueryError` for a name of
        no retriever.
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
                    f"{rest.partition(',')[0]!r} is not a retriever of this index; it has "
                    f"{', '.join(known)}"
                )
            names.append(max(fitting, key=len))
            rest = rest[len(names[-1]) + 1 :]
        return [{self.whole: TERMS, self.dense: DENSE}.get(name, name) for name in names]

    def weights(
        self, selected: Sequence[str], weights: float | str | Mapping[str, float] | None
    ) -> list[float] | None:
        """The weight of each selected retriever; see `build_hybrid`."""
        if weights is None:
            return None
        full = {TERMS: self.whole, DENSE: self.dense or DENSE}
        names = [full.get(name, name) for name in selected]
        if isinstance(weights, str | Mapping):
            parsed = parse_weights(weights, names)
            return [parsed[name] for name in names]
        if len(selected) != 2 or selected.count(DENSE) != 1:
            raise QueryError(
                "a single weight needs two retrievers, one of them dense; give one weight for "
                f"each of {', '.join(names)}, as NAME=WEIGHT,…"
            )
        weight = real("the weight of the dense vectors", weights, 0, 1)
        return [weight if name == DENSE else 1.0 - weight for name in selected]


def build_hybrid(
    context: SearchContext,
    fusion: str = DEFAULT_FUSION,
    *,
    retrievers: str = f"{TERMS},{DENSE}",
    weights: float | str | Mapping[str, float] | None = None,
    prf: FeedbackKind | None = None,
    options: SearchOptions | None = None,
    **settings: Any,
) -> Hybrid:
    """A hybrid of retrievers of one index, by their names.

    Args:
        fusion: a method of `lsr.fusion.methods`, or "learned" for the fusion that `lsr tune` stored
            in the index.
        retrievers: names with commas between: "terms" for all terms of the index, "dense" for its
            dense vectors, or names of encoders or of their parts, such as "bm25".
        weights: of every retriever by its name, as a mapping or as text,
            "bm25+splade-tiny=.6,minilm=.4"; a number is the weight of the dense vectors, and the
            other retriever has 1 minus it.
        prf: feedback with the usual parameters; `feedback` of `Hybrid` takes others.
        options: for searching the terms; `threads` applies to the dense vectors, too.
        settings: `missing`, `depth`, `rescore`, `feedback` and `interpolate` of `Hybrid`.

    Raises `IndexFormatError` without the dense vectors that are asked for, `QueryError`,
    `EncoderError` and `FusionError` for settings that do not fit the index.
    """
    if fusion not in (*METHODS, LEARNED):
        raise QueryError(f"there is no fusion {fusion!r}; use {', '.join((*METHODS, LEARNED))}")
    options = options or SearchOptions()
    names = Names.of(context)
    selected = names.select(retrievers)
    made: list[Retriever[Any]] = []
    for name in selected:
        if name == DENSE:
            made.append(DenseRetriever(context, options.threads))
        else:
            made.append(SparseRetriever(context, None if name == TERMS else name, options))
    if prf is not None:
        settings["feedback"] = Feedback.of(prf)
    return Hybrid(
        made,
        LearnedFusion.load(learned_file(context)) if fusion == LEARNED else fusion,  # type: ignore[arg-type]  # checked above
        weights=names.weights(selected, weights),
        **settings,
    )


def learned_file(context: SearchContext) -> Path:
    """The file of an index's learned fusion, written by `lsr tune`; named by the edition."""
    return context.path / context.manifest.fusion_file


def learned_problems(path: Path) -> list[str]:
    """The damage of the learned fusion of an index, if it has one."""

    def attempt() -> list[str]:
        try:
            file = path / Manifest.read(path).fusion_file
            if file.exists():
                LearnedFusion.load(file)
        except FusionError as error:
            return [str(error)]
        except IndexCorrupt:  # reported by others
            pass
        return []

    return steady(path / MANIFEST, attempt)

"""The lists of `lsr models`: methods and the models known for them, from `catalogue.toml`.

The lists inform; any other folder or hub id of a known layout loads as well.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from lsr.encoders.checkpoints.checkpoint import is_cached
from lsr.encoders.methods import METHODS, Side

Place = Literal["built in", "cached", "on the hub"]  # best first


@dataclass(frozen=True, slots=True)
class ListedMethod:
    """A method of the list.

    Attributes:
        name: what `lsr.load_encoder` takes, before a colon where a checkpoint follows.
        queries, documents: how their vectors come about, in a few words.
        paper: where it comes from.
        query_model: whether a model runs for each query.
        pair: whether queries have a checkpoint of their own.
        expanded: whether it was published for documents with predicted queries or terms appended.
    """

    name: str
    queries: str
    documents: str
    paper: str
    query_model: bool = False
    pair: bool = False
    expanded: bool = False


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model known by name; figures are those its source gives, and None means not known.

    Attributes:
        name: what `lsr.load_encoder` takes: a built-in name or a hub id.
        method: the name of a listed method.
        parameters: in millions; where only the size of the weights is known, a fourth of it.
        licence: of the weights, as an SPDX identifier in lower case.
        mrr: MRR@10 on the development queries of MS MARCO passages.
        beir: mean nDCG@10 over the 13 BEIR collections that most papers report.
        others: further figures by measure and collection.
        source: where the figures stand.
        builtin: whether it comes with lsr.
        obstacle: why it cannot be loaded, or None when it can.
        note: what to know before using it.
    """

    name: str
    method: str
    parameters: float | None = None
    licence: str | None = None
    mrr: float | None = None
    beir: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None
    builtin: bool = False
    obstacle: str | None = None
    note: str | None = None


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text("utf-8"))


def listed_methods() -> list[ListedMethod]:
    """All methods: encoders of other kinds first, then those declared as two sides."""
    tables = _tables()
    rows = dict(tables["others"])
    for name, method in METHODS.items():
        rows[name] = {
            "queries": in_words(method.query),
            "documents": in_words(method.document),
            "query_model": method.query.needs_model,
            "pair": method.pair,
            "expanded": method.expanded,
        }
    return [ListedMethod(name, paper=tables["papers"][name], **row) for name, row in rows.items()]


@cache
def known_models() -> tuple[KnownModel, ...]:
    """All models known by name."""
    tables = _tables()
    return tuple(
        KnownModel(name, others=tables["figures"].get(name, {}), **row)
        for name, row in tables["models"].items()
    )


def known_model(name: str) -> KnownModel | None:
    """The known model of a name as `lsr.load_encoder` takes it, or None.

    A revision (`ORG/NAME@REVISION`) and the constants of a BM25 are passed over.
    """
    bare = name.partition("," if name.startswith("bm25") else "@")[0]
    bare = "bm25" if bare == "bm25:lucene" else bare
    return next((model for model in known_models() if model.name == bare), None)


def in_words(side: Side) -> str:
    """A side by what differs from `Side(head)`: "mlm", "mlp relu sum", "epic top 1000"."""
    words: list[str] = [side.head]
    for option in fields(side)[1:]:
        value: Any = getattr(side, option.name)
        if value == option.default:
            continue
        if not isinstance(value, str) or option.name == "phrases":  # others say what they are
            words.append(option.name.replace("_", " "))
        if not isinstance(value, bool):
            words.append(f"{value}")
    return " ".join(words)


def weights_of(method: str) -> dict[str, Place]:
    """The models known for a method that can be loaded, and where each is, best first."""
    models = [model for model in known_models() if model.name == method]
    models = models or [model for model in known_models() if model.method == method]
    places: dict[str, Place] = {
        model.name: "built in"
        if model.builtin
        else "cached"
        if is_cached(model.name)
        else "on the hub"
        for model in models
        if model.obstacle is None
    }
    return dict(sorted(places.items(), key=lambda item: get_args(Place).index(item[1])))

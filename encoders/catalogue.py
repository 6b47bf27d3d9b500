"""Every method in one list: what it computes, where it comes from, what it needs.

Methods declared as two sides are listed by their declaration; what is no two sides joins by an
entry of `OTHERS`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from lsr.encoders.checkpoints.checkpoint import is_cached
from lsr.encoders.known import KNOWN
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


# Encoders of other kinds than "learned".
OTHERS = (
    ListedMethod(
        "bm25",
        "counts",
        "idf x tf, Lucene's; bm25:language=de stems German words, auto by script",
        'C. Kamphuis et al., "Which BM25 do you mean? A large-scale reproducibility study of '
        'scoring variants" (ECIR 2020)',
    ),
    ListedMethod(
        "bm25:robertson",
        "counts",
        "idf x tf, the first",
        'S. Robertson et al., "Okapi at TREC-3" (TREC 1994)',
    ),
    ListedMethod(
        "bm25:atire",
        "counts",
        "idf x tf, ATIRE's",
        'A. Trotman et al., "Towards an efficient and effective search engine" (OSIR 2012)',
    ),
    ListedMethod(
        "bm25:bm25l",
        "counts",
        "idf x tf, for long ones",
        'Y. Lv and C. Zhai, "When documents are very long, BM25 fails!" (SIGIR 2011)',
    ),
    ListedMethod(
        "bm25:bm25+",
        "counts",
        "idf x tf, never near 0",
        'Y. Lv and C. Zhai, "Lower-bounding term frequency normalization" (CIKM 2011)',
    ),
    ListedMethod(
        "csr",
        "latents",
        "the same",
        'T. Wen et al., "Beyond Matryoshka: Revisiting sparse coding for adaptive representation" '
        "(ICML 2025); `lsr fit-sae` makes one of a collection",
        query_model=True,
    ),
    ListedMethod(
        "uhd",
        "winners of wide layers",
        "the same",
        'K.-R. Jang et al., "Ultra-high dimensional sparse representations with binarization for '
        'efficient text retrieval" (EMNLP 2021)',
        query_model=True,
    ),
    ListedMethod(
        "dsr",
        "one term a slice",
        "the same",
        'S.-C. Lin and J. Lin, "A dense representation framework for lexical and semantic '
        'matching" (TOIS 2023); of any encoder, dsr:ENCODER',
        query_model=True,
    ),
)


def listed_methods() -> list[ListedMethod]:
    """All methods."""
    return [
        *OTHERS,
        *(
            ListedMethod(
                name,
                in_words(method.query),
                in_words(method.document),
                method.paper,
                method.query.needs_model,
                method.pair,
                method.expanded,
            )
            for name, method in METHODS.items()
        ),
    ]


def in_words(side: Side) -> str:
    """A side by what differs from `Side(head)`: "mlm", "mlp relu sum", "epic top 1000"."""
    words: list[str] = [side.head]
    for field in fields(side)[1:]:
        value: Any = getattr(side, field.name)
        if value == field.default:
            continue
        if not isinstance(value, str) or field.name == "phrases":  # other words say what they are
            words.append(field.name.replace("_", " "))
        if not isinstance(value, bool):
            words.append(f"{value}")
    return " ".join(words)


def weights_of(method: str) -> dict[str, Place]:
    """The models known for a method that can be loaded, and where each is, best first."""
    named = [model for model in KNOWN if model.name == method]
    places: dict[Place, list[str]] = {place: [] for place in get_args(Place)}
    for model in named or [model for model in KNOWN if model.method == method]:
        if model.builtin:
            places["built in"].append(model.name)
        elif model.obstacle is None:
            places["cached" if is_cached(model.name) else "on the hub"].append(model.name)
    return {name: place for place, names in places.items() for name in names}

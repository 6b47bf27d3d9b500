"""Text to sparse vectors: learned encoders from checkpoints, and lexical BM25.

Importing this is light; what a kind of encoder needs is imported when one is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from typing import Any, Literal

import numpy.typing as npt

from lsr.arguments import named
from lsr.encoders.base import Encoder, Settings, Vocabulary
from lsr.encoders.methods import Precision
from lsr.encoders.names import kind_of_folder, split_name
from lsr.errors import EncoderError, EncoderMismatch

__all__ = [
    "DEFAULT_ENCODER",
    "Encoder",
    "Vocabulary",
    "load_encoder",
    "register_kind",
    "restore_encoder",
]

# What `lsr index`, `lsr eval` and `Index.build` use when not told otherwise.
DEFAULT_ENCODER = "bm25+splade-tiny"

LEARNED = "learned"

# Kind -> module with `load(name, settings)` and
# `restore(identity, vocabulary, term_columns, source, settings)`.
_MODULES = {
    LEARNED: "lsr.encoders.learned",
    "bm25": "lsr.encoders.lexical.bm25",
    "composite": "lsr.encoders.composite.encoder",
    "csr": "lsr.encoders.latent.csr",
    "dsr": "lsr.encoders.latent.dsr",
    "uhd": "lsr.encoders.latent.uhd",
}


def register_kind(kind: str, module: str) -> None:
    """Let names `kind` and `kind:…` be loaded by `module`, imported when first needed."""
    _MODULES[kind] = module


def load_encoder(
    name: str | PathLike[str] = "splade-tiny",
    *,
    max_length: int = 256,
    pooling: Literal["max", "sum"] | None = None,
    document_terms: int | None = None,
    query_terms: int | None = None,
    prune_ratio: float | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    weights: Mapping[str, float] | str | None = None,
    precision: Precision = "fp32",
    threads: int | None = None,
    max_memory: int | None = None,
) -> Encoder:
    """The encoder of a name.

    Args:
        name: a built-in model; a folder in one of the layouts of
            `lsr.encoders.checkpoints.layouts`, which may be a path; a model hub id
            `ORG/NAME[@REVISION]`; `METHOD:MODEL[,QUERY_MODEL]` for one of them taken as a method
            of `lsr.encoders.methods`, of a pair the documents' first; `bm25`; or
            `bm25:[VARIANT][,language=…][,k1=…][,b=…][,delta=…]` with a variant among robertson,
            lucene, atire, bm25l, bm25+, and a language by its ISO 639-1 code or Snowball name, or
            "auto", which goes by the script of each word; a folder of a sparse autoencoder, or
            `csr:` before its hub id; `dsr:ENCODER` for the strongest terms of another's slices; or
            several of these joined by "+", whose terms stand side by side, as in
            `bm25+splade-tiny`.
        max_length: tokens read of a text, special ones included (not part of bm25).
        pooling: "max" or "sum" over positions (not part of bm25); None takes what the
            checkpoint says, else "max".
        document_terms, query_terms: keep only so many of the strongest terms.
        prune_ratio: drop a document's weights of at most this part of its largest (not part
            of bm25); None takes what the checkpoint says, else 0.
        device: where a model runs, such as "cpu" or "cuda:0", or several joined by "," that share
            the work; None is "cuda" for documents when there is one, else "cpu".
        batch_size: most documents a model sees at once; None goes by their tokens.
        weights: of the parts of an encoder of several, every one by its name, as a mapping or
            as text, "bm25=.6,splade-tiny=.4"; None weighs them alike.
        precision: of the matrix products of a model's body, "fp32", "bf16" or "int8" (the last
            for models like BERT on a CPU); what follows it is always computed in float32.
        threads: that run models on a CPU; None is one a processor.
        max_memory: bytes this process shall take at most while it encodes; None for no limit.

    Raises `EncoderError` when there is no such encoder or it cannot be loaded as asked.
    """
    settings = Settings(
        max_length,
        pooling,
        document_terms,
        query_terms,
        prune_ratio,
        device,
        batch_size,
        weights,
        precision,
        threads,
        max_memory,
    )
    return load_with(named("an encoder", name, error=EncoderError), settings)


def load_with(name: str, settings: Settings) -> Encoder:
    """As `load_encoder`."""
    encoder: Encoder = _module(_kind(name)).load(name, settings)
    if settings.weights is not None:
        encoder.reweigh(settings.weights)
    return encoder


def restore_encoder(
    identity: Mapping[str, Any],
    vocabulary: Vocabulary,
    term_columns: Mapping[str, npt.NDArray[Any]],
    *,
    source: str | PathLike[str] | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    max_memory: int | None = None,
    weights: Mapping[str, float] | str | None = None,
) -> Encoder:
    """The encoder an index was built with.

    Args:
        identity: the `identity` recorded with the index.
        vocabulary: the recorded words, one a term.
        term_columns: the recorded `term_columns()`.
        source: where to load a model from instead of where it was (a name as for
            `load_encoder`).
        device, batch_size, threads, max_memory: as for `load_encoder`.
        weights: of the parts of an encoder of several, instead of the recorded ones.

    Raises `EncoderMismatch` when what is there now is not the recorded encoder, and
    `EncoderError` when it cannot be loaded.
    """
    if source is not None:
        source = named("an encoder", source, error=EncoderError)
    settings = Settings(
        device=device, batch_size=batch_size, threads=threads, max_memory=max_memory
    )
    encoder = restore_with(identity, vocabulary, term_columns, source, settings)
    if weights is not None:
        encoder.reweigh(weights)
    return encoder


def restore_with(
    identity: Mapping[str, Any],
    vocabulary: Vocabulary,
    term_columns: Mapping[str, npt.NDArray[Any]],
    source: str | None,
    settings: Settings,
) -> Encoder:
    """As `restore_encoder`; of the settings, what decides no vector is read."""
    kind = identity.get("kind")
    if kind not in _MODULES:
        raise EncoderError(
            f"the index was built with an encoder of the kind {kind!r}, which is not among "
            f"those known here ({', '.join(sorted(_MODULES))}); update lsr, or rebuild the index"
        )
    if source is not None and _kind(source) != kind:
        raise EncoderMismatch(
            f"the index was built with the encoder {identity.get('name')!r} of the kind "
            f"{kind!r}, but {source!r} is of the kind {_kind(source)!r}; give the encoder the "
            "index was built with"
        )
    encoder: Encoder = _module(kind).restore(identity, vocabulary, term_columns, source, settings)
    return encoder


def _kind(name: str) -> str:
    if len(split_name(name)) > 1:
        return "composite"
    prefix = name.partition(":")[0]
    if prefix in _MODULES:
        return prefix
    return kind_of_folder(name) or LEARNED


def _module(kind: str) -> Any:
    try:
        return import_module(_MODULES[kind])
    except ImportError as error:
        raise EncoderError(
            f"encoders of the kind {kind!r} need the package {error.name}; install it"
        ) from error

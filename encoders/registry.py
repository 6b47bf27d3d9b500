"""The kinds of encoders, and how one is loaded by name or restored from an index."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from typing import Any, Literal

import numpy.typing as npt

from lsr.arguments import named
from lsr.encoders.base import Encoder, Recorded, Settings, Vocabulary, Where
from lsr.encoders.methods import Precision
from lsr.encoders.names import kind_of_folder, split_name
from lsr.errors import EncoderError, EncoderMismatch

LEARNED = "learned"

# Kind -> module with `load(name, settings)` and `restore(recorded, where)`.
KINDS = {
    LEARNED: "lsr.encoders.learned",
    "bm25": "lsr.encoders.lexical.bm25",
    "composite": "lsr.encoders.composite.encoder",
    "csr": "lsr.encoders.latent.csr",
    "dsr": "lsr.encoders.latent.dsr",
    "uhd": "lsr.encoders.latent.uhd",
}


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
    """Load the encoder of a name.

    Args:
        name: a built-in model; a folder in one of the layouts of
            `lsr.encoders.checkpoints.layouts`, which may be a path; a model hub id
            `ORG/NAME[@REVISION]`; `METHOD:MODEL[,QUERY_MODEL]` to use one of them with a method
            of `lsr.encoders.methods`, the documents' model first in a pair; `bm25`; or
            `bm25:[VARIANT][,language=…][,k1=…][,b=…][,delta=…]` with a variant among robertson,
            lucene, atire, bm25l, bm25+, and a language by its ISO 639-1 code or Snowball name, or
            "auto", which goes by the script of each word; a folder of a sparse autoencoder, or
            `csr:` before its hub id; `dsr:ENCODER` for the strongest term of each slice of
            another encoder's vocabulary; or several of these joined by "+", whose terms stand
            side by side, as in `bm25+splade-tiny`.
        max_length: tokens read of a text, special ones included (not for bm25).
        pooling: "max" or "sum" over positions (not for bm25); None takes the checkpoint's, else
            "max".
        document_terms, query_terms: number of strongest terms to keep.
        prune_ratio: drop a document's weights of at most this fraction of its largest (not for
            bm25); None takes the checkpoint's, else 0.
        device: where a model runs, such as "cpu" or "cuda:0", or several joined by "," that share
            the work; None is "cuda" for documents when there is one, else "cpu".
        batch_size: most documents a model sees at once; None goes by their tokens.
        weights: of all parts of a composite encoder, as a mapping or as text,
            "bm25=.6,splade-tiny=.4"; None weighs them equally.
        precision: of the matrix products of a model's body, "fp32", "bf16" or "int8" (the last
            for models like BERT on a CPU); all else is computed in float32.
        threads: that run models on a CPU; None is one per processor.
        max_memory: limit on the bytes of memory of this process while it encodes; None for none.

    Raises `EncoderError` when there is no such encoder or it cannot be loaded with the settings.
    """
    settings = Settings(
        max_length=max_length,
        pooling=pooling,
        document_terms=document_terms,
        query_terms=query_terms,
        prune_ratio=prune_ratio,
        device=device,
        batch_size=batch_size,
        weights=weights,
        precision=precision,
        threads=threads,
        max_memory=max_memory,
    )
    return load_with(named("an encoder", name, error=EncoderError), settings)


def load_with(name: str, settings: Settings) -> Encoder:
    """As `load_encoder`."""
    encoder: Encoder = _module(_kind(name)).load(name, settings)
    if settings.weights is not None:
        encoder.set_part_weights(settings.weights)
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
    """Restore the encoder an index was built with.

    Args:
        identity, vocabulary, term_columns, source: see `Recorded`; the source may be a path.
        device, batch_size, threads, max_memory: as for `load_encoder`.
        weights: of the parts of a composite encoder, instead of the recorded ones.

    Raises `EncoderMismatch` when another encoder is there now, and `EncoderError` when none can
    be loaded.
    """
    if source is not None:
        source = named("an encoder", source, error=EncoderError)
    where = Where(device=device, batch_size=batch_size, threads=threads, max_memory=max_memory)
    encoder = restore_with(Recorded(identity, vocabulary, term_columns, source), where)
    if weights is not None:
        encoder.set_part_weights(weights)
    return encoder


def restore_with(recorded: Recorded, where: Where) -> Encoder:
    """As `restore_encoder`."""
    kind, source = recorded.identity.get("kind"), recorded.source
    if kind not in KINDS:
        raise EncoderError(
            f"the index was built with an encoder of the kind {kind!r}, which is not among "
            f"those known here ({', '.join(sorted(KINDS))}); update lsr, or rebuild the index"
        )
    if source is not None and _kind(source) != kind:
        raise EncoderMismatch(
            f"the index was built with the encoder {recorded.identity.get('name')!r} of the kind "
            f"{kind!r}, but {source!r} is of the kind {_kind(source)!r}; give the encoder the "
            "index was built with"
        )
    encoder: Encoder = _module(kind).restore(recorded, where)
    return encoder


def _kind(name: str) -> str:
    if len(split_name(name)) > 1:
        return "composite"
    prefix = name.partition(":")[0]
    if prefix in KINDS:
        return prefix
    return kind_of_folder(name) or LEARNED


def _module(kind: str) -> Any:
    try:
        return import_module(KINDS[kind])
    except ImportError as error:
        raise EncoderError(
            f"encoders of the kind {kind!r} need the package {error.name}; install it"
        ) from error

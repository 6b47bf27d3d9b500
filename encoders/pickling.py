"""Encoders in pickles: as what restores them, never as the weights of a model.

A pickle holds an encoder's identity, words, term columns and settings.  Where a model is part of
it, unpickling (and copying) loads it again from where it was and compares hashes, as opening an
index does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy.typing as npt

import lsr.encoders as encoders
from lsr.encoders.base import Encoder, Settings
from lsr.encoders.dense.encoder import DenseEncoder, restore_dense
from lsr.encoders.text.analysis import GrowingVocabulary
from lsr.errors import EncoderError, EncoderMismatch


def reduced(encoder: Encoder, settings: Settings) -> tuple[Any, ...]:
    """What `__reduce__` returns: how to make the encoder again."""
    vocabulary = encoder.vocabulary
    words = [vocabulary[term] for term in range(len(vocabulary))]
    columns = encoder.term_columns()
    return _again, (encoder.identity, words, columns, replace(settings, weights=None))


def reduced_dense(encoder: DenseEncoder, threads: int | None, device: str | None) -> Any:
    """As `reduced`."""
    return _dense_again, (encoder.identity, threads, device)


def _again(
    identity: Mapping[str, Any],
    words: Sequence[str],
    columns: Mapping[str, npt.NDArray[Any]],
    settings: Settings,
) -> Encoder:
    with _unpickling(identity):
        return encoders.restore_with(identity, GrowingVocabulary(words), columns, None, settings)


def _dense_again(
    identity: Mapping[str, Any], threads: int | None, device: str | None
) -> DenseEncoder:
    with _unpickling(identity):
        return restore_dense(identity, threads=threads, device=device)


@contextmanager
def _unpickling(identity: Mapping[str, Any]) -> Iterator[None]:
    """What goes wrong, said of a pickle instead of an index."""
    source = " and ".join(_sources(identity))
    what = f"the encoder {identity['name']!r} cannot be unpickled or copied"
    try:
        yield
    except EncoderMismatch as error:
        raise EncoderMismatch(
            f"{what}: {source} holds another encoder now; bring back the one it was made with"
        ) from error
    except EncoderError as error:
        raise EncoderError(
            f"{what}: it cannot be loaded from {source} now; bring back what was there"
        ) from error


def _sources(identity: Mapping[str, Any]) -> list[str]:
    """Where the models of an encoder are."""
    inner = identity.get("encoder")
    return _sources(inner) if inner is not None else [str(identity.get("source", "this release"))]

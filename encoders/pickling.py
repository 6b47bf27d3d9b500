"""Encoders in pickles: as the record that restores them, never as the weights of a model.

A pickle holds an encoder's identity, words, term columns and settings.  Unpickling (and copying)
loads its model again from its source and compares hashes, as opening an index does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lsr.encoders.base import Encoder, Recorded, Settings, Where, check_texts
from lsr.encoders.registry import restore_with
from lsr.encoders.text.analysis import GrowingVocabulary
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors

_T = TypeVar("_T")


class ModelEncoder(Encoder):
    """An encoder that runs the model of a checkpoint on each text, without statistics."""

    _settings: Settings

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self, self._settings)

    def encode_documents(self, texts: Iterable[str]) -> SparseVectors:
        return self.collect(check_texts(texts))


def reduced(encoder: Encoder, where: Where) -> tuple[Any, ...]:
    """The result of an encoder's `__reduce__`: how to make it again."""
    words = [encoder.vocabulary[term] for term in range(len(encoder.vocabulary))]
    return _again, (encoder.identity, words, encoder.term_columns(), where.where)


def _again(identity: Mapping[str, Any], words: list[str], columns: Any, where: Where) -> Encoder:
    recorded = Recorded(identity, GrowingVocabulary(words), columns)
    return unpickled(identity, lambda: restore_with(recorded, where))


def unpickled(identity: Mapping[str, Any], restore: Callable[[], _T]) -> _T:
    """Restore an encoder, with errors about a pickle instead of an index."""
    inner = identity
    while "encoder" in inner:
        inner = inner["encoder"]
    source = inner.get("source", "this release")
    failure = f"the encoder {identity['name']!r} cannot be unpickled or copied"
    try:
        return restore()
    except EncoderMismatch as error:
        raise EncoderMismatch(
            f"{failure}: {source} holds another encoder now; restore the one it was made with"
        ) from error
    except EncoderError as error:
        raise EncoderError(
            f"{failure}: it cannot be loaded from {source} now; restore the folder"
        ) from error

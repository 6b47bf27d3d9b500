"""Restoring an encoder from its record: the steps that all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from lsr.encoders.checkpoints.checkpoint import Checkpoint
from lsr.errors import EncoderError, EncoderMismatch

_T = TypeVar("_T")

# These do not change the vectors.
_LOCATION = ("name", "source", "revision")


@contextmanager
def reading(
    encoder: str = "the recorded encoder", again: str = "rebuild the index"
) -> Iterator[None]:
    """Turn the errors of reading a record into an `EncoderError`."""
    try:
        yield
    except KeyError as error:
        raise EncoderError(f"{encoder} is incomplete: it lacks {error}; {again}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise EncoderError(f"{encoder} is incomplete ({error!r}); {again}") from None


def find_recorded(
    identity: Mapping[str, Any],
    source: str | None,
    find: Callable[[str], _T],
) -> _T:
    """A recorded encoder by `find`, from `source` or from its recorded location."""
    if source is not None:
        return find(source)
    address = str(identity["source"])
    try:
        return find(address)
    except EncoderError as error:
        encoder, remedy = "encoder", "pass --encoder FOLDER with"
        if identity["kind"] == "dense":
            encoder, remedy = "dense encoder", "name"
        raise EncoderError(
            f"the {encoder} {identity['name']!r} of the index cannot be found where it was, "
            f"{address}: {remedy} the folder it is in now ({error})"
        ) from None


def check_same(
    identity: Mapping[str, Any], found: Mapping[str, Any], checkpoint: Checkpoint
) -> None:
    """Raise `EncoderMismatch` unless the encoder found has the recorded identity.

    Args:
        found: the identity, or a part of it, of the encoder that `checkpoint` holds.
    """
    built, made = "the index was built with", "the index was built with, or rebuild the index"
    if identity["kind"] == "dense":
        built = "the dense vectors of the index are of"
        made = "they were made with, or make them again"
    for key, value in found.items():
        if key not in _LOCATION and identity.get(key) != value:
            name = key.replace("_", " ")
            raise EncoderMismatch(
                f"{built} the encoder {identity['name']!r} ({name} {identity.get(key)}), but "
                f"{checkpoint.folder} holds {checkpoint.name!r} ({name} {value}); give the encoder "
                f"{made}"
            )

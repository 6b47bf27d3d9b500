"""Sealed JSON: manifests, and other small files that hold a checksum of themselves.

    SEALED      = JSON of an object: "format", its version and "checksum", then its fields
    checksum    = the BLAKE2b-128 of the file's bytes with its own 32 digits replaced by zeros

A checksum is no signature: nothing below it is trusted either.  So a reader gives the dataclass
that the fields are to become, and gets one whose fields have the types it declares.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from lsr.errors import LsrError
from lsr.storage.files import checksum_bytes, checksum_file, read_file, write_atomically

MANIFEST = "manifest.json"

_CHECKSUM = re.compile(rb'"checksum": "([0-9a-f]{32})"')
_NO_CHECKSUM = b'"checksum": "' + b"0" * 32 + b'"'
_LARGEST = 1 << 28

T = TypeVar("T")

Problem = Literal["unreadable", "format", "version", "damaged"]
Refusal = Callable[[Problem, str], LsrError]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file as a manifest lists it: bytes, and its BLAKE2b-128 in hexadecimal."""

    size: int
    checksum: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        return cls(path.stat().st_size, checksum_file(path))


def sealed_json(head: Mapping[str, Any], body: Mapping[str, Any]) -> bytes:
    """JSON of both, with a "checksum" in between that `seal_holds` compares."""
    text = json.dumps({**head, "checksum": "0" * 32, **body}, indent=1, ensure_ascii=False)
    data = text.encode(errors="backslashreplace")
    digest = checksum_bytes(data).encode()
    return data.replace(_NO_CHECKSUM, b'"checksum": "' + digest + b'"', 1)


def write_sealed(path: Path, head: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Write `sealed_json`, all or nothing."""
    write_atomically(path, sealed_json(head, body))


def seal_holds(data: bytes) -> bool:
    """Whether the bytes are those that `sealed_json` made."""
    match = _CHECKSUM.search(data)
    if match is None:
        return False
    zeroed = data[: match.start()] + _NO_CHECKSUM + data[match.end() :]
    return checksum_bytes(zeroed) == match.group(1).decode()


def read_sealed(
    path: Path,
    format: str,
    versions: Collection[int],
    kind: type[T],
    refusal: Refusal,
    version_field: str = "version",
    upgrade: Callable[[dict[str, Any], bytes], None] = lambda body, data: None,
) -> T:
    """Read and check a sealed file.

    Args:
        format: what its "format" must be.
        versions: that can be read.
        kind: the dataclass of its fields.  A field whose default is None may be missing.
        refusal: the error to raise for a problem and a few words about it: "unreadable", no JSON;
            "format", a file of something else; "version", which the words are; "damaged", a wrong
            checksum or field.
        version_field: where the version stands.
        upgrade: brings the fields of older versions to those of `kind`; gets the file's bytes too.

    Raises what `refusal` makes, `FileNotFoundError` and `SystemCallError`.
    """
    try:
        data = read_file(path, _LARGEST)
        body = json.loads(data)
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from None
    except (ValueError, RecursionError):
        raise refusal("unreadable", "it is not JSON") from None
    sound = seal_holds(data)
    if not isinstance(body, dict) or body.get("format") != format:
        # A flipped bit may have made another format of it.
        raise (
            refusal("damaged", "its checksum does not match its contents")
            if _CHECKSUM.search(data) and not sound
            else refusal("format", "it is a manifest of another kind")
        )
    version = body.get(version_field)
    if type(version) is int and version not in versions:
        raise refusal("version", str(version))
    if not sound:
        raise refusal("damaged", "its checksum does not match its contents")
    try:
        upgrade(body, data)
        return cast(T, _decoder(cast(Any, kind))(body))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        what = _field_of(error)
        raise refusal("damaged", f"a field is missing or has an impossible value{what}") from None


def _field_of(error: Exception) -> str:
    """The name of the field that an error is about, in brackets, if it is that short."""
    text = str(error).strip("'")
    return f" ({text})" if 0 < len(text) < 60 else ""


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    """A function from a JSON value to one of a type; it raises `ValueError` for another value."""
    if is_dataclass(kind):
        return _dataclass_decoder(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        (other,) = (_decoder(one) for one in inner if one is not types.NoneType)
        return lambda value: None if value is None else other(value)
    if origin is list:
        item = _decoder(inner[0])
        return lambda value: [item(one) for one in _of(value, list)]
    if origin is dict:
        item = _decoder(inner[1])
        return lambda value: {name: item(one) for name, one in _of(value, dict).items()}
    return {Any: lambda value: value, int: _whole, float: _number}.get(
        kind, lambda value: _of(value, kind)
    )


def _dataclass_decoder(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    decoders = {field.name: _decoder(hints[field.name]) for field in fields(kind)}
    optional = {field.name for field in fields(kind) if field.default is None}

    def decode(value: Any) -> Any:
        values = _of(value, dict)
        made = {}
        for name, decoder in decoders.items():
            if name in values:
                try:
                    made[name] = decoder(values[name])
                except (ValueError, TypeError, OverflowError):
                    raise ValueError(name) from None
            elif name not in optional:
                raise KeyError(name)
        return kind(**made)

    return decode


def _of(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{type(value).__name__} instead of {kind.__name__}")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value} is not a whole number")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value} is not a number")
    return value  # type: ignore[no-any-return]  # an int stays one, as it was written

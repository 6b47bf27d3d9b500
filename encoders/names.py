"""Encoders of several parts by their names: parsed from a name or an identity."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from lsr.arguments import named, real
from lsr.data.builtin import MODELS
from lsr.errors import EncoderError

# A plus sign but the one of the BM25 variant bm25+, whose name is "bm25:bm25+".
_PLUS = re.compile(r"(?<!bm25:bm25)\+")


def split_name(name: str) -> list[str]:
    """The names of the parts of `name`: of "bm25+splade-tiny" two, of "bm25" itself.

    A folder with a plus sign in its name is one part, unless all that the signs separate are
    built-in names, which come before folders everywhere.
    """
    pieces = _PLUS.split(name)
    if all(piece in MODELS or piece.partition(":")[0] == "bm25" for piece in pieces):
        return pieces
    parts: list[str] = []
    while pieces:
        for count in range(len(pieces), 0, -1):
            part = "+".join(pieces[:count])
            if count == 1 or Path(_folder(part)).expanduser().is_dir():
                break
        parts.append(part)
        del pieces[:count]
    return parts


def _folder(part: str) -> str:
    """The folder that a part names, if it names one: METHOD: may stand before it."""
    method, colon, rest = part.partition(":")
    return rest if colon and "+" not in method else part


def lasting_name(name: str | PathLike[str]) -> str:
    """A name that finds the same encoder later: its folders are absolute."""
    parts = split_name(named("an encoder", name, error=EncoderError))
    return "+".join(_absolute(part) for part in parts)


def _absolute(part: str) -> str:
    """A part's name, whole or after METHOD: and before a comma, with absolute folders."""
    if part in MODELS:
        return part
    if part and Path(part).expanduser().is_dir():
        return str(Path(part).expanduser().absolute())
    for mark in (":", ","):
        before, separator, after = part.partition(mark)
        if separator:
            return f"{_absolute(before) if mark == ',' else before}{mark}{_absolute(after)}"
    return part


def kind_of_folder(name: str) -> str | None:
    """The kind of encoder in the folder of a name, by its files.

    "uhd" with buckets (`lsr.encoders.latent.uhd`), "csr" with a sparse autoencoder
    (`lsr.encoders.latent.csr`), and None for others, whose errors their reader reports.
    """
    folder = Path(name).expanduser()
    if (folder / "buckets.safetensors").is_file():
        return "uhd"
    try:
        modules = json.loads((folder / "modules.json").read_bytes())
        return "csr" if str(modules[-1]["type"]).endswith(".SparseAutoEncoder") else None
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return None


def part_slices(identity: Mapping[str, Any] | None) -> list[tuple[str, int, int]]:
    """Name, first term and end of each part recorded in an index; none for a single encoder."""
    if identity is None or identity.get("kind") != "composite":
        return []
    slices: list[tuple[str, int, int]] = []
    end = 0
    for entry in identity["parts"]:
        slices.append((str(entry["name"]), end, end := end + int(entry["size"])))
    return slices


def parse_weights(weights: Mapping[str, float] | str, names: Sequence[str]) -> dict[str, float]:
    """The weight of each of `names`, of parts of an encoder or of retrievers.

    Args:
        weights: of every one by its name, as a mapping or as text, "bm25=.6,splade-tiny=.4".

    Raises `EncoderError` when one is missing, unknown or named twice, when a weight is no
    finite number of at least 0, or when all are 0.
    """
    parsed = _parse(weights, names) if isinstance(weights, str) else dict(weights)
    for name, weight in parsed.items():
        if name not in names:
            raise EncoderError(
                f"there is nothing called {name!r} to weigh here; give weights for "
                f"{', '.join(names)}"
            )
        parsed[name] = real(f"the weight of {name}", weight, error=EncoderError)
    missing = [name for name in names if name not in parsed]
    if missing:
        raise EncoderError(f"weights lack {', '.join(missing)}; give one for each")
    if not any(parsed.values()):
        raise EncoderError("all weights are 0, so nothing would be found; give one above 0")
    return {name: parsed[name] for name in names}


def _parse(text: str, names: Sequence[str]) -> dict[str, float]:
    parsed: dict[str, float] = {}
    rest = text
    while rest:
        # The name of a part may hold "," and "=" itself, as bm25:bm25l,k1=1.2 does.
        known = (name for name in names if rest.startswith(f"{name}="))
        name = next(known, rest.partition("=")[0])
        value, comma, after = rest[len(name) + 1 :].partition(",")
        try:
            if name in parsed or (comma and not after):
                raise ValueError
            parsed[name] = float(value)
        except ValueError:
            raise EncoderError(
                f"{text!r} are not weights; give NAME=NUMBER for each, separated by commas, "
                "as in bm25=.6,splade-tiny=.4"
            ) from None
        rest = after
    return parsed

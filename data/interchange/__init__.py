"""Encoded vectors in the file formats of other projects, written and read as streams.

A format is a line of `FORMATS` and a module of its name (one for all JSON lines, with a table of
these) with its grammar for a docstring and

- `write(file, path, source, scale, progress)`: write the documents of a `base.Source` to `file`,
  which is going to be `path`, weights times `scale` as integers if it is not None; return what
  the format could not hold, to be told to the user;
- `reader(path, vocabulary)`: the `base.Reader` of a file; `vocabulary` is a `vocabulary.Given`, or
  None to go by the file alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from lsr.data.records import BadRecord, parse_json
from lsr.data.streams import LineStream

_COMPRESSED = (".gz", ".zst")
_LINES = (".jsonl", ".json", ".ndjson")


@dataclass(frozen=True)
class Format:
    """Properties of a format, known before its module is imported.

    Attributes:
        suffixes: of its files.
        lines: whether it is JSON lines, which several formats are, and which may be compressed.
        integers: whether it can have integers for weights.
    """

    suffixes: tuple[str, ...]
    lines: bool
    integers: bool


FORMATS = {
    "jsonvectors": Format(_LINES, lines=True, integers=True),
    "seismic": Format(_LINES, lines=True, integers=True),
    "pyterrier": Format(_LINES, lines=True, integers=True),
    "npz": Format((".npz",), lines=False, integers=False),
    "csr": Format((".csr",), lines=False, integers=False),
    "ciff": Format((".ciff",), lines=False, integers=True),
}


def load(name: str) -> Any:
    """The module of a format, or its entry in that of JSON lines; imported when it is used."""
    if FORMATS[name].lines:
        return import_module("lsr.data.interchange.lines").LINES[name]
    return import_module(f"lsr.data.interchange.{name}")


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed by its name."""
    return path.suffix.lower() in _COMPRESSED


def named(path: Path) -> list[str]:
    """The formats that a file can be of by its name; none where the name says nothing."""
    name = PurePosixPath(path.name.lower())
    suffix = (name.with_suffix("") if is_compressed(path) else name).suffix
    return [key for key, format in FORMATS.items() if suffix in format.suffixes]


def detect(path: Path) -> str | None:
    """The format of a file by its name, and by its first record where several have that name.

    None when neither says; `CorpusError` when the file cannot be read.
    """
    names = named(path)
    if len(names) < 2:
        return names[0] if names else None
    for number, line in LineStream(path).lines():
        try:
            record = parse_json(number, line)
        except BadRecord:
            return None
        if record is not None:
            break
    else:
        return None
    if "toks" in record:
        return "pyterrier"
    if "vector" not in record:
        return None
    return "seismic" if "content" in record else "jsonvectors"

"""Records from lines and from columns, and the rules every record keeps.

A record is a mapping of field names to values, whatever the format: `_id` or `id`, `title`,
`text` or `contents`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from numbers import Integral, Number
from types import NoneType
from typing import Any, TypeAlias

from lsr.data.streams import MAX_LINE

MAX_ID_BYTES = 1024
ID_FIELDS = ("_id", "id")
TEXT_FIELDS = ("text", "contents")

_KINDS = {
    NoneType: "null",
    bool: "true or false",
    Number: "a number",
    str: "a string",
    bytes: "bytes",
    list: "a list",
    dict: "an object",
}

Record: TypeAlias = Mapping[str, Any]
# (line number, line) -> a record, or None when the line holds none.
Parser: TypeAlias = Callable[[int, bytes], Record | None]


class BadRecord(Exception):
    """One record is wrong: the message is what follows "file, line 7" in a sentence."""


def decode(line: bytes) -> str:
    """One line of UTF-8 as text without its ending."""
    if len(line) > MAX_LINE:
        raise BadRecord(f"is longer than {MAX_LINE >> 20} MiB; split the text")
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadRecord(
            f"is not UTF-8 at byte {error.start + 1}; convert the file to UTF-8"
        ) from None


def parse_json(
    number: int, line: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Record | None:
    """One JSON object; None for a blank line.  `pairs` makes an object of its fields."""
    text = decode(line)
    try:
        record = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        if not text.strip():
            return None
        raise BadRecord(
            f"is not valid JSON ({error.msg}, column {error.colno}); "
            "give one complete JSON object a line"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, deep nesting
        raise BadRecord(f"has JSON that cannot be read ({error}); simplify it") from None
    if not isinstance(record, dict):
        raise BadRecord(f"is {_kind(record)}; give one JSON object a line")
    return record


def unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its fields, for `parse_json`; raises `BadRecord` for a name there twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise BadRecord(f"has {twice[:80]!r} twice in one object; keep one of them")
    return fields


def parse_passage(number: int, line: bytes) -> Record | None:
    """One passage, numbered by its line; None for a blank line."""
    text = decode(line)
    return {"id": str(number), "text": text} if text.strip() else None


def tsv_parser(*layouts: tuple[str, ...]) -> Parser:
    """A parser of tab-separated lines, no quoting, with one of these layouts of columns.

    The first line decides which, by its number of columns, unless it is a header: when all
    its cells are field names, they say the order.
    """
    known = {*ID_FIELDS, *TEXT_FIELDS, "title"}
    by_count = {len(layout): layout for layout in layouts}
    columns: tuple[str, ...] = ()

    def parse(number: int, line: bytes) -> Record | None:
        nonlocal columns
        text = decode(line)
        cells = text.split("\t")
        if not columns and text.strip() and len(cells) in by_count:
            columns = by_count[len(cells)]
            if known.issuperset(names := tuple(cell.strip().lower() for cell in cells)):
                columns = names
                return None
        if columns and len(cells) == len(columns):
            return dict(zip(columns, cells, strict=True))
        if not text.strip():
            return None
        counts = [f"{len(n)} ({', '.join(n)})" for n in ([columns] if columns else layouts)]
        raise BadRecord(
            f"has {len(cells)} tab-separated columns instead of {' or '.join(counts)}; "
            "replace tabs inside the text by spaces"
        )

    return parse


def record_id(record: Record, fields: tuple[str, ...] = ID_FIELDS) -> str:
    """The id of a record; see `as_id`."""
    value = _first(record, fields)
    if value is None:
        raise BadRecord(f'has no id; give each record an "{fields[0]}"')
    return as_id(value)


def as_id(value: Any) -> str:
    """The id that a value stands for, of a document or a query, wherever one may stand.

    Ids are strings: any text that is not blank, has no NUL and at most `MAX_ID_BYTES` bytes of
    UTF-8.  White space is kept as it is; formats that cannot hold it refuse it themselves.
    Integers, also NumPy's, stand for their decimal digits, and scalars of Arrow for their values.
    Raises `BadRecord` for all else: what bytes or numbers with a point would be called is not
    ours to guess.
    """
    if type(value) is str:
        return checked_id(value)
    if hasattr(value, "as_py"):
        value = value.as_py()
    if isinstance(value, str):
        return checked_id(str(value))  # np.str_ and other subclasses become plain strings
    if isinstance(value, Integral) and not isinstance(value, bool):
        try:
            return checked_id(str(int(value)))
        except ValueError:  # Python writes no integer of more than 4,300 digits
            raise BadRecord(_too_long(hex(int(value)))) from None
    raise BadRecord(f"has {_kind(value)} for an id; ids are strings or integers")


def checked_id(value: str) -> str:
    """`value` itself, if it can be an id; see `as_id`."""
    if not value or value.isspace():
        raise BadRecord("has an empty id; give each record a unique id")
    if "\0" in value:
        raise BadRecord(f"has a NUL character in its id {value[:80]!r}; remove it")
    if len(well_formed(value, "id")) > MAX_ID_BYTES:
        raise BadRecord(_too_long(value))
    return value


def _too_long(value: str) -> str:
    return f"has an id longer than {MAX_ID_BYTES:,} bytes ({value[:40]!r}...); shorten it"


def record_title(record: Record) -> str:
    """The title of a record, "" when it has none."""
    title = record.get("title")
    return "" if title is None else checked_text(title, "title")


def record_text(record: Record) -> str:
    """The text of a record, which may be empty but not missing."""
    text = _first(record, TEXT_FIELDS)
    if text is None:
        raise BadRecord('has no text; give each record a "text" or "contents"')
    return checked_text(text, "text")


def well_formed(value: str, field: str) -> bytes:
    """`value` in UTF-8: refuses half characters, which JSON escapes such as \\ud800 can make."""
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise BadRecord(
            f"has the lone surrogate U+{ord(value[error.start]):04X} in its {field} at character "
            f"{error.start + 1}; remove it"
        ) from None


def checked_text(value: Any, field: str) -> str:
    """`value` itself, if it is text."""
    if not isinstance(value, str):
        raise BadRecord(f"has {_kind(value)} for a {field}; give a string")
    if not value.isascii():
        well_formed(value, field)
    return value


def _first(record: Record, fields: tuple[str, ...]) -> Any:
    values = (record.get(field) for field in fields)
    return next((value for value in values if value is not None), None)


def _kind(value: Any) -> str:
    names = (name for kind, name in _KINDS.items() if isinstance(value, kind))
    return next(names, f"the type {type(value).__name__}")

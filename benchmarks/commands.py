"""Commands whose options are the fields of a dataclass, and the Markdown tables they print."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click
from rich.console import Console

from lsr import LsrError

Settings = TypeVar("Settings")
Row = dict[str, Any]
Columns = Mapping[str, tuple[str, str, float]]  # head -> key of a row, format, factor of the unit

FOLDER = click.Path(file_okay=False, path_type=Path)  # may be missing
progress = Console(stderr=True, highlight=False, soft_wrap=True)


class CommaList(click.ParamType[tuple[Any, ...]]):
    """Values with commas between; each is one of `choices`, if these are given."""

    name = "A,B,…"

    def __init__(self, kind: Callable[[str], Any] = str, choices: Iterable[str] = ()) -> None:
        self._kind, self._choices = kind, tuple(choices)

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part for part in value.split(",") if part]
        for part in parts:
            if self._choices and part not in self._choices:
                self.fail(f"{part!r} is not one of {', '.join(self._choices)}", param, ctx)
        try:
            return tuple(map(self._kind, parts))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers with commas between", param, ctx)


def option(help: str, default: Any = None, **attributes: Any) -> Any:
    """A field for `command` that is an option; its flag and type are those of the field.

    Integers are positive and paths exist, unless `attributes` of click.Option have another type.
    An option without a default is required, unless it may be None or is a flag.
    """
    return field(metadata={"help": help, "default": default, "show_default": True, **attributes})


def argument(**attributes: Any) -> Any:
    """A field for `command` that is a positional argument; a tuple takes one value or more."""
    return field(metadata=attributes)


def command(settings: type[Settings]) -> Callable[[Callable[[Settings], None]], click.Command]:
    """Make a command of a function that takes a dataclass of options."""

    def decorate(function: Callable[[Settings], None]) -> click.Command:
        def run(**values: Any) -> None:
            try:
                function(settings(**values))
            except LsrError as error:
                raise click.ClickException(str(error)) from None

        hints = get_type_hints(settings)
        parameters = [
            _parameter(item.name, hints[item.name], dict(item.metadata))
            for item in fields(settings)  # type: ignore[arg-type]  # a dataclass
        ]
        return click.Command(None, params=parameters, callback=run, help=function.__doc__)

    return decorate


def _parameter(name: str, hint: Any, attributes: dict[str, Any]) -> click.Parameter:
    """The option or argument of a field."""
    optional = NoneType in get_args(hint)
    if optional:
        hint = get_args(hint)[0]
    several = get_origin(hint) is tuple
    types = {Path: click.Path(exists=True, path_type=Path), int: click.IntRange(1)}
    if "help" not in attributes:
        kind = get_args(hint)[0] if several else hint
        attributes = {"type": types.get(kind, kind), "nargs": -1 if several else 1} | attributes
        return click.Argument([name], required=True, **attributes)
    if hint is bool:
        attributes |= {"is_flag": True, "default": False}
    elif "type" not in attributes:
        attributes["type"] = CommaList(get_args(hint)[0]) if several else types.get(hint, hint)
    if hint is int:
        attributes.setdefault("metavar", "N")
    attributes.setdefault("required", attributes["default"] is None and not optional)
    return click.Option([name, f"--{name.replace('_', '-')}"], **attributes)


@dataclass(frozen=True, kw_only=True)
class TimingOptions:
    """Options of every command that times searches."""

    k: tuple[int, ...] = option("Numbers of hits to search for.", (10, 100, 1000))
    passes: int = option("Timed passes over the queries.", 3)
    core: int | None = option("Processor core to run on.  [default: the last one]", type=int)


def table(heads: Sequence[str], rows: Iterable[Iterable[object]], text_columns: int = 1) -> str:
    """A table in Markdown; the columns after the first `text_columns` are aligned right."""
    rule = ["---"] * text_columns + ["---:"] * (len(heads) - text_columns)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (heads, rule, *rows))


def column_table(columns: Columns, rows: Iterable[Row], text_columns: int = 1) -> str:
    """A table of `format(row[key] * factor, form)` for each column; "-" if the key is missing."""
    cells = (
        [
            "-" if key not in row else format(row[key] * factor if factor != 1 else row[key], form)
            for key, form, factor in columns.values()
        ]
        for row in rows
    )
    return table(list(columns), cells, text_columns)

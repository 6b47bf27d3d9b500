"""Options and argument types that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from lsr.errors import LsrError
from lsr.terminal import utf8

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Bytes(click.ParamType[int]):
    """A size such as 800MB, 2GB or 1.5GiB."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Bytes of a size with a unit."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B?)\s*", value.upper())
        if match is None or (match[2] and match[2] not in _UNITS):
            self.fail(f"{value!r} is not a size; write it as 800MB or 2GB", param, ctx)
        return int(float(match[1]) * _UNITS[match[2]])


# What `--run -` is converted to; compared by identity, for ./- is a file of that name.
STANDARD_OUTPUT = Path("-")


class Output(click.Path):
    """A file or folder to be written; "-" is standard output, which takes a run alone."""

    def __init__(self, *, run: bool = False) -> None:
        super().__init__(path_type=Path)
        self._run = run

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path, or `STANDARD_OUTPUT`."""
        if value != "-":
            return super().convert(value, param, ctx)
        if not self._run:
            self.fail(
                "- is standard output, which only --run can use; give a file or folder", param, ctx
            )
        return STANDARD_OUTPUT


def number_option(
    name: str, help: str, default: int | None = None, *, least: int = 1
) -> Callable[[F], F]:
    """A whole number of at least `least`, N; its default is shown."""
    return click.option(
        name,
        type=click.IntRange(least),
        default=default,
        show_default=default is not None,
        metavar="N",
        help=help,
    )


def choice_option(
    name: str, help: str, choices: Iterable[str], default: str | None = None
) -> Callable[[F], F]:
    """One of several words; its default is shown."""
    return click.option(
        name,
        type=click.Choice(list(choices)),
        default=default,
        show_default=default is not None,
        help=help,
    )


def output_option(help: str, metavar: str | None = None, **settings: Any) -> Callable[[F], F]:
    """-o, where the result goes."""
    return click.option("-o", "--output", type=Output(), metavar=metavar, help=help, **settings)


def flag(name: str, help: str, *names: str) -> Callable[[F], F]:
    """An option that is there or not."""
    return click.option(name, *names, is_flag=True, help=help)


def add_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """A decorator that adds options to a command, in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


json_option = flag("--json", "Print JSON.", "as_json")
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder with the zips of named datasets.",
)
judged_options = add_options(
    click.option("--queries", metavar="FILE", help="Queries, if DATASET contains only documents."),
    click.option("--qrels", metavar="FILE|ZIP", help="Judgments, if they are not in DATASET."),
)
max_length_option = number_option("--max-length", "Cut texts after N tokens.", 256)
weights_option = click.option(
    "--weights", metavar="P=W,…", help="Weight of each part, e.g. bm25=.6,splade-tiny=.4."
)


def encoder_option(multiple: bool = False) -> Callable[[F], F]:
    """The encoder, or several to compare."""
    several = "  Repeat it to compare." if multiple else ""
    return click.option(
        "--encoder",
        metavar="E",
        multiple=multiple,
        help="bm25[:VARIANT][,language=L], splade-tiny, [METHOD:] with a checkpoint folder or "
        "HUB-ID[@REVISION], or several joined by + (default: bm25+splade-tiny, and "
        f"splade-tiny for `lsr encode --text`).{several}",
    )


encoding_options = add_options(
    weights_option,
    max_length_option,
    number_option("--document-terms", "Keep the N strongest terms of a document."),
    number_option("--query-terms", "Keep the N strongest terms of a query."),
    click.option(
        "--prune-ratio",
        type=click.FloatRange(0, 1, max_open=True),
        metavar="R",
        help="Drop weights up to R times the document's largest weight.",
    ),
    click.option("--device", metavar="D", help="Device for models, such as cpu or cuda:0."),
    number_option("--batch-size", "Texts per batch of the model."),
)


encoder_options = add_options(encoder_option(), encoding_options)

precision_option = choice_option(
    "--precision", "Arithmetic of the model.", ("fp32", "bf16", "int8"), "fp32"
)
on_error_option = choice_option(
    "--on-error", "Stop at a bad record, or skip it.", ("stop", "skip"), "stop"
)


def given(context: click.Context, *names: str) -> str | None:
    """The first of these options that stands on the command line, as it is written there."""
    for option in context.command.params:
        if option.name in names and (
            context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
        ):
            return option.opts[0]
    return None


def as_text(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """An argument that is text, not a name: UTF-8 also in a locale that is not."""
    if value is None or isinstance(value, tuple):
        return value and tuple(as_text(context, parameter, one) for one in value)
    try:
        return value if utf8(value) == value else os.fsencode(value).decode()
    except UnicodeError:  # in no encoding, and whoever encodes it says so
        return value


def writable(context: click.Context, parameter: click.Parameter, file: Path | None) -> Path | None:
    """Refuse a file that cannot be written before the work for it, not after."""
    if file is not None and file is not STANDARD_OUTPUT:
        if not file.absolute().parent.is_dir():
            raise LsrError(f"{file} cannot be written: its folder does not exist; create it first")
        if file.is_dir():
            raise LsrError(f"{file} cannot be written: it is a folder; name a file")
    return file

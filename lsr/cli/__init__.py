"""The `lsr` command."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import click

from lsr.errors import LsrError, TextWarning
from lsr.terminal import ReaderLeft, note, standard_streams, utf8
from lsr.version import __version__


class _Command(click.Command):
    """A command that is imported when it is called, so that a cold `lsr search` starts quickly."""

    def __init__(self, name: str, module: str, function: str, line: str) -> None:
        super().__init__(name, short_help=line)
        self._module, self._function = module, function

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        module = import_module(f"lsr.cli.commands.{self._module}")
        command: click.Command = getattr(module, self._function)
        return command.make_context(*arguments, **settings)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="lsr")
def cli(debug: bool) -> None:
    """Learned sparse retrieval: index a collection, search it, explain the scores.

    \b
    lsr index arxiv-cs -o demo            the collection that comes with lsr
    lsr search demo "how to prune a neural network"
    lsr eval nfcorpus.zip                 nDCG@10 of a BEIR dataset
    """


for _name, _module, _function, _line in (
    ("index", "index", "index", "Encode a collection and write an index."),
    ("search", "search", "search", "Search an index."),
    ("eval", "evaluate", "evaluate", "Measure encoders on judged datasets."),
    ("compare", "compare", "compare", "Test whether runs differ."),
    ("tune", "tune", "tune", "Tune the fusion of an index on judged queries."),
    ("info", "inspect", "info", "Show the contents of an index."),
    ("verify", "inspect", "verify", "Check every byte of an index."),
    ("encode", "encode", "encode", "Encode a collection into a folder of vectors."),
    ("models", "models", "models", "List the known encoders and methods."),
    ("export", "export", "export", "Export vectors to the format of another program."),
    ("import", "import_", "import_", "Import vectors from another program."),
    ("fit-sae", "fit_sae", "fit_sae", "Fit a sparse autoencoder to dense vectors."),
    ("add-keyphrases", "keyphrases", "add_keyphrases", "Add keyphrases to a checkpoint as terms."),
):
    cli.add_command(_Command(_name, _module, _function, _line))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are one sentence and an exit code, never a traceback."""
    # click writes completions as bytes, which the safe streams do not take.
    with nullcontext() if "_LSR_COMPLETE" in os.environ else standard_streams():
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> None:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # a polite kill cleans up as Ctrl-C does
    debug = "--debug" in arguments[:1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", TextWarning)
            warnings.showwarning = _show_warning
            # Reports tell the command to repeat.
            cli.main(arguments, prog_name="lsr", standalone_mode=False, obj=arguments)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        for line in shown.getvalue().rstrip("\n").split("\n"):
            note(line)
        sys.exit(error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        _show_notes(error)
        note("Interrupted.")
        sys.exit(130)
    except LsrError as error:
        if debug:
            raise
        _show_notes(error)
        note(f"Error: {error}")
        sys.exit(error.exit_code)
    except ReaderLeft:
        sys.exit(0)
    except UnicodeEncodeError as error:
        if debug or utf8(error.object) == error.object:
            raise
        name = utf8(re.split('[\n"]', error.object[: error.end])[-1])
        note(
            f"Error: the name {name!r} is not UTF-8, and a library that lsr uses requires UTF-8; "
            "rename the file or folder"
        )
        sys.exit(1)
    except (OSError, MemoryError) as error:
        if debug:
            raise
        reason = error.strerror if isinstance(error, OSError) else "not enough memory"
        file = getattr(error, "filename", None)
        note(f"Error: {reason or error}{f': {file}' if file else ''}")
        sys.exit(1)


def _show_notes(error: BaseException | None) -> None:
    """Show the notes of an error, or of the one that it was made of."""
    while error is not None:
        for text in getattr(error, "__notes__", ()):
            note(text)
        error = error.__cause__


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


_show_other = warnings.showwarning


def _show_warning(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
    """A warning of ours in one line; others as ever."""
    if issubclass(category, TextWarning):
        note(f"Warning: {message}")
    else:
        _show_other(message, category, *rest, **more)

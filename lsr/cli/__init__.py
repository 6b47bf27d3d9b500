"""The `lsr` command."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from lsr import __version__
from lsr.cli.compare import compare
from lsr.cli.encode import encode
from lsr.cli.evaluate import evaluate
from lsr.cli.export import export
from lsr.cli.fit_sae import fit_sae
from lsr.cli.import_ import import_
from lsr.cli.index import index
from lsr.cli.inspect import info, verify
from lsr.cli.keyphrases import add_keyphrases
from lsr.cli.models import models
from lsr.cli.search import search
from lsr.cli.tune import tune
from lsr.errors import LsrError
from lsr.notices import TextWarning


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="lsr")
def cli(debug: bool) -> None:
    """Learned sparse retrieval: index a collection, search it, see why.

    \b
    lsr index arxiv-cs -o demo            the collection that comes with lsr
    lsr search demo "how to prune a neural network"
    lsr eval nfcorpus.zip                 nDCG@10 of a BEIR dataset
    """


for command in (
    index,
    search,
    evaluate,
    compare,
    tune,
    info,
    verify,
    encode,
    models,
    export,
    import_,
    fit_sae,
):
    cli.add_command(command)
cli.add_command(add_keyphrases)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are one sentence and an exit code, never a traceback."""
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
        error.show()
        sys.exit(error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except LsrError as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`lsr search … | head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (OSError, MemoryError) as error:
        if debug:
            raise
        what = error.strerror if isinstance(error, OSError) else "not enough memory"
        where = getattr(error, "filename", None)
        click.echo(f"Error: {what or error}{f': {where}' if where else ''}", err=True)
        sys.exit(1)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


_show_other = warnings.showwarning


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **how: Any) -> None:
    """A warning of ours in one line; others as ever."""
    if issubclass(category, TextWarning):
        click.echo(f"Warning: {message}", err=True)
    else:
        _show_other(message, category, *place, **how)

"""`lsr fit-sae`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lsr.cli.corpora import open_documents
from lsr.cli.options import flag, max_length_option, number_option, on_error_option, output_option
from lsr.progress import Progress
from lsr.terminal import conclude


def _width(value: str) -> int:
    """Latents a dimension, written as 4x or 4."""
    number = value.removesuffix("x")
    if not number.isdecimal() or int(number) < 1:
        raise click.BadParameter(f"{value!r} is no width; write it as 4x")
    return int(number)


@click.command(name="fit-sae")
@click.argument("corpus")
@output_option("The encoder to be.", "FOLDER", required=True)
@click.option(
    "--dense",
    default="minilm",
    show_default=True,
    metavar="D",
    help="The dense encoder: minilm, a folder that sentence-transformers saved, or a HUB-ID.",
)
@click.option(
    "--width",
    type=_width,
    default="4x",
    show_default=True,
    metavar="Nx",
    help="Latents a dimension of the dense vectors.",
)
@number_option("--active", "Latents of a text.", 32)
@number_option("--seed", "Random seed.", 0, least=0)
@number_option(
    "--sample",
    "Of a larger collection, fit to about so many documents, evenly spread.",
    100_000,
    least=2,
)
@max_length_option
@click.option("--device", metavar="D", help="Where the dense model runs, such as cpu or cuda:0.")
@number_option("--threads", "For the dense model.")
@on_error_option
@flag("--force", "Replace a folder of this kind that is there.")
def fit_sae(
    corpus: str,
    output: Path,
    dense: str,
    max_length: int,
    device: str | None,
    threads: int | None,
    on_error: str,
    **options: Any,
) -> None:
    """Fit a sparse autoencoder to the dense vectors of CORPUS: an encoder with named latents.

    CORPUS is what `lsr index` takes, but no pipe or standard input.  No judgments are needed.  Run
    the same command again after an interruption: finished vectors are kept, the fitting of some
    minutes starts again.

    \b
    lsr fit-sae nfcorpus.zip -o latents --dense minilm --width 4x --active 32
    lsr index nfcorpus.zip -o nfcorpus --encoder latents
    lsr search nfcorpus "does vitamin D prevent falls" --explain
    """
    from lsr.encoders.dense.encoder import load_dense
    from lsr.training.sae import fit_sae as fit

    documents = open_documents(corpus, on_error, "lsr fit-sae")
    encoder = load_dense(dense, threads=threads, device=device)
    if encoder.max_length is None or encoder.max_length > max_length:
        encoder = load_dense(dense, threads=threads, device=device, max_length=max_length)
    made = fit(output, documents, encoder, threads=threads, progress=Progress, **options)
    conclude(
        f"{output}: {made.latents:,} latents, fitted to {made.documents:,} documents; "
        f"{made.unused:,} are active in none of them"
    )

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
    """Latents per dimension, as 4x or 4."""
    number = value.removesuffix("x")
    if not number.isdecimal() or int(number) < 1:
        raise click.BadParameter(f"{value!r} is not a width; write it as 4x")
    return int(number)


@click.command(name="fit-sae")
@click.argument("corpus")
@output_option("The folder of the new encoder.", "FOLDER", required=True)
@click.option(
    "--dense",
    default="minilm",
    show_default=True,
    metavar="D",
    help="Dense encoder: minilm, a folder saved by sentence-transformers, or a HUB-ID.",
)
@click.option(
    "--width",
    type=_width,
    default="4x",
    show_default=True,
    metavar="Nx",
    help="Latents per dimension of the dense vectors.",
)
@number_option("--active", "Active latents per text.", 32)
@number_option("--seed", "Random seed.", 0, least=0)
@number_option(
    "--sample",
    "Fit to about N evenly spread documents of a larger collection.",
    100_000,
    least=2,
)
@max_length_option
@click.option("--device", metavar="D", help="Device for the dense model, such as cpu or cuda:0.")
@number_option("--threads", "Threads for the dense model.")
@on_error_option
@flag("--force", "Replace an existing autoencoder.")
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

    CORPUS is any collection that `lsr index` reads, except pipes and standard input.  No judgments
    are needed.  To resume after an interruption, run the same command again: encoded vectors are
    kept, and the fitting, which takes minutes, restarts.

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
        f"{made.unused:,} are active in no document"
    )

"""`lsr fit-sae`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lsr.cli.corpora import open_documents
from lsr.cli.options import Output, on_error_option
from lsr.terminal import conclude


class _Width(click.ParamType[int]):
    """Latents a dimension, as 4x or 4."""

    name = "width"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The number of it."""
        text = str(value).removesuffix("x")
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{value!r} is no width; write it as 4x", param, ctx)
        return int(text)


@click.command(name="fit-sae")
@click.argument("corpus")
@click.option(
    "-o",
    "--output",
    required=True,
    type=Output(),
    metavar="FOLDER",
    help="The encoder to be.",
)
@click.option(
    "--dense",
    default="minilm",
    show_default=True,
    metavar="D",
    help="The dense encoder: minilm, a folder that sentence-transformers saved, or a HUB-ID.",
)
@click.option(
    "--width",
    type=_Width(),
    default="4x",
    show_default=True,
    metavar="Nx",
    help="Latents a dimension of the dense vectors.",
)
@click.option(
    "--active",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    metavar="N",
    help="Latents of a text.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Of all that is drawn.",
)
@click.option(
    "--sample",
    type=click.IntRange(2),
    default=100_000,
    show_default=True,
    metavar="N",
    help="Of a larger collection, fit to about so many documents, evenly spread.",
)
@click.option(
    "--max-length",
    type=click.IntRange(1),
    metavar="N",
    default=256,
    show_default=True,
    help="Tokens read of a text.",
)
@click.option("--device", metavar="D", help="Where the dense model runs, such as cpu or cuda:0.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="For the dense model.")
@on_error_option
@click.option("--force", is_flag=True, help="Replace a folder of this kind that is there.")
def fit_sae(
    corpus: str,
    output: Path,
    dense: str,
    width: int,
    active: int,
    seed: int,
    sample: int,
    max_length: int,
    device: str | None,
    threads: int | None,
    on_error: str,
    force: bool,
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
    from lsr.progress import Progress
    from lsr.training.sae import fit_sae as fit

    documents = open_documents(corpus, on_error, "lsr fit-sae")
    encoder = load_dense(dense, threads=threads, device=device)
    if encoder.max_length is None or encoder.max_length > max_length:
        encoder = load_dense(dense, threads=threads, device=device, max_length=max_length)
    made = fit(
        output,
        documents,
        encoder,
        width=width,
        active=active,
        seed=seed,
        sample=sample,
        threads=threads,
        force=force,
        progress=Progress,
    )
    conclude(
        f"{output}: {made.latents:,} latents, fitted to {made.documents:,} documents; "
        f"{made.unused:,} are active in none of them"
    )

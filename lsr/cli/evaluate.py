"""`lsr eval`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lsr.cli.options import encoder_options, writable, write_json


@click.command("eval")
@click.argument("corpus")
@click.option(
    "--index",
    "index_path",
    type=click.Path(path_type=Path),
    help="Use this index, or build it here and keep it.",
)
@encoder_options
@click.option("--split", metavar="NAME", default="test", show_default=True, help="Which judgments.")
@click.option(
    "--measures",
    metavar="NAMES",
    default="nDCG@10 R@100 RR@10",
    show_default=True,
    help="ir-measures names.",
)
@click.option(
    "-k", default=1000, show_default=True, type=click.IntRange(1), metavar="N", help="Hits a query."
)
@click.option(
    "--run",
    "run_file",
    type=click.Path(path_type=Path),
    callback=writable,
    metavar="OUT.trec",
    help="Also write the TREC run.",
)
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Queries are spread over so many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    corpus: str,
    index_path: Path | None,
    encoder: str | None,
    split: str,
    measures: str,
    k: int,
    run_file: Path | None,
    threads: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure an encoder on a BEIR dataset, given as its folder or zip.

    \b
    lsr eval nfcorpus.zip
    lsr eval scifact.zip --encoder bm25 --measures "nDCG@10 R@100"
    lsr eval nfcorpus.zip --index nfcorpus --weights bm25=.6,splade-tiny=.4
    lsr eval nfcorpus.zip --index nfcorpus --run nfcorpus.trec --json
    """
    from lsr.data.corpus import open_corpus
    from lsr.encoders import DEFAULT_ENCODER
    from lsr.eval.dataset import evaluate_index, load_dataset
    from lsr.progress import Progress
    from lsr.retrieval import Index

    dataset = load_dataset(corpus, split, measures.replace(",", " ").split())
    with tempfile.TemporaryDirectory(prefix="lsr-eval-") as scratch:
        place = index_path or Path(scratch) / "index"
        if index_path is not None and index_path.exists():
            _refuse_build_options(index_path)
            opened = Index.open(index_path)
            if encoder is not None or settings["weights"] is not None:
                opened.use_encoder(encoder, device=settings["device"], weights=settings["weights"])
        else:
            opened = Index.build(
                place,
                open_corpus(corpus),
                encoder or DEFAULT_ENCODER,
                progress=Progress,
                **settings,
            )
        values = evaluate_index(opened, dataset, k=k, threads=threads, run_file=run_file)
    name = opened.manifest.encoder["name"] if opened.manifest.encoder else None
    if as_json:
        write_json({"dataset": dataset.name, "encoder": name, "measures": values})
        return
    click.echo(f"{dataset.name}, {name}, {len(dataset.queries):,} queries")
    for measure, value in values.items():
        click.echo(f"  {measure:<12} {value:.4f}")


def _refuse_build_options(index: Path) -> None:
    """Options that decide vectors belong to building: an index has its own."""
    context = click.get_current_context()
    for name in ("max_length", "document_terms", "query_terms", "prune_ratio", "batch_size"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name.replace('_', '-')} cannot change {index}, which is there already; "
                "leave it out, or give another --index to build"
            )

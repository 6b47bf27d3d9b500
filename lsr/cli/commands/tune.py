"""`lsr tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lsr.cli.hybrid import fusion_option, missing_option, retrievers_option
from lsr.cli.options import data_option, flag, given, json_option, judged_options, number_option
from lsr.errors import CorpusError, IndexExists
from lsr.progress import Progress
from lsr.terminal import cell, echo, note, write_json

if TYPE_CHECKING:
    from lsr.eval.dataset import Dataset
    from lsr.eval.tuning.choose import FusionChoice
    from lsr.eval.tuning.tuning import Weights
    from lsr.retrieval.index import Index


@click.command()
@click.argument("corpus", metavar="DATASET")
@click.option(
    "--index",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The index to search, with dense vectors.",
)
@data_option
@click.option("--split", metavar="NAME", help="Split of the judgments (default: dev, else train).")
@judged_options
@fusion_option
@retrievers_option
@missing_option
@click.option(
    "--measure", default="nDCG@10", show_default=True, metavar="NAME", help="Measure to maximize."
)
@number_option("--folds", "Folds of the cross-validation.", 5, least=2)
@click.option("--seed", default=0, show_default=True, metavar="N", help="Seed for the folds.")
@click.option("--encoder", metavar="E", help="New location of the index's encoder, if it moved.")
@click.option("--dense", metavar="D", help="New location of its dense encoder.")
@click.option("--device", metavar="D", help="Device for models, such as cpu or cuda:0.")
@flag("--force", "Replace an existing learned fusion.")
@json_option
@click.pass_context
def tune(
    context: click.Context,
    /,
    corpus: str,
    path: Path,
    data: Path | None,
    split: str | None,
    queries: str | None,
    qrels: str | None,
    encoder: str | None,
    dense: str | None,
    device: str | None,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Tune the fusion of an index on the judged queries of DATASET.

    DATASET is any dataset that `lsr eval` takes.  `lsr tune` tries all weights that are multiples
    of .1; "--fusion learned" trains trees instead and stores them in the index.  Cross-validation
    compares the result with equal weights, on held-out queries.

    \b
    lsr tune nfcorpus.zip --index nfcorpus
    lsr tune nfcorpus.zip --index nfcorpus --fusion rrf --retrievers bm25,splade-tiny,minilm
    lsr tune nfcorpus.zip --index nfcorpus --fusion learned
    lsr search nfcorpus "does vitamin D prevent falls" --hybrid --fusion learned
    """
    from lsr.eval.tuning.choose import choose
    from lsr.fusion import LEARNED
    from lsr.retrieval.index import Index
    from lsr.retrieval.named import learned_file

    index = Index.open(path)
    learned = settings["fusion"] == LEARNED
    if learned and given(context, "missing"):
        raise click.UsageError(
            "--fusion learned has no rule for missing documents; leave out --missing."
        )
    if learned and learned_file(index).exists() and not force:
        raise IndexExists(f"{path} already has a learned fusion; add --force to replace it")
    if encoder is not None or device is not None:
        index.use_encoder(encoder, device=device)
    if dense is not None or device is not None:
        index.use_dense_encoder(dense, device=device)
    dataset = _dataset(corpus, data, split, queries, qrels, settings["measure"], index)
    choice = choose(index, dataset, **settings, progress=Progress)
    if choice.learned is not None:
        choice.learned.save(learned_file(index))
    if as_json:
        write_json({"dataset": dataset.name, "split": dataset.split, **choice.to_json()})
    else:
        _print(dataset, choice)


def _dataset(
    source: str,
    data: Path | None,
    split: str | None,
    queries: str | None,
    qrels: str | None,
    measure: str,
    index: Index,
) -> Dataset:
    """The dataset with the judgments that are for tuning, and in which the index has documents."""
    from lsr.eval.dataset import load_dataset, parts_of, split_for_tuning
    from lsr.eval.experiments.experiment import with_documents

    parts = parts_of(source, data, Progress)
    if len(parts) > 1:
        raise click.UsageError(
            f"{source} consists of {len(parts)} datasets; name one, as {source}.zip/PART."
        )
    ((name, place),) = parts.items()
    if split is None and qrels is None:
        split = split_for_tuning(place)
    dataset = load_dataset(place, split, [measure], name=name, queries=queries, qrels=qrels)
    dataset = with_documents(dataset, index)
    judged = {document for row in dataset.qrels.values() for document in row}
    if dataset.counts["judged_documents_missing"] == len(judged):
        raise CorpusError(
            f"{index.path} has none of the documents judged in {dataset.judgments}; give the "
            "index of this dataset"
        )
    for remark in dataset.remarks:
        note(f"{name}: {remark}.")
    return dataset


def _print(dataset: Dataset, choice: FusionChoice) -> None:
    from lsr.eval.report.figures import figure, probability, signed, span

    def named(weights: Weights) -> str:
        """Weights as the command line takes them."""
        return ",".join(f"{name}={w:.3g}" for name, w in choice.by_name(weights).items())

    of = f" of {dataset.split}" if dataset.split else ""
    echo(
        f"{cell(dataset.name)}, {len(dataset.queries):,} queries{of}: "
        f"{cell(', '.join(choice.retrievers))} by {choice.fusion}, {choice.tuned.measure}\n"
    )
    test = choice.comparison
    kind = "trees" if choice.learned is not None else "tuned weights"
    for name, value in (
        (f"{choice.baseline}, equal weights", figure(choice.equal)),
        (f"{kind}, held out", figure(choice.held_out)),
        ("difference", f"{signed(test.difference)} {span(test.interval, signed)}"),
        ("p, by randomization", probability(test.p_randomization)),
    ):
        echo(f"  {name:<28}  {value}")
    echo()
    for number, fold in enumerate(choice.tuned.folds, 1):
        line = f"  fold {number:<3} {fold.mean:.4f}  {len(fold.queries):,} queries"
        echo(f"{line}  {cell(named(fold.weights))}".rstrip())
    echo()
    weights = f" --weight {cell(named(choice.tuned.weights))}" if choice.tuned.weights else ""
    echo(f"On all queries: --hybrid --fusion {choice.fusion}{weights}")
    if not choice.is_better:
        echo(
            "Not significantly better than equal weights on held-out queries; use equal weights: "
            f"--hybrid --fusion {choice.baseline}"
        )

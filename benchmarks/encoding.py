"""Measure encoding on a CPU: `python -m benchmarks.encoding --help`."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import encoding_processes as processes
from benchmarks import encoding_report as report
from benchmarks import encoding_speed as speed
from benchmarks.checkpoints import RANDOM, provide
from benchmarks.machine import circumstances
from lsr import Index, LsrError, load_encoder
from lsr.data.corpus import open_corpus
from lsr.encoders.models.heads import isa
from lsr.errors import EncoderError
from lsr.eval.dataset import load_dataset
from lsr.eval.experiments.experiment import Experiment, evaluate

Row = dict[str, Any]

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")

progress = Console(stderr=True, highlight=False, soft_wrap=True)


def say(what: str) -> None:
    """One line of progress, apart from the tables."""
    progress.print(what)


def words(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    """The value of an option that takes words with commas between."""
    return [word for word in value.split(",") if word]


@click.command()
@click.option("--corpus", default="arxiv-cs", show_default=True, help="Whatever lsr index reads.")
@click.option("--count", type=click.IntRange(1), default=2000, show_default=True, help="Texts.")
@click.option(
    "--slow-count",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Texts for the random checkpoints, which are large.",
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("splade-tiny", *RANDOM),
    show_default=True,
    help="A built-in model, a random checkpoint or a folder; may be given again.",
)
@click.option("--precisions", callback=words, default=",".join(speed.PRECISIONS), show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--memory", is_flag=True, help="Instead: peak memory on passages of 512 tokens.")
@click.option("--limits", callback=words, default="256MB,1GB", show_default=True, help="For it.")
@click.option("--quality", multiple=True, metavar="ZIP", help="Instead: nDCG@10 on BEIR datasets.")
@click.option("--cold", nargs=2, metavar="INDEX QUESTION", help="Instead: a search from cold.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    corpus: str,
    count: int,
    slow_count: int,
    threads: int,
    models: tuple[str, ...],
    precisions: list[str],
    repeats: int,
    memory: bool,
    limits: list[str],
    quality: tuple[str, ...],
    cold: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Compare lsr with sentence-transformers on the same texts, model and threads.

    Fails when a weight in float32 is not the same to within a thousandth.

    \b
    python -m benchmarks.encoding --corpus docs.jsonl > encoding.md
    python -m benchmarks.encoding --corpus docs.jsonl --memory --model splade-tiny --count 5000
    python -m benchmarks.encoding --quality nfcorpus.zip --quality scifact.zip
    python -m benchmarks.encoding --cold nfcorpus "does vitamin D prevent falls"
    """
    try:
        run = circumstances("encoding", *PACKAGES) | {"lsr_isa": isa()}
        run |= {"packages": ["numpy", *PACKAGES], "threads": threads}
        found: Row = {"run": run}
        with tempfile.TemporaryDirectory(prefix="lsr-encoding-") as place:
            scratch = Path(place)
            if quality:
                found["quality"] = qualities(quality, models, precisions, threads, scratch)
            elif cold:
                found["cold"] = processes.cold(Path(cold[0]), cold[1])
            else:
                if not memory:
                    speed.limit_threads(threads)
                    found["peaks"] = speed.peaks(speed.PRECISIONS)
                documents = itertools.islice(open_corpus(corpus, "skip"), max(count, slow_count))
                texts = [document.indexed_text for document in documents]
                rows = found["memory" if memory else "models"] = []
                for name in models:
                    folder = provide(name, texts, scratch)
                    wanted = slow_count if name in RANDOM else count
                    options: Row = {"threads": threads, "precisions": precisions, "say": say}
                    if memory:
                        options |= {"count": wanted, "limits": limits}
                        rows += processes.peak_memory(name, folder, texts, scratch, **options)
                    else:
                        options["repeats"] = repeats
                        rows.append(speed.compare(name, folder, texts[:wanted], **options))
    except LsrError as error:
        raise click.ClickException(str(error)) from None
    run["load_average_after"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else []
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(report.markdown(found)))
    for model in found.get("models", []):
        row = model["differences"].get("fp32", {"largest": 0.0})
        if row["largest"] > speed.TOLERANCE:
            raise click.ClickException(
                f"{model['model']}: a weight in fp32 differs by {row['largest']:.2g} from that of "
                f"{speed.PEER}"
            )


def qualities(
    datasets: Sequence[str],
    models: Sequence[str],
    precisions: Sequence[str],
    threads: int,
    scratch: Path,
) -> list[Row]:
    """nDCG@10 of each dataset, model and precision, of an index built with them."""
    rows: list[Row] = []
    for source, name in itertools.product(datasets, models):
        if name in RANDOM:  # finds nothing
            continue
        dataset = load_dataset(source, "test", ["nDCG@10"])
        for precision in precisions:
            row: Row = {"dataset": dataset.name, "model": name, "precision": precision}
            say(f"{dataset.name}: {name}, {precision}")
            try:
                encoder = load_encoder(name, threads=threads, precision=precision)
                index = Index.build(scratch / "index", open_corpus(source), encoder, force=True)
                row["value"] = evaluate(index, dataset, Experiment(k=100)).scores.means["nDCG@10"]
            except EncoderError as error:
                row["failed"] = str(error)
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()

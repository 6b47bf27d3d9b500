"""Measure encoding on a CPU: `python -m benchmarks.encoding --help`."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.commands import CommaList, Row, command, option, progress
from benchmarks.encoding import report, speed
from benchmarks.encoding.checkpoints import RANDOM, provide
from benchmarks.encoding.memory import peaks_under
from benchmarks.judged import MEASURE, mean, run_of
from benchmarks.machine import circumstances, limit_threads
from lsr import Index, kernels, load_encoder
from lsr.data.corpus import open_corpus
from lsr.errors import EncoderError
from lsr.eval.dataset import load_dataset

PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers")


@dataclass(frozen=True)
class Options:
    corpus: str = option("Any corpus that `lsr index` reads.", "arxiv-cs")
    count: int = option("Number of texts.", 2000)
    slow_count: int = option("Number of texts for the random checkpoints, which are large.", 100)
    threads: int = option("Threads of every encoder.", 2)
    models: tuple[str, ...] = option(
        "Built-in models, random checkpoints and model folders.", ("splade-tiny", *RANDOM)
    )
    precisions: tuple[str, ...] = option(
        "Precisions of lsr.", speed.PRECISIONS, type=CommaList(str, speed.PRECISIONS)
    )
    repeats: int = option("Timed passes over the texts.", 5)
    memory: bool = option("Measure peak memory on passages of 512 tokens instead.")
    limits: tuple[str, ...] = option("Values of --max-memory for --memory.", ("256MB", "1GB"))
    quality: tuple[str, ...] = option(f"Measure {MEASURE} on BEIR datasets instead.", ())
    json: bool = option("Print every figure as JSON.")

    def count_for(self, model: str) -> int:
        """The number of texts that a model encodes."""
        return self.slow_count if model in RANDOM else self.count


@command(Options)
def main(options: Options) -> None:
    """Compare lsr with sentence-transformers on the same texts, model and threads.

    Fails if a weight in fp32 differs by more than a thousandth.

    \b
    python -m benchmarks.encoding --corpus docs.jsonl > encoding.md
    python -m benchmarks.encoding --corpus docs.jsonl --memory --models splade-tiny --count 5000
    python -m benchmarks.encoding --quality nfcorpus.zip,scifact.zip
    """
    run = circumstances("encoding", *PACKAGES) | {"lsr_isa": kernels.instruction_set("encoders")}
    run |= {"packages": ["numpy", *PACKAGES], "threads": options.threads}
    results: Row = {"run": run}
    with tempfile.TemporaryDirectory(prefix="lsr-encoding-") as folder:
        scratch = Path(folder)
        if options.quality:
            results["quality"] = measure_quality(options, scratch)
        elif options.memory:
            results["memory"] = measure_memory(options, scratch)
        else:
            results["models"] = measure_speed(options, scratch)
    click.echo(json.dumps(results, indent=1) if options.json else report.markdown(results))
    for model in results.get("models", []):
        largest = model["differences"].get("fp32", {"largest": 0.0})["largest"]
        if largest > speed.TOLERANCE:
            raise click.ClickException(
                f"{model['model']}: a weight in fp32 differs by {largest:.2g} from that of "
                f"{speed.PEER}"
            )


def read_texts(options: Options) -> list[str]:
    """The texts that any of the models needs."""
    count = max(map(options.count_for, options.models))
    documents = itertools.islice(open_corpus(options.corpus, "skip"), count)
    return [document.indexed_text for document in documents]


def measure_speed(options: Options, scratch: Path) -> list[Row]:
    """A row a model."""
    limit_threads(options.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    import torch

    torch.set_num_threads(options.threads)
    texts = read_texts(options)
    return [
        speed.compare(
            name,
            provide(name, texts, scratch),
            texts[: options.count_for(name)],
            threads=options.threads,
            precisions=options.precisions,
            repeats=options.repeats,
        )
        for name in options.models
    ]


def measure_memory(options: Options, scratch: Path) -> list[Row]:
    """A row a model, precision and memory limit."""
    texts = read_texts(options)
    return [
        row
        for name in options.models
        for row in peaks_under(
            options.limits,
            name,
            provide(name, texts, scratch),
            texts[: options.count_for(name)],
            scratch,
            threads=options.threads,
            precisions=options.precisions,
        )
    ]


def measure_quality(options: Options, scratch: Path) -> list[Row]:
    """nDCG@10 of each dataset, model and precision, by an index of its own."""
    rows: list[Row] = []
    for source, name in itertools.product(options.quality, options.models):
        if name in RANDOM:  # its vectors mean nothing
            continue
        dataset = load_dataset(source, "test", [MEASURE])
        for precision in options.precisions:
            row: Row = {"dataset": dataset.name, "model": name, "precision": precision}
            progress.print(f"{dataset.name}: {name}, {precision}")
            try:
                encoder = load_encoder(name, threads=options.threads, precision=precision)
                index = Index.build(scratch / "index", open_corpus(source), encoder, force=True)
                hits = index.search(list(dataset.queries.values()), 100)
                row["value"] = mean(dataset, run_of(dataset, hits))
            except EncoderError as error:
                row["failed"] = str(error)
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()

"""`lsr eval`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lsr.cli.hybrid import hybrid_of, hybrid_options
from lsr.cli.options import (
    STANDARD_OUTPUT,
    Output,
    choice_option,
    data_option,
    encoder_option,
    encoding_options,
    flag,
    given,
    json_option,
    judged_options,
    number_option,
    precision_option,
    writable,
)
from lsr.cli.results import as_json as json_of
from lsr.cli.results import print_one, print_table
from lsr.progress import Progress
from lsr.terminal import echo, emit, note, write_json

if TYPE_CHECKING:
    from lsr.eval.dataset import Dataset
    from lsr.eval.experiments.experiment import Experiment
    from lsr.eval.results import Result

# Options that apply to the run of --run-file.
_OF_RUN_FILES = ("datasets", "run_file", "qrels", "split", "measures", "per_query", "as_json")
_FILE = Output()


@click.command("eval")
@click.argument("datasets", metavar="DATASET…", nargs=-1)
@choice_option("--suite", "A group of datasets.", ("small", "beir13"))
@data_option
@encoder_option(multiple=True)
@click.option(
    "--index",
    "index_path",
    type=_FILE,
    metavar="DIR",
    help="Use this index, or build it here; several are in DIR/DATASET/ENCODER.",
)
@encoding_options
@precision_option
@click.option(
    "--dense", metavar="D", help="Dense vectors for --hybrid: minilm, a folder, or a HUB-ID."
)
@hybrid_options
@click.option("--split", metavar="NAME", help="Split of the judgments (default: the usual one).")
@judged_options
@click.option(
    "--measures",
    metavar="NAMES",
    default="",
    help='ir-measures names (default: the usual ones, mostly "nDCG@10 R@100 RR@10").',
)
@number_option("-k", "Hits per query.", 1000)
@click.option(
    "--run",
    "run_out",
    type=Output(run=True),
    metavar="OUT.trec|.jsonl",
    help="Also write the run, in TREC's format or as JSON lines; - is standard output; several "
    "runs go to OUT/DATASET.",
)
@click.option(
    "--run-file",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Measure this run against --qrels.",
)
@click.option(
    "--per-query",
    type=_FILE,
    callback=writable,
    metavar="OUT.parquet",
    help="Also write the values of each query.",
)
@click.option("--report", type=_FILE, metavar="DIR", help="Also write a report, with its indexes.")
@flag("--fresh", "Rebuild indexes and search again.")
@number_option("--threads", "Threads for building; queries run on one.")
@json_option
@click.pass_context
def evaluate(
    context: click.Context,
    /,
    datasets: tuple[str, ...],
    suite: str | None,
    data: Path | None,
    split: str | None,
    queries: str | None,
    qrels: str | None,
    measures: str,
    encoder: tuple[str, ...],
    dense: str | None,
    weights: str | None,
    k: int,
    fresh: bool,
    index_path: Path | None,
    run_out: Path | None,
    run_file: Path | None,
    per_query: Path | None,
    report: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure encoders on judged datasets.

    DATASET is the name of a BEIR dataset (downloaded unless --data DIR has its zip), a BEIR folder
    or zip, irds:ID, or a collection with --queries and --qrels.  Indexes and runs are cached: the
    same command resumes after an interruption, and repeats no finished work.

    \b
    lsr eval nfcorpus.zip
    lsr eval scifact --encoder bm25 --measures "nDCG@10 R@100"
    lsr eval nfcorpus.zip --index nfcorpus --weights bm25=.6,splade-tiny=.4
    lsr eval --suite small --data zips --encoder bm25 --encoder splade-tiny --report report
    lsr eval nfcorpus.zip --dense minilm --hybrid
    lsr eval --run-file nfcorpus.trec --qrels nfcorpus.zip --json
    """
    from lsr.data.datasets import SUITES
    from lsr.eval.experiments.experiment import Experiment, evaluate_run

    to_stdout = run_out is STANDARD_OUTPUT
    if to_stdout and as_json:
        raise click.UsageError("Standard output takes --run - or --json, not both.")
    command = shlex.join(["lsr", *map(str, context.obj or ["eval"])])
    names = measures.replace(",", " ").split()
    if run_file is not None:
        others = (p.name for p in context.command.params if p.name not in _OF_RUN_FILES)
        option = "DATASET" if datasets else given(context, *map(str, others))
        if option is not None:
            raise click.UsageError(f"--run-file measures an existing run; leave out {option}.")
        if qrels is None:
            raise click.UsageError("--run-file needs --qrels FILE|ZIP.")
        results = [evaluate_run(run_file, qrels, split, names)]
        for remark in results[0].provenance["remarks"]:
            note(f"{run_file}: {remark}.")
    else:
        hybrid = hybrid_of(context, options)
        if dense is not None and hybrid is None:
            raise click.UsageError("--dense only applies to --hybrid; add --hybrid.")
        sources = [*SUITES.get(suite or "", ()), *datasets]
        settings = {name: v for name, v in options.items() if given(context, name)}
        encoders: list[str | None] = [*dict.fromkeys(encoder)] or [None]
        experiments = [
            Experiment(name, dense, weights, settings, k, hybrid, fresh) for name in encoders
        ]
        results = _results(
            _datasets(sources, data, split, names, queries, qrels),
            experiments,
            index_path,
            report,
            run_out,
            command,
        )
    if report is not None:
        from lsr.eval.report.report import write_report

        write_report(report, results, command, progress=Progress)
    if per_query is not None:
        from lsr.eval.report.per_query import write_per_query

        write_per_query(per_query, results)
    if to_stdout:
        from lsr.eval.results import rows
        from lsr.eval.runs import run_lines

        emit(run_lines(STANDARD_OUTPUT, rows(results[0].run), "lsr"))
    if as_json:
        objects = [json_of(result) for result in results]
        write_json(objects[0] if len(objects) == 1 else objects)
    else:
        if len(results) == 1:
            print_one(results[0], note if to_stdout else echo)
        else:
            print_table(results)


def _datasets(
    sources: Sequence[str],
    data: Path | None,
    split: str | None,
    measures: Sequence[str],
    queries: str | None,
    qrels: str | None,
) -> dict[str, list[Dataset]]:
    """Name and parts of each dataset."""
    from lsr.eval.dataset import load_dataset, parts_of

    if not sources:
        raise click.UsageError("Give a DATASET, --suite NAME, or --run-file FILE with --qrels.")
    if len(sources) > 1 and (queries or qrels):
        raise click.UsageError("--queries and --qrels apply to a single DATASET.")
    datasets: dict[str, list[Dataset]] = {}
    for source in sources:
        parts = parts_of(source, data, Progress)
        name = source if len(parts) > 1 else next(iter(parts))
        if name in datasets:
            raise click.UsageError(f"{name} is given twice; give each dataset once.")
        datasets[name] = [
            load_dataset(place, split, measures, name=part, queries=queries, qrels=qrels)
            for part, place in parts.items()
        ]
    return datasets


def _results(
    datasets: Mapping[str, Sequence[Dataset]],
    experiments: Sequence[Experiment],
    index_path: Path | None,
    report: Path | None,
    run_out: Path | None,
    command: str,
) -> list[Result]:
    """One for each dataset and experiment, in this order."""
    from lsr.encoders import DEFAULT_ENCODER
    from lsr.eval.experiments.experiment import evaluate as evaluate_index
    from lsr.eval.experiments.index_cache import IndexCache
    from lsr.eval.results import joined

    if len(experiments) > 1 and experiments[0].weights is not None:
        raise click.UsageError("--weights apply to a single --encoder.")
    several = len(experiments) > 1 or len(datasets) > 1 or len(next(iter(datasets.values()))) > 1
    if several and run_out is STANDARD_OUTPUT:
        raise click.UsageError("--run - applies to a single DATASET and --encoder; give a folder.")
    if not several and run_out is not None:
        writable(click.get_current_context(), click.Option(["--run"]), run_out)
    if several or index_path is None:
        experiments = [replace(e, encoder=e.encoder or DEFAULT_ENCODER) for e in experiments]
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
    root = report / "indexes" if index_path is None and report is not None else index_path
    results = []
    with IndexCache(root, Progress) as indexes:

        def path_of(part: Dataset, experiment: Experiment) -> Path:
            if index_path is None or several:
                return indexes.path(part, experiment)
            return index_path

        def measured(part: Dataset, experiment: Experiment) -> Result:
            path = path_of(part, experiment)
            if path != index_path:
                note(f"{part.name}, {experiment.encoder}: {path}")
            if run_out is not None and not several:
                _check_run(run_out, part, None if experiment.fresh else path)
            index = indexes.open(path, part, experiment)
            return evaluate_index(index, part, experiment, command=command, progress=Progress)

        try:
            # Names of encoders and retrievers are checked before hours of work, not after.
            for experiment, parts in product(experiments, datasets.values()) if several else ():
                for part in parts:
                    indexes.check(path_of(part, experiment), experiment)
            for (name, parts), experiment in product(datasets.items(), experiments):
                part_results = [measured(part, experiment) for part in parts]
                result = part_results[0] if len(part_results) == 1 else joined(name, part_results)
                if run_out is not None and run_out is not STANDARD_OUTPUT:
                    _write_run(run_out, result, several)
                results.append(result)
                remarks = result.provenance["remarks"]
                if remarks and experiment is experiments[0]:
                    note(f"{name}: {'; '.join(remarks)}.")
        except KeyboardInterrupt:
            if indexes.temporary is None:
                note("Finished work is kept: run the same command again to resume.")
            raise
    return results


def _check_run(file: Path, dataset: Dataset, index: Path | None) -> None:
    """Refuse a run file that cannot hold the ids, before anything is encoded or searched."""
    from lsr.data.corpus import open_corpus
    from lsr.data.sources import IRDS
    from lsr.eval.runs import check_ids, check_ids_of, is_json_lines
    from lsr.retrieval.index import Index

    check_ids(file, dataset.queries)
    if index is not None and index.exists():
        check_ids_of(file, Index.open(index).reader.ids)
    # A collection from the network is not read twice.
    elif not is_json_lines(file) and not dataset.documents.startswith(IRDS):
        check_ids(file, documents=(document.id for document in open_corpus(dataset.documents)))


def _write_run(path: Path, result: Result, several: bool) -> None:
    from lsr.eval.results import rows
    from lsr.eval.runs import file_name, suffix_for, write_run

    if several:
        path = path / result.dataset / f"{file_name(result.encoder)}{suffix_for(result.run)}"
        path.parent.mkdir(parents=True, exist_ok=True)
    write_run(path, rows(result.run), "lsr")

"""`lsr eval`."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lsr.cli.hybrid import hybrid_of, hybrid_options
from lsr.cli.options import (
    STANDARD_OUTPUT,
    Output,
    encoder_option,
    encoding_options,
    given,
    precision_option,
    writable,
)
from lsr.terminal import echo, emit, note, write_json

if TYPE_CHECKING:
    from lsr.eval.dataset import Dataset
    from lsr.eval.experiments.index_cache import Options
    from lsr.eval.results import Result
    from lsr.eval.runs import RunRow

_SETTINGS = (
    "max_length",
    "document_terms",
    "query_terms",
    "prune_ratio",
    "device",
    "batch_size",
    "precision",
    "threads",
)
# What decides a run, and so has no place where there is one already.
_OF_SEARCHING = (
    "suite",
    "data",
    "encoder",
    "weights",
    *_SETTINGS,
    "index_path",
    "queries",
    "k",
    "run_out",
    "report",
    "fresh",
    "dense",
    "hybrid",
    "prf",
)
_FILE = Output()
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command("eval")
@click.argument("datasets", metavar="DATASET…", nargs=-1)
@click.option(
    "--suite", type=click.Choice(["small", "beir13"]), help="Several datasets, by one name."
)
@click.option(
    "--data", type=_FOLDER, metavar="DIR", help="Where the zips of named datasets are looked up."
)
@encoder_option(multiple=True)
@click.option(
    "--index",
    "index_path",
    type=_FILE,
    metavar="DIR",
    help="Use this index, or build it here and keep it; of several, in DIR/DATASET/ENCODER.",
)
@encoding_options
@precision_option
@click.option(
    "--dense", metavar="D", help="Dense vectors for --hybrid: minilm, a folder, or a HUB-ID."
)
@hybrid_options
@click.option("--split", metavar="NAME", help="Which judgments (default: the usual ones).")
@click.option("--queries", metavar="FILE", help="Queries, where DATASET holds documents alone.")
@click.option("--qrels", metavar="FILE|ZIP", help="Judgments, where they are not in DATASET.")
@click.option(
    "--measures",
    metavar="NAMES",
    default="",
    help='ir-measures names (default: the usual ones, mostly "nDCG@10 R@100 RR@10").',
)
@click.option(
    "-k", default=1000, show_default=True, type=click.IntRange(1), metavar="N", help="Hits a query."
)
@click.option(
    "--run",
    "run_out",
    type=Output(run=True),
    metavar="OUT.trec|.jsonl",
    help="Also write the run, as TREC's columns or JSON lines, - for standard output; of several, "
    "the folder OUT/DATASET.",
)
@click.option(
    "--run-file",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Measure this run (--qrels).",
)
@click.option(
    "--per-query",
    type=_FILE,
    callback=writable,
    metavar="OUT.parquet",
    help="Also write the value of each query.",
)
@click.option("--report", type=_FILE, metavar="DIR", help="Also write a report, with its indexes.")
@click.option("--fresh", is_flag=True, help="Do again what is there already.")
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="For building; queries are run on one."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def evaluate(
    context: click.Context,
    /,
    run_file: Path | None,
    per_query: Path | None,
    report: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Measure encoders on judged datasets.

    DATASET is a name of BEIR (downloaded unless --data DIR has its zip), a BEIR folder or zip,
    irds:ID, or a collection with --queries and --qrels.  Indexes and runs are kept: the same
    command goes on where it was interrupted, and does nothing twice.

    \b
    lsr eval nfcorpus.zip
    lsr eval scifact --encoder bm25 --measures "nDCG@10 R@100"
    lsr eval nfcorpus.zip --index nfcorpus --weights bm25=.6,splade-tiny=.4
    lsr eval --suite small --data zips --encoder bm25 --encoder splade-tiny --report report
    lsr eval nfcorpus.zip --dense minilm --hybrid
    lsr eval --run-file nfcorpus.trec --qrels nfcorpus.zip --json
    """
    to_stdout = asked["run_out"] is STANDARD_OUTPUT
    if to_stdout and as_json:
        raise click.UsageError("Standard output takes --run - or --json, not both.")
    command = shlex.join(["lsr", *map(str, context.obj or ["eval"])])
    if run_file is not None:
        option = "DATASET" if asked["datasets"] else given(context, *_OF_SEARCHING)
        if option is not None:
            raise click.UsageError(f"--run-file is measured as it is; leave out {option}.")
        if asked["qrels"] is None:
            raise click.UsageError("--run-file needs --qrels FILE|ZIP.")
        results = [_measure_run(run_file, asked["qrels"], asked["split"], asked["measures"])]
    else:
        asked["how"] = hybrid_of(context, asked)
        if asked["dense"] is not None and asked["how"] is None:
            raise click.UsageError("--dense is searched with --hybrid; add it.")
        settings = {
            name: asked[name]
            for name in _SETTINGS
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        if report is not None:
            report.mkdir(parents=True, exist_ok=True)
        results = _Experiments(asked, settings, report, command).results()
    if report is not None:
        from lsr.eval.report.report import write_report
        from lsr.progress import Progress

        write_report(report, results, command, progress=Progress)
    if per_query is not None:
        from lsr.eval.report.per_query import write_per_query

        write_per_query(per_query, results)
    if to_stdout:
        from lsr.eval.runs import run_lines

        emit(run_lines(STANDARD_OUTPUT, _rows(results[0]), "lsr"))
    if as_json:
        from lsr.cli.results import as_json as json_of

        objects = [json_of(result) for result in results]
        write_json(objects[0] if len(objects) == 1 else objects)
    else:
        from lsr.cli.results import print_one, print_table

        if len(results) == 1:
            print_one(results[0], note if to_stdout else echo)
        else:
            print_table(results)


@dataclass
class _Experiments:
    """All datasets with all encoders; `settings` are those given on the command line."""

    asked: dict[str, Any]
    settings: dict[str, Any]
    report: Path | None
    command: str
    _temporary: Path | None = None

    def results(self) -> list[Result]:
        """One for each dataset and encoder, in this order."""
        from lsr.eval.experiments.index_cache import Options

        asked = self.asked
        datasets = self._datasets()
        encoders: Sequence[str | None] = list(dict.fromkeys(asked["encoder"])) or [None]
        if asked["weights"] is not None and len(encoders) > 1:
            raise click.UsageError("--weights are for one --encoder.")
        self.several = len(encoders) > 1 or len(datasets) > 1 or len(datasets[0][1]) > 1
        if self.several and asked["run_out"] is STANDARD_OUTPUT:
            raise click.UsageError("--run - is for one DATASET and one --encoder; name a folder.")
        if self.several or asked["how"] is not None:
            self._check_encoders(encoders)
        elif asked["run_out"] is not None:
            writable(click.get_current_context(), click.Option(["--run"]), asked["run_out"])
        options = Options(
            asked["k"],
            asked["weights"],
            self.settings,
            asked["fresh"],
            asked["dense"],
            asked["how"],
        )
        results = []
        for name, parts in datasets:
            for encoder in encoders:
                results.append(self._result(name, parts, encoder, options))
                remarks = results[-1].provenance["remarks"]
                if remarks and encoder == encoders[0]:
                    note(f"{name}: {'; '.join(remarks)}.")
        return results

    def _datasets(self) -> list[tuple[str, list[Dataset]]]:
        """Name and parts of each dataset."""
        from lsr.data.datasets import SUITES
        from lsr.eval.dataset import load_dataset, parts_of
        from lsr.progress import Progress

        asked = self.asked
        sources = [*SUITES.get(asked["suite"], ()), *asked["datasets"]]
        if not sources:
            raise click.UsageError("Give a DATASET, --suite NAME, or --run-file FILE with --qrels.")
        if len(sources) > 1 and (asked["queries"] or asked["qrels"]):
            raise click.UsageError("--queries and --qrels are for one DATASET.")
        measures = asked["measures"].replace(",", " ").split()
        found: dict[str, list[Dataset]] = {}
        for source in sources:
            parts = parts_of(source, asked["data"], Progress)
            name = source if len(parts) > 1 else next(iter(parts))
            if name in found:
                raise click.UsageError(f"{name} is there twice; give each dataset once.")
            found[name] = [
                load_dataset(
                    place,
                    asked["split"],
                    measures,
                    name=part,
                    queries=asked["queries"],
                    qrels=asked["qrels"],
                )
                for part, place in parts.items()
            ]
        return list(found.items())

    def _check_encoders(self, encoders: Sequence[str | None]) -> None:
        """What a later encoder is called, or a retriever, must not be found wrong after work."""
        from lsr.encoders import DEFAULT_ENCODER, load_encoder
        from lsr.encoders.dense.encoder import load_dense
        from lsr.retrieval.named import Names

        asked = self.asked
        dense = load_dense(asked["dense"]).name if asked["dense"] is not None else None
        for encoder in encoders:
            loaded = load_encoder(encoder or DEFAULT_ENCODER, **self.settings)
            if asked["how"] is not None and asked["index_path"] is None:
                names = Names.of_encoders(loaded, dense)
                chosen = names.select(asked["how"]["retrievers"])
                names.weights(chosen, asked["how"].get("weights"))

    def _result(
        self, name: str, parts: Sequence[Dataset], encoder: str | None, options: Options
    ) -> Result:
        from lsr.eval.experiments.experiment import joined

        results = [self._result_of_part(part, encoder, options) for part in parts]
        result = results[0] if len(results) == 1 else joined(name, results)
        if self.asked["run_out"] is not None and self.asked["run_out"] is not STANDARD_OUTPUT:
            _write_run(self.asked["run_out"], result, self.several)
        return result

    def _result_of_part(self, dataset: Dataset, encoder: str | None, options: Options) -> Result:
        from lsr.encoders import DEFAULT_ENCODER
        from lsr.eval.experiments.experiment import evaluate as evaluate_index
        from lsr.eval.experiments.index_cache import open_index, place_of_index
        from lsr.progress import Progress

        place = self.asked["index_path"]
        if place is None or self.several:
            root = place or (self.report / "indexes" if self.report is not None else None)
            encoder = encoder or DEFAULT_ENCODER
            if root is None:
                place = self._cached_place(dataset, encoder, options)
            else:
                place = place_of_index(root, dataset, encoder, options)
            note(f"{dataset.name}, {encoder}: {place}")
        if self.asked["run_out"] is not None and not self.several:
            _check_run(self.asked["run_out"], dataset, None if options.fresh else place)
        try:
            index = open_index(place, dataset, encoder, options, Progress)
            return evaluate_index(index, dataset, options, command=self.command, progress=Progress)
        except KeyboardInterrupt:
            if self._temporary is None:
                note("Finished work is kept: the same command goes on from there.")
            raise

    def _cached_place(self, dataset: Dataset, encoder: str, options: Options) -> Path:
        """The index's place in the user's cache; in a temporary folder where that is no use."""
        from lsr.errors import CorpusError
        from lsr.eval.experiments.experiment import can_write
        from lsr.eval.experiments.index_cache import place_of_index

        try:
            place = place_of_index(None, dataset, encoder, options)
            if (place.exists() and not options.fresh) or can_write(place.parent):
                return place
            reason = f"{place.parent} cannot be written"
        except CorpusError as error:  # no home
            reason = str(error)
        if self._temporary is None:
            note(f"The index will not be kept: {reason}; --index DIR keeps it.")
            folder = tempfile.TemporaryDirectory(prefix="lsr-", ignore_cleanup_errors=True)
            self._temporary = Path(click.get_current_context().with_resource(folder))
        return place_of_index(self._temporary, dataset, encoder, options)


def _check_run(file: Path, dataset: Dataset, index: Path | None) -> None:
    """Refuse a run file that cannot hold the ids, before anything is encoded or searched."""
    from lsr.data.corpus import open_corpus
    from lsr.data.sources import IRDS
    from lsr.eval.runs import check_ids, check_ids_of, is_json_lines
    from lsr.retrieval.index import Index

    check_ids(file, dataset.queries)
    if index is not None and index.exists():
        check_ids_of(file, Index.open(index))
    # What comes over a network is not read ahead.
    elif not is_json_lines(file) and not dataset.documents.startswith(IRDS):
        check_ids(file, documents=(document.id for document in open_corpus(dataset.documents)))


def _write_run(place: Path, result: Result, several: bool) -> None:
    from lsr.eval.runs import file_name, suffix_for, write_run

    if several:
        place = place / result.dataset / f"{file_name(result.encoder)}{suffix_for(result.run)}"
        place.parent.mkdir(parents=True, exist_ok=True)
    write_run(place, _rows(result), "lsr")


def _rows(result: Result) -> Iterator[RunRow]:
    return ((query, list(row), row.values()) for query, row in result.run.items())


def _measure_run(file: Path, qrels: str, split: str | None, measures: str) -> Result:
    from lsr.eval.experiments.experiment import evaluate_run

    result = evaluate_run(file, qrels, split, measures.replace(",", " ").split())
    for remark in result.provenance["remarks"]:
        note(f"{file}: {remark}.")
    return result

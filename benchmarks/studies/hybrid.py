"""Every way to fuse BM25, a SPLADE model and dense vectors, on judged datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

import lsr
from benchmarks.commands import FOLDER, argument, command, option, table
from benchmarks.judged import DEPTH, MEASURE, run_of, values
from lsr.eval.dataset import Dataset, load_dataset
from lsr.eval.report.figures import figure
from lsr.eval.statistics import SIGNIFICANT, holm, paired_differences, randomization_test
from lsr.eval.tuning.choose import choose
from lsr.fusion import LEARNED, METHODS

Values = Mapping[str, float]  # query -> value
Table = dict[str, list[Values]]  # system -> values on each dataset


@dataclass
class JudgedIndex:
    """A dataset, its index, and the measure of `fused`."""

    dataset: Dataset
    index: lsr.Index
    measure: str = MEASURE

    @classmethod
    def load(
        cls, indexes: Path, sources: Sequence[str], measure: str = MEASURE
    ) -> list[JudgedIndex]:
        """The datasets, and their indexes in a folder."""
        datasets = [load_dataset(source) for source in sources]
        return [cls(dataset, lsr.open(indexes / dataset.name), measure) for dataset in datasets]

    @property
    def retrievers(self) -> tuple[list[str], str, str]:
        """The names of the parts, of the index's terms as one list, and of the dense vectors."""
        whole, dense = self.index.hybrid("none").names
        return whole.split("+"), whole, dense

    def fused(self, names: str, method: str, **options: Any) -> Values:
        """Each query's value by a hybrid of some retrievers."""
        hybrid = self.index.hybrid(method, retrievers=names, **options)
        hits = hybrid.search(list(self.dataset.queries.values()), DEPTH)
        return values(self.dataset, run_of(self.dataset, hits), self.measure)

    @property
    def ids(self) -> list[str]:
        """External ids by position in the collection."""
        docids = self.index.reader.docids_of(np.arange(len(self.index)))
        return [self.index.reader.id_of(docid) for docid in docids.tolist()]

    def held_out(self, names: str, fusion: str) -> Values:
        """Each query's value with the weights, or the trees, chosen on the other folds."""
        choice = choose(self.index, self.dataset, fusion=fusion, retrievers=names, measure=MEASURE)
        return choice.tuned.held_out


def markdown(
    title: str, judged: Sequence[JudgedIndex], systems: Table, best: Sequence[Values]
) -> str:
    """A table with a column a dataset; ▲ and ▼ are against `best`."""
    marks: dict[str, list[str]] = {name: [] for name in systems}
    for column, baseline in enumerate(best):
        others = [name for name in systems if systems[name][column] is not baseline]
        differences = [paired_differences(baseline, systems[name][column]) for name in others]
        corrected = holm([randomization_test(difference) for difference in differences])
        signs = {
            name: "" if p >= SIGNIFICANT else " ▲" if difference.mean() > 0 else " ▼"
            for name, difference, p in zip(others, differences, corrected, strict=True)
        }
        for name in systems:
            marks[name].append(signs.get(name, ""))
    rows = []
    for name, columns in systems.items():
        means = [float(np.mean(list(column.values()))) for column in columns]
        cells = [figure(mean) + mark for mean, mark in zip(means, marks[name], strict=True)]
        rows.append([name, *cells, figure(float(np.mean(means)))])
    return table([title, *(one.dataset.name for one in judged), "mean"], rows)


@dataclass(frozen=True)
class Options:
    indexes: Path = argument()
    datasets: tuple[str, ...] = argument()
    out: Path = option("Folder for the tables.", type=FOLDER)


@command(Options)
def main(options: Options) -> None:
    """Measure every fusion of retrievers of the indexes in INDEXES on DATASETS.

    INDEXES/NAME is the index of dataset NAME, by a composite encoder, with dense vectors.
    Lists are 1,000 deep.  Writes nDCG@10 to hybrid.md in --out: of each retriever alone, of each
    fusion of several, with weights chosen by cross-validation, and learned.  ▲ and ▼ mark
    significant differences from the best single retriever on the dataset, by the randomization
    test at .05 after Holm's correction over the column of a table.

    \b
    lsr index nfcorpus.zip -o indexes/nfcorpus --dense minilm
    python -m benchmarks.studies.hybrid indexes nfcorpus.zip --out results
    """
    judged = JudgedIndex.load(options.indexes, options.datasets)
    parts, whole, dense = judged[0].retrievers
    single = {name: [j.fused(name, "none") for j in judged] for name in (*parts, whole, dense)}
    best = [
        max(column, key=lambda of_queries: sum(of_queries.values()))
        for column in zip(*single.values(), strict=True)
    ]
    groups = [parts, *([part, dense] for part in parts), [whole, dense], [*parts, dense]]
    tables = [markdown("alone", judged, single, best)]
    click.echo(tables[0])
    for title, measure in systems():
        fused = {
            ", ".join(names): [measure(one, ",".join(names)) for one in judged] for names in groups
        }
        tables.append(markdown(title, judged, fused, best))
        click.echo(f"\n{tables[-1]}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "hybrid.md").write_text("\n\n".join(tables) + "\n", encoding="utf-8")


def systems() -> Iterator[tuple[str, Callable[[JudgedIndex, str], Values]]]:
    """A title for each way to fuse, and its values for the names of retrievers."""
    fused = JudgedIndex.fused
    for method in METHODS:
        yield method, partial(fused, method=method)
    for method in ("minmax", "zscore"):
        title = f"{method}, missing documents as the list's last"
        yield title, partial(fused, method=method, missing="lowest")
    yield "minmax, rescored", partial(fused, method="minmax", rescore=True)
    for method in METHODS:
        title = f"{method}, weights by cross-validation"
        yield title, partial(JudgedIndex.held_out, fusion=method)
    yield "learned, by cross-validation", partial(JudgedIndex.held_out, fusion=LEARNED)


if __name__ == "__main__":
    main()

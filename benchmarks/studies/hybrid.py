"""Every way to fuse BM25, a SPLADE model and dense vectors, on judged datasets.

    lsr index nfcorpus.zip -o indexes/nfcorpus --dense minilm       # bm25+splade-tiny beside it
    python -m benchmarks.studies.hybrid indexes nfcorpus.zip scifact.zip --out results

Each of INDEXES/NAME has an encoder of parts, and dense vectors.  Lists are 1,000 deep.  Writes
`hybrid.md`: nDCG@10 of each retriever alone, of each fusion of several, with weights chosen by
cross-validation and learned.  ▲ and ▼ are against the best single retriever on
that dataset: the randomization test at .05, after Holm's correction over the column of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np

import lsr
from lsr.eval.dataset import Dataset, load_dataset
from lsr.eval.measures import scores
from lsr.eval.report.figures import figure
from lsr.eval.statistics import holm, paired_differences, randomization_test
from lsr.eval.tuning.tuning import cross_validate, tune
from lsr.fusion.learned import LearnedFusion
from lsr.fusion.methods import METHODS, Method, Ranked
from lsr.retrieval.hybrid import Candidates, Hybrid
from lsr.retrieval.retrievers import DenseRetriever, Retriever, SparseRetriever

MEASURE = "nDCG@10"
DEEP = 100  # documents of a run that are measured

Values = Mapping[str, float]  # query -> value


@dataclass
class Judged:
    """A dataset and its index."""

    dataset: Dataset
    index: lsr.Index
    measured: str = MEASURE

    @cached_property
    def retrievers(self) -> dict[str, Retriever[Any]]:
        """All of them by name: the parts, the index's terms as one, the dense vectors."""
        every: list[Retriever[Any]] = [
            *(SparseRetriever(self.index, name) for name in self.index.encoder.name.split("+")),
            SparseRetriever(self.index),
            DenseRetriever(self.index),
        ]
        return {retriever.name: retriever for retriever in every}

    @cached_property
    def found(self) -> dict[str, dict[str, Candidates]]:
        """The list of each retriever, for each query."""
        texts = list(self.dataset.queries.values())
        return {
            name: dict(
                zip(self.dataset.queries, Hybrid([r], "none").candidates(texts), strict=True)
            )
            for name, r in self.retrievers.items()
        }

    @cached_property
    def ids(self) -> list[str]:
        """Of each place."""
        numbers = self.index.numbers(np.arange(len(self.index)))
        return [self.index.id_of(number) for number in numbers.tolist()]

    def of(self, names: Sequence[str]) -> dict[str, Candidates]:
        """The lists of some retrievers."""
        every = {
            query: [self.found[name][query] for name in names] for query in self.dataset.queries
        }
        return {
            query: Candidates([c.lists[0] for c in each], [c.minima[0] for c in each])
            for query, each in every.items()
        }

    def measure(self, found: Mapping[str, Any]) -> Values:
        """Each query's value of lists with places and scores."""
        run = {
            query: {
                self.ids[place]: score
                for place, score in zip(
                    hits.places[:DEEP].tolist(), hits.scores[:DEEP].tolist(), strict=True
                )
            }
            for query, hits in found.items()
        }
        return scores(self.dataset.qrels, run, [self.measured]).per_query[self.measured]

    def fused(self, names: Sequence[str], method: Method, **how: Any) -> Values:
        """The values of a fusion of lists as they are."""
        hybrid = Hybrid([self.retrievers[name] for name in names], method, **how)
        queries = list(self.dataset.queries)
        answers = hybrid.search(list(self.dataset.queries.values()), DEEP)
        return self.measure(
            {
                query: Ranked(self.index.places(hits.documents), hits.scores)
                for query, hits in zip(queries, answers, strict=True)
            }
        )

    def tuned(self, names: Sequence[str], method: Method) -> Values:
        """Each query's value with the weights chosen on the other folds."""
        lists = self.of(names)
        return tune(lists, self.dataset.qrels, self.ids, method, MEASURE, k=DEEP).held_out

    def learned(self, names: Sequence[str]) -> Values:
        """Each query's value by trees trained on the other folds."""
        lists = self.of(names)
        places = {id: place for place, id in enumerate(self.ids)}

        def train(queries: list[str]) -> Callable[[Sequence[Ranked]], Ranked]:
            examples = (
                (
                    lists[query].lists,
                    {places[d]: g for d, g in self.dataset.qrels[query].items() if d in places},
                )
                for query in queries
            )
            trained = LearnedFusion.train(names, examples)
            return lambda given: trained.rank(given, DEEP)

        return cross_validate(lists, self.dataset.qrels, self.ids, train, MEASURE)


Table = dict[str, list[Values]]  # system -> values, a dataset each


def write_table(title: str, judged: Sequence[Judged], table: Table, best: Sequence[Values]) -> str:
    """A table with a column a dataset; `best` is what is tested against."""
    lines = [f"| {title} | " + " | ".join(j.dataset.name for j in judged) + " | mean |"]
    lines.append("|---|" + "--:|" * (len(judged) + 1))
    marks: dict[str, list[str]] = {name: [] for name in table}
    for column, against in enumerate(best):
        others = [name for name in table if table[name][column] is not against]
        differences = [paired_differences(against, table[name][column]) for name in others]
        corrected = holm([randomization_test(d) for d in differences])
        found = dict(zip(others, zip(differences, corrected, strict=True), strict=True))
        for name in table:
            difference, p = found.get(name, (np.zeros(1), 1.0))
            marks[name].append("" if p >= 0.05 else " ▲" if difference.mean() > 0 else " ▼")
    for name, columns in table.items():
        means = [float(np.mean(list(values.values()))) for values in columns]
        cells = [figure(mean) + mark for mean, mark in zip(means, marks[name], strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {figure(float(np.mean(means)))} |")
    return "\n".join(lines)


def load(indexes: Path, sources: Sequence[str]) -> list[Judged]:
    """Datasets and their indexes."""
    datasets = [load_dataset(source) for source in sources]
    return [Judged(dataset, lsr.open(indexes / dataset.name)) for dataset in datasets]


@click.command()
@click.argument("indexes", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("datasets", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder.")
def main(indexes: Path, datasets: tuple[str, ...], out: Path) -> None:
    """Fuse what the indexes in INDEXES find for the judged queries of DATASETS."""
    judged = load(indexes, datasets)
    *parts, whole, dense = judged[0].retrievers
    groups = [
        parts,
        *([part, dense] for part in parts),
        [whole, dense],
        [*parts, dense],
    ]
    single = {
        name: [j.measure({q: found.lists[0] for q, found in j.found[name].items()}) for j in judged]
        for name in judged[0].retrievers
    }
    best = [
        max((values[column] for values in single.values()), key=lambda v: sum(v.values()))
        for column in range(len(judged))
    ]
    pieces = [write_table("alone", judged, single, best)]

    def add(title: str, values: Callable[[Judged, list[str]], Values]) -> None:
        table = {", ".join(names): [values(j, names) for j in judged] for names in groups}
        pieces.append(write_table(title, judged, table, best))
        click.echo(f"\n{pieces[-1]}")

    click.echo(pieces[0])
    for method in METHODS:
        add(method, lambda j, names, method=method: j.fused(names, method))  # type: ignore[misc]  # mypy infers no default of a lambda
    for method in ("minmax", "zscore"):
        add(
            f"{method}, what is missing as the list's last",
            lambda j, names, method=method: j.fused(names, method, missing="lowest"),  # type: ignore[misc]  # as above
        )
    add("minmax, rescored", lambda j, names: j.fused(names, "minmax", rescore=True))
    for method in METHODS:
        add(f"{method}, weights by cross-validation", lambda j, names, m=method: j.tuned(names, m))  # type: ignore[misc]  # as above
    add("learned, by cross-validation", lambda j, names: j.learned(names))
    out.mkdir(parents=True, exist_ok=True)
    (out / "hybrid.md").write_text("\n\n".join(pieces) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

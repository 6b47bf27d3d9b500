"""Feedback before and after fusion, on judged datasets."""

from __future__ import annotations

from dataclasses import dataclass

import click

from benchmarks.commands import command, option
from benchmarks.judged import MEASURE
from benchmarks.studies import hybrid
from benchmarks.studies.hybrid import JudgedIndex, Values, markdown
from lsr.errors import QueryError
from lsr.retrieval import FEEDBACK_KINDS, INTERPOLATE


@dataclass(frozen=True, kw_only=True)
class Options(hybrid.Options):
    measure: str = option("A measure of ir-measures.", MEASURE)


@command(Options)
def main(options: Options) -> None:
    """Measure feedback with the indexes in INDEXES on DATASETS.

    INDEXES are those of benchmarks.studies.hybrid.  Writes feedback.MEASURE.md to --out: single
    retrievers, and pairs fused by minmax.  `rm3` changes the queries of BM25, and the other kinds
    change all other queries; so BM25 with dense vectors is the setting of H. Li et al., "To
    interpolate or not to interpolate" (SIGIR 2022).  ▲ and ▼ are against no feedback.

    \b
    python -m benchmarks.studies.feedback indexes nfcorpus.zip scifact.zip --out results
    """
    judged = JudgedIndex.load(options.indexes, options.datasets, options.measure)
    parts, whole, dense = judged[0].retrievers
    pairs = [*([part, dense] for part in parts), [whole, dense]]
    tables = []
    for names in [*([name] for name in (*parts, whole, dense)), *pairs]:
        systems = measure_kinds(judged, names)
        best = systems["no feedback"]
        title = f"{', '.join(names)}: {options.measure}"
        tables.append(markdown(title, judged, systems, best))
        click.echo(f"\n{tables[-1]}")
    options.out.mkdir(parents=True, exist_ok=True)
    report = options.out / f"feedback.{options.measure}.md"
    report.write_text("\n\n".join(tables) + "\n", encoding="utf-8")


def measure_kinds(judged: list[JudgedIndex], names: list[str]) -> dict[str, list[Values]]:
    """The values without feedback, and by each kind that changes queries of a retriever."""
    fused, method = ",".join(names), "none" if len(names) == 1 else "minmax"
    systems = {"no feedback": [one.fused(fused, method) for one in judged]}
    for kind in FEEDBACK_KINDS:
        for interpolate in ("after",) if len(names) == 1 else INTERPOLATE:
            try:
                columns = [
                    one.fused(fused, method, prf=kind, interpolate=interpolate) for one in judged
                ]
            except QueryError:  # no retriever supports this kind
                continue
            systems[kind if len(names) == 1 else f"{kind}, {interpolate}"] = columns
    return systems


if __name__ == "__main__":
    main()

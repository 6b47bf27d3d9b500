"""Feedback before and after fusion, on judged datasets.

    python -m benchmarks.studies.feedback indexes nfcorpus.zip scifact.zip --out results

INDEXES are those of `benchmarks.studies.hybrid`.  Writes `feedback.md`: nDCG@10, or what
`--measure` says, of single retrievers and of pairs fused by min-max.  Feedback changes those that
it can, `rm3` BM25, the others all but BM25; so the pair of BM25 and dense vectors is the setting of
H. Li et al., "To interpolate or not to interpolate" (SIGIR 2022).  ▲ and ▼ are against none.
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.studies.hybrid import load, write_table
from lsr.retrieval.feedback import INTERPOLATE, KINDS, Feedback


@click.command()
@click.argument("indexes", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("datasets", nargs=-1, required=True)
@click.option("--measure", default="nDCG@10", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder.")
def main(indexes: Path, datasets: tuple[str, ...], measure: str, out: Path) -> None:
    """Measure feedback with the indexes in INDEXES on DATASETS."""
    judged = load(indexes, datasets)
    for each in judged:
        each.measured = measure
    *parts, whole, dense = judged[0].retrievers
    alone = [[name] for name in judged[0].retrievers]
    pieces = []
    for names in [*alone, *([part, dense] for part in parts), [whole, dense]]:
        fusion = "minmax" if len(names) > 1 else "none"
        best = [j.fused(names, fusion) for j in judged]
        table = {"no feedback": best}
        for kind in KINDS:
            if any(judged[0].retrievers[name].takes(kind) for name in names):
                for how in INTERPOLATE if len(names) > 1 else ("after",):
                    table[f"{kind}, {how}" if len(names) > 1 else kind] = [
                        j.fused(names, fusion, feedback=Feedback.of(kind), interpolate=how)
                        for j in judged
                    ]
        pieces.append(write_table(f"{', '.join(names)}: {measure}", judged, table, best))
        click.echo(f"\n{pieces[-1]}")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"feedback.{measure}.md").write_text("\n\n".join(pieces) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

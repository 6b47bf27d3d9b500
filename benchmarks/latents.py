"""Sparse autoencoders beside truncated dense vectors, at equal bytes.

    python -m benchmarks.latents nfcorpus.zip scifact.zip --keep embeddings

For each dataset: its documents are encoded by MiniLM (kept under --keep), an autoencoder is fitted
to them without judgments, and the test queries are searched through an index of the latents.
Beside it, the dense vectors cut to their first dimensions, brought to unit length and compared by
their inner product, in float32 and rounded to 8 bits a dimension (symmetrically, with a scale a
vector that is not counted).  Bytes are those a document takes: of latents, all files of postings in
the index; of dense vectors, the numbers alone.  The cuts include those that take as many bytes as
the latents do, rounded up.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

import lsr
from lsr.data.corpus import open_corpus
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.encoders.rows import stack
from lsr.encoders.training.autoencoder_fit import fit
from lsr.eval.dataset import Dataset, load_dataset
from lsr.eval.measures import scores

MEASURE = "nDCG@10"
CUTS = {24, 32, 64, 384}
DEEP = 100
# What an index has beside postings: of documents, and the weights as given.
_BESIDE = {"alive", "documents", "floats", "ranks", "vocabulary", "stored"}

Vectors = npt.NDArray[np.float32]


@dataclass
class Judged:
    """A dataset with the dense vectors of its documents and queries."""

    dataset: Dataset
    ids: list[str]
    documents: Vectors
    queries: Vectors

    def value(self, found: Iterable[tuple[list[str], list[float]]]) -> float:
        """The measure of the documents and scores of each query."""
        answers = zip(self.dataset.queries, found, strict=True)
        run = {query: dict(zip(*hits, strict=True)) for query, hits in answers}
        return scores(self.dataset.qrels, run, [MEASURE]).means[MEASURE]

    def cut(self, size: int, bits8: bool) -> float:
        """Of the first dimensions."""
        kept, asked = _unit(self.documents[:, :size]), _unit(self.queries[:, :size])
        if bits8:
            kept = _rounded(kept)
        return self.value(self._best(kept @ query) for query in asked)

    def latents(self, width: int, active: int, seed: int) -> tuple[float, float, float]:
        """Bytes a document in the index, the value by it, and by the weights as floats."""
        start = time.process_time()
        made = fit(self.documents, width * self.documents.shape[1], active, seed=seed)
        seconds = time.process_time() - start
        click.echo(f"{self.dataset.name}: {active} latents in {seconds:.0f} s of a core", err=True)
        vectors, asked = (
            stack(made.rows(own, unit=True)) for own in (self.documents, self.queries)
        )
        with tempfile.TemporaryDirectory() as folder:
            index = lsr.Index.from_vectors(f"{folder}/i", self.ids, vectors, keep_floats=True)
            sizes = index.info()["sizes"]
            size = sum(sizes[name] for name in set(sizes) - _BESIDE)
            values = [
                self.value(
                    (hits.ids.tolist(), hits.scores.tolist())
                    for hits in index.search_vectors(asked, DEEP, exact_floats=exact)
                )
                for exact in (False, True)
            ]
        return size / len(self.ids), values[0], values[1]

    def _best(self, found: Vectors) -> tuple[list[str], list[float]]:
        best = np.argsort(-found, kind="stable")[:DEEP]
        return [self.ids[place] for place in best], found[best].tolist()


@click.command()
@click.argument("datasets", nargs=-1, required=True)
@click.option("--keep", type=click.Path(path_type=Path), required=True, help="For embeddings.")
@click.option("--active", default=[32], multiple=True, type=int, show_default=True)
@click.option("--width", default=4, show_default=True)
@click.option("--seed", default=[0, 1, 2], multiple=True, type=int, show_default=True)
def main(
    datasets: tuple[str, ...],
    keep: Path,
    active: tuple[int, ...],
    width: int,
    seed: tuple[int, ...],
) -> None:
    """Print a table in Markdown for DATASETS, the values of the latents for each seed."""
    keep.mkdir(exist_ok=True)
    dense = load_dense("minilm")
    for source in datasets:
        judged = _read(source, dense, keep)
        title = f"{judged.dataset.name}, {len(judged.ids):,} documents"
        click.echo(f"\n| {title} | bytes | {MEASURE} |\n|---|---|---|")
        found = {k: [judged.latents(width, k, own) for own in seed] for k in active}
        sizes = [rows[0][0] for rows in found.values()]
        for k, rows in found.items():
            for place, what in ((1, "8 bits, in the index"), (2, "floats")):
                values = " · ".join(f"{row[place]:.4f}" for row in rows)
                size = f"{rows[0][0]:.0f}" if place == 1 else ""
                click.echo(f"| {k} latents, {what} | {size} | {values} |")
        for bytes_, bits8 in ((4, False), (1, True)):
            for cut in sorted(CUTS | {math.ceil(size / bytes_) for size in sizes}):
                what = "8 bits" if bits8 else "float32"
                value = judged.cut(cut, bits8)
                click.echo(f"| first {cut} dimensions, {what} | {cut * bytes_} | {value:.4f} |")


def _read(source: str, dense: DenseEncoder, keep: Path) -> Judged:
    dataset = load_dataset(source)
    listed = list(open_corpus(source))
    file = keep / f"{Path(source).stem}.docs.npy"
    if not file.exists():
        np.save(file, dense.encode_documents([document.indexed_text for document in listed]))
    queries = dense.encode_queries(list(dataset.queries.values()))
    return Judged(dataset, [document.id for document in listed], np.load(file), queries)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _rounded(vectors: Vectors) -> Vectors:
    scale = np.abs(vectors).max(axis=1, keepdims=True) / 127
    return np.asarray(np.round(vectors / scale) * scale, np.float32)


if __name__ == "__main__":
    main()

"""Sparse autoencoders beside truncated dense vectors, at equal bytes."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

import lsr
from benchmarks.commands import argument, command, option, progress, table
from benchmarks.judged import DEPTH, MEASURE, mean, run_of
from benchmarks.studies.hybrid import JudgedIndex
from lsr.encoders.rows import stack
from lsr.encoders.training.autoencoder_fit import fit
from lsr.eval.dataset import Dataset

CUTS = {24, 32, 64, 384}  # dimensions
# Files of an index that are no postings: of documents, and the weights as given.
_NO_POSTINGS = {"alive", "documents", "floats", "ranks", "vocabulary", "stored"}

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    indexes: Path = argument()
    datasets: tuple[str, ...] = argument()
    active: tuple[int, ...] = option("Numbers of latents of a document.", (32,))
    width: int = option("Number of latents for each dimension of the vectors.", 4)
    seeds: tuple[int, ...] = option("Random seeds.", (0, 1, 2))


@command(Options)
def main(options: Options) -> None:
    """Print a table for each of DATASETS, with the values of latents for each seed.

    INDEXES/NAME is an index of dataset NAME with dense vectors, to which an autoencoder is fitted
    without judgments; the test queries are searched through an index of the latents.  Beside it,
    the dense vectors are cut to their first dimensions, brought to unit length and compared by
    inner product, in float32 and rounded to 8 bits a dimension (symmetrically, with a scale a
    vector that is not counted).  Bytes are those of a document: of latents, all files of postings
    in the index; of dense vectors, the numbers alone.  Cuts include those that take the bytes of
    the latents.

    \b
    lsr index nfcorpus.zip -o indexes/nfcorpus --dense minilm
    python -m benchmarks.studies.latents indexes nfcorpus.zip
    """
    for judged in map(Embedded.of, JudgedIndex.load(options.indexes, options.datasets)):
        rows, sizes = [], []
        for active in options.active:
            fits = [judged.latents(options.width, active, seed) for seed in options.seeds]
            size, *by_kind = zip(*fits, strict=True)
            sizes.append(size[0])
            for kind, by_seed in zip(("8 bits, in the index", "floats"), by_kind, strict=True):
                shown = f"{size[0]:.0f}" if kind != "floats" else ""
                values = " · ".join(f"{value:.4f}" for value in by_seed)
                rows.append((f"{active} latents, {kind}", shown, values))
        for width, kind in ((4, "float32"), (1, "8 bits")):
            for cut in sorted(CUTS | {math.ceil(size / width) for size in sizes}):
                value = judged.cut(cut, rounded=width == 1)
                rows.append((f"first {cut} dimensions, {kind}", str(cut * width), f"{value:.4f}"))
        title = f"{judged.dataset.name}, {len(judged.ids):,} documents"
        click.echo(f"\n{table((title, 'bytes', MEASURE), rows)}")


@dataclass
class Embedded:
    """A dataset with the dense vectors of its documents and queries."""

    dataset: Dataset
    ids: list[str]
    documents: Vectors
    queries: Vectors

    @classmethod
    def of(cls, judged: JudgedIndex) -> Embedded:
        """The dense vectors of an index, by position in the collection."""
        index, dataset = judged.index, judged.dataset
        if index.dense is None:
            raise click.ClickException(f"{index.path} has no dense vectors; add --dense minilm")
        documents = np.asarray(index.dense.vectors(range(len(index))))
        queries = index.dense_encoder.encode_queries(list(dataset.queries.values()))
        return cls(dataset, judged.ids, documents, np.asarray(queries))

    def cut(self, size: int, rounded: bool) -> float:
        """The value of the first dimensions."""
        documents, queries = _unit(self.documents[:, :size]), _unit(self.queries[:, :size])
        if rounded:
            scale = np.abs(documents).max(axis=1, keepdims=True) / 127
            documents = np.asarray(np.round(documents / scale) * scale, np.float32)
        return mean(
            self.dataset,
            {
                query: self._best(documents @ vector)
                for query, vector in zip(self.dataset.queries, queries, strict=True)
            },
        )

    def _best(self, scores: Vectors) -> dict[str, float]:
        best = np.argsort(-scores, kind="stable")[:DEPTH].tolist()
        return {self.ids[position]: float(scores[position]) for position in best}

    def latents(self, width: int, active: int, seed: int) -> tuple[float, float, float]:
        """Bytes a document in the index, the value by it, and the value by weights as floats."""
        start = time.process_time()
        model = fit(self.documents, width * self.documents.shape[1], active, seed=seed)
        seconds = time.process_time() - start
        progress.print(f"{self.dataset.name}: {active} latents in {seconds:.0f} s of a core")
        documents, queries = (
            stack(model.rows(vectors, unit=True)) for vectors in (self.documents, self.queries)
        )
        with tempfile.TemporaryDirectory() as folder:
            index = lsr.Index.from_vectors(f"{folder}/i", self.ids, documents, keep_floats=True)
            sizes = index.info()["sizes"]
            size = sum(sizes[name] for name in set(sizes) - _NO_POSTINGS)
            by_index, by_floats = (
                mean(
                    self.dataset,
                    run_of(self.dataset, index.search_vectors(queries, DEPTH, exact_floats=exact)),
                )
                for exact in (False, True)
            )
        return size / len(self.ids), by_index, by_floats


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()

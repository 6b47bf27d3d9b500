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
from benchmarks.commands import FOLDER, argument, command, option, progress, table
from benchmarks.judged import DEPTH, MEASURE, mean, run_of
from lsr.data.corpus import open_corpus
from lsr.encoders.dense.encoder import load_dense
from lsr.encoders.rows import stack
from lsr.encoders.training.autoencoder_fit import fit
from lsr.eval.dataset import Dataset, load_dataset

CUTS = {24, 32, 64, 384}  # dimensions
# Files of an index that are no postings: of documents, and the weights as given.
_NO_POSTINGS = {"alive", "documents", "floats", "ranks", "vocabulary", "stored"}

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    datasets: tuple[str, ...] = argument()
    keep: Path = option("Folder for embeddings.", type=FOLDER)
    active: tuple[int, ...] = option("Numbers of latents of a document.", (32,))
    width: int = option("Number of latents for each dimension of the vectors.", 4)
    seeds: tuple[int, ...] = option("Random seeds.", (0, 1, 2))


@command(Options)
def main(options: Options) -> None:
    """Print a table for each of DATASETS, with the values of latents for each seed.

    Documents are encoded by MiniLM (once, kept in --keep), an autoencoder is fitted to them without
    judgments, and the test queries are searched through an index of the latents.  Beside it, dense
    vectors are cut to their first dimensions, brought to unit length and compared by inner product,
    in float32 and rounded to 8 bits a dimension (symmetrically, with a scale a vector that is not
    counted).  Bytes are those of a document: of latents, all files of postings in the index; of
    dense vectors, the numbers alone.  Cuts include those that take the bytes of the latents.

    \b
    python -m benchmarks.studies.latents nfcorpus.zip scifact.zip --keep embeddings
    """
    options.keep.mkdir(exist_ok=True)
    for source in options.datasets:
        judged = Embedded.load(source, options.keep)
        rows, sizes = [], []
        for active in options.active:
            fits = [judged.latents(options.width, active, seed) for seed in options.seeds]
            size, *by_kind = zip(*fits, strict=True)
            sizes.append(size[0])
            for kind, each in zip(("8 bits, in the index", "floats"), by_kind, strict=True):
                shown = f"{size[0]:.0f}" if kind != "floats" else ""
                values = " · ".join(f"{value:.4f}" for value in each)
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
    def load(cls, source: str, keep: Path) -> Embedded:
        """A dataset; the vectors of its documents are kept in a folder."""
        dataset, dense, documents = load_dataset(source), load_dense("minilm"), open_corpus(source)
        listed = list(documents)
        file = keep / f"{Path(source).stem}.docs.npy"
        if not file.exists():
            np.save(file, dense.encode_documents([document.indexed_text for document in listed]))
        queries = dense.encode_queries(list(dataset.queries.values()))
        return cls(dataset, [document.id for document in listed], np.load(file), queries)

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

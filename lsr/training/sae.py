"""Fitting a sparse autoencoder to a collection: a folder that `lsr.encoders.latent.csr` reads.

All happens in `FOLDER/partial` (`lsr.storage.workspace`):

    FOLDER/partial = lock  shards/N-ORIGIN.parquet …  texts.arrow  [new/]

The dense vectors of the documents are sealed a shard at a time, as those of a dense side are
(`lsr.indexing.dense`), so a run that was stopped goes on with the shard that was open.  Fitting
takes minutes and starts again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa

from lsr.arguments import whole
from lsr.data.collection import Collection, Documents, Shards, spans_of
from lsr.data.vectors.shards import groups
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.encoders.latent.csr import COMMIT, sweep, write_folder
from lsr.encoders.latent.latent_names import LatentNames
from lsr.encoders.names import kind_of_folder
from lsr.encoders.rows import stack
from lsr.errors import EncoderError, LsrError
from lsr.indexing.dense import SHARDS, encode_shards, read_vectors
from lsr.progress import Progress, Silent
from lsr.storage.arrow import ArrowFile, arrow_writer
from lsr.storage.workspace import check_target, workspace

SAMPLE = 100_000

_TEXTS = "texts.arrow"


@dataclass(frozen=True)
class Fitted:
    """Counts: `documents` fitted to, `latents`, and `unused` ones, which no document activates."""

    documents: int
    latents: int
    unused: int


def fit_sae(
    path: str | PathLike[str],
    documents: Documents | Collection,
    dense: str | PathLike[str] | DenseEncoder,
    *,
    width: int = 4,
    active: int = 32,
    seed: int = 0,
    sample: int = SAMPLE,
    threads: int | None = None,
    force: bool = False,
    progress: type[Progress] = Silent,
) -> Fitted:
    """Fit an autoencoder to the dense vectors of documents, name its latents, write a folder.

    Args:
        path: the folder to be, an encoder for `lsr.load_encoder`.
        documents: read twice, and once if they were scanned.
        dense: a `DenseEncoder`, or a name for `lsr.encoders.dense.encoder.load_dense`.
        width: latents a dimension of the dense vectors.
        active: latents of a text.
        seed: the same one gives the same folder on the same machine.
        sample: of more documents, every n-th, so that there are at most so many.
        threads: for the dense model; None is one a processor.
        force: replace a folder of this kind that is there.
        progress: how to report; silent by default.

    Raises `CorpusError` for a bad document, `EncoderError` when the dense encoder cannot be loaded
    or there is nothing to fit to, `IndexExists` when the place is taken, and `LsrError` when the
    folder cannot be written.
    """
    from lsr.encoders.training.autoencoder_fit import fit  # brings torch

    path = Path(path).absolute()
    collection = Collection.of(documents)
    if collection.once:
        raise LsrError("documents are read again here; give a list or a corpus, not an iterator")
    width, active, sample, seed = (
        whole(name, number, least, error=EncoderError)
        for name, number, least in (
            ("width", width, 1),
            ("active", active, 1),
            ("sample", sample, 1),
            ("seed", seed, 0),
        )
    )
    if not isinstance(dense, DenseEncoder):
        dense = load_dense(dense, threads=threads)
    with workspace(
        path,
        check=lambda: check_target(path, force, "an autoencoder", _is_ours, commit=COMMIT),
        sweep=lambda: sweep(path),
        kept=[SHARDS],
        scratch=[_TEXTS],
        commit=COMMIT,
    ) as space:
        every = max(1, -(-collection.scanned(progress).documents // sample))
        total = -(-collection.scanned(progress).documents // every)
        texts = space.folder / _TEXTS
        files = encode_shards(
            space.folder / SHARDS, _sample(collection, every, texts), dense, total, progress
        )
        vectors = np.concatenate(
            [
                np.empty((0, dense.dimensions), np.float32),
                *(read_vectors(file, dense.dimensions) for file in files),
            ]
        )
        latents = width * dense.dimensions
        autoencoder = fit(vectors, latents, active, seed=seed, progress=progress)
        names = LatentNames(latents)
        done = 0
        with progress("Naming", "documents", total) as bar:
            for batch in _read(texts):
                rows = stack(autoencoder.rows(vectors[done : done + len(batch)], unit=True))
                names.add(batch, rows)
                done += len(batch)
                bar.advance(len(batch))
        write_folder(space.new, dense, autoencoder, names.names())
        space.publish()
    return Fitted(total, latents, names.unused)


def _sample(collection: Collection, every: int, texts: Path) -> Shards:
    """Every n-th document, by the shard; what is encoded of them also goes into a file."""
    documents = (
        document
        for span, group in collection.shards()
        for document in group[(1 - span.first) % every :: every]
    )
    with arrow_writer(texts, pa.schema([("text", pa.large_string())]), "zstd") as write:
        for span, group in spans_of(groups(documents)):
            write({"text": [document.indexed_text for document in group]})
            yield span, group


def _read(texts: Path) -> Iterator[list[str]]:
    """The texts that `_sample` wrote, a shard at a time."""
    file = ArrowFile(texts, size=texts.stat().st_size)
    for batch in range(file.batches):
        yield file.read(batch).column("text").to_pylist()


def _is_ours(path: Path) -> bool:
    return kind_of_folder(str(path)) == "csr"

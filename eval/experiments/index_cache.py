"""The indexes of experiments, kept and used again.

ROOT/DATASET/ENCODER        an index
ROOT/DATASET/ENCODER.runs   what it was built of (built.json), and its runs
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsr.data.collection import Collection
from lsr.data.corpus import open_corpus
from lsr.data.datasets import cache_folder
from lsr.data.sources import IRDS
from lsr.encoders import DEFAULT_ENCODER, load_encoder
from lsr.encoders.dense.encoder import load_dense
from lsr.errors import EncoderMismatch, LsrError, refusal
from lsr.eval.dataset import Dataset
from lsr.eval.experiments.run_cache import folder_of
from lsr.indexing.build import BuildOptions, Texts, build
from lsr.indexing.dense import add_dense
from lsr.progress import Progress
from lsr.retrieval.index import Index
from lsr.storage.files import checksum_bytes, write_atomically
from lsr.storage.manifest import MANIFEST

BUILT = "built.json"
_LONGEST_LABEL = 120  # characters of a folder's name
_NOT_OF_VECTORS = ("batch_size", "device", "threads")  # settings that decide no vector


@dataclass(frozen=True, slots=True)
class Options:
    """How an experiment is made.

    Attributes:
        k: hits of a query.
        weights: of the parts of an encoder of several, for queries.
        settings: those for `lsr.load_encoder`, and `threads`, that differ from the usual.
        fresh: whether to do again what is there.
        dense: the encoder of dense vectors; None leaves the index as it is.
        hybrid: arguments for `Index.hybrid`, JSON values; None searches the terms alone.
    """

    k: int = 1000
    weights: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False
    dense: str | None = None
    hybrid: Mapping[str, Any] | None = None


def place_of_index(root: Path | None, dataset: Dataset, encoder: str, options: Options) -> Path:
    """Where the index of an encoder for a dataset is kept; None is the user's cache.

    The cache is of all datasets that ever were, so what its folders are of is in their names.
    """
    label = ",".join([encoder, *(f"{k}={v}" for k, v in sorted(_of_vectors(options).items()))])
    label = re.sub(r"[^\w.+,=@:-]+", "_", label)
    if len(label) > _LONGEST_LABEL:
        label = f"{label[:_LONGEST_LABEL]}-{checksum_bytes(label.encode())[:8]}"
    if root is not None:
        return root / dataset.name / label
    name = f"{dataset.name}-{checksum_bytes(dataset.collection.encode())[:8]}"
    return cache_folder() / "indexes" / name / label


def open_index(
    place: Path, dataset: Dataset, encoder: str | None, options: Options, progress: type[Progress]
) -> Index:
    """The index at `place`, built where there is none yet; its encoders are ready.

    Raises `LsrError` when what is there is of other documents or settings, `EncoderMismatch`
    when it is of another encoder.
    """
    side = None
    if options.dense is not None:  # what cannot be loaded must not be found after the work
        threads = options.settings.get("threads")
        side = load_dense(options.dense, threads=threads, device=options.settings.get("device"))
    if (place / MANIFEST).exists() and not options.fresh:
        _check_built(place, dataset, options)
    else:
        _build(place, dataset, encoder or DEFAULT_ENCODER, options, progress)
    if side is not None and Index.open(place).dense is None:
        add_dense(place, open_corpus(dataset.documents), side, progress=progress)
    index = Index.open(place)
    device = options.settings.get("device")
    if encoder is not None or options.weights is not None or device is not None:
        try:
            index.use_encoder(encoder, device=device, weights=options.weights)
        except EncoderMismatch as error:
            raise EncoderMismatch(f"{error}, or build it again with --fresh") from None
    if options.dense is not None:
        index.use_dense_encoder(options.dense, device=device)
    return index


def _build(
    place: Path, dataset: Dataset, encoder: str, options: Options, progress: type[Progress]
) -> None:
    """Weights are not part of the index, so that it serves whatever they are."""
    if options.weights is not None:  # wrong ones must not be found after an hour of encoding
        load_encoder(encoder, weights=options.weights, **options.settings)
    documents = Collection(open_corpus(dataset.documents))
    if not dataset.documents.startswith(IRDS):  # what comes over a network is not read ahead
        documents.scanned(progress)
    place.absolute().parent.mkdir(parents=True, exist_ok=True)
    of_build, settings = BuildOptions.split(
        {**options.settings, "progress": progress, "force": options.fresh}
    )
    build(place, Texts(documents, encoder, settings), of_build)
    folder = folder_of(place)
    folder.mkdir(exist_ok=True)
    built = {"documents": dataset.collection, "settings": _of_vectors(options)}
    write_atomically(folder / BUILT, json.dumps(built, indent=1).encode())


def _of_vectors(options: Options) -> dict[str, Any]:
    return {k: v for k, v in options.settings.items() if k not in _NOT_OF_VECTORS}


def _check_built(place: Path, dataset: Dataset, options: Options) -> None:
    """Compare what an index was built of, as far as that is known, with what is asked for."""
    file = folder_of(place) / BUILT
    try:
        built = json.loads(file.read_bytes())
        documents, settings = built["documents"], dict(built["settings"])
    except (FileNotFoundError, NotADirectoryError):  # by `lsr index`
        documents, settings = dataset.collection, {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise refusal("read", file, error) or LsrError(
            f"{file} is damaged; build the index again with --fresh"
        ) from None
    if documents != dataset.collection:
        raise LsrError(
            f"{place} was built of other documents than those of {dataset.documents} now; give "
            "another place, or build it again with --fresh"
        )
    for name, value in _of_vectors(options).items():
        if settings.get(name) != value:
            raise LsrError(
                f"--{name.replace('_', '-')} {value} cannot change {place}, which is there "
                "already; leave it out, give another place, or build it again with --fresh"
            )

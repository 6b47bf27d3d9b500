"""The indexes of experiments, cached and used again.

ROOT/DATASET/ENCODER        an index
ROOT/DATASET/ENCODER.runs   what it was built of (built.json), and its runs
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from lsr.data.collection import Collection
from lsr.data.corpus import open_corpus
from lsr.data.datasets import cache_folder
from lsr.data.sources import IRDS
from lsr.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.encoders.names import parse_weights
from lsr.errors import CorpusError, EncoderMismatch, LsrError, refusal
from lsr.eval.dataset import Dataset
from lsr.eval.experiments.experiment import Experiment
from lsr.eval.experiments.run_cache import RunCache, can_write
from lsr.indexing.build import BuildOptions, Texts, build
from lsr.indexing.dense import add_dense
from lsr.progress import Progress, Silent
from lsr.retrieval.index import Index
from lsr.retrieval.named import Names
from lsr.storage.files import checksum_bytes, write_atomically
from lsr.storage.manifest import MANIFEST

BUILT = "built.json"
_LONGEST_LABEL = 120  # characters of a folder's name


class IndexCache:
    """The indexes of experiments: those that are there, and those that it builds.

    An encoder that is loaded to build an index also searches it, and builds other indexes; but
    for one whose statistics are of its collection, such as bm25, which is loaded for each.

    Args:
        root: the folder of indexes.  None is the user's cache, and a temporary folder where that
            cannot be written.
        progress: how to report; silent by default.

    Attributes:
        temporary: the folder of indexes that are gone when the `with` block ends; None without.
    """

    def __init__(self, root: Path | None = None, progress: type[Progress] = Silent) -> None:
        self._root, self._progress = root, progress
        self.temporary: Path | None = None
        self._encoders: dict[tuple[str, ...], Encoder] = {}
        self._dense: dict[str, DenseEncoder] = {}
        self._closing = ExitStack()

    def __enter__(self) -> IndexCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def path(self, dataset: Dataset, experiment: Experiment) -> Path:
        """Where the index of an experiment on a dataset is.

        The user's cache holds all datasets that ever were, so folders there are named by the
        checksum of the collection too.
        """
        settings = sorted(experiment.vector_settings.items())
        label = ",".join([_encoder_name(experiment), *(f"{k}={v}" for k, v in settings)])
        label = re.sub(r"[^\w.+,=@:-]+", "_", label)
        if len(label) > _LONGEST_LABEL:
            label = f"{label[:_LONGEST_LABEL]}-{checksum_bytes(label.encode())[:8]}"
        if self._root is not None:
            return self._root / dataset.name / label
        try:
            name = f"{dataset.name}-{checksum_bytes(dataset.collection.encode())[:8]}"
            path = cache_folder() / "indexes" / name / label
            if (path.exists() and not experiment.fresh) or can_write(path.parent):
                return path
            reason = f"{path.parent} cannot be written"
        except CorpusError as error:  # no home
            reason = str(error)
        if self.temporary is None:
            self._progress.note(f"The index will not be cached: {reason}; --index DIR keeps it.")
            folder = TemporaryDirectory(prefix="lsr-", ignore_cleanup_errors=True)
            self.temporary = Path(self._closing.enter_context(folder))
        return self.temporary / dataset.name / label

    def check(self, path: Path, experiment: Experiment) -> None:
        """Load the encoders of an index that is to be built, and check the names given with them.

        Whatever is wrong with them is raised here, before any work.
        """
        is_built = _is_built(path, experiment)
        dense = None
        if experiment.dense is not None and not (is_built and Index.open(path).dense is not None):
            dense = self._dense_encoder(experiment.dense, experiment).name
        if is_built:
            return
        encoder = self._encoder(experiment)
        if experiment.weights is not None:
            parts = encoder.identity.get("parts")
            if parts is None:
                encoder.set_part_weights(experiment.weights)  # says that there are none
            else:
                parse_weights(experiment.weights, [part["name"] for part in parts])
        if experiment.hybrid is not None:
            names = Names.of_encoders(encoder, dense)
            retrievers = names.select(experiment.hybrid["retrievers"])
            names.weights(retrievers, experiment.hybrid.get("weights"))

    def open(self, path: Path, dataset: Dataset, experiment: Experiment) -> Index:
        """The index at `path`, built where there is none yet; its encoders are ready.

        Raises `LsrError` when the index there is of other documents or settings,
        `EncoderMismatch` when it is of another encoder.
        """
        self.check(path, experiment)
        encoder = None
        if _is_built(path, experiment):
            _check_built(path, dataset, experiment)
        else:
            encoder = self._build(path, dataset, experiment)
        index = Index.open(path)
        if experiment.dense is not None and index.dense is None:
            dense = self._dense_encoder(experiment.dense, experiment)
            add_dense(path, open_corpus(dataset.documents), dense, progress=self._progress)
            index = Index.open(path)
            index.use_dense_encoder(dense, device=experiment.device)
        elif experiment.dense is not None:
            index.use_dense_encoder(experiment.dense, device=experiment.device)
        self._use_encoder(index, encoder, experiment)
        return index

    def _use_encoder(self, index: Index, built: Encoder | None, experiment: Experiment) -> None:
        device, weights = experiment.device, experiment.weights
        encoder = built or self._encoders.get(_key(experiment))
        # Another one: of the index's statistics, or of a build whose vectors were there already.
        if encoder is not None and encoder.identity == index.manifest.encoder:
            index.use_encoder(encoder, device=device, weights=weights)
        elif experiment.encoder is not None or weights is not None or device is not None:
            try:
                index.use_encoder(experiment.encoder, device=device, weights=weights)
            except EncoderMismatch as error:
                raise EncoderMismatch(f"{error}, or build it again with --fresh") from None

    def _build(self, path: Path, dataset: Dataset, experiment: Experiment) -> Encoder:
        """Weights are not part of the index, so that it serves whatever they are."""
        encoder = self._encoder(experiment)
        documents = Collection(open_corpus(dataset.documents))
        if not dataset.documents.startswith(IRDS):  # a network is not read ahead
            documents.scanned(self._progress)
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        before = encoder.identity
        del self._encoders[_key(experiment)]
        threads = experiment.settings.get("threads")
        options = BuildOptions(threads=threads, progress=self._progress, force=experiment.fresh)
        build(path, Texts(documents, encoder), options)
        if encoder.identity == before:  # it has no statistics, and serves other collections too
            self._encoders[_key(experiment)] = encoder
        folder = RunCache(path).folder
        folder.mkdir(exist_ok=True)
        built = {"documents": dataset.collection, "settings": experiment.vector_settings}
        write_atomically(folder / BUILT, json.dumps(built, indent=1).encode())
        return encoder

    def _encoder(self, experiment: Experiment) -> Encoder:
        key = _key(experiment)
        if key not in self._encoders:
            self._encoders[key] = load_encoder(_encoder_name(experiment), **experiment.settings)
        return self._encoders[key]

    def _dense_encoder(self, name: str, experiment: Experiment) -> DenseEncoder:
        if name not in self._dense:
            threads, device = experiment.settings.get("threads"), experiment.device
            self._dense[name] = load_dense(name, threads=threads, device=device)
        return self._dense[name]


def _encoder_name(experiment: Experiment) -> str:
    return experiment.encoder or DEFAULT_ENCODER


def _key(experiment: Experiment) -> tuple[str, ...]:
    return (_encoder_name(experiment), *map(str, experiment.settings.items()))


def _is_built(path: Path, experiment: Experiment) -> bool:
    return (path / MANIFEST).exists() and not experiment.fresh


def _check_built(path: Path, dataset: Dataset, experiment: Experiment) -> None:
    """Compare what an index was built of, as far as that is known, with what is wanted."""
    file = RunCache(path).folder / BUILT
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
            f"{path} was built from other documents than {dataset.documents} has now; give "
            "another place, or build it again with --fresh"
        )
    for name, value in experiment.vector_settings.items():
        if settings.get(name) != value:
            raise LsrError(
                f"--{name.replace('_', '-')} {value} cannot change the existing {path}; leave it "
                "out, give another place, or build it again with --fresh"
            )

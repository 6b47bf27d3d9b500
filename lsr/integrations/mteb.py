"""lsr as a model of MTEB, for its text retrieval and reranking tasks.

    mteb.evaluate(LsrSearch("splade-tiny"), tasks)

MTEB (Muennighoff et al., EACL 2023) asks a model that keeps its own index for `index(corpus)`
and `search(queries)`, its `SearchProtocol`.  It computes the measures itself, by trec_eval.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lsr.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from lsr.encoders.catalogue import known_model
from lsr.encoders.names import lasting_name
from lsr.errors import EncoderError, LsrError, QueryError
from lsr.retrieval.hits import Hits
from lsr.retrieval.index import Index
from lsr.storage.files import checksum_bytes
from lsr.version import __version__


class LsrSearch:
    """A model for `mteb.evaluate`: an index of each task's corpus by one encoder.

    Args:
        encoder: an `Encoder`, or a name or folder for `lsr.load_encoder`, which `settings` go
            to.  An encoder that a corpus leaves its statistics in (bm25) serves no other: given
            by name, each corpus gets a new one; an object is refused for the second.
        folder: where the index of each task is kept, as TASK-SUBSET-SPLIT; one that is there is
            replaced.  None keeps one index at a time, in a temporary folder.

    Attributes:
        folder: where the indexes are.

    Raises `LsrError` when mteb is not installed, `EncoderError` as `lsr.load_encoder` does.
    """

    def __init__(
        self,
        encoder: str | PathLike[str] | Encoder = DEFAULT_ENCODER,
        folder: str | PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(encoder, Encoder) and settings:
            raise EncoderError(
                f"the encoder {encoder.name!r} is made already, so {', '.join(settings)} cannot "
                "be set; give its name instead"
            )
        self._name = None if isinstance(encoder, Encoder) else lasting_name(encoder)
        self._settings = settings
        self._encoder = encoder if isinstance(encoder, Encoder) else self._load()
        self._spent = False
        self._index: Index | None = None
        self.mteb_model_meta = _meta(self._encoder)
        self._keeps = folder is not None
        self.folder = Path(tempfile.mkdtemp(prefix="lsr-mteb-") if folder is None else folder)
        self.folder = self.folder.absolute()
        if not self._keeps:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def index(
        self,
        corpus: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        **_: Any,
    ) -> None:
        """Index a corpus of rows with "id", "text" and maybe "title".

        MTEB's other arguments are for models that embed batches: `encode_kwargs`, `num_proc`.
        Raises `CorpusError` for a row that cannot be indexed.
        """
        if self._spent:
            self._encoder = self._load()
        name = f"{task_metadata.name}-{hf_subset}-{hf_split}" if self._keeps else "index"
        path = self.folder / _file_name(name)
        before, self._spent = self._encoder.identity, True  # also by a build that fails
        self._index = Index.build(path, corpus, self._encoder, force=True)
        self._spent = self._encoder.identity != before
        if self._encoder.identity == self._index.manifest.encoder:  # else the build was resumed
            self._index.use_encoder(self._encoder)

    def search(
        self,
        queries: Any,
        *,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """The `top_k` best documents of each query, as query id -> document id -> score.

        Args:
            queries: a `datasets.Dataset` of "id", "text" and maybe "instruction", which is
                appended to the text, as MTEB's own models do.
            top_ranked: of a reranking task: query id -> the documents to rank.  All of them are
                scored; 0 is the score of one that shares no term with its query.

        Raises `QueryError` when there is no index yet, for queries that are not texts, and for one
        without documents to rank.
        """
        if self._index is None:
            raise QueryError("there is nothing to search yet; call index() first")
        ids, texts = list(queries["id"]), _texts(queries)
        if top_ranked is None:
            all_hits = self._index.search(texts, top_k)
            return {query: _scores(hits) for query, hits in zip(ids, all_hits, strict=True)}
        results = {}
        for query, text in zip(ids, texts, strict=True):  # one by one: any document may be a hit
            if query not in top_ranked:
                raise QueryError(f"the task names no documents to rank for its query {query!r}")
            hits = _scores(self._index.search(text, max(1, len(self._index))))
            scores = {document: hits.get(document, 0.0) for document in top_ranked[query]}
            best = sorted(scores.items(), key=lambda item: item[1], reverse=True)
            results[query] = dict(best[:top_k])
        return results

    def _load(self) -> Encoder:
        if self._name is None:
            raise EncoderError(
                f"the encoder {self._encoder.name!r} has the statistics of another corpus; give "
                "its name instead, so that each task gets an encoder of its own"
            )
        return load_encoder(self._name, **self._settings)


def _scores(hits: Hits) -> dict[str, float]:
    """Document id -> score as float32, which is how trec_eval reads them.

    MTEB's own MRR sorts what it gets; so it sees the ties that the other measures see.
    """
    return dict(zip(hits.ids.tolist(), hits.scores.astype(np.float32).tolist(), strict=True))


def _texts(queries: Any) -> list[str]:
    if "text" not in queries.column_names:
        raise QueryError("the task's queries have no texts; lsr searches for texts only")
    texts = list(queries["text"])
    for query, text in zip(queries["id"], texts, strict=True):
        if not isinstance(text, str):
            raise QueryError(
                f"the task's query {query!r} is {type(text).__name__}, not a text; lsr does not "
                "search for conversations"
            )
    if "instruction" in queries.column_names:
        pairs = zip(texts, queries["instruction"], strict=True)
        texts = [text if order is None else f"{text} {order}" for text, order in pairs]
    return texts


def _meta(encoder: Encoder) -> Any:
    """MTEB's record of a model; it finds results by its name and revision."""
    try:
        from mteb.models import ModelMeta
    except ImportError as error:
        raise LsrError(
            f'MTEB cannot be imported ({error}); install it with pip install "lsr-engine[mteb]"'
        ) from error
    identity = encoder.identity
    about = known_model(encoder.name)
    parameters = about.parameters if about else None
    digest = checksum_bytes(json.dumps(identity, sort_keys=True).encode())
    return ModelMeta(
        loader=None,
        name=f"lsr/{_file_name(encoder.name)}",
        # Other settings, or other weights of the model, are another model to MTEB's cache.
        revision=f"{__version__}-{digest[:16]}",
        release_date=None,
        languages=None,
        n_parameters=None if parameters is None else round(parameters * 1e6),
        memory_usage_mb=None,
        max_tokens=identity.get("max_length"),
        embed_dim=len(encoder.vocabulary) or None,  # BM25 has no words before it has a corpus
        license=about.licence if about else None,
        open_weights=True if about else None,
        public_training_code=None,
        public_training_data=None,
        framework=[],
        similarity_fn_name="dot",
        use_instructions=False,
        training_datasets=None,
        model_type=["sparse"],
        modalities=["text"],
    )


def _file_name(name: str) -> str:
    """`name` as one part of a path, on any system."""
    return re.sub(r"[^\w.+=,@-]", "_", name)

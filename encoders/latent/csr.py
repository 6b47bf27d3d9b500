"""CSR: the latents of a sparse autoencoder on a dense encoder, as terms.

T. Wen et al., "Beyond Matryoshka: Revisiting sparse coding for adaptive representation" (ICML
2025).  A folder is a SparseEncoder of sentence-transformers: the modules of a dense encoder, then
a SparseAutoEncoder, whose folder names the latents in `latents.json`.  In place of the modules,
that folder may name a built-in dense encoder in `lsr.json`.  `lsr.training.sae` makes one of a
collection.  Latents have unit length where the folder says cosine, as in the paper's evaluation.

`modules.json` publishes a folder: those of the modules that it lists are of one edition, and the
autoencoder's also holds the settings that belong to it.  The copy of these beside `modules.json`
is for sentence-transformers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.data.builtin import DENSE_MODELS, model_path
from lsr.encoders.base import (
    Advance,
    Recorded,
    Settings,
    Vocabulary,
    Where,
    check_texts,
    strongest,
)
from lsr.encoders.checkpoints.checkpoint import (
    Checkpoint,
    content_hash,
    deciding_files,
    find,
    read_json,
)
from lsr.encoders.checkpoints.layouts import DECLARATION, inside, kind_of, optional
from lsr.encoders.checkpoints.writing import copy_model, write_about, write_json, write_modules
from lsr.encoders.dense.encoder import DenseEncoder
from lsr.encoders.dense.layout import ABOUT, read_dense_layout
from lsr.encoders.latent.autoencoder import (
    MODULE,
    Autoencoder,
    Floats,
    read_autoencoder,
    write_autoencoder,
)
from lsr.encoders.pickling import ModelEncoder
from lsr.encoders.restoring import check_same, find_recorded, reading
from lsr.encoders.rows import EMPTY_ROW, stack
from lsr.encoders.text.analysis import GrowingVocabulary
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError, EncoderMismatch
from lsr.storage.files import checksum_file, remove_unlisted, steady, write_atomically
from lsr.vectors import SparseVectors

KIND = "csr"
LATENTS = "latents.json"
COMMIT = "modules.json"

_SETTINGS = "sentence_bert_config.json"
_MODULE_FOLDER = re.compile(r"\d+_\w+(-[0-9a-f]{12})?")
_TYPES = {
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    MODULE: f"sentence_transformers.sparse_encoder.modules.sparse_auto_encoder.{MODULE}",
}


def load(name: str, settings: Settings) -> CsrEncoder:
    """The encoder of `FOLDER` or `csr:FOLDER_OR_HUB_ID`."""
    return CsrEncoder(_find(name), settings)


def restore(recorded: Recorded, where: Where) -> CsrEncoder:
    """The encoder of an index, from `recorded.source` or from where it was, with its words."""
    identity = recorded.identity
    with reading():
        settings = Settings(
            max_length=identity["dense"]["max_length"],
            document_terms=identity["document_terms"],
            query_terms=identity["query_terms"],
            **vars(where),
        )
        checkpoint = find_recorded(identity, recorded.source, _find)
    encoder = CsrEncoder(checkpoint, settings, recorded.vocabulary, str(identity["name"]))
    check_same(identity, encoder.identity, checkpoint)
    return encoder


def _find(name: str) -> Checkpoint:
    return find(name.removeprefix(f"{KIND}:"))


class CsrEncoder(ModelEncoder):
    """A folder's queries and documents as latents; may be used from several threads.

    A text is read as far as the folder's dense encoder reads it, and at most `max_length`; one
    without known words has no latents.  No latent is a word of a text, so none is literal.

    Args:
        vocabulary: what the latents are called; None takes the folder's names.
        name: what people call it; None takes the checkpoint's.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: Settings,
        vocabulary: Vocabulary | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or checkpoint.name
        self._checkpoint, self._settings = checkpoint, settings
        # Another process may be replacing the folder: all that decides vectors is read at once.
        steady(checkpoint.folder / COMMIT, lambda: self._read(vocabulary))

    def _read(self, vocabulary: Vocabulary | None) -> None:
        folder, settings, checkpoint = self._checkpoint.folder, self._settings, self._checkpoint
        module = _autoencoder_folder(folder)
        about = module / ABOUT if (module / ABOUT).exists() else folder / ABOUT
        builtin, longest = _builtin_dense(module)
        if builtin is None:
            layout = read_dense_layout(folder, MODULE, about)
        else:
            layout = read_dense_layout(builtin, about=about)
        self._hash = content_hash(*dict.fromkeys([*layout.folders, module]))
        length = min(settings.max_length, longest or layout.max_length or settings.max_length)
        self.dense = DenseEncoder(checkpoint, settings.where, length, layout)
        self._tokens = Tokens(layout.folders[0], self.dense.max_length or settings.max_length)
        self.autoencoder = read_autoencoder(module, self.dense.dimensions)
        self._unit = optional(about).get("similarity_fn_name") == "cosine"
        latents = len(self.autoencoder.weight)
        names = module / LATENTS if (module / LATENTS).exists() else folder / LATENTS
        self.vocabulary = vocabulary or _named(names, latents)
        if len(self.vocabulary) != latents:
            raise EncoderMismatch(
                f"the index has {len(self.vocabulary)} words, and {folder} has {latents} latents; "
                "pass the encoder the index was built with, or rebuild the index"
            )

    @property
    def identity(self) -> dict[str, Any]:
        dense = self.dense.identity
        return {
            **self._checkpoint.identity(KIND, self.name, self._hash),
            "latents": len(self.autoencoder.weight),
            "active": self.autoencoder.active,
            "unit": self._unit,
            "document_terms": self._settings.document_terms,
            "query_terms": self._settings.query_terms,
            "dense": {
                key: dense[key]
                for key in ("modules", "query_prompt", "document_prompt", "max_length")
            },
        }

    def collect(self, texts: Sequence[str], advance: Advance | None = None) -> SparseVectors:
        """The latents of documents, at most `document_terms` per row."""
        vectors = self.dense.encode_documents(texts, advance)
        return strongest(self._latents(texts, vectors), self._settings.document_terms)

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """The latents of queries, at most `query_terms` per row."""
        texts = check_texts(texts)
        vectors = self.dense.encode_queries(texts)
        return strongest(self._latents(texts, vectors), self._settings.query_terms)

    def _latents(self, texts: Sequence[str], vectors: Floats) -> SparseVectors:
        rows = self.autoencoder.rows(vectors, self._unit)
        read = zip(texts, self._tokens.encode(texts), rows, strict=True)
        known = self._tokens.has_known_words
        return stack([row if known(text, ids) else EMPTY_ROW for text, ids, row in read])

    def literal_terms(self, text: str) -> npt.NDArray[np.uint32]:
        return np.empty(0, np.uint32)


def write_folder(
    folder: Path, dense: DenseEncoder, autoencoder: Autoencoder, names: Sequence[str]
) -> None:
    """Write a new edition of a dense encoder and an autoencoder of its vectors.

    The dense model's files are copied, so that the folder can be moved and is what
    sentence-transformers (its release 6) reads as a SparseEncoder; a built-in one is named.
    """
    layout = dense.layout
    builtin = layout.folder == model_path(dense.name)
    folder.mkdir()
    modules: list[tuple[str, str]] = []
    for number, listed in enumerate([] if builtin else read_json(layout.folder / COMMIT, list)):
        source = layout.folder / inside(layout.folder, str(listed.get("path", "")))
        path = f"{number}_{kind_of(listed['type'])}"
        copy_model(source, folder / path, _SETTINGS)
        if not modules and dense.max_length is not None:
            # Texts are to be read as far as they were when the autoencoder was fitted.
            settings = optional(folder / path / _SETTINGS)
            write_json(
                folder / path / _SETTINGS, settings | {"max_seq_length": dense.max_length}, 1
            )
        modules.append((path, str(listed["type"])))
    if layout.cosine and not builtin:
        modules.append((f"{len(modules)}_Normalize", _TYPES["Normalize"]))
        (folder / modules[-1][0]).mkdir()
    last = f"{len(modules)}_{MODULE}"
    modules.append((last, _TYPES[MODULE]))
    write_autoencoder(folder / last, autoencoder)
    about = folder / last / ABOUT
    write_about(about, "cosine", layout.query_prompt, layout.document_prompt, indent=1)
    write_json(folder / last / LATENTS, list(names), 1)
    if builtin:
        of = {"dense": dense.name, "max_length": dense.max_length}
        write_json(folder / last / DECLARATION, of, 1)
    edition = _edition_of(folder)
    for path, _ in modules:
        (folder / path).rename(folder / f"{path}-{edition}")
    write_modules(folder / COMMIT, [(f"{path}-{edition}", kind) for path, kind in modules], 1)


def sweep(folder: Path) -> None:
    """Remove what `modules.json` does not list: modules of other editions, as a crash leaves them.

    Folders of lsr before 0.1 have the first module's files beside `modules.json`.
    """
    listed: set[str] = set()
    if (folder / COMMIT).exists():
        try:
            listed = {str(module.get("path", "")) for module in read_json(folder / COMMIT, list)}
        except (EncoderError, AttributeError):  # nothing says which are in use
            return
    remove_unlisted(folder, _MODULE_FOLDER, listed)
    if listed and "" not in listed:
        about = next((folder / path / ABOUT for path in listed if MODULE in path), None)
        if about is not None and about.exists():
            write_atomically(folder / ABOUT, about.read_bytes())
        for file in (*deciding_files(folder), folder / _SETTINGS, folder / LATENTS):
            file.unlink(missing_ok=True)


def _edition_of(folder: Path) -> str:
    """A digest of all files below a folder, which no other edition of it has."""
    digest = hashlib.blake2b(digest_size=6)
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(folder)}\0{checksum_file(file)}\0".encode())
    return digest.hexdigest()


def _autoencoder_folder(folder: Path) -> Path:
    path = str(read_json(folder / COMMIT, list)[-1].get("path", ""))
    return folder / inside(folder, path)


def _builtin_dense(module: Path) -> tuple[Path | None, int | None]:
    """The folder of the built-in dense encoder that an autoencoder's names, and its `max_length`.

    None and None where it names none.
    """
    file = module / DECLARATION
    if not file.exists():
        return None, None
    declared = read_json(file)
    name, length = declared.get("dense"), declared.get("max_length")
    folder = model_path(str(name)) if name in DENSE_MODELS else None
    if folder is None or isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise EncoderError(
            f"{file} must give a built-in dense encoder ({', '.join(DENSE_MODELS)}) as dense and a "
            "whole number of at least 1 as max_length; get the folder again"
        )
    return folder, length


def _named(file: Path, latents: int) -> Vocabulary:
    """The names of the latents in a file; their numbers where there is none."""
    names = read_json(file, list) if file.exists() else [f"latent-{n}" for n in range(latents)]
    vocabulary = GrowingVocabulary()
    for name in names:
        if isinstance(name, str) and name:
            vocabulary.add(name)
    if len(names) != latents or len(vocabulary) != latents:
        raise EncoderError(
            f"{file} does not give each of the {latents} latents a name of its own; get the "
            "folder again, or remove the file"
        )
    return vocabulary

"""A folder of encoded vectors: what `lsr encode` and importers write, and indexes are built from.

    VECTORS     = manifest.json  [vocabulary.arrow]  shards/N.parquet …  [job.json]
                  while it is being made: lock, locks/…, and for an encoder with statistics of
                  the collection observed/N.parquet …, like shards

    vocabulary  = as in an index: word, by_word and further columns, one row a term id
    N           = 000000, 000001 …, in the order of the documents
    shard       = row*                   a row a document, one row group, zstd, page checksums
                  id:string
                  [title:string text:string]  in all shards or in none
                  terms:list<uint32>     strictly ascending
                  weights:list<float>    one a term; finite, not negative
                  and the metadata "documents", its DIGEST, and "job", a hash of what else
                  decided the vectors
    DIGEST      = BLAKE2b-128 of each document's id, title and text in UTF-8, each after its
                  length in bytes as 8 bytes, low first; in hexadecimal
    manifest    = JSON, see `lsr.vector_manifest.VectorManifest`; "checksum" is the BLAKE2b-128
                  of the file's bytes with its own 32 digits replaced by zeros; "input" is I(n)
                  of n shards: I(0) = "", I(i) = the BLAKE2b-128 of "I(i - 1) DIGEST(i)"
    job.json    = JSON: what `lsr encode` makes the shards with, so that only the same work goes
                  on there

The manifest is written last; a folder without one is unfinished.  Nothing read is believed: sizes
are compared when a folder is opened, checksums and structures when a shard is read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lsr
from lsr.errors import IndexCorrupt, VectorFolderError
from lsr.files import checksum_bytes, sync_directory
from lsr.imported import check_words, checked
from lsr.index.columns import Columns, SortedStrings
from lsr.index.format import VOCABULARY, FileEntry
from lsr.index.vocabulary import read_vocabulary, write_vocabulary
from lsr.locks import Lock
from lsr.shards import (
    Chunk,
    Origin,
    ShardDamaged,
    digest_of,
    read_shard,
    regrouped,
    shard_name,
    write_shard,
)
from lsr.vector_manifest import (
    JOB,
    MANIFEST,
    ShardEntry,
    VectorManifest,
    damaged,
    input_digest,
    is_vector_folder,
)

__all__ = ["Chunk", "VectorFolder", "commit", "write_vectors"]

SHARDS = "shards"
LOCK = "lock"


class VectorFolder:
    """A finished folder of encoded vectors.

    Attributes:
        path: the folder.
        encoder: the identity of the encoder that made the vectors; None for imported ones.
        documents, postings: how many there are.
        words: the word of each term; None when they are not known.
        term_columns: the encoder's further columns, uint32, one value a term.
        keeps_text: whether there are titles and texts.
    """

    def __init__(self, path: Path, manifest: VectorManifest) -> None:
        self.path = path
        self.manifest = manifest
        self.encoder = manifest.encoder
        self.documents, self.postings = manifest.documents, manifest.postings
        self.keeps_text = manifest.text
        self.words: SortedStrings | None = None
        self.term_columns: Columns = {}
        for number, shard in enumerate(manifest.shards):
            _check_size(self._shard(number), shard.size)
        if manifest.vocabulary is not None and manifest.words is not None:
            file = path / VOCABULARY
            _check_size(file, manifest.vocabulary.size)
            if FileEntry.of(file) != manifest.vocabulary:
                raise damaged(file, "it does not match its checksum")
            try:
                self.words, self.term_columns = read_vocabulary(
                    file, manifest.vocabulary.size, manifest.words
                )
            except IndexCorrupt as error:
                raise damaged(file, error.what) from None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> VectorFolder:
        """Open a finished folder; reads its manifest, and the sizes of its files.

        Raises `VectorFolderError` when it is none, unfinished, damaged or another version's.
        """
        folder = Path(path)
        manifest = VectorManifest.read(folder)
        if manifest is not None:
            return cls(folder, manifest)
        if (folder / JOB).is_file():
            raise VectorFolderError(
                f"{folder} is unfinished; run the `lsr encode` that was making it again"
            )
        raise VectorFolderError(
            f"{folder} is not a folder of encoded vectors: it has no {MANIFEST}; make one with "
            "`lsr encode`"
        )

    def chunks(self) -> Iterator[Chunk]:
        """The documents in order, a shard at a time, each checked before it comes.

        Raises `VectorFolderError` naming the shard that is damaged.
        """
        for number, entry in enumerate(self.manifest.shards):
            file = self._shard(number)
            _check_size(file, entry.size)
            data = file.read_bytes()
            if checksum_bytes(data) != entry.checksum:
                raise damaged(file, "it does not match its checksum")
            chunk, digest = _decode(file, data, self.keeps_text, self.manifest.words)
            counts = (len(chunk.ids), chunk.vectors.terms.size, digest)
            if counts != (entry.documents, entry.postings, entry.digest):
                raise damaged(file, "it is not what the manifest says")
            yield chunk

    def _shard(self, number: int) -> Path:
        return self.path / SHARDS / shard_name(number)


def commit(
    path: Path,
    digests: Sequence[str],
    *,
    text: bool,
    job: str | None,
    encoder: dict[str, Any] | None,
    words: Sequence[str] | None,
    term_columns: Columns | None = None,
) -> VectorFolder:
    """Check the sealed shards of a folder and finish it: vocabulary, then manifest.

    Args:
        digests: of the documents of each shard.
        text: whether the shards have titles and texts.

    The rest stands in the manifest and the vocabulary; see `VectorManifest`.
    Raises `VectorFolderError` naming the shard that is damaged.
    """
    entries = []
    for number, wanted in enumerate(digests):
        file = path / SHARDS / shard_name(number)
        data = file.read_bytes()
        chunk, digest = _decode(file, data, text, None if words is None else len(words))
        if digest != wanted:
            raise damaged(file, "it is of other documents")
        entries.append(
            ShardEntry(
                len(chunk.ids), chunk.vectors.terms.size, digest, len(data), checksum_bytes(data)
            )
        )
    vocabulary = None
    if words is not None:
        write_vocabulary(path / VOCABULARY, words, term_columns or {})
        vocabulary = FileEntry.of(path / VOCABULARY)
    manifest = VectorManifest(
        job=job,
        encoder=encoder,
        documents=sum(entry.documents for entry in entries),
        postings=sum(entry.postings for entry in entries),
        words=None if words is None else len(words),
        vocabulary=vocabulary,
        text=text,
        input=input_digest(entry.digest for entry in entries),
        shards=entries,
        created_by=f"lsr-engine {lsr.__version__}",
    )
    manifest.write(path)
    return VectorFolder(path, manifest)


def write_vectors(
    path: Path, chunks: Iterable[Chunk], *, words: Sequence[str] | None, force: bool = False
) -> None:
    """Write vectors that were encoded elsewhere as a finished folder, all or nothing.

    Args:
        path: must not exist, be empty, or be a folder of vectors and `force` given.
        chunks: of any sizes, read once in a stream; with texts in all or in none.
        words: of terms 0 to len - 1, all different; None when they are not known.  They may
            grow while the chunks are read, as an importer meets new ones.

    Memory: a shard, the words and all ids.  Raises `VectorError` for a repeated or unfit id, a
    repeated word, a term without a word or texts that are there now and then, and
    `VectorFolderError` when the place is taken or cannot be written.
    """
    path = path.absolute()
    check_target(path, force)
    partial, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    try:
        with _alone(path):
            (partial / SHARDS).mkdir(parents=True)
            digests: list[str] = []
            text = False
            for chunk in regrouped(checked(chunks, words)):
                text = chunk.texts is not None
                file = partial / SHARDS / shard_name(len(digests))
                digests.append(digest_of(chunk.documents()))
                write_shard(file, chunk, Origin(digests[-1], ""))
            if words is not None:  # complete only now
                check_words(words)
            commit(partial, digests, text=text, job=None, encoder=None, words=words)
            if path.exists():
                path.rename(old)
            try:
                partial.rename(path)
            except BaseException:
                if old.exists():
                    old.rename(path)
                raise
            sync_directory(path.parent)
    except OSError as error:
        raise VectorFolderError(
            f"{path} cannot be written: {error.strerror or error}; make room or choose another "
            "place"
        ) from error
    finally:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep processes that encode into a folder, if it is there, out of it."""
    if not path.exists():
        yield
        return
    lock = Lock(path / LOCK)
    if not lock.take():
        raise VectorFolderError(
            f"{path} is being written by another process; wait for it or choose another place"
        )
    try:
        yield
    finally:
        (path / LOCK).unlink(missing_ok=True)
        lock.release()


def read_sealed(file: Path) -> Chunk:
    """The documents of a shard of a folder that is being made, with their texts.

    Raises `VectorFolderError` when it is damaged.
    """
    return _decode(file, file.read_bytes(), True, None)[0]


def check_target(path: Path, force: bool) -> None:
    """Raise `VectorFolderError` when vectors must not be written at `path`."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not is_vector_folder(path):
        raise VectorFolderError(
            f"{path} exists and is not a folder of encoded vectors; choose another place"
        )
    if not force:
        raise VectorFolderError(f"{path} holds encoded vectors already; add --force to replace it")


def _check_size(file: Path, size: int) -> None:
    try:
        found = file.stat().st_size
    except OSError:
        raise damaged(file, "it is missing") from None
    if found != size:
        raise damaged(file, f"it has {found:,} bytes instead of {size:,}")


def _decode(file: Path, data: bytes, text: bool, words: int | None) -> tuple[Chunk, str]:
    """The documents of a shard and their digest, held to the rules of its folder."""
    try:
        chunk, origin = read_shard(data)
    except ShardDamaged as error:
        raise damaged(file, str(error)) from None
    if (chunk.texts is not None) != text:
        raise damaged(file, "it has texts and others have none, or the other way round")
    terms = chunk.vectors.terms
    if words is not None and terms.size and terms.max() >= words:
        raise damaged(file, f"it has the term {terms.max()}, and there are {words:,} words")
    return chunk, origin.documents

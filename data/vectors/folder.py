"""A folder of encoded vectors: what `lsr encode` and importers write, and indexes are built from.

    VECTORS     = manifest.json  [vocabulary.ID.arrow]  shards/N-ID.parquet …  [job.json]
                  while it is being made: lock, locks/…, and for an encoder with statistics of
                  the collection observed/N-ID.parquet …, like shards

    vocabulary  = as in an index: word, by_word and further columns, one row a term id
    N           = 000000, 000001 …, in the order of the documents
    ID          = 16 digits: of the BLAKE2b-128 of the vocabulary, and of that of a shard's
                  "documents job"
    shard       = row*                   a row a document, one row group, zstd, page checksums
                  id:string
                  [title:string text:string]  in all shards or in none
                  terms:list<uint32>     strictly ascending
                  weights:list<float>    one a term; finite, not negative
                  and the metadata "documents", its DIGEST, and "job", a hash of what else
                  decided the vectors
    DIGEST      = BLAKE2b-128 of each document's id, title and text in UTF-8, each after its
                  length in bytes as 8 bytes, low first; in hexadecimal
    manifest    = JSON, see `lsr.data.vectors.manifest`; "checksum" is the BLAKE2b-128 of
                  the file's bytes with its own 32 digits replaced by zeros; "input" is I(n) of n
                  shards: I(0) = "", I(i) = the BLAKE2b-128 of "I(i - 1) DIGEST(i)"
    job.json    = JSON: what `lsr encode` makes the shards with, so that only the same work goes
                  on there

The manifest is written last; a folder without one is unfinished.  Work on the folder of another
job, or of documents that have changed, puts its shards beside those of the published edition, and
replacing the manifest publishes them in one step; then what it does not list is removed.  A folder
that was opened before stays what it was: its files are mapped.

Nothing read from disk is trusted: sizes are compared when a folder is opened, checksums and
structures when a shard is read.  Version 1, whose files have no ID in their names, is read, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from lsr.data.corpus import Chunk, Document
from lsr.data.vectors.checks import check_words, checked
from lsr.data.vectors.manifest import (
    JOB,
    SHARD_FILE,
    ShardEntry,
    VectorManifest,
    damaged,
    input_digest,
    is_vector_folder,
    vocabulary_name,
)
from lsr.data.vectors.shards import (
    Origin,
    ShardDamaged,
    digest_of,
    read_shard,
    regrouped,
    shard_name,
    write_shard,
)
from lsr.errors import IndexCorrupt, VectorFolderError
from lsr.storage.arrow import Columns, SortedStrings, map_file
from lsr.storage.files import checksum_bytes, remove_unlisted, steady
from lsr.storage.locks import holding
from lsr.storage.manifest import MANIFEST, FileEntry
from lsr.storage.vocabulary import VOCABULARY, read_vocabulary, write_vocabulary
from lsr.storage.workspace import check_target, workspace
from lsr.version import __version__

SHARDS = "shards"
LOCK = "lock"
_WORDS_FILE = re.compile(rf"{VOCABULARY}(\.[0-9a-f]{{16}})?\.arrow")
# A process may have some 65,000 mappings.  Of a folder of more shards (33 million documents) the
# others are opened when they are read.
_MOST_MAPPED = 1 << 14


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
        self._shards = [
            _mapped(path / SHARDS / shard.file, shard.size) if number < _MOST_MAPPED else None
            for number, shard in enumerate(manifest.shards)
        ]
        self._vocabulary: pa.Buffer | None = None
        entry = manifest.vocabulary
        if entry is not None:
            assert manifest.vocabulary_file is not None
            assert manifest.words is not None
            file = path / manifest.vocabulary_file
            self._vocabulary = _mapped(file, entry.size, entry.checksum)
            try:
                self.words, self.term_columns = read_vocabulary(file, entry.size, manifest.words)
            except IndexCorrupt as error:
                raise damaged(file, error.what) from None

    def vocabulary_bytes(self) -> bytes:
        """The file of the words; empty when there is none."""
        return b"" if self._vocabulary is None else self._vocabulary.to_pybytes()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> VectorFolder:
        """Open a finished folder; reads its manifest, and the sizes of its files.

        Raises `VectorFolderError` when it is none, unfinished, damaged or another version's, and
        `SystemCallError`.
        """
        folder = Path(path).absolute()

        def attempt() -> VectorFolder:
            manifest = VectorManifest.read(folder)
            if manifest is not None:
                return cls(folder, manifest)
            raise VectorFolderError(
                f"{folder} is unfinished; run the `lsr encode` that was making it again"
                if (folder / JOB).is_file()
                else f"{folder} is not a folder of encoded vectors: it has no {MANIFEST}; make one "
                "with `lsr encode`"
            )

        return steady(folder / MANIFEST, attempt)

    def chunks(self) -> Iterator[Chunk]:
        """The documents in order, a shard at a time, each checked before it comes.

        Raises `VectorFolderError` naming the shard that is damaged.
        """
        for entry, mapped in zip(self.manifest.shards, self._shards, strict=True):
            file = self.path / SHARDS / entry.file
            data = mapped if mapped is not None else self._by_name(file, entry.size)
            if checksum_bytes(data) != entry.checksum:
                raise damaged(file, "it does not match its checksum")
            chunk, digest = _decode(file, data, self.keeps_text, self.manifest.words)
            counts = (len(chunk.ids), chunk.vectors.terms.size, digest)
            if counts != (entry.documents, entry.postings, entry.digest):
                raise damaged(file, "it does not match the manifest")
            yield chunk

    def _by_name(self, file: Path, size: int) -> pa.Buffer:
        """The bytes of a shard that was not mapped when the folder was opened."""
        try:
            return _mapped(file, size)
        except VectorFolderError:
            if VectorManifest.read(self.path) == self.manifest:
                raise
            raise VectorFolderError(
                f"{self.path} was written again since it was opened; open it again"
            ) from None


class FolderDocuments:
    """The documents of a folder of vectors that has their texts."""

    def __init__(self, folder: VectorFolder) -> None:
        if not folder.keeps_text:
            raise VectorFolderError(
                f"{folder.path} has no texts to make dense vectors of; give the collection itself"
            )
        self._folder = folder

    def __iter__(self) -> Iterator[Document]:
        for chunk in self._folder.chunks():
            yield from chunk.documents()


def commit(
    path: Path,
    origins: Sequence[Origin],
    *,
    text: bool,
    job: str | None,
    encoder: dict[str, Any] | None,
    words: Sequence[str] | None,
    term_columns: Columns | None = None,
) -> VectorFolder:
    """Check the sealed shards of a folder and publish them: vocabulary, then manifest.

    Args:
        origins: of the shards.
        text: whether the shards have titles and texts.

    The rest stands in the manifest and the vocabulary; see `VectorManifest`.
    Raises `VectorFolderError` naming the shard that is damaged.
    """
    entries = []
    for number, origin in enumerate(origins):
        file = path / SHARDS / shard_name(number, origin)
        data = _mapped(file)
        chunk, digest = _decode(file, data, text, None if words is None else len(words))
        if digest != origin.documents:
            raise damaged(file, "it contains other documents")
        sizes = (len(chunk.ids), chunk.vectors.terms.size)
        entries.append(ShardEntry(*sizes, digest, data.size, checksum_bytes(data), file.name))
    vocabulary = None
    if words is not None:
        written = path / f".{VOCABULARY}.{os.getpid()}.tmp"
        try:
            write_vocabulary(written, words, term_columns or {})
            vocabulary = FileEntry.of(written)
            written.replace(path / vocabulary_name(vocabulary))
        finally:
            written.unlink(missing_ok=True)
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
        created_by=f"lsr-engine {__version__}",
    )
    manifest.write(path)
    folder = VectorFolder(path, manifest)
    sweep(path, manifest)
    return folder


def sweep(path: Path, manifest: VectorManifest | None) -> None:
    """Remove the shards and words that the published manifest, if any, does not list."""
    listed: set[str | None] = set()
    if manifest is not None:
        listed = {manifest.vocabulary_file, *(shard.file for shard in manifest.shards)}
    remove_unlisted(path / SHARDS, SHARD_FILE, listed)
    remove_unlisted(path, _WORDS_FILE, listed)
    if manifest is None:
        with suppress(OSError):  # of a folder that is not empty, or not there
            (path / SHARDS).rmdir()


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
    busy = VectorFolderError(
        f"{path} is being written by another process; wait for it or choose another place"
    )
    with (
        workspace(
            path, check=lambda: check_output(path, force), sweep=lambda: _sweep_published(path)
        ) as space,
        holding(path / LOCK, busy),  # keeps processes that encode into the folder out of it
    ):
        new = space.new
        (new / SHARDS).mkdir(parents=True)
        origins: list[Origin] = []
        text = False
        for chunk in regrouped(checked(chunks, words)):
            text = chunk.texts is not None
            origins.append(Origin(digest_of(chunk.documents()), ""))
            write_shard(
                new / SHARDS / shard_name(len(origins) - 1, origins[-1]), chunk, origins[-1]
            )
        if words is not None:  # complete only now
            check_words(words)
        commit(new, origins, text=text, job=None, encoder=None, words=words)
        (path / JOB).unlink(missing_ok=True)  # so that `lsr encode` takes none of it for its own
        space.publish()


def _sweep_published(path: Path) -> None:
    """`sweep`, unless a process is encoding into the folder, whose shards are not listed yet."""
    if (path / JOB).exists():
        return
    try:
        manifest = VectorManifest.read(path)
    except VectorFolderError:  # nothing says which files are in use
        return
    sweep(path, manifest)


def read_sealed(file: Path) -> Chunk:
    """The documents of a shard of a folder that is being made, with their texts.

    Raises `VectorFolderError` when it is damaged.
    """
    return _decode(file, _mapped(file), True, None)[0]


def check_output(path: Path, force: bool) -> None:
    """Raise `VectorFolderError` when vectors must not be written at `path`."""
    what = "a folder of encoded vectors"
    check_target(path, force, what, is_vector_folder, error=VectorFolderError)


def _mapped(file: Path, size: int | None = None, checksum: str | None = None) -> pa.Buffer:
    """The bytes of a file, of this size and checksum if they are known."""
    try:
        data = map_file(file)
    except FileNotFoundError:
        raise damaged(file, "it is missing") from None
    if size not in (None, data.size):
        raise damaged(file, f"it has {data.size:,} bytes instead of {size:,}")
    if checksum is not None and checksum_bytes(data) != checksum:
        raise damaged(file, "it does not match its checksum")
    return data


def _decode(file: Path, data: pa.Buffer, text: bool, words: int | None) -> tuple[Chunk, str]:
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

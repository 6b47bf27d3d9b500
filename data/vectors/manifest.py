"""The manifest of a folder of encoded vectors; see `lsr.data.vectors.folder`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lsr.data.vectors.shards import SHARD_POSTINGS, chain
from lsr.errors import LsrError, VectorFolderError
from lsr.storage.manifest import MANIFEST, FileEntry, Problem, read_sealed, write_sealed
from lsr.storage.vocabulary import VOCABULARY

FORMAT = "lsr-vectors"
VERSION = 2
_OLD_VERSIONS = (1,)
JOB = "job.json"

# How a manifest or a job of ours begins.
_MARK = re.compile(rb'\s*{\s*"format": "lsr-vectors"')
SHARD_FILE = re.compile(r"\d+(-[0-9a-f]{16})?\.parquet")
_DIGEST = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard: documents, postings, digest of its documents, bytes and their BLAKE2b-128, and the
    name of its file."""

    documents: int
    postings: int
    digest: str
    size: int
    checksum: str
    file: str


@dataclass(frozen=True, slots=True)
class VectorManifest:
    """The contents of a finished folder.

    Attributes:
        job: hash of what the vectors were made with; None for imported ones.
        encoder: the identity of the encoder, statistics included; None when it is not known.
        words: how many there are; None when the terms have no words.
        vocabulary: the file of the words; None without words.
        text: whether titles and texts are kept.
        input: digest of all documents, of those of the shards in order.
        shards: in the order of their documents.
    """

    job: str | None
    encoder: dict[str, Any] | None
    documents: int
    postings: int
    words: int | None
    vocabulary: FileEntry | None
    text: bool
    input: str
    shards: list[ShardEntry]
    created_by: str
    version: int = VERSION

    @property
    def vocabulary_file(self) -> str | None:
        """The name of the file of the words; None when there is none."""
        if self.vocabulary is None:
            return None
        old = self.version in _OLD_VERSIONS
        return f"{VOCABULARY}.arrow" if old else vocabulary_name(self.vocabulary)

    def write(self, folder: Path) -> None:
        """Write into `folder`, atomically: the commit of all it names."""
        write_sealed(folder / MANIFEST, {"format": FORMAT}, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> VectorManifest | None:
        """Read and check the manifest of a folder; None when there is none.

        Raises `VectorFolderError` when it is not one of this version or damaged.
        """
        path = folder / MANIFEST

        def refusal(problem: Problem, what: str) -> LsrError:
            messages = {
                "format": "is not a folder of encoded vectors: its manifest.json is a manifest "
                "of another kind",
                "version": f"has version {what} of the format of encoded vectors, and this lsr "
                f"reads versions up to {VERSION}; update lsr or encode again with this one",
            }
            if problem in messages:
                return VectorFolderError(f"{folder} {messages[problem]}")
            return damaged(path, what)

        try:
            manifest = read_sealed(
                path, FORMAT, (*_OLD_VERSIONS, VERSION), cls, refusal, upgrade=_upgrade
            )
        except FileNotFoundError:
            return None
        if not _possible(manifest):
            raise damaged(path, "a field has an impossible value")
        return manifest


def _upgrade(body: dict[str, Any], _: bytes) -> None:
    if body["version"] in _OLD_VERSIONS:
        for number, entry in enumerate(body["shards"]):
            entry["file"] = f"{number:06}.parquet"


def vocabulary_name(entry: FileEntry) -> str:
    """The name of a file of words, which no other edition's has."""
    return f"{VOCABULARY}.{entry.checksum[:16]}.arrow"


def damaged(path: Path, what: str) -> VectorFolderError:
    """The error about a file of a folder of vectors."""
    return VectorFolderError(
        f"{path} is damaged: {what}; remove it and run the command that made it again"
    )


def is_vector_folder(path: Path) -> bool:
    """Whether a folder is one of encoded vectors, finished or not, sound or not."""
    for name in (MANIFEST, JOB):
        try:
            with (path / name).open("rb") as file:
                if _MARK.match(file.read(256)):
                    return True
        except OSError:
            continue
    return False


def input_digest(digests: Iterable[str]) -> str:
    """The digest of all documents from those of their shards."""
    whole = ""
    for digest in digests:
        whole = chain(whole, digest)
    return whole


def _possible(manifest: VectorManifest) -> bool:
    """Whether the fields have the ranges of a manifest, and agree with each other."""
    encoder, shards, vocabulary = manifest.encoder, manifest.shards, manifest.vocabulary
    digests = [digest for shard in shards for digest in (shard.digest, shard.checksum)]
    optional = (manifest.job, None if vocabulary is None else vocabulary.checksum)
    digests += [digest for digest in optional if digest is not None]
    return (
        all(_DIGEST.fullmatch(digest) for digest in digests)
        and all(shard.documents and shard.postings <= SHARD_POSTINGS for shard in shards)
        and all(SHARD_FILE.fullmatch(shard.file) for shard in shards)
        and manifest.documents == sum(shard.documents for shard in shards)
        and manifest.postings == sum(shard.postings for shard in shards)
        and manifest.input == input_digest(shard.digest for shard in shards)
        and (manifest.words is None) == (vocabulary is None)
        and (
            encoder is None
            or all(isinstance(encoder.get(field), str) for field in ("kind", "name"))
        )
    )

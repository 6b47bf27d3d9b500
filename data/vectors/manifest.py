"""The manifest of a folder of encoded vectors; see `lsr.data.vectors.folder`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lsr.data.vectors.shards import SHARD_POSTINGS, chain
from lsr.errors import VectorFolderError
from lsr.index.format import VOCABULARY, FileEntry
from lsr.storage.files import read_file, seal_holds, sealed_json, write_atomically

FORMAT = "lsr-vectors"
VERSION = 2
_OLD_VERSIONS = (1,)
MANIFEST = "manifest.json"
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
    """What a finished folder consists of.

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
        if self.vocabulary is None or self.version in _OLD_VERSIONS:
            return None if self.vocabulary is None else f"{VOCABULARY}.arrow"
        return vocabulary_name(self.vocabulary)

    def write(self, folder: Path) -> None:
        """Write into `folder`, atomically: the commit of all it names."""
        write_atomically(folder / MANIFEST, sealed_json({"format": FORMAT}, asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> VectorManifest | None:
        """Read and check the manifest of a folder; None when there is none.

        Raises `VectorFolderError` when it is not one of this version or damaged.
        """
        path = folder / MANIFEST
        try:
            text = read_file(path)
            body = json.loads(text)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, RecursionError):
            raise damaged(path, "it is not JSON") from None
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise VectorFolderError(
                f"{folder} is not a folder of encoded vectors: its {MANIFEST} is of something else"
            )
        version = body.get("version")
        if version not in (*_OLD_VERSIONS, VERSION) and isinstance(version, int):
            raise VectorFolderError(
                f"{folder} has version {version} of the format of encoded vectors, and this lsr "
                f"reads versions up to {VERSION}; update lsr or encode again with this one"
            )
        if not seal_holds(text):
            raise damaged(path, "its checksum does not match its contents")
        try:
            body = {key: body[key] for key in cls.__dataclass_fields__}
            if version in _OLD_VERSIONS:
                for number, entry in enumerate(body["shards"]):
                    entry["file"] = f"{number:06}.parquet"
            body["shards"] = [ShardEntry(**entry) for entry in body["shards"]]
            if body["vocabulary"] is not None:
                body["vocabulary"] = FileEntry(**body["vocabulary"])
            manifest = cls(**body)
        except (KeyError, TypeError) as error:
            raise damaged(path, f"a field is missing or of the wrong kind ({error})") from None
        # A checksum is no signature: nothing below it is believed either.
        if not _possible(manifest):
            raise damaged(path, "a field has an impossible value")
        return manifest


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


def _possible(manifest: Any) -> bool:
    """Whether the fields have the kinds and ranges of a manifest, and agree with each other."""
    encoder, shards, vocabulary = manifest.encoder, manifest.shards, manifest.vocabulary
    whole = [manifest.documents, manifest.postings]
    digests = [] if manifest.job is None else [manifest.job]
    for shard in shards:
        whole += [shard.documents, shard.postings, shard.size]
        digests += [shard.digest, shard.checksum]
    if vocabulary is not None:
        whole += [manifest.words, vocabulary.size]
        digests.append(vocabulary.checksum)
    return (
        manifest.version in (*_OLD_VERSIONS, VERSION)
        and all(type(number) is int and 0 <= number < 1 << 63 for number in whole)
        and all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in digests)
        and all(shard.documents and shard.postings <= SHARD_POSTINGS for shard in shards)
        and all(isinstance(s.file, str) and SHARD_FILE.fullmatch(s.file) for s in shards)
        and manifest.documents == sum(shard.documents for shard in shards)
        and manifest.postings == sum(shard.postings for shard in shards)
        and manifest.input == input_digest(shard.digest for shard in shards)
        and (manifest.words is None) == (vocabulary is None)
        and type(manifest.text) is bool
        and (
            encoder is None
            or (
                isinstance(encoder, dict)
                and all(isinstance(encoder.get(field), str) for field in ("kind", "name"))
            )
        )
        and isinstance(manifest.created_by, str)
    )

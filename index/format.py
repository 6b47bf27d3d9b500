"""The index on disk, and its manifest.

Grammar (every file is an Arrow IPC file unless said otherwise; `batch*` is a sequence of
record batches, and every column of a batch has the batch's length)::

    INDEX       = manifest.json  [vocabulary.ID.arrow]  segments/ID/SEGMENT …
                  [dense/DENSE]  [fusion.ID.json]  [partial/…]
    SEGMENT     = documents.arrow alive.arrow POSTINGS [stored.arrow]
    POSTINGS    = sparse_terms.arrow sparse_postings.arrow
                  dense_terms.arrow codebooks.arrow maxima.arrow chunks.arrow payload.arrow
                  [floats.arrow ranks.arrow]
                | list_terms.arrow lists.arrow       where all weights are equal: bits is 1

    vocabulary  = batch                  one row a term id
                  word:large_string      the term's word
                  by_word:u32            term ids in the byte order of their words
                  …                      further columns of the encoder, one value a term
    documents   = batch                  one row a document, in stored order
                  id:large_string        external id
                  by_id:u32              documents in the byte order of their ids
                  position:u32           position in the collection as given: breaks ties
                  terms:u32              postings of the document
    alive       = batch                  bit d % 8 of byte d / 8 tells whether document d
                  bits:u8                is alive; ceil(documents / 8) bytes
    sparse_terms    = batch*             a batch a PARTITION; a row a SPARSE term
                      term:u32           ascending
                      start:u32          first posting; the next row's start ends the run
                      maximum:WEIGHT     largest weight of the run
    sparse_postings = batch*             a batch a PARTITION; runs of terms, documents ascending
                      document:u16       counted from the partition's first document
                      weight:WEIGHT      1 to 2^bits - 1; times `step` is the real weight
    dense_terms     = batch*             a batch a PARTITION; a row a DENSE term
                      term:u32           ascending
                      posting:u32        its first posting among those of all DENSE terms
                      payload:u32        its first byte in `payload`
    codebooks       = batch*             a batch a PARTITION; 16 rows a DENSE term
                      maximum:WEIGHT     0, then ascending; the last is the term's largest weight
    maxima          = batch*             a batch a PARTITION; a CODES a DENSE term and SUPERBLOCK
                      codes:u8
    chunks          = batch*             a batch a PARTITION; a row a DENSE term and SUPERBLOCK
                      start:u16          offset of the CHUNK in the term's payload, in weights
    payload         = batch*             a batch a PARTITION; a CHUNK a DENSE term and SUPERBLOCK,
                      bytes:u8           then 1,152 zeros
    floats          = batch*             a batch a PARTITION; sparse postings, then dense ones
                      weight:f32         the weight as given
    ranks           = batch*             a batch a PARTITION, parallel to `chunks`
                      first:u16          the term's postings before the CHUNK
    list_terms      = batch*             a batch a PARTITION; a row a term
                      term:u32           ascending
                      start:u32          its first byte in `lists`; the next row's start, or the
                                         zeros at the end, end the LIST
    lists           = batch*             a batch a PARTITION; a LIST a term, then 16 zeros
                      bytes:u8
    stored      = batch*, zstd           STORED_BATCH documents each, in stored order
                  title:large_string
                  text:large_string

    PARTITION   = up to 57,344 consecutive documents (manifest: segments[].partitions)
    SUPERBLOCK  = 64 blocks of 8 consecutive documents; a partition has ceil(documents / 512)
    WEIGHT      = u8 | u16               (manifest: bits, 8 or 16)
    DENSE       = in at least one of 48 documents of the partition; other terms are SPARSE
    CODES       = a 4-bit index of the codebook for every block: the least entry that the block's
                  largest weight does not exceed, 0 without postings; byte i has block i in its
                  low half and block 32 + i in its high half
    CHUNK       = mask* low* high* zero  for the blocks of a superblock
                  mask:u8                a block with postings: bit d: document d has one
                  low:u8  high:u8        bytes of the weights; high only where WEIGHT is u16
                  zero:u8                there only, and if the bytes before are odd in number
    BITMAP      = in at least one of 16 documents of the partition
    LIST        = 0xF0 documents:u8*     of a BITMAP term: bit d % 8 of byte d / 8 tells
                                         whether document d has it
                | order gap* zeros       of another; bits, from the highest of each byte on
                  order                  4 bits, high first: 0 to 14
                  gap                    2^order plus the number of documents passed over since
                                         the posting before, or since the partition's start: a
                                         number of n + order + 1 bits, high first, after n zeros
                  zeros                  up to a whole byte
    STORED_BATCH = 256
    ID          = the first 16 digits of the manifest's "edition"
    manifest    = JSON, see `Manifest`; "checksum" is the BLAKE2b-128 of the file's bytes
                  with its own 32 digits replaced by zeros
    partial     = the next edition while it is made, see `lsr.storage.workspace`

Files are immutable, and no edition has a file under the name of another's.  A new edition is
made in `partial`; its files are moved beside those that are there, and replacing the manifest
publishes it, in one step.  Then what the manifest does not list is removed (`sweep`).  So a
reader has one edition or the other, and a file that it misses was removed only if the manifest
has changed (`lsr.storage.files.steady`); what it has opened stays mapped.

Every file's size and BLAKE2b-128 stand in the manifest.  Readers trust nothing: sizes are checked
when a file is opened, offsets when they are used, checksums by `lsr verify`.

Versions 2 to 4 are read, too.  The manifest calls partitions windows, and postings with weights
are converted when they are read (`lsr.index.segments.older`).  In versions 2 and 3 (of indexes with
weights, and without) the files are called vocabulary.arrow, segments/0 and fusion.json, and the
edition is the manifest's digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lsr.errors import IndexCorrupt, IndexFormatError, LsrError
from lsr.storage.files import checksum_bytes, remove_unlisted
from lsr.storage.manifest import MANIFEST, FileEntry, Problem, read_sealed, write_sealed
from lsr.storage.vocabulary import VOCABULARY
from lsr.storage.workspace import PARTIAL

FORMAT = "lsr-index"
FORMAT_VERSION = 5
# The bits of an index: with weights, without, and either.
_OLD_VERSIONS = {2: (8, 16), 3: (1,), 4: (1, 8, 16)}

_EDITIONS = 4  # the first version that has them
# The largest multiple of 8,192 whose payload, of at most a byte a document and one a block, is
# addressed by 16 bits.
PARTITION = 57_344
BLOCK = 8
SUPERBLOCK = 64  # blocks
SUPERBLOCK_DOCUMENTS = SUPERBLOCK * BLOCK
SUPERBLOCK_CODES = SUPERBLOCK // 2  # bytes
CODEBOOK = 16
# A dense term has blocks, whose codes and offsets take 34 bytes for 512 documents; below this
# density a list of postings is smaller, and short enough to be walked by every query.  Up to one
# document in 28 a list is still smaller, but walking it takes longer than adding codes.
DENSE_TERM = 48
PAYLOAD_PADDING = 1_152
BITMAP_TERM = 16
LIST_ORDERS = 15
LISTS_PADDING = 16
STORED_BATCH = 256

SEGMENTS = "segments"
FUSION = "fusion"
_ID = 16  # digits
_SEGMENT = re.compile(rf"0|[0-9a-f]{{{_ID}}}")
_SWEPT = re.compile(rf"({VOCABULARY}|{FUSION})(\.[0-9a-f]{{{_ID}}})?\.(arrow|json)")
_OTHER_FORMAT = re.compile(rb'\s*{\s*"format": "(?!lsr-index")')
_EDITION = re.compile(r"[0-9a-f]{32}")
_SAFE_PATH = re.compile(r"[a-z0-9][a-z0-9._]*(/[a-z0-9][a-z0-9._]*)*")


def superblocks_of(documents: int) -> int:
    """Superblocks of a partition of so many documents."""
    return -(-documents // SUPERBLOCK_DOCUMENTS)


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment: its directory name, the documents of each partition, its postings."""

    id: str
    partitions: list[int]
    postings: int

    @property
    def documents(self) -> int:
        return sum(self.partitions)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of an index.

    Attributes:
        segments: in the order of their documents.
        bits, step: the quantizer: a stored weight w in 1 to 2**bits - 1 stands for w * step.
            With 1 bit every weight is `step`, and none is stored.
        error: largest difference between a weight as given and as stored.
        encoder: the identity of the encoder that made the vectors, or None.
        vocabulary: number of terms that have a word.
        kept: which optional columns there are: "floats", "text".
        files: every other file of the index, by path relative to it.
        edition: a digest of all that decides answers; equal editions have equal files.
    """

    segments: list[SegmentEntry]
    bits: int
    step: float
    error: float
    encoder: dict[str, Any] | None
    vocabulary: int
    kept: list[str]
    created_by: str
    files: dict[str, FileEntry] = field(default_factory=dict)
    edition: str = ""
    format_version: int = FORMAT_VERSION

    @property
    def documents(self) -> int:
        return sum(segment.documents for segment in self.segments)

    @property
    def postings(self) -> int:
        return sum(segment.postings for segment in self.segments)

    @property
    def has_old_blocks(self) -> bool:
        """Whether postings with weights are those of `lsr.index.segments.older`."""
        return self.format_version in _OLD_VERSIONS and self.bits != 1

    @property
    def vocabulary_file(self) -> str | None:
        """The path of the vocabulary, relative to the index; None when there is none."""
        return next((name for name in self.files if name.startswith(f"{VOCABULARY}.")), None)

    @property
    def fusion_file(self) -> str:
        """The path, relative to the index, of a fusion learned for this edition."""
        if self.format_version < _EDITIONS:
            return f"{FUSION}.json"
        return f"{FUSION}.{name_of_edition(self.edition)}.json"

    def write(self, index: Path) -> None:
        """Write into `index`, atomically: the commit of all it names."""
        write_sealed(index / MANIFEST, {"format": FORMAT}, asdict(self))

    @classmethod
    def read(cls, index: Path) -> Manifest:
        """Read and check the manifest of an index directory.

        Raises `IndexFormatError` when there is none or its version is another, `IndexCorrupt`
        when its bytes are not the ones written, and `SystemCallError`.
        """
        path = index / MANIFEST

        def refusal(problem: Problem, detail: str) -> LsrError:
            if problem == "format":
                return IndexFormatError(f"{path} does not describe an lsr index")
            if problem == "version":
                return IndexFormatError(
                    f"{index} has index format {detail}, and this lsr reads the formats "
                    f"{min(_OLD_VERSIONS)} to {FORMAT_VERSION}; update lsr or rebuild the index "
                    "with this version"
                )
            return IndexCorrupt(path, detail)

        versions = (*_OLD_VERSIONS, FORMAT_VERSION)
        field = "format_version"
        try:
            manifest = read_sealed(path, FORMAT, versions, cls, refusal, field, _upgrade)
        except FileNotFoundError:
            raise _no_index(index) from None
        if not _possible(manifest):
            raise IndexCorrupt(path, "a field has an impossible value")
        for name in [*manifest.files, *(segment.id for segment in manifest.segments)]:
            if not _SAFE_PATH.fullmatch(name):  # a path must not leave the directory
                raise IndexCorrupt(path, f"it names the file {name!r}")
        return manifest


def is_index(path: Path) -> bool:
    """Whether a folder is an index, sound or not: its manifest is not one of another format."""
    try:
        with (path / MANIFEST).open("rb") as file:
            return not _OTHER_FORMAT.match(file.read(256))
    except OSError:
        return False


def edition_of(files: Mapping[str, FileEntry], *rest: Any) -> str:
    """The edition of an index: a digest of its files, and of the rest of its manifest.

    Names are left out, for they hold the edition; the order of the files is that of the names.
    """
    contents = [entry.checksum for _, entry in sorted(files.items())]
    return checksum_bytes(json.dumps([contents, *rest], sort_keys=True).encode())


def name_of_edition(edition: str) -> str:
    """The part of a file's name that tells it from those of other editions."""
    return edition[:_ID]


def _no_index(index: Path) -> IndexFormatError:
    if (index / PARTIAL).is_dir():
        return IndexFormatError(
            f"{index} is unfinished; run the `lsr index` that was making it again"
        )
    return IndexFormatError(
        f"{index} is not an index: it has no {MANIFEST}; build one with `lsr index`"
    )


def sweep(index: Path) -> None:
    """Remove the files of editions that are not the published one.

    Only one who holds the lock of `partial` may: the files of an edition that is about to be
    published are not listed yet.
    """
    segments, files = set[str](), set[str]()
    if (index / MANIFEST).exists():
        try:
            manifest = Manifest.read(index)
        except LsrError:  # nothing says which files are in use
            return
        segments = {entry.id for entry in manifest.segments}
        files = {*manifest.files, manifest.fusion_file}
    remove_unlisted(index / SEGMENTS, _SEGMENT, segments)
    if not segments:
        with suppress(OSError):  # of a folder that is not empty, or not there
            (index / SEGMENTS).rmdir()
    remove_unlisted(index, _SWEPT, files)


def _upgrade(body: dict[str, Any], data: bytes) -> None:
    version = body["format_version"]
    if version < _EDITIONS:
        body["edition"] = checksum_bytes(data)
    if version in _OLD_VERSIONS:  # which called partitions windows
        for segment in body["segments"]:
            segment["partitions"] = segment.pop("windows")


def _possible(manifest: Manifest) -> bool:
    """Whether the fields have the ranges of a manifest, and agree with each other."""
    encoder = manifest.encoder
    return (
        manifest.bits in _OLD_VERSIONS.get(manifest.format_version, (1, 8, 16))
        and manifest.step > 0
        and manifest.error >= 0
        and _EDITION.fullmatch(manifest.edition) is not None
        and (
            encoder is None
            or all(isinstance(encoder.get(field), str) for field in ("kind", "name"))
        )
        and not (manifest.bits == 1 and "floats" in manifest.kept)
    )

"""The index on disk, and its manifest.

Grammar (every file is an Arrow IPC file unless said otherwise; `batch*` is a sequence of
record batches, and every column of a batch has the batch's length)::

    INDEX       = manifest.json  [vocabulary.arrow]  segments/ID/SEGMENT …
    SEGMENT     = documents.arrow alive.arrow POSTINGS [stored.arrow]
    POSTINGS    = rare_terms.arrow rare_postings.arrow
                  frequent_terms.arrow codebooks.arrow bitmaps.arrow records.arrow
                  maxima.arrow payload.arrow  [floats.arrow ranks.arrow]
                | list_terms.arrow lists.arrow       where all weights are equal: bits is 1

    vocabulary  = batch                  one row a term id
                  word:large_string      the term's word
                  by_word:u32            term ids in the byte order of their words
                  …                      further columns of the encoder, one value a term
    documents   = batch                  one row a document, in stored order
                  id:large_string        external id
                  by_id:u32              documents in the byte order of their ids
                  position:u32           place in the collection as given: breaks ties
                  terms:u32              postings of the document
    alive       = batch                  bit d % 8 of byte d / 8 tells whether document d
                  bits:u8                is alive; ceil(documents / 8) bytes
    rare_terms      = batch*             a batch a WINDOW; a row a RARE term
                      term:u32           ascending
                      start:u32          first posting; the next row's start ends the run
                      maximum:WEIGHT     largest weight of the run
    rare_postings   = batch*             a batch a WINDOW; runs of terms, documents ascending
                      document:u16       counted from the window's first document
                      weight:WEIGHT      1 to 2^bits - 1; times `step` is the real weight
    frequent_terms  = batch*             a batch a WINDOW; a row a FREQUENT term
                      term:u32           ascending
                      posting:u32        its first posting among those of all FREQUENT terms
                      maxima:u32         its first byte in `maxima`
                      payload:u32        its first byte in `payload`
    codebooks       = batch*             a batch a WINDOW; 16 rows a FREQUENT term
                      maximum:WEIGHT     ascending; the last is the term's largest weight
    bitmaps         = batch*             a batch a WINDOW; a row a FREQUENT term and GROUP
                      blocks:u64         bit b: block b of the group has postings
    records         = batch*             a batch a WINDOW; two rows a FREQUENT term and GROUP
                      start:u16          place of the RECORD in the term's payload, in weights
    maxima          = batch*             a batch a WINDOW; a CODES a FREQUENT term and GROUP,
                      codes:u8           then zeros: 32 bytes a GROUP and 64 more
    payload         = batch*             a batch a WINDOW; a RECORD for every half of a GROUP of
                      bytes:u8           a FREQUENT term, then 640 zeros
    floats          = batch*             a batch a WINDOW; rare postings, then frequent ones
                      weight:f32         the weight as given
    ranks           = batch*             a batch a WINDOW, parallel to `records`
                      first:u16          the term's postings before the RECORD
    list_terms      = batch*             a batch a WINDOW; a row a term
                      term:u32           ascending
                      start:u32          its first byte in `lists`; the next row's start, or the
                                         zeros at the end, end the LIST
    lists           = batch*             a batch a WINDOW; a LIST a term, then 16 zeros
                      bytes:u8
    stored      = batch*, zstd           STORED_BATCH documents each, in stored order
                  title:large_string
                  text:large_string

    WINDOW      = up to 57,344 consecutive documents (manifest: segments[].windows)
    GROUP       = 64 blocks of 8 consecutive documents; a window has ceil(documents / 512)
    WEIGHT      = u8 | u16               (manifest: bits, 8 or 16)
    FREQUENT    = in at least one of 96 documents of the window; other terms are RARE
    CODES       = a 4-bit place in the codebook for every block with postings, low half first:
                  the least entry that the block's largest weight does not exceed
    RECORD      = mask* low* high* zero  for the blocks of 256 documents
                  mask:u8                a block with postings: bit d: document d has one
                  low:u8  high:u8        bytes of the weights; high only where WEIGHT is u16
                  zero:u8                there only, and if the bytes before are odd in number
    DENSE       = in at least one of 16 documents of the window
    LIST        = 0xF0 documents:u8*     of a DENSE term: bit d % 8 of byte d / 8 tells whether
                                         document d has it
                | order gap* zeros       of another; bits, from the highest of each byte on
                  order                  4 bits, high first: 0 to 14
                  gap                    2^order plus the number of documents passed over since
                                         the posting before, or since the window's start: a
                                         number of n + order + 1 bits, high first, after n zeros
                  zeros                  up to a whole byte
    STORED_BATCH = 256
    manifest    = JSON, see `Manifest`; "checksum" is the BLAKE2b-128 of the file's bytes
                  with its own 32 digits replaced by zeros

Files are immutable: written under a temporary name, flushed to the disk and renamed.  The
manifest is written last; a directory without one is not an index.  Every file's size and
BLAKE2b-128 stand in the manifest.  Readers trust nothing: sizes are checked when a file is
opened, offsets when they are used, checksums by `lsr verify`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lsr.errors import IndexCorrupt, IndexFormatError
from lsr.files import checksum_file, seal_holds, sealed_json, write_atomically

FORMAT = "lsr-index"
# Of an index with weights, and of one without.
FORMAT_VERSION = 2
LISTS_VERSION = 3

# The largest multiple of 8,192 whose payload, of at most a byte a document and one a block, is
# addressed by 16 bits.
WINDOW = 57_344
BLOCK = 8
GROUP = 64  # blocks
GROUP_DOCUMENTS = GROUP * BLOCK
CODEBOOK = 16
# A frequent term has blocks, whose bitmaps and places take 12 bytes for 512 documents; below this
# density a list of postings is smaller, and short enough to be walked by every query.
FREQUENT = 96
MAXIMA_PADDING = 64
PAYLOAD_PADDING = 640
DENSE = 16
LIST_ORDERS = 15
LISTS_PADDING = 16
STORED_BATCH = 256

MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.arrow"
SEGMENTS = "segments"
_SAFE_PATH = re.compile(r"[a-z0-9][a-z0-9._]*(/[a-z0-9][a-z0-9._]*)*")


def groups_of(documents: int) -> int:
    """Groups of a window of so many documents."""
    return -(-documents // GROUP_DOCUMENTS)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file as a manifest lists it: bytes, and its BLAKE2b-128 in hexadecimal."""

    size: int
    checksum: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        return cls(path.stat().st_size, checksum_file(path))


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment: its directory name, the documents of each window, its postings."""

    id: str
    windows: list[int]
    postings: int

    @property
    def documents(self) -> int:
        return sum(self.windows)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index consists of.

    Attributes:
        segments: in the order of their documents.
        bits, step: the quantizer: a stored weight w in 1 to 2**bits - 1 stands for w * step.
            With 1 bit every weight is `step`, and none is stored.
        error: largest difference between a weight as given and as stored.
        encoder: the identity of the encoder that made the vectors, or None.
        vocabulary: number of terms that have a word.
        kept: which optional columns there are: "floats", "text".
        files: every other file of the index, by path relative to it.
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

    @property
    def documents(self) -> int:
        return sum(segment.documents for segment in self.segments)

    @property
    def postings(self) -> int:
        return sum(segment.postings for segment in self.segments)

    def write(self, index: Path) -> None:
        """Write into `index`, atomically: the commit of all it names."""
        head = {"format": FORMAT, "format_version": _version_of(self.bits)}
        write_atomically(index / MANIFEST, sealed_json(head, asdict(self)))

    @classmethod
    def read(cls, index: Path) -> Manifest:
        """Read and check the manifest of an index directory.

        Raises `IndexFormatError` when there is none or its version is another, and
        `IndexCorrupt` when its bytes are not the ones written.
        """
        path = index / MANIFEST
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise IndexFormatError(
                f"{index} is not an index: it has no {MANIFEST}; build one with `lsr index`"
            ) from None
        try:
            body = json.loads(text)
        except ValueError:
            raise IndexCorrupt(path, "it is not JSON") from None
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            if seal_holds(text):
                raise IndexFormatError(f"{path} does not describe an lsr index")
            raise IndexCorrupt(path, "its checksum does not match its contents")
        version = body.get("format_version")
        if version not in (FORMAT_VERSION, LISTS_VERSION) and isinstance(version, int):
            raise IndexFormatError(
                f"{index} has index format {version}, and this lsr reads the formats "
                f"{FORMAT_VERSION} and {LISTS_VERSION}; update lsr or rebuild the index with this "
                "version"
            )
        if not seal_holds(text):
            raise IndexCorrupt(path, "its checksum does not match its contents")
        try:
            body = {key: body[key] for key in cls.__dataclass_fields__}
            body["segments"] = [SegmentEntry(**entry) for entry in body["segments"]]
            body["files"] = {name: FileEntry(**entry) for name, entry in body["files"].items()}
            manifest = cls(**body)
        except (KeyError, TypeError, AttributeError) as error:
            raise IndexCorrupt(path, f"a field is missing or of the wrong kind ({error})") from None
        # A checksum is no signature: nothing below it is believed either.
        if not _possible(manifest) or version != _version_of(manifest.bits):
            raise IndexCorrupt(path, "a field has an impossible value")
        for name in [*manifest.files, *(segment.id for segment in manifest.segments)]:
            if not _SAFE_PATH.fullmatch(name):  # a path must not leave the directory
                raise IndexCorrupt(path, f"it names the file {name!r}")
        return manifest


def _version_of(bits: int) -> int:
    """The format of an index; what has weights stays readable to who knows version 2 alone."""
    return LISTS_VERSION if bits == 1 else FORMAT_VERSION


def _possible(manifest: Any) -> bool:
    """Whether the fields have the kinds and ranges of a manifest."""
    encoder = manifest.encoder
    if encoder is not None and not (
        isinstance(encoder, dict)
        and all(isinstance(encoder.get(field), str) for field in ("kind", "name"))
    ):
        return False
    whole = [manifest.vocabulary]
    for segment in manifest.segments:
        if not isinstance(segment.id, str) or not isinstance(segment.windows, list):
            return False
        whole += [segment.postings, *segment.windows]
    for entry in manifest.files.values():
        if not isinstance(entry.checksum, str):
            return False
        whole.append(entry.size)
    return (
        all(type(number) is int and 0 <= number < 1 << 63 for number in whole)
        and manifest.bits in (1, 8, 16)
        and all(isinstance(number, int | float) for number in (manifest.step, manifest.error))
        and 0 < manifest.step < math.inf
        and 0 <= manifest.error < math.inf
        and isinstance(manifest.kept, list)
        and not (manifest.bits == 1 and "floats" in manifest.kept)
    )

"""Building an index: documents are encoded into shards, shards become segments.

    INDEX.partial = lock job.json shards/N.arrow … index/   [old/]

A shard holds some thousand documents with their vectors; it is sealed by a rename and
carries a digest of its documents.  A build that is interrupted leaves the sealed shards of
a model's work behind, and the next build of the same place with the same encoder takes
them over as long as the collection still gives the same documents.  (Vectors that depend on
the whole collection, such as BM25's, are cheap, and start again.)  The finished index is
renamed into place; nothing unfinished ever has the name of an index.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import lsr
from lsr.data.corpus import Corpus, Document, document_of
from lsr.data.records import BadRecord
from lsr.encoders import Encoder, load_encoder
from lsr.errors import CorpusError, IndexExists, LsrError, VectorError
from lsr.files import replacing, sync_directory
from lsr.index.columns import write_arrow
from lsr.index.format import MANIFEST, SEGMENTS, VOCABULARY, FileEntry, Manifest
from lsr.index.quantizer import step_for
from lsr.index.searcher import MOST_DOCUMENTS
from lsr.index.writer import SegmentWriter
from lsr.progress import Progress, Silent
from lsr.vectors import SparseVectors

DEFAULT_MEMORY = 1 << 30
SHARD_DOCUMENTS = 2048
SHARD_CHARACTERS = 1 << 25
ENCODE_DOCUMENTS = 256  # given to the encoder at once, so that progress is seen

# All there is in INDEX.partial, with the temporary files of `replacing`.
_OURS = re.compile(r"lock|job\.json|shards|index|old|\.job\.json\.\d+\.tmp")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring documents with their vectors."""

    ids: list[str]
    titles: list[str] | None
    texts: list[str] | None
    vectors: SparseVectors


def build(
    path: Path,
    documents: Iterable[Document | Mapping[str, Any]],
    encoder: str | Encoder = "splade-tiny",
    *,
    bits: int = 8,
    keep_floats: bool = False,
    threads: int | None = None,
    max_memory: int = DEFAULT_MEMORY,
    force: bool = False,
    total: int | None = None,
    progress: type[Progress] = Silent,
    **settings: Any,
) -> None:
    """Encode documents and write them as a new index.

    Args:
        path: the index directory; must not exist, or be an index and `force` given.
        documents: mappings with "id", optional "title", and "text"; read once, in a stream.
        encoder: an `Encoder`, or a name for `lsr.load_encoder`, which `settings` go to
            (max_length, document_terms, query_terms, device, batch_size, pooling).
        bits: of a stored weight, 8 or 16.
        keep_floats: also keep the weights as given, for `exact_floats` searches.
        threads: for the model; None leaves torch's choice.
        max_memory: bytes for the vectors being worked on; the model, external ids (about
            120 bytes a document) and the vocabulary come on top.
        total: how many documents there are, if known, for the time left.
        progress: how to report; silent by default.

    Raises `CorpusError` for a bad document or a repeated id, `IndexExists` when the place is
    taken or being written by another process, `LsrError` when it cannot be written.
    """
    path = path.absolute()
    _check_options(bits, max_memory)
    if threads is not None and threads < 1:
        raise LsrError(f"threads must be at least 1, not {threads}")
    with _workplace(path, force) as partial:
        if isinstance(encoder, str):
            encoder = load_encoder(encoder, **settings)
        if threads is not None and "torch" in sys.modules:  # only a model computes in torch
            sys.modules["torch"].set_num_threads(threads)
        shards = _encode(partial, documents, encoder, total, progress)
        words = [encoder.vocabulary[term] for term in range(len(encoder.vocabulary))]

        def chunks() -> Iterator[Chunk]:
            for shard in shards:
                chunk = _read_shard(shard)
                yield Chunk(chunk.ids, chunk.titles, chunk.texts, encoder.weigh(chunk.vectors))

        _write_index(
            partial / "index",
            chunks,
            bits=bits,
            keep_floats=keep_floats,
            keep_text=True,
            max_memory=max_memory,
            identity=encoder.identity,
            words=words,
            term_columns=encoder.term_columns(),
            progress=progress,
        )
        _publish(partial, path)


def build_vectors(
    path: Path,
    ids: Sequence[str],
    vectors: SparseVectors,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    max_memory: int = DEFAULT_MEMORY,
    force: bool = False,
    progress: type[Progress] = Silent,
) -> None:
    """Write encoded documents as a new index; `ids` gives one id a row of `vectors`."""
    path = path.absolute()
    _check_options(bits, max_memory)
    if len(ids) != len(vectors):
        raise VectorError(f"there are {len(ids)} ids for {len(vectors)} vectors; give one each")
    names = [document.id for document in _distinct({"id": name, "text": ""} for name in ids)]

    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(vectors), SHARD_DOCUMENTS):
            stop = min(start + SHARD_DOCUMENTS, len(vectors))
            yield Chunk(names[start:stop], None, None, vectors[start:stop])

    with _workplace(path, force) as partial:
        _write_index(
            partial / "index",
            chunks,
            bits=bits,
            keep_floats=keep_floats,
            keep_text=False,
            max_memory=max_memory,
            identity=None,
            words=[],
            term_columns={},
            progress=progress,
        )
        _publish(partial, path)


def _encode(
    partial: Path,
    documents: Iterable[Document | Mapping[str, Any]],
    encoder: Encoder,
    total: int | None,
    progress: type[Progress],
) -> list[Path]:
    """Fill `partial` with sealed shards of all documents; return them in order."""
    folder = partial / "shards"
    job = {"encoder": encoder.identity, "resumable": not encoder.gathers_statistics}
    if not job["resumable"] or _read_job(partial) != job:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    with replacing(partial / "job.json") as file:
        file.write(json.dumps(job).encode())
    sealed = []
    fraction = (lambda: documents.fraction) if isinstance(documents, Corpus) else None
    with progress("Encoding", "documents", total, fraction) as bar:
        for number, group in enumerate(_groups(_distinct(documents))):
            shard = folder / f"{number:06}.arrow"
            digest = _digest(group)
            if shard.exists() and _shard_digest(shard) == digest:
                bar.advance(len(group), free=True)
            else:
                vectors = []
                for start in range(0, len(group), ENCODE_DOCUMENTS):
                    texts = [d.indexed_text for d in group[start : start + ENCODE_DOCUMENTS]]
                    vectors.append(encoder.observe(texts))
                    bar.advance(len(texts))
                _write_shard(shard, group, SparseVectors.concatenate(vectors), digest)
            sealed.append(shard)
    return sealed


def _write_index(
    directory: Path,
    chunks: Callable[[], Iterator[Chunk]],
    *,
    bits: int,
    keep_floats: bool,
    keep_text: bool,
    max_memory: int,
    identity: dict[str, Any] | None,
    words: list[str],
    term_columns: dict[str, npt.NDArray[Any]],
    progress: type[Progress],
) -> None:
    """Write a complete index directory of one segment; `chunks` is gone through twice."""
    # The quantizer is global, so the largest weight comes first.
    largest, count = 0.0, 0
    for chunk in chunks():
        largest = max(largest, float(chunk.vectors.weights.max(initial=0)))
        count += len(chunk.ids)
    step = step_for(largest, bits)
    files = []
    with (
        SegmentWriter(
            directory / SEGMENTS / "0",
            bits=bits,
            step=step,
            keep_floats=keep_floats,
            keep_text=keep_text,
            max_memory=max_memory,
        ) as writer,
        progress("Writing", "documents", count) as bar,
    ):
        position = 0
        for chunk in chunks():
            positions = np.arange(position, position + len(chunk.ids), dtype=np.uint32)
            writer.add(chunk.ids, chunk.vectors, positions, chunk.titles, chunk.texts)
            position += len(chunk.ids)
            bar.advance(len(chunk.ids))
        segment = writer.finish()
        files = sorted((directory / SEGMENTS / "0").iterdir())
    if identity is not None:
        column = pa.array(words, pa.large_string())
        by_word = pc.sort_indices(column).cast(pa.uint32())
        columns = {name: pa.array(values) for name, values in term_columns.items()}
        write_arrow(directory / VOCABULARY, {"word": column, "by_word": by_word} | columns)
        files.append(directory / VOCABULARY)
    kept = [name for name, keep in (("floats", keep_floats), ("text", keep_text)) if keep]
    Manifest(
        segments=[segment],
        bits=bits,
        step=step,
        error=writer.error,
        encoder=identity,
        vocabulary=len(words),
        kept=kept,
        created_by=f"lsr-engine {lsr.__version__}",
        files={file.relative_to(directory).as_posix(): FileEntry.of(file) for file in files},
    ).write(directory)
    for folder in (directory / SEGMENTS / "0", directory / SEGMENTS, directory):
        sync_directory(folder)


@contextmanager
def _workplace(path: Path, force: bool) -> Iterator[Path]:
    """The directory beside `path` where it is built, locked against other processes.

    What remains of it on failure is what the next build can use, or nothing.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        foreign = [file for file in partial.iterdir() if not _OURS.fullmatch(file.name)]
        if foreign:
            raise IndexExists(
                f"{path} would be built in {partial}, but {foreign[0].name} there is not the work "
                "of an earlier build; move it or choose another place"
            )
        with _locked(partial, path):
            check_target(path, force)
            yield partial
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise LsrError(
            f"{path} cannot be written: {error.strerror or error}{place}; make room or choose "
            "another place"
        ) from error


@contextmanager
def _locked(partial: Path, path: Path) -> Iterator[None]:
    lock = filelock.FileLock(partial / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise IndexExists(
            f"{path} is being built by another process; wait for it or choose another place"
        ) from None
    try:
        _recover(partial, path)
        yield
    finally:
        _recover(partial, path)
        _tidy(partial)
        lock.release()


def _recover(partial: Path, path: Path) -> None:
    """Undo a `_publish` that was stopped half-way; remove what no later build can use."""
    old = partial / "old"
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(partial / "index", ignore_errors=True)


def _tidy(partial: Path) -> None:
    """Remove the workplace unless it has shards worth keeping."""
    job = _read_job(partial)
    if not (job and job.get("resumable") and any((partial / "shards").glob("*.arrow"))):
        shutil.rmtree(partial, ignore_errors=True)


def check_target(path: Path, force: bool) -> None:
    """Raise `IndexExists` when an index must not be written at `path`."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / MANIFEST).is_file():
        raise IndexExists(f"{path} exists and is not an index; choose another place")
    if not force:
        raise IndexExists(f"{path} is an index already; add --force (force=True) to replace it")


def _publish(partial: Path, path: Path) -> None:
    """Give the finished index its name; the old one, if any, goes when the new one is there."""
    if path.exists() and any(path.iterdir()):
        path.rename(partial / "old")
    (partial / "index").rename(path)
    sync_directory(path.parent)
    shutil.rmtree(partial / "old", ignore_errors=True)
    shutil.rmtree(partial / "shards", ignore_errors=True)


def _check_options(bits: int, max_memory: int) -> None:
    if bits not in (8, 16):
        raise LsrError(f"weights are stored in 8 or 16 bits, not {bits}")
    if max_memory < 1 << 26:
        raise LsrError(f"max_memory must be at least 64 MB, not {max_memory:,} bytes")


def _distinct(documents: Iterable[Document | Mapping[str, Any]]) -> Iterator[Document]:
    """The documents, checked; a repeated id is an error."""
    seen: set[str] = set()
    for number, item in enumerate(documents, 1):
        if not isinstance(item, Document | Mapping):
            raise CorpusError(
                f"document {number} is {type(item).__name__}, not a mapping; give each document "
                'as {"id": ..., "text": ...}'
            )
        try:
            document = item if isinstance(item, Document) else document_of(item)
        except BadRecord as error:
            raise CorpusError(f"document {number}: {error}") from None
        if document.id in seen:
            raise CorpusError(
                f"document {number}: the id {document.id!r} was there before; ids must differ"
            )
        if number > MOST_DOCUMENTS:
            raise CorpusError(f"an index holds at most {MOST_DOCUMENTS:,} documents")
        seen.add(document.id)
        yield document


def _groups(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents by the shard, which is bounded in number and in text."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.title) + len(document.text)
        if len(group) == SHARD_DOCUMENTS or characters >= SHARD_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _digest(group: list[Document]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for document in group:
        for part in (document.id, document.title, document.text):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()


def _write_shard(path: Path, group: list[Document], vectors: SparseVectors, digest: str) -> None:
    offsets = pa.array(vectors.indptr)
    batch = pa.record_batch(
        {
            "id": pa.array([document.id for document in group], pa.large_string()),
            "title": pa.array([document.title for document in group], pa.large_string()),
            "text": pa.array([document.text for document in group], pa.large_string()),
            "terms": pa.LargeListArray.from_arrays(offsets, pa.array(vectors.terms)),
            "weights": pa.LargeListArray.from_arrays(offsets, pa.array(vectors.weights)),
        }
    ).replace_schema_metadata({"documents": digest})
    with replacing(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _shard_digest(path: Path) -> str | None:
    """The digest of a sealed shard's documents; None when it cannot be read."""
    try:
        with pa.ipc.open_file(path) as file:
            return bytes((file.schema.metadata or {}).get(b"documents", b"")).decode()
    except (pa.ArrowException, OSError):
        return None


def _read_shard(path: Path) -> Chunk:
    try:
        with pa.memory_map(str(path)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
            batch.validate(full=True)
            terms, weights = batch.column("terms"), batch.column("weights")
            vectors = SparseVectors(
                terms.offsets.to_numpy(), terms.values.to_numpy(), weights.values.to_numpy()
            )
            texts = {name: batch.column(name).to_pylist() for name in ("id", "title", "text")}
    except (pa.ArrowException, KeyError, UnicodeDecodeError, VectorError) as error:
        raise LsrError(
            f"{path} is damaged ({str(error).partition(chr(10))[0]}); remove it and start again"
        ) from None
    return Chunk(texts["id"], texts["title"], texts["text"], vectors)


def _read_job(partial: Path) -> dict[str, Any] | None:
    """What the shards in `partial` were made with; None when that cannot be told."""
    try:
        job = json.loads((partial / "job.json").read_bytes())
    except (OSError, ValueError):
        return None
    return job if isinstance(job, dict) else None

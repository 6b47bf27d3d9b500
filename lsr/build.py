"""Building an index: documents are encoded into shards, shards become segments.

All happens in `INDEX.partial` (`lsr.workplace`).  A build that is interrupted leaves its sealed
shards behind, and the next build of the same place with the same encoder takes them over where
the collection still gives the same documents; statistics, such as BM25's, are gathered from the
texts again, which is cheap.  The finished index is renamed into place; nothing unfinished ever
has the name of an index.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import lsr
from lsr.data.corpus import Corpus, Document, document_of
from lsr.data.records import BadRecord
from lsr.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from lsr.errors import CorpusError, LsrError, VectorError
from lsr.files import replacing, sync_directory
from lsr.index.columns import write_arrow
from lsr.index.format import SEGMENTS, VOCABULARY, FileEntry, Manifest
from lsr.index.ordering import ORDERS, bisection
from lsr.index.quantizer import step_for
from lsr.index.searcher import MOST_DOCUMENTS
from lsr.index.writer import SegmentWriter
from lsr.progress import Progress, Silent
from lsr.shards import chain, digest_of, groups
from lsr.spool import Encoded, Shards, shard_digest, write_shard
from lsr.vectors import SparseVectors
from lsr.workplace import publish, read_job, workplace

DEFAULT_MEMORY = 1 << 30
ENCODE_DOCUMENTS = 256  # given to the encoder at once, so that progress is seen
_TAKEN = 4096  # documents brought together at once in the order of the index


def build(
    path: Path,
    documents: Iterable[Document | Mapping[str, Any]],
    encoder: str | Encoder = DEFAULT_ENCODER,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    order: str = "bisection",
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
            (max_length, document_terms, query_terms, device, batch_size, pooling, weights).
        bits: of a stored weight, 8 or 16.
        keep_floats: also keep the weights as given, for `exact_floats` searches.
        order: how documents are stored: "bisection" puts similar ones next to each other,
            which makes search faster and the index smaller; "none" keeps the order given.
            Hits are the same.
        threads: for the model, ordering and inverting; None leaves the model to torch and
            takes the processors there are for the rest.
        max_memory: bytes for the vectors being worked on; the model, external ids and the
            ordering (about 120 bytes a document each) and the vocabulary come on top.
        total: how many documents there are, if known, for the time left.
        progress: how to report; silent by default.

    Raises `CorpusError` for a bad document or a repeated id, `IndexExists` when the place is
    taken or being written by another process, `LsrError` when it cannot be written.
    """
    path = path.absolute()
    _check_options(bits, order, threads, max_memory)
    with workplace(path, force) as partial:
        if isinstance(encoder, str):
            encoder = load_encoder(encoder, **settings)
        if threads is not None and "torch" in sys.modules:  # only a model computes in torch
            sys.modules["torch"].set_num_threads(threads)
        shards = _encode(partial, documents, encoder, total, progress)
        encoder.settle(Shards(shards, lambda observed: observed).vectors)
        words = [encoder.vocabulary[term] for term in range(len(encoder.vocabulary))]

        _write_index(
            partial / "index",
            Shards(shards, encoder.weigh),
            bits=bits,
            keep_floats=keep_floats,
            keep_text=True,
            order=order,
            threads=threads or processors(),
            max_memory=max_memory,
            identity=encoder.identity,
            words=words,
            term_columns=encoder.term_columns(),
            progress=progress,
        )
        publish(partial, path)


def build_vectors(
    path: Path,
    ids: Sequence[str],
    vectors: SparseVectors,
    *,
    bits: int = 8,
    keep_floats: bool = False,
    order: str = "bisection",
    threads: int | None = None,
    max_memory: int = DEFAULT_MEMORY,
    force: bool = False,
    progress: type[Progress] = Silent,
) -> None:
    """Write encoded documents as a new index; `ids` gives one id a row of `vectors`.

    The other arguments are those of `build`.
    """
    path = path.absolute()
    _check_options(bits, order, threads, max_memory)
    if len(ids) != len(vectors):
        raise VectorError(f"there are {len(ids)} ids for {len(vectors)} vectors; give one each")
    names = [document.id for document in _distinct({"id": name, "text": ""} for name in ids)]

    with workplace(path, force) as partial:
        _write_index(
            partial / "index",
            Encoded(names, vectors),
            bits=bits,
            keep_floats=keep_floats,
            keep_text=False,
            order=order,
            threads=threads or processors(),
            max_memory=max_memory,
            identity=None,
            words=[],
            term_columns={},
            progress=progress,
        )
        publish(partial, path)


def _encode(
    partial: Path,
    documents: Iterable[Document | Mapping[str, Any]],
    encoder: Encoder,
    total: int | None,
    progress: type[Progress],
) -> list[Path]:
    """Fill `partial` with sealed shards of all documents; return them in order."""
    folder = partial / "shards"
    job = {"encoder": encoder.identity}
    if read_job(partial) != job:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    with replacing(partial / "job.json") as file:
        file.write(json.dumps(job).encode())
    sealed = []
    digest = ""
    fraction = (lambda: documents.fraction) if isinstance(documents, Corpus) else None
    with progress("Encoding", "documents", total, fraction) as bar:
        for number, group in enumerate(groups(_distinct(documents))):
            shard = folder / f"{number:06}.arrow"
            # Term ids and statistics come from all documents so far, and so does the digest.
            own = digest_of(group)
            digest = chain(digest, own) if encoder.gathers_statistics else own
            texts = [document.indexed_text for document in group]
            if shard.exists() and shard_digest(shard) == digest:
                encoder.recall(texts)
                bar.advance(len(group), free=True)
            else:
                vectors = []
                for start in range(0, len(group), ENCODE_DOCUMENTS):
                    batch = texts[start : start + ENCODE_DOCUMENTS]
                    vectors.append(encoder.observe(batch))
                    bar.advance(len(batch))
                write_shard(shard, group, SparseVectors.concatenate(vectors), digest)
            sealed.append(shard)
    return sealed


def _write_index(
    directory: Path,
    documents: Shards | Encoded,
    *,
    bits: int,
    keep_floats: bool,
    keep_text: bool,
    order: str,
    threads: int,
    max_memory: int,
    identity: dict[str, Any] | None,
    words: list[str],
    term_columns: dict[str, npt.NDArray[Any]],
    progress: type[Progress],
) -> None:
    """Write a complete index directory of one segment."""
    # The quantizer is global, so the largest weight comes first.
    largest = max((float(v.weights.max(initial=0)) for v in documents.vectors()), default=0.0)
    step = step_for(largest, bits)
    if order == "bisection":
        rows = bisection(documents.vectors(), threads=threads, progress=progress)
    else:
        rows = np.arange(len(documents), dtype=np.uint32)
    files = []
    with (
        SegmentWriter(
            directory / SEGMENTS / "0",
            bits=bits,
            step=step,
            keep_floats=keep_floats,
            keep_text=keep_text,
            max_memory=max_memory,
            threads=threads,
        ) as writer,
        progress("Writing", "documents", len(documents)) as bar,
    ):
        for start in range(0, rows.size, _TAKEN):
            positions = rows[start : start + _TAKEN]
            chunk = documents.take(positions)
            writer.add(chunk.ids, chunk.vectors, positions, chunk.titles, chunk.texts)
            bar.advance(positions.size)
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


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_options(bits: int, order: str, threads: int | None, max_memory: int) -> None:
    if bits not in (8, 16):
        raise LsrError(f"weights are stored in 8 or 16 bits, not {bits}")
    if order not in ORDERS:
        raise LsrError(f"there is no order {order!r}; use {' or '.join(ORDERS)}")
    if threads is not None and threads < 1:
        raise LsrError(f"threads must be at least 1, not {threads}")
    if max_memory < 1 << 26:
        raise LsrError(f"max_memory must be at least 64 MB, not {max_memory:,} bytes")


def _distinct(documents: Iterable[Document | Mapping[str, Any]]) -> Iterator[Document]:
    """The documents, checked; a repeated id is an error."""
    seen: set[str] = set()
    for number, item in enumerate(_reading(documents), 1):
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


def _reading(documents: Iterable[Any]) -> Iterator[Any]:
    """The documents; a source that cannot be read is no fault of the place written to."""
    try:
        yield from documents
    except OSError as error:
        raise CorpusError(f"the documents cannot be read: {error}") from error

"""Encoding a collection into a folder of vectors, which survives every interruption.

Documents are encoded a shard at a time.  A run keeps the sealed shards of earlier ones where the
collection still gives the same documents, and processes that run at the same time each take the
next shard that nobody has.  With an encoder that has statistics of the collection, one process
first seals what `Encoder.collect` returns and, when all documents have been seen, writes the
shards of what `apply_statistics` makes of it.  The finished folder has the same bytes whatever
happened on the way.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain as chained
from itertools import islice
from pathlib import Path
from typing import Any

from lsr.data.collection import Collection, CollectionScan, Documents, Shards, ShardSpan, spans_of
from lsr.data.corpus import Chunk, Document
from lsr.data.vectors import shards as limits
from lsr.data.vectors.folder import SHARDS, VectorFolder, commit, read_sealed
from lsr.data.vectors.locking import LOCKS, OBSERVED, at_work, job_hash, sealed
from lsr.data.vectors.manifest import FORMAT
from lsr.data.vectors.shards import Origin, chain, shard_name, shard_origin, write_shard
from lsr.encoders import Encoder
from lsr.errors import CorpusError, VectorFolderError
from lsr.index.search.searcher import MOST_DOCUMENTS
from lsr.progress import Progress
from lsr.storage.locks import Lock

_JOB_VERSION = 1  # another one would make all unfinished work that of another job
_POLL = 0.2  # seconds between two looks at what other processes do


def encode(
    path: Path,
    documents: Documents | Collection,
    encoder: Encoder,
    *,
    progress: type[Progress],
    alone: bool,
    force: bool = False,
) -> tuple[VectorFolder, int]:
    """Encode documents into a folder of vectors, or what is missing of it.

    Args:
        path: a folder of vectors by the same encoder, finished or not, or nothing yet.
        documents: of a collection that was scanned, a change is found before any work.
        encoder: a new one.
        alone: whether no other process may share the work, as where documents can be read once.
        force: start over where the folder is the work of another encoder, and encode again
            what has changed in the collection; both are errors otherwise.

    Returns the finished folder, and how many documents this process encoded.

    Raises `VectorFolderError` when the folder is something else, the work of another encoder or
    of other documents, being written by a process that is alone at it, or damaged; `CorpusError`
    for a bad document or a repeated id.  What is sealed by then is kept.
    """
    path = path.absolute()
    if path.is_symlink():  # what it leads to may not be there yet
        path = path.resolve()
    job = job_of(encoder)
    alone = alone or force or encoder.gathers_statistics
    with at_work(path, job, alone=alone, force=force):
        run = _Run(path, Collection.of(documents), encoder, job_hash(job), progress, force)
        return run.finished_folder(), run.encoded


@dataclass
class _Run:
    """One process at work in a folder; `encoded` counts its documents."""

    path: Path
    collection: Collection
    encoder: Encoder
    job: str
    progress: type[Progress]
    force: bool
    encoded: int = field(default=0, init=False)
    # The digests of the documents encoded for this job before this run, by the shard: several where
    # a forced run was stopped before it published.
    begun: dict[int, set[str]] = field(default_factory=dict, init=False)

    def finished_folder(self) -> VectorFolder:
        folder = self._finished()
        self.begun = self._begun(folder)
        scan = self.collection.scan
        if scan is not None:
            check_size(scan.documents)
            if not self.force:
                self._compare(scan)
        shards = self._shards() if folder is None else self._unless_unchanged(folder)
        if shards is not None:
            (self.path / SHARDS).mkdir(exist_ok=True)
            if self.encoder.gathers_statistics:
                origins = self._with_statistics(shards)
            else:
                origins = self._independently(shards)
            folder = self._finish(origins)
        assert folder is not None
        shutil.rmtree(self.path / OBSERVED, ignore_errors=True)
        return folder

    def _shards(self) -> Shards:
        for span, group in self.collection.shards():
            check_size(span.last)
            yield span, group

    def _compare(self, scan: CollectionScan) -> None:
        """Raise `VectorFolderError` when sealed shards are of other documents."""
        for number, digests in self.begun.items():
            span = scan.spans[number] if number < len(scan.spans) else None
            if span is None or span.digest not in digests:
                raise self._changed(number, span)

    def _begun(self, folder: VectorFolder | None) -> dict[int, set[str]]:
        """The digests of the documents that were encoded for this job, by the shard."""
        if folder is not None:
            return {n: {shard.digest} for n, shard in enumerate(folder.manifest.shards)}
        shards = OBSERVED if self.encoder.gathers_statistics else SHARDS
        begun: dict[int, set[str]] = {}
        for number, file in sealed(self.path / shards):
            origin = shard_origin(file)
            if origin and self._is_own(origin):
                begun.setdefault(number, set()).add(origin.documents)
        return begun

    def _finished(self) -> VectorFolder | None:
        """The folder, when it is finished for this job and all its files are there."""
        try:
            folder = VectorFolder.open(self.path)
        except VectorFolderError:
            return None
        return folder if folder.manifest.job == self.job else None

    def _unless_unchanged(self, folder: VectorFolder) -> Shards | None:
        """None when the documents are those of the finished folder, else all of them."""
        digests = [shard.digest for shard in folder.manifest.shards]
        if self.collection.scan is not None:
            spans = self.collection.scan.spans
            if [span.digest for span in spans] == digests:
                return None
            if self.force:
                return self._shards()
            raise self._changed(len(digests), spans[len(digests)])  # the others are the same
        shards = self._shards()
        same, differing = 0, None
        with self._bar("Comparing") as bar:
            for span, group in shards:
                if same == len(digests) or span.digest != digests[same]:
                    differing = (span, group)
                    break
                same += 1
                bar.advance(len(group), free=True)
        if differing is None and same == len(digests):
            return None
        if not self.force:
            raise self._changed(same, differing[0] if differing else None)
        # What was read of the collection is read from its shards again.
        read = spans_of(list(chunk.documents()) for chunk in islice(folder.chunks(), same))
        return chained(read, [differing] if differing else [], shards)

    def _independently(self, shards: Shards) -> list[Origin]:
        """Seal every shard that no other process seals."""
        spans: list[ShardSpan] = []
        elsewhere: dict[int, ShardSpan] = {}
        with self._bar("Encoding") as bar:
            for span, group in shards:
                spans.append(span)
                if not self._seal(span, group, bar):
                    elsewhere[span.number] = span
                    bar.advance(len(group), free=True)
        self._none_beyond(len(spans))
        while elsewhere and (elsewhere := self._left_behind(elsewhere)):
            with self.progress("Encoding", "documents of a process that has ended") as bar:
                for span, group in self._shards():
                    if span.number in elsewhere and self._seal(span, group, bar):
                        del elsewhere[span.number]
                    if not elsewhere:
                        break
        return [self._origin(span) for span in spans]

    def _origin(self, span: ShardSpan) -> Origin:
        return Origin(span.digest, self.job)

    def _seal(self, span: ShardSpan, group: list[Document], bar: Progress) -> bool:
        """Encode a shard unless it is sealed; False when another process is at it."""
        origin = self._origin(span)
        file = self.path / SHARDS / shard_name(span.number, origin)
        if self._is_kept(file, origin, span):
            bar.advance(len(group), free=True)
            return True
        lock = Lock(self.path / LOCKS / str(span.number))
        if not lock.take():
            return False
        try:
            # Whoever had the lock before may have sealed it since.
            if self._is_kept(file, origin, span):
                bar.advance(len(group), free=True)
            else:
                self._encode(file, group, origin, bar)
        finally:
            lock.release()
        return True

    def _left_behind(self, elsewhere: dict[int, ShardSpan]) -> dict[int, ShardSpan]:
        """Wait for other processes; the shards unsealed when one of them is free, if any are."""
        with self.progress("Waiting", "shards of other processes", len(elsewhere)) as bar:
            while elsewhere:
                unsealed = {}
                for number, span in elsewhere.items():
                    origin = self._origin(span)
                    if shard_origin(self.path / SHARDS / shard_name(number, origin)) != origin:
                        unsealed[number] = span
                bar.advance(len(elsewhere) - len(unsealed))
                elsewhere = unsealed
                for number in elsewhere:
                    lock = Lock(self.path / LOCKS / str(number))
                    if lock.take():
                        lock.release()
                        return elsewhere
                time.sleep(_POLL if elsewhere else 0)
        return elsewhere

    def _with_statistics(self, shards: Shards) -> list[Origin]:
        """Collect statistics of all documents, then write the shards with their final weights."""
        folder = self.path / OBSERVED
        folder.mkdir(exist_ok=True)
        spans: list[ShardSpan] = []
        files: list[Path] = []
        before = ""
        with self._bar("Encoding") as bar:
            for span, group in shards:
                # What is collected may depend on all documents so far.
                origin = Origin(span.digest, chain(self.job, before))
                file = folder / shard_name(span.number, origin)
                if self._is_kept(file, origin, span):
                    self.encoder.replay([document.indexed_text for document in group])
                    bar.advance(len(group), free=True)
                else:
                    self._encode(file, group, origin, bar)
                before = chain(before, span.digest)
                spans.append(span)
                files.append(file)
        self._none_beyond(len(spans))
        self.encoder.finalize(lambda: (read_sealed(file).vectors for file in files))
        job = chain(self.job, before)
        origins = [Origin(span.digest, job) for span in spans]
        with self.progress("Weighting", "documents", spans[-1].last if spans else 0) as bar:
            for span, file, origin in zip(spans, files, origins, strict=True):
                final = self.path / SHARDS / shard_name(span.number, origin)
                if shard_origin(final) != origin:
                    chunk = read_sealed(file)
                    vectors = self.encoder.apply_statistics(chunk.vectors)
                    _write(final, replace(chunk, vectors=vectors), origin)
                bar.advance(span.last - span.first + 1)
        return origins

    def _encode(self, file: Path, group: Sequence[Document], origin: Origin, bar: Progress) -> None:
        vectors = self.encoder.collect([document.indexed_text for document in group], bar.advance)
        _write(file, Chunk.of(group, vectors), origin)
        self.encoded += len(group)

    def _is_kept(self, file: Path, origin: Origin, span: ShardSpan) -> bool:
        """Whether a shard is sealed and made of these very documents."""
        if shard_origin(file) == origin:
            return True
        if not self.force:
            origins = map(shard_origin, file.parent.glob(f"{span.number:06}-*.parquet"))
            for other in filter(None, origins):
                if other.documents != span.digest and self._is_own(other):
                    raise self._changed(span.number, span)
        return False

    def _is_own(self, origin: Origin) -> bool:
        """Whether a shard that is not published may be of this job: with statistics of the
        collection, what it names depends on the documents before."""
        return self.encoder.gathers_statistics or origin.job == self.job

    def _none_beyond(self, shards: int) -> None:
        """Raise `VectorFolderError` when more was encoded than the collection has."""
        beyond = [number for number in self.begun if number >= shards]
        if beyond and not self.force:
            raise self._changed(min(beyond), None)

    def _finish(self, origins: list[Origin]) -> VectorFolder:
        """Commit the sealed shards, unless another process has."""
        digests = [origin.documents for origin in origins]
        lock = Lock(self.path / LOCKS / "end")
        while not lock.take():
            time.sleep(_POLL)
        try:
            folder = self._finished()
            if folder is not None and [s.digest for s in folder.manifest.shards] == digests:
                return folder
            encoder = self.encoder
            return commit(
                self.path,
                origins,
                text=True,
                job=self.job,
                encoder=encoder.identity,
                words=[encoder.vocabulary[term] for term in range(len(encoder.vocabulary))],
                term_columns=encoder.term_columns(),
            )
        finally:
            lock.release()

    def _bar(self, what: str) -> Progress:
        scan = self.collection.scan
        total = None if scan is None else scan.documents
        return self.progress(what, "documents", total, self.collection.fraction)

    def _changed(self, number: int, span: ShardSpan | None) -> VectorFolderError:
        change = (
            f"{span} is not what was encoded" if span else f"the corpus ends before shard {number}"
        )
        return VectorFolderError(
            f"{self.path} holds vectors of other documents: {change}; add --force to encode again "
            "what has changed, or choose another place"
        )


def job_of(encoder: Encoder) -> dict[str, Any]:
    """All that decides the vectors, before any text is seen, as JSON values."""
    job = {
        "format": FORMAT,
        "version": _JOB_VERSION,
        "shards": [limits.SHARD_DOCUMENTS, limits.SHARD_CHARACTERS],
        "encoder": encoder.identity,
    }
    return json.loads(json.dumps(job))  # type: ignore[no-any-return]  # what will be read back


def check_size(documents: int) -> None:
    """Raise `CorpusError` for more documents than an index holds."""
    if documents > MOST_DOCUMENTS:
        raise CorpusError(f"an index holds at most {MOST_DOCUMENTS:,} documents")


def _write(file: Path, chunk: Chunk, origin: Origin) -> None:
    """Seal a shard; what a process that was killed at it left behind goes."""
    for stale in file.parent.glob(f".{file.name}.*.tmp"):
        stale.unlink(missing_ok=True)
    write_shard(file, chunk, origin)

"""Encoding a collection into a folder of vectors, which survives every interruption.

Documents are encoded a shard at a time.  A run keeps the sealed shards of earlier ones where the
collection still gives the same documents, and processes that run at the same time each take the
next shard that nobody has.  With an encoder that has statistics of the collection, one process
first seals what `Encoder.collect` returns and, when all documents have been seen, writes the
shards of what `apply_statistics` makes of it.  The finished folder has the same bytes whatever
happened on the way.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain as chained
from itertools import islice
from pathlib import Path

from lsr.data.collection import Documents, Place, Survey, distinct, placed
from lsr.data.corpus import Corpus, Document
from lsr.data.vectors.folder import SHARDS, VectorFolder, commit, read_sealed
from lsr.data.vectors.locking import LOCKS, OBSERVED, at_work, job_hash, job_of, sealed
from lsr.data.vectors.shards import (
    Chunk,
    Origin,
    chain,
    groups,
    shard_name,
    shard_origin,
    write_shard,
)
from lsr.encoders import Encoder
from lsr.errors import VectorFolderError
from lsr.progress import Progress
from lsr.storage.locks import Lock

_POLL = 0.2  # seconds between two looks at what other processes do


def encode(
    path: Path,
    documents: Documents,
    encoder: Encoder,
    *,
    progress: type[Progress],
    alone: bool,
    force: bool = False,
    survey: Survey | None = None,
) -> tuple[VectorFolder, int]:
    """Encode documents into a folder of vectors, or what is missing of it.

    Args:
        path: a folder of vectors by the same encoder, finished or not, or nothing yet.
        documents: a `Corpus`, or mappings with "id", optional "title", and "text".
        encoder: a new one.
        alone: whether no other process may share the work, as where documents can be read once.
        force: start over where the folder is the work of another encoder, and encode again
            what has changed in the collection; both are errors otherwise.
        survey: of the documents, so that a change is found before any work.

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
        run = _Run(path, documents, encoder, job_hash(job), progress, force, survey)
        return run.finished_folder(), run.encoded


@dataclass
class _Run:
    """One process at work in a folder; `encoded` counts its documents."""

    path: Path
    documents: Documents
    encoder: Encoder
    job: str
    progress: type[Progress]
    force: bool
    survey: Survey | None
    encoded: int = field(default=0, init=False)
    # The digests of the documents encoded for this job before this run, by the shard.
    begun: dict[int, str] = field(default_factory=dict, init=False)

    def finished_folder(self) -> VectorFolder:
        self.begun = self._begun()
        if self.survey is not None and not self.force:
            self._compare(self.survey)
        batches = groups(distinct(self.documents))
        folder = self._finished()
        if folder is not None:
            changed = self._unless_unchanged(folder, batches)
            batches, folder = (batches, folder) if changed is None else (changed, None)
        if folder is None:
            (self.path / SHARDS).mkdir(exist_ok=True)
            if self.encoder.gathers_statistics:
                origins = self._with_statistics(batches)
            else:
                origins = self._independently(batches)
            folder = self._finish(origins)
        shutil.rmtree(self.path / OBSERVED, ignore_errors=True)
        return folder

    def _compare(self, survey: Survey) -> None:
        """Raise `VectorFolderError` when sealed shards are of other documents."""
        for number, digest in self.begun.items():
            place = survey.places[number] if number < len(survey.places) else None
            if place is None or digest != place.digest:
                raise self._changed(number, place)

    def _begun(self) -> dict[int, str]:
        """The digests of the documents that were encoded for this job, by the shard."""
        folder = self._finished()
        if folder is not None:
            return {n: shard.digest for n, shard in enumerate(folder.manifest.shards)}
        place = OBSERVED if self.encoder.gathers_statistics else SHARDS
        found = [(number, shard_origin(file)) for number, file in sealed(self.path / place)]
        return {n: origin.documents for n, origin in found if origin and self._is_own(origin)}

    def _finished(self) -> VectorFolder | None:
        """The folder, when it is finished for this job and all its files are there."""
        try:
            folder = VectorFolder.open(self.path)
        except VectorFolderError:
            return None
        return folder if folder.manifest.job == self.job else None

    def _unless_unchanged(
        self, folder: VectorFolder, batches: Iterator[list[Document]]
    ) -> Iterator[list[Document]] | None:
        """None when the documents are those of the finished folder, else all of them again."""
        shards = folder.manifest.shards
        same, differing = 0, None
        with self._bar("Comparing") as bar:
            for place, group in placed(batches):
                if same == len(shards) or place.digest != shards[same].digest:
                    differing = (place, group)
                    break
                same += 1
                bar.advance(len(group), free=True)
        if differing is None and same == len(shards):
            return None
        if not self.force:
            raise self._changed(same, differing[0] if differing else None)
        # What was read of the collection is read from its shards again.
        read = (list(chunk.documents()) for chunk in islice(folder.chunks(), same))
        return chained(read, [differing[1]] if differing else [], batches)

    def _independently(self, batches: Iterator[list[Document]]) -> list[Origin]:
        """Seal every shard that no other process seals."""
        places: list[Place] = []
        elsewhere: dict[int, Place] = {}
        with self._bar("Encoding") as bar:
            for place, group in placed(batches):
                places.append(place)
                if not self._seal(place, group, bar):
                    elsewhere[place.number] = place
                    bar.advance(len(group), free=True)
        self._none_beyond(len(places))
        while elsewhere and (elsewhere := self._left_behind(elsewhere)):
            with self.progress("Encoding", "documents of a process that has ended") as bar:
                for place, group in placed(groups(distinct(self.documents))):
                    if place.number in elsewhere and self._seal(place, group, bar):
                        del elsewhere[place.number]
                    if not elsewhere:
                        break
        return [self._origin(place) for place in places]

    def _origin(self, place: Place) -> Origin:
        return Origin(place.digest, self.job)

    def _seal(self, place: Place, group: list[Document], bar: Progress) -> bool:
        """Encode a shard unless it is sealed; False when another process is at it."""
        origin = self._origin(place)
        file = self.path / SHARDS / shard_name(place.number, origin)
        if self._is_kept(file, origin, place):
            bar.advance(len(group), free=True)
            return True
        lock = Lock(self.path / LOCKS / str(place.number))
        if not lock.take():
            return False
        try:
            # Whoever had the lock before may have sealed it since.
            if self._is_kept(file, origin, place):
                bar.advance(len(group), free=True)
            else:
                self._encode(file, group, origin, bar)
        finally:
            lock.release()
        return True

    def _left_behind(self, elsewhere: dict[int, Place]) -> dict[int, Place]:
        """Wait for other processes; the shards unsealed when one of them is free, if any are."""
        with self.progress("Waiting", "shards of other processes", len(elsewhere)) as bar:
            while elsewhere:
                unsealed = {}
                for number, place in elsewhere.items():
                    origin = self._origin(place)
                    if shard_origin(self.path / SHARDS / shard_name(number, origin)) != origin:
                        unsealed[number] = place
                bar.advance(len(elsewhere) - len(unsealed))
                elsewhere = unsealed
                for number in elsewhere:
                    lock = Lock(self.path / LOCKS / str(number))
                    if lock.take():
                        lock.release()
                        return elsewhere
                time.sleep(_POLL if elsewhere else 0)
        return elsewhere

    def _with_statistics(self, batches: Iterator[list[Document]]) -> list[Origin]:
        """Observe all documents, then write the shards with their final weights."""
        observed = self.path / OBSERVED
        observed.mkdir(exist_ok=True)
        places: list[Place] = []
        files: list[Path] = []
        before = ""
        with self._bar("Encoding") as bar:
            for place, group in placed(batches):
                # What is observed may depend on all documents so far.
                origin = Origin(place.digest, chain(self.job, before))
                file = observed / shard_name(place.number, origin)
                if self._is_kept(file, origin, place):
                    self.encoder.replay([document.indexed_text for document in group])
                    bar.advance(len(group), free=True)
                else:
                    self._encode(file, group, origin, bar)
                before = chain(before, place.digest)
                places.append(place)
                files.append(file)
        self._none_beyond(len(places))
        self.encoder.finalize(lambda: (read_sealed(file).vectors for file in files))
        with self.progress("Weighing", "documents", places[-1].last if places else 0) as bar:
            for place, file in zip(places, files, strict=True):
                origin = Origin(place.digest, chain(self.job, before))
                final = self.path / SHARDS / shard_name(place.number, origin)
                if shard_origin(final) != origin:
                    chunk = read_sealed(file)
                    weighed = replace(chunk, vectors=self.encoder.apply_statistics(chunk.vectors))
                    _write(final, weighed, origin)
                bar.advance(place.last - place.first + 1)
        return [Origin(place.digest, chain(self.job, before)) for place in places]

    def _encode(self, file: Path, group: Sequence[Document], origin: Origin, bar: Progress) -> None:
        vectors = self.encoder.collect([document.indexed_text for document in group], bar.advance)
        chunk = Chunk(
            [document.id for document in group],
            [document.title for document in group],
            [document.text for document in group],
            vectors,
        )
        _write(file, chunk, origin)
        self.encoded += len(group)

    def _is_kept(self, file: Path, origin: Origin, place: Place) -> bool:
        """Whether a shard is sealed and made of these very documents."""
        if shard_origin(file) == origin:
            return True
        if not self.force:
            for other in file.parent.glob(f"{place.number:06}-*.parquet"):
                found = shard_origin(other)
                if found is not None and found.documents != place.digest and self._is_own(found):
                    raise self._changed(place.number, place)
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
        documents = self.documents
        return self.progress(
            what,
            "documents",
            None if self.survey is None else self.survey.documents,
            (lambda: documents.fraction) if isinstance(documents, Corpus) else None,
        )

    def _changed(self, number: int, place: Place | None) -> VectorFolderError:
        what = (
            f"{place} is not what was encoded"
            if place
            else f"the corpus ends before shard {number}"
        )
        return VectorFolderError(
            f"{self.path} holds vectors of other documents: {what}; add --force to encode again "
            "what has changed, or choose another place"
        )


def _write(file: Path, chunk: Chunk, origin: Origin) -> None:
    """Seal a shard; what a process that was killed at it left behind goes."""
    for stale in file.parent.glob(f".{file.name}.*.tmp"):
        stale.unlink(missing_ok=True)
    write_shard(file, chunk, origin)

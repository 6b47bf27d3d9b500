"""A folder of encoded vectors while it is being made: whose work it is, and who else is at it.

    job.json    what decides the vectors; work of another kind does not go on here
    lock        held by every process at work here: shared, or exclusively by one that must be alone
    locks/N     held by the process that encodes shard N
    locks/end   held by the process that finishes the folder

The last process to leave removes the locks, and all of it when nothing was sealed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsr.data.vectors.folder import LOCK, SHARDS, sweep
from lsr.data.vectors.manifest import JOB, VectorManifest, is_vector_folder
from lsr.errors import VectorFolderError
from lsr.storage.files import checksum_bytes, write_atomically
from lsr.storage.locks import Lock
from lsr.storage.manifest import MANIFEST
from lsr.storage.vocabulary import VOCABULARY
from lsr.storage.workspace import PARTIAL, note_kept

OBSERVED = "observed"
LOCKS = "locks"
_PATIENCE = 2.0  # seconds in which another process may be starting or leaving


def job_hash(job: dict[str, Any]) -> str:
    """BLAKE2b-128 of a job, in hexadecimal."""
    return checksum_bytes(json.dumps(job, sort_keys=True).encode())


def read_job(path: Path) -> dict[str, Any] | None:
    """The job of a folder; None when there is none or it cannot be read."""
    try:
        job = json.loads((path / JOB).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return job if isinstance(job, dict) else None


def sealed(folder: Path) -> list[tuple[int, Path]]:
    """The shards in a folder of them, each with its number; of one number there may be several."""
    return [
        (int(file.stem.partition("-")[0]), file)
        for file in sorted(folder.glob("*.parquet"))
        if file.stem.partition("-")[0].isdecimal()
    ]


@contextmanager
def at_work(path: Path, job: dict[str, Any], *, alone: bool, force: bool) -> Iterator[None]:
    """Work on the job in a folder, together with other processes or alone.

    Raises `VectorFolderError` when the folder is something else, has sealed work of another job
    (unless `force`: then it is emptied), or is being written by processes that do not share.
    """
    made = not path.exists()
    lock = _join(path, job, alone, force, made)
    error = None
    try:
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        _leave(path, lock, made)
        # What is wrong with the folder itself does not go away by going on.
        if error and not isinstance(error, VectorFolderError) and read_job(path) is not None:
            note_kept(error, path)


def check_folder(path: Path) -> None:
    """Raise `VectorFolderError` when `path` is there and no folder of vectors."""
    if not path.exists():
        return
    if path.is_dir():
        ours = {LOCK, LOCKS, PARTIAL, *(file.name for file in _temporary(path))}
        if is_vector_folder(path) or all(file.name in ours for file in path.iterdir()):
            return
    raise VectorFolderError(
        f"{path} exists and is not a folder of encoded vectors; choose another place"
    )


def _join(path: Path, job: dict[str, Any], alone: bool, force: bool, made: bool) -> Lock:
    lock = Lock(path / LOCK)
    deadline = time.monotonic() + _PATIENCE
    while True:
        check_folder(path)
        path.mkdir(parents=True, exist_ok=True)
        if _taken(lock, shared=False):  # nobody else is at work
            try:
                _prepare(path, job, force)
            except BaseException:
                _leave(path, lock, made)
                raise
            if alone:
                (path / LOCKS).mkdir(exist_ok=True)
                return lock
            lock.release()
        if not alone and _taken(lock, shared=True):
            folder_job = read_job(path)
            if folder_job == job:
                (path / LOCKS).mkdir(exist_ok=True)
                return lock
            lock.release()
            if folder_job is not None:
                raise _other_job(path, folder_job, job)
        if time.monotonic() > deadline:
            raise VectorFolderError(
                f"{path} is being written by another process; wait for it or choose another place"
            )
        time.sleep(0.02)


def _leave(path: Path, lock: Lock, made: bool) -> None:
    lock.release()
    if not _taken(lock, shared=False):
        return  # others are still at work
    try:
        shutil.rmtree(path / LOCKS, ignore_errors=True)
        for file in _temporary(path):
            file.unlink(missing_ok=True)
        if _is_empty(path):
            _remove_work(path)
        (path / LOCK).unlink(missing_ok=True)
        if made and not any(path.iterdir()):
            path.rmdir()
    finally:
        lock.release()


def _prepare(path: Path, job: dict[str, Any], force: bool) -> None:
    """Make sure, alone in the folder, that it is there for the job.

    What is published stays until the job is done; unfinished work of another job goes.
    """
    folder_job = read_job(path)
    if folder_job == job:
        return
    if not _is_empty(path):
        if not force:
            raise _other_job(path, folder_job or {}, job)
        _remove_work(path)
    text = json.dumps(job, indent=1, ensure_ascii=False)
    write_atomically(path / JOB, text.encode(errors="backslashreplace"))


def _is_empty(path: Path) -> bool:
    """Whether no work would be lost with the folder."""
    return not ((path / MANIFEST).exists() or sealed(path / SHARDS) or sealed(path / OBSERVED))


def _remove_work(path: Path) -> None:
    """Remove all that is not published, the job last: without it the folder may be nobody's."""
    shutil.rmtree(path / OBSERVED, ignore_errors=True)
    try:
        manifest = VectorManifest.read(path)
    except VectorFolderError:  # damaged: nothing in it can be used
        (path / MANIFEST).unlink(missing_ok=True)
        manifest = None
    sweep(path, manifest)
    (path / JOB).unlink(missing_ok=True)


def _temporary(path: Path) -> list[Path]:
    """Unfinished files that a killed process leaves behind."""
    names = (MANIFEST, JOB, VOCABULARY)
    return [file for name in names for file in path.glob(f".{name}.*.tmp")]


def _taken(lock: Lock, *, shared: bool) -> bool:
    try:
        return lock.take(shared=shared)
    except FileNotFoundError:  # the last process to leave has removed the folder
        return False


def _other_job(path: Path, folder_job: dict[str, Any], job: dict[str, Any]) -> VectorFolderError:
    old, new = (_flat(one.get("encoder")) for one in (folder_job, job))
    if not old:
        work = "vectors that were not encoded here"
    elif old.get("name") != new["name"]:
        work = f"vectors of the encoder {old.get('name')}, and this command has {new['name']}"
    else:
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        key = differing[0] if differing else "shards"
        work = (
            f"vectors of the encoder {new['name']} with {key} {old.get(key, 'of another size')}, "
            f"and this command has {new.get(key, 'others')}"
        )
    return VectorFolderError(
        f"{path} holds {work}; run the command as it was, choose another place, or add --force "
        "to start over"
    )


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """JSON values by their path, such as "parts.1.encoder.max_length", as text."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        flat: dict[str, str] = {}
        for key, item in items:
            flat |= _flat(item, f"{prefix}{key}.")
        return flat
    return {prefix[:-1]: json.dumps(value, ensure_ascii=False)} if prefix else {}

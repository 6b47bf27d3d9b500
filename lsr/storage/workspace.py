"""Where the next edition of a directory is made, and how it is published.

    TARGET/partial = lock  KEPT …  SCRATCH …  new/…

Work happens inside the target, so that it is on the same file system, whatever the target is: a
new folder, the current one, a link, a mount point.  Nobody takes what is in there for a part of the
target.  A process holds the lock while it works.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lsr.errors import IndexExists, LsrError
from lsr.storage.files import sync, writing
from lsr.storage.locks import Lock
from lsr.storage.manifest import MANIFEST

PARTIAL = "partial"

_LOCK = "lock"
_NEW = "new"
_TRIES = 100  # to take a lock whose folder is removed at the same time


@dataclass(frozen=True)
class Workspace:
    """The folder `partial` of a target, locked for this process.

    Attributes:
        target: the directory whose next edition is made.
        folder: where it is made.
        kept: the names in `folder` of what a later run can use.
        commit: the file that lists the others of an edition, and publishes them.
    """

    target: Path
    folder: Path
    kept: Collection[str]
    commit: str

    @property
    def new(self) -> Path:
        """The folder for the next edition; not there yet."""
        return self.folder / _NEW

    def publish(self) -> None:
        """Make the edition in `new` that of the target, in one atomic step, and drop what was kept.

        Its files are moved beside those of the published edition, which keep their names; then
        `commit` takes the place of the old one.  Stopped before that, the target has the old
        edition, and files that nobody lists.
        """
        folders = {self.target}
        for file in sorted(self.new.rglob("*")):
            path = self.target / file.relative_to(self.new)
            if file.is_dir():
                path.mkdir(exist_ok=True)
                folders.add(path)
            elif file.name != self.commit or file.parent != self.new:
                sync(file)
                file.replace(path)
        for folder in folders:
            sync(folder)
        sync(self.new / self.commit)
        (self.new / self.commit).replace(self.target / self.commit)
        sync(self.target)
        _remove(self.folder, self.kept)


@contextmanager
def workspace(
    target: Path,
    *,
    check: Callable[[], None],
    sweep: Callable[[], None],
    kept: Collection[str] = (),
    scratch: Collection[str] = (),
    commit: str = MANIFEST,
) -> Iterator[Workspace]:
    """Lock the folder in `target` where its next edition is made.

    What remains of it on failure is what the next run can use, which a note of the error names, or
    nothing, and the target as it was.

    Args:
        check: raises when nothing may be written there; called under the lock, too.
        sweep: removes the files in `target` that no published edition lists, under the lock.
        kept: names of folders that a later run can use, if anything but hidden files is in them.
        scratch: names of what none can use: it is removed at the end, and what a crash left there
            at the beginning.
        commit: the file that publishes an edition.

    Raises `IndexExists` when another process is at work there, or something else is in the
    folder, and `SystemCallError`.
    """
    partial = target / PARTIAL
    scratch = [*scratch, _NEW]
    check()  # before anything is made
    with writing(target):
        made, lock, is_mine = _locked(partial)
        if not is_mine:
            raise IndexExists(
                f"{target} is being written by another process; wait for it or choose another place"
            )
        foreign = [f.name for f in partial.iterdir() if f.name not in {_LOCK, *kept, *scratch}]
        try:
            if foreign:
                raise IndexExists(
                    f"{partial}, where {target} is made, contains {foreign[0]}, which is not from "
                    "an earlier run; move it or choose another place"
                )
            _remove(partial, scratch)
            sweep()
            check()
            try:
                yield Workspace(target, partial, kept, commit)
            except BaseException as error:
                if _has_work(partial, kept):
                    note_kept(error, partial)
                raise
        finally:
            try:
                _remove(partial, scratch)
                sweep()
                if foreign:
                    (partial / _LOCK).unlink()
                elif not _has_work(partial, kept):
                    shutil.rmtree(partial, ignore_errors=True)
                    with suppress(OSError):  # of a folder that is not empty
                        for folder in made:
                            folder.rmdir()
            finally:
                lock.release()


def _has_work(partial: Path, kept: Collection[str]) -> bool:
    folders = [partial / name for name in kept if (partial / name).is_dir()]
    return any(not file.name.startswith(".") for folder in folders for file in folder.iterdir())


def note_kept(error: BaseException, folder: Path) -> None:
    """Note on an error where finished work is kept; of folders in each other, the outermost."""
    error.__notes__ = [f"Finished work is kept in {folder}: run the same command again to resume."]


def check_new(target: Path, error: type[LsrError]) -> None:
    """Raise an `error` when the target exists."""
    if target.exists():
        raise error(f"{target} already exists; give a new folder")


@contextmanager
def new_folder(target: Path, error: type[LsrError]) -> Iterator[Path]:
    """A folder to be filled, which becomes `target` at the end; all of it or nothing.

    Raises an `error` when the target exists or cannot be written.
    """
    check_new(target, error)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(target)
    except OSError as refused:
        raise error(f"{target} cannot be written: {refused}") from refused
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_target(
    path: Path,
    force: bool,
    what: str,
    is_ours: Callable[[Path], bool],
    *,
    commit: str = MANIFEST,
    error: type[LsrError] = IndexExists,
) -> None:
    """Raise an `error` when an edition of something must not be published at `path`.

    Args:
        what: it is called, such as "an index".
        is_ours: whether a folder is one, so that `force` may replace it.
    """
    if is_vacant(path, commit):
        return
    if not is_ours(path):
        raise error(f"{path} exists and is not {what}; choose another place")
    if not force:
        raise error(f"{path} is already {what}; add --force (force=True) to replace it")


def _locked(partial: Path) -> tuple[list[Path], Lock, bool]:
    """Make a folder and take its lock: the folders above it that were missing, innermost first,
    the lock, and whether it was free."""
    missing = []
    folder = partial.parent.resolve()  # a link may lead to a place that is not there yet
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    lock = Lock(partial / _LOCK)
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):  # whoever held it has just removed the folder
            return missing, lock, _take(lock, partial)
    return missing, lock, _take(lock, partial)


def _take(lock: Lock, partial: Path) -> bool:
    partial.parent.resolve().mkdir(parents=True, exist_ok=True)
    partial.mkdir(exist_ok=True)
    return lock.take()


def _remove(partial: Path, names: Collection[str]) -> None:
    for name in names:
        if (partial / name).is_dir():
            shutil.rmtree(partial / name, ignore_errors=True)
        else:
            (partial / name).unlink(missing_ok=True)


def is_vacant(path: Path, commit: str = MANIFEST) -> bool:
    """Whether nothing is at `path`, or a folder with no more than an unfinished first edition."""
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    if (path / PARTIAL / _LOCK).exists() and not (path / commit).exists():
        return True
    return all(file.name == PARTIAL for file in path.iterdir())

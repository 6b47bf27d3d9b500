"""Where the next edition of a directory is made, and how it is published.

    TARGET/partial = lock  KEPT …  NEW/…

Work happens inside the target, so that it is on the same file system, whatever the target is: a
new folder, the current one, a link, a mount point.  Nobody takes what is in there for a part of the
target.  A process holds the lock while it works.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lsr.errors import IndexExists
from lsr.storage.files import sync, writing
from lsr.storage.locks import Lock
from lsr.storage.manifest import MANIFEST

PARTIAL = "partial"

_LOCK = "lock"
_TRIES = 100  # to take a lock whose folder is removed at the same time


@contextmanager
def workplace(
    target: Path,
    *,
    kept: Collection[str],
    scratch: Collection[str],
    check: Callable[[], None],
    sweep: Callable[[], None],
) -> Iterator[Path]:
    """The folder in `target` where its next edition is made, locked against other processes.

    What remains of it on failure is what the next run can use, or nothing, and the target as it
    was.

    Args:
        kept: names of what a later run can use.
        scratch: names of what none can use: it is removed at the end, and what a crash left there
            at the beginning.
        check: raises when nothing may be written there; called under the lock.
        sweep: removes the files in `target` that no published edition lists, also under the lock.

    Raises `IndexExists` when another process is at work there, or something else is in the
    folder, and `SystemCallError`.
    """
    partial = target / PARTIAL
    check()  # before anything is made; again under the lock
    with writing(target):
        made, lock, is_mine = _locked(partial)
        if not is_mine:
            raise IndexExists(
                f"{target} is being made by another process; wait for it or choose another place"
            )
        foreign = [f.name for f in partial.iterdir() if f.name not in {_LOCK, *kept, *scratch}]
        try:
            if foreign:
                raise IndexExists(
                    f"{target} would be made in {partial}, but {foreign[0]} there is not the work "
                    "of an earlier run; move it or choose another place"
                )
            _remove(partial, scratch)
            sweep()
            check()
            yield partial
        finally:
            try:
                _remove(partial, scratch)
                sweep()
                if foreign:
                    (partial / _LOCK).unlink()
                elif not any((partial / name).exists() for name in kept):
                    shutil.rmtree(partial, ignore_errors=True)
                    with suppress(OSError):  # of a folder that is not empty
                        for folder in made:
                            folder.rmdir()
            finally:
                lock.release()


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


def publish(new: Path, target: Path, commit: str = MANIFEST) -> None:
    """Make the finished edition in `new` that of `target`, in one atomic step.

    Its files are moved beside those of the published edition, which keep their names; then
    `commit`, the file that lists them, takes the place of the old one.  Stopped before that, the
    target has the old edition, and files that nobody lists.
    """
    folders = {target}
    for file in sorted(new.rglob("*")):
        place = target / file.relative_to(new)
        if file.is_dir():
            place.mkdir(exist_ok=True)
            folders.add(place)
        elif file.name != commit or file.parent != new:
            sync(file)
            file.replace(place)
    for folder in folders:
        sync(folder)
    sync(new / commit)
    (new / commit).replace(target / commit)
    sync(target)


def is_vacant(path: Path, commit: str = MANIFEST) -> bool:
    """Whether nothing is at `path`, or a folder with no more than an unfinished first edition."""
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    if (path / PARTIAL / _LOCK).exists() and not (path / commit).exists():
        return True
    return all(file.name == PARTIAL for file in path.iterdir())

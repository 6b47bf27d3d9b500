"""Downloading a file that is known by its checksum, through interruptions."""

from __future__ import annotations

import hashlib
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lsr.errors import CorpusError
from lsr.progress import Progress
from lsr.storage.files import sync
from lsr.storage.locks import holding

_PIECE = 1 << 18
_TIMEOUT = 60.0  # seconds without a byte


def md5_of(path: Path) -> str:
    """MD5 of a file in hexadecimal: what datasets are published with, no seal against malice."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def download(url: str, path: Path, md5: str, progress: type[Progress]) -> None:
    """Download `url` to `path`, which appears complete and checked or not at all.

    The bytes received are kept in PATH.part when the connection ends early or the process dies,
    and the next download asks for the rest alone.

    Raises `CorpusError` when the file cannot be had or is not the one of the checksum.
    """
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    busy = CorpusError(f"{path} is being downloaded by another process; wait for it")
    with holding(path.with_name(f"{path.name}.lock"), busy):
        if path.exists():
            return
        _fetch(url, part, progress)
        digest = md5_of(part)
        if digest != md5:
            part.unlink()
            raise CorpusError(
                f"{url} has the MD5 {digest} instead of {md5}, so it is damaged or another file; "
                "try again, or download it by other means and give its folder with --data DIR"
            )
        part.replace(path)
        sync(path.parent)


def _fetch(url: str, part: Path, progress: type[Progress]) -> None:
    """Complete `part` by requests, as long as each adds to it."""
    while True:
        before = _size(part)
        try:
            if _answer(url, part, before, progress):
                return
            error: object = "the connection ended early"
        except HTTPError as refusal:
            if refusal.code == 416 and before:  # there is nothing after what is here
                length = (refusal.headers.get("Content-Range") or "").rpartition("/")[2]
                if length == str(before):
                    return
                part.unlink()
                continue
            raise _failure(url, f"the server answers {refusal.code} {refusal.reason}") from None
        except URLError as problem:
            raise _failure(url, problem.reason) from None
        except (HTTPException, OSError) as problem:
            error = problem
        if _size(part) <= before:
            raise _failure(url, error)


def _answer(url: str, part: Path, before: int, progress: type[Progress]) -> bool:
    """Add the answer of one request to `part`; return whether `part` is complete."""
    headers = {"User-Agent": "lsr-engine", **({"Range": f"bytes={before}-"} if before else {})}
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as response:
        length = response.headers.get("Content-Length", "")
        if response.status != 206:  # a server without ranges sends all of it
            before = 0
        total = before + int(length) if length.isdecimal() else None
        with (
            part.open("ab" if before else "wb") as file,
            progress(f"Downloading {part.stem}", "bytes", total) as bar,
        ):
            bar.advance(before, free=True)
            while piece := response.read(_PIECE):
                file.write(piece)
                bar.advance(len(piece))
    return total is None or _size(part) == total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _failure(url: str, reason: object) -> CorpusError:
    return CorpusError(
        f"{url} cannot be downloaded ({reason}); the part that was received is kept, so "
        "try again, or download it by other means and give its folder with --data DIR"
    )

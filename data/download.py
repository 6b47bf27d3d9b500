"""Downloading a file that is known by its checksum, through interruptions."""

from __future__ import annotations

import hashlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lsr.errors import CorpusError
from lsr.progress import Progress
from lsr.storage.files import sync
from lsr.storage.locks import Lock

_PIECE = 1 << 18
_TIMEOUT = 60.0  # seconds without a byte


def md5_of(path: Path) -> str:
    """MD5 of a file in hexadecimal: what datasets are published with, no seal against malice."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def download(url: str, place: Path, md5: str, progress: type[Progress]) -> None:
    """Download `url` to `place`, which appears complete and checked or not at all.

    What has come is kept in PLACE.part when the connection ends early or the process dies, and
    the next download asks for the rest alone.

    Raises `CorpusError` when the file cannot be had or is not the one of the checksum.
    """
    part = place.with_name(f"{place.name}.part")
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(place.with_name(f"{place.name}.lock"))
    if not lock.take():
        raise CorpusError(f"{place} is being downloaded by another process; wait for it")
    try:
        if not place.exists():
            _fetch(url, part, progress)
            found = md5_of(part)
            if found != md5:
                part.unlink()
                raise CorpusError(
                    f"{url} has the MD5 {found} instead of {md5}, so it is damaged or another "
                    "file; try again, or fetch it by other means and name its folder with "
                    "--data DIR"
                )
            part.replace(place)
            sync(place.parent)
    finally:
        place.with_name(f"{place.name}.lock").unlink(missing_ok=True)
        lock.release()


def _fetch(url: str, part: Path, progress: type[Progress]) -> None:
    """Complete `part`, asking again as long as each answer brings something."""
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
    """Add to `part` what one request brings; whether that is all."""
    headers = {"User-Agent": "lsr-engine", **({"Range": f"bytes={before}-"} if before else {})}
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as response:
        length = _length(response)
        if response.status != 206:  # a server without ranges sends all of it
            before = 0
        total = None if length is None else before + length
        with (
            part.open("ab" if before else "wb") as file,
            progress(f"Downloading {part.stem}", "bytes", total) as bar,
        ):
            bar.advance(before, free=True)
            while piece := response.read(_PIECE):
                file.write(piece)
                bar.advance(len(piece))
    return total is None or _size(part) == total


def _length(response: HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _failure(url: str, reason: object) -> CorpusError:
    return CorpusError(
        f"{url} cannot be downloaded ({reason}); what has come is kept, so try again, or fetch "
        "it by other means and name its folder with --data DIR"
    )

"""The catalogue, and downloads from a server in the test."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lsr.data import datasets
from lsr.data.datasets import CATALOGUE, SUITES, Entry, entry_of, find_dataset
from lsr.data.download import download
from lsr.errors import CorpusError
from lsr.progress import Progress, Silent
from lsr.storage.locks import Lock

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT as /file.zip; notes the ranges asked for; cuts answers short on request."""

    content = CONTENT
    ranges_work = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.cuts: list[int] = []  # bytes after which each next answer ends

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content = self.server.content
        if not self.path.endswith("/file.zip"):
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.ranges_work:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[start : start + cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server: Server, folder: Path, md5: str = MD5, name: str = "file.zip") -> None:
    download(f"{server.url}/{name}", folder / "file.zip", md5, Silent)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download(server: Server, tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder"
    fetch(server, place)
    assert (place / "file.zip").read_bytes() == CONTENT
    assert names(place) == ["file.zip"]
    fetch(server, place)  # there already
    assert server.asked == [None]


def test_progress_tells_the_size(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download(f"{server.url}/file.zip", tmp_path / "file.zip", MD5, Progress)
    assert "Downloading file.zip: 1,048,576 bytes in" in capsys.readouterr().err


def test_a_partial_file_is_completed_by_a_range(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1000])
    fetch(server, tmp_path)
    assert server.asked == ["bytes=1000-"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert names(tmp_path) == ["file.zip"]


def test_a_partial_file_that_is_all_of_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    fetch(server, tmp_path)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    (tmp_path / "file.zip").unlink()
    (tmp_path / "file.zip.part").write_bytes(CONTENT + b"more")  # cannot be part of it
    fetch(server, tmp_path)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_server_without_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges_work = False
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1000)
    fetch(server, tmp_path)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_connection_that_is_cut_goes_on(server: Server, tmp_path: Path) -> None:
    server.cuts = [300_000, 1, 500_000]
    fetch(server, tmp_path)
    assert server.asked == [None, "bytes=300000-", "bytes=300001-", "bytes=800001-"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_more(server: Server, tmp_path: Path) -> None:
    server.cuts = [300_000, 0]
    with pytest.raises(CorpusError, match=r"file\.zip cannot be downloaded \(the connection"):
        fetch(server, tmp_path)
    assert names(tmp_path) == ["file.zip.part"]
    fetch(server, tmp_path)
    assert server.asked[-1] == "bytes=300000-"
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_another_checksum(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"has the MD5 {MD5} instead of 0000; "[:30]):
        fetch(server, tmp_path, md5="0000")
    assert names(tmp_path) == []


def test_no_such_file_and_no_network(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cannot be downloaded \(the server answers 404 "):
        fetch(server, tmp_path, name="other.zip")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CorpusError, match=r"cannot be downloaded \(.*refused.*--data DIR"):
        download(f"http://127.0.0.1:{port}/file.zip", tmp_path / "file.zip", MD5, Silent)
    assert names(tmp_path) == []


def test_two_downloads_at_a_time(server: Server, tmp_path: Path) -> None:
    lock = Lock(tmp_path / "file.zip.lock")
    assert lock.take()
    with pytest.raises(CorpusError, match="is being downloaded by another process"):
        fetch(server, tmp_path)
    lock.release()
    fetch(server, tmp_path)
    assert names(tmp_path) == ["file.zip"]


def test_where_a_name_is_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # BEIR's own datasets are large, and its server is not for tests.
    monkeypatch.setattr(datasets, "BASE_URL", server.url)
    monkeypatch.setitem(CATALOGUE, "file", Entry(MD5))
    cached = tmp_path / "cache" / "lsr" / "datasets" / "file.zip"
    data = tmp_path / "data"
    data.mkdir()
    assert find_dataset("file", data, Silent) == cached
    assert cached.read_bytes() == CONTENT
    assert find_dataset("file", None, Silent) == cached
    (data / "file").mkdir()
    assert find_dataset("file", data, Silent) == data / "file"
    (data / "file.zip").touch()
    assert find_dataset("file", data, Silent) == data / "file.zip"
    assert len(server.asked) == 1


def test_what_cannot_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CorpusError, match=r"it is not in the cache; give its folder .* --data DIR"):
        find_dataset("cranfield", None, Silent)
    with pytest.raises(CorpusError, match=r"has neither vaswani\.zip nor a folder vaswani"):
        find_dataset("vaswani", tmp_path, Silent)


def test_the_catalogue() -> None:
    assert len(SUITES["beir13"]) == 13
    for suite in SUITES.values():
        assert set(suite) <= CATALOGUE.keys()
    sums = [entry.md5 for entry in CATALOGUE.values() if entry.md5]
    assert len(set(sums)) == len(sums) == 15
    assert {len(md5) for md5 in sums} == {32}
    assert [name for name, entry in CATALOGUE.items() if entry.leaves_out_own] == [
        "arguana",
        "quora",
    ]
    assert [name for name, entry in CATALOGUE.items() if entry.split != "test"] == ["msmarco"]
    assert len(CATALOGUE["cqadupstack"].parts) == 12


def test_what_is_usual_by_name() -> None:
    assert entry_of("quora").leaves_out_own
    assert entry_of("irds:beir/quora/test").leaves_out_own
    assert not entry_of("irds:quora").leaves_out_own
    assert entry_of("mine") == Entry()
    assert entry_of("irds:msmarco-passage/trec-dl-2019/judged").measures[1] == "R(rel=2)@100"
    assert entry_of("irds:msmarco-passage/dev/small").measures[1] == "R@100"

"""Several processes at one folder of vectors, and processes that are killed at it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lsr.storage.locks import Lock
from support.encode_job import stamp
from support.system import before_call, wait_for

DOCUMENTS, SHARD = 120, 10
SHARDS = [f"{number:06}.parquet" for number in range(DOCUMENTS // SHARD)]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def corpus(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    records = [{"id": f"d{n}", "text": f"item {n} of the shelf"} for n in range(DOCUMENTS)]
    return write_jsonl(tmp_path / "in" / "c.jsonl", records)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def start(
    corpus: Path, tmp_path: Path, log: Path, lsr_command: Callable[..., list[str]]
) -> Iterator[Start]:
    """start(encoder="toy", delay=0.01): a process that encodes the corpus into v."""
    processes = []

    def begin(
        *options: str | Path, encoder: str = "toy", delay: float = 0.01, source: Path | str = corpus
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            lsr_command(
                SHARD, "encode", source, "-o", tmp_path / "v", "--encoder", encoder, *options
            ),
            env={**os.environ, "TOY_LOG": str(log), "TOY_DELAY": str(delay)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def whole(
    start: Start, tmp_path: Path, log: Path, files_of: Callable[[Path], dict[str, bytes]]
) -> dict[str, bytes]:
    """The files of a folder that was made in one go."""
    done(start(delay=0))
    files = files_of(tmp_path / "v")
    (tmp_path / "v").rename(tmp_path / "whole")
    log.unlink()
    return files


def done(process: subprocess.Popen[str]) -> str:
    """What a process says when it has ended well."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out


def sealed(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """The sealed shards; a file that was written again has another time and number."""
    files = sorted(path for kind in ("shards", "observed") for path in folder.glob(f"{kind}/0*"))
    return {path.relative_to(folder).as_posix(): stamp(path) for path in files}


def encoded(log: Path) -> list[tuple[int, int]]:
    """(process, document) of each text that was encoded."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(int(line[0]), int(line[2])) for line in lines]


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_work(
    start: Start,
    tmp_path: Path,
    log: Path,
    whole: dict[str, bytes],
    files_of: Callable[[Path], dict[str, bytes]],
    count: int,
) -> None:
    processes = [start() for _ in range(count)]
    said = [done(process) for process in processes]
    work = encoded(log)
    assert sorted(document for _, document in work) == [*range(DOCUMENTS)]  # each once
    by_process = Counter(process for process, _ in work)
    assert len(by_process) == count
    assert min(by_process.values()) >= SHARD
    for shard in range(len(SHARDS)):  # and a shard is one process's
        assert len({process for process, document in work if document // SHARD == shard}) == 1
    assert all(f"v is complete: {DOCUMENTS} documents, " in out for out in said)
    assert files_of(tmp_path / "v") == whole


def test_a_late_process_helps(
    start: Start, tmp_path: Path, log: Path, whole: dict[str, bytes], files_of: Callable[..., Any]
) -> None:
    first = start(delay=0.02)
    wait_for(lambda: len(sealed(tmp_path / "v")) >= 2)
    second = start(delay=0.02)
    done(first), done(second)
    assert sorted(document for _, document in encoded(log)) == [*range(DOCUMENTS)]
    assert {process for process, _ in encoded(log)} == {first.pid, second.pid}
    assert files_of(tmp_path / "v") == whole


def test_the_shard_of_a_killed_process_is_encoded_by_another(
    start: Start, tmp_path: Path, log: Path, whole: dict[str, bytes], files_of: Callable[..., Any]
) -> None:
    """The slow one holds the first shard; all others are sealed before it is killed."""
    slow = start(delay=30)
    wait_for(lambda: (tmp_path / "v" / "locks" / "0").exists())
    quick = start(delay=0)
    wait_for(lambda: len(sealed(tmp_path / "v")) == len(SHARDS) - 1)
    before = sealed(tmp_path / "v")
    time.sleep(0.5)
    assert quick.poll() is None  # it waits
    slow.kill()
    done(quick)
    assert sorted(document for _, document in encoded(log)) == [*range(DOCUMENTS)]
    after = sealed(tmp_path / "v")
    assert {name: after[name] for name in before} == before
    assert files_of(tmp_path / "v") == whole


def test_an_interrupted_process_leaves_its_shard_to_another(
    start: Start, tmp_path: Path, whole: dict[str, bytes], files_of: Callable[..., Any]
) -> None:
    slow = start(delay=30)
    wait_for(lambda: (tmp_path / "v" / "locks" / "0").exists())
    quick = start(delay=0)
    wait_for(lambda: len(sealed(tmp_path / "v")) == len(SHARDS) - 1)
    slow.send_signal(signal.SIGTERM)
    assert slow.communicate(timeout=60)[1].endswith("Interrupted.\n")
    assert slow.returncode == 130
    done(quick)
    assert files_of(tmp_path / "v") == whole


@pytest.mark.parametrize("encoder", ["toy", "bm25+toy"])
def test_killed_again_and_again(
    start: Start, tmp_path: Path, log: Path, files_of: Callable[..., Any], encoder: str
) -> None:
    out = tmp_path / "v"
    done(start(encoder=encoder, delay=0))
    out.rename(tmp_path / "whole")
    log.unlink()
    for wanted in (2, 3, 7):
        before = sealed(out)
        seen = len(encoded(log))
        process = start(encoder=encoder)
        wait_for(lambda n=wanted: len(sealed(out)) >= n and len(encoded(log)) > n * SHARD)
        process.kill()
        process.communicate()
        after = sealed(out)
        assert {name: after[name] for name in before} == before
        again = {document // SHARD for _, document in encoded(log)[seen:]}
        assert min(again) == len(before)  # goes on with the shard that was open
    before = sealed(out)
    done(start(encoder=encoder, delay=0))
    times = Counter(document for _, document in encoded(log))
    twice = {document // SHARD for document, count in times.items() if count > 1}
    assert len(times) == DOCUMENTS
    assert len(twice) <= 3
    assert max(times.values()) <= 4
    if encoder == "toy":
        after = sealed(out)
        assert {name: after[name] for name in before} == before
    assert files_of(out) == files_of(tmp_path / "whole")


def refused(process: subprocess.Popen[str], out: Path) -> None:
    """A process that must work alone, or may not come in, says so."""
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert err.splitlines()[-1] == (
        f"Error: {out} is being written by another process; wait for it or choose another place"
    )


def test_one_process_where_there_are_statistics(start: Start, tmp_path: Path) -> None:
    first = start(encoder="bm25+toy", delay=0.1)
    wait_for(lambda: sealed(tmp_path / "v"))
    refused(start(encoder="bm25+toy"), tmp_path / "v")
    assert first.poll() is None
    first.kill()
    first.wait()
    done(start(encoder="bm25+toy", delay=0))


def test_one_process_from_standard_input(start: Start, corpus: Path, tmp_path: Path) -> None:
    first = start(source="-")
    assert first.stdin is not None
    wait_for(lambda: (tmp_path / "v" / "locks").exists())
    refused(start(), tmp_path / "v")
    first.stdin.write(corpus.read_text())
    done(first)


def test_others_at_work_keep_out_who_must_be_alone(
    start: Start, corpus: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    out = tmp_path / "v"
    first = start(delay=0.1)
    wait_for(lambda: sealed(out))
    refused(start("--force"), out)
    refused(start(source="-"), out)
    answer = run("encode", corpus, "-o", out, "--encoder", "bm25")
    assert (answer.code, sealed(out) != {}) == (1, True)
    assert "is being written by another process" in answer.error
    assert first.poll() is None
    # And work of another kind is named, not joined.
    _, err = start("--max-length", "3").communicate(timeout=60)
    assert 'of the encoder "toy" with max_length 256, and this command has 3' in err
    first.kill()


def test_a_process_at_another_corpus_does_not_join(
    start: Start, corpus: Path, tmp_path: Path, log: Path
) -> None:
    first = start(delay=0.05)
    wait_for(lambda: len(sealed(tmp_path / "v")) >= 2)
    other = corpus.with_name("other.jsonl")
    other.write_text(corpus.read_text().replace("item 13 ", "item 1313 "))
    _, err = start(source=other).communicate(timeout=60)
    assert "shard 1 (documents 11 to 20, 'd10' to 'd19') is not what was encoded" in err
    done(first)
    assert {process for process, _ in encoded(log)} == {first.pid}


def test_the_last_to_leave_tidies(start: Start, tmp_path: Path) -> None:
    """A process that ends takes no lock away from one that is still at work."""
    out = tmp_path / "v"
    first, second = start(delay=0.02), start(delay=0.02)
    wait_for(lambda: len(sealed(out)) >= 3)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert (out / "locks").exists()
    assert not Lock(out / "lock").take()
    done(first)
    assert not (out / "lock").exists()
    assert not (out / "locks").exists()


def test_a_lock_whose_file_was_removed_is_not_held(tmp_path: Path) -> None:
    first, second, third = (Lock(tmp_path / "lock") for _ in range(3))
    assert first.take()
    assert not second.take()
    assert not second.take(shared=True)
    (tmp_path / "lock").unlink()
    assert second.take()  # of the new file
    first.release()
    assert not third.take()
    second.release()
    assert third.take(shared=True)
    assert first.take(shared=True)
    assert not second.take()


def test_a_lock_that_is_not_taken_leaves_no_file_open(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len([*Path("/dev/fd").iterdir()])

    first = Lock(tmp_path / "lock")
    assert first.take()
    before = descriptors()
    assert not Lock(tmp_path / "lock").take()
    assert descriptors() == before
    first.release()
    assert descriptors() == before - 1


def test_a_lock_is_taken_anew_when_its_file_goes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    opened = []

    def removing(descriptor: int, _: int) -> None:
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()  # between opening and locking

    with before_call("fcntl.flock", removing):
        assert Lock(path).take()
    assert len(opened) == 2
    assert path.exists()

"""Builds that are stopped, killed or raced, and what the next one makes of the remains."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from lsr.data.corpus import open_corpus
from lsr.data.vectors.folder import VectorFolder
from lsr.encoders.learned import LearnedEncoder
from lsr.encoders.lexical.bm25 import BM25Encoder
from lsr.errors import LsrError
from support.damage import cut, flip
from support.editions import shard, shards_in
from support.system import FailAt, before_call, killed, stopped_at, wait_for

DOCUMENTS, SHARD = 600, 100
STOP = 300 + 45  # the document at which a build is stopped: in shard 3


@pytest.fixture(autouse=True)
def small_shards(shards_of: Callable[..., None]) -> None:
    shards_of(SHARD)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, write_jsonl: Callable[..., Path]) -> Path:
    """A file of 600 documents."""
    records = [
        {"id": f"d{i}", "text": f"item {i} of the {('red', 'blue')[i % 2]} shelf"}
        for i in range(DOCUMENTS)
    ]
    return write_jsonl(tmp_path_factory.mktemp("many") / "many.jsonl", records)


@pytest.fixture
def encoded(watch: Callable[..., list[str]]) -> list[str]:
    """The texts that the model encodes, as they come."""
    return watch(LearnedEncoder, "collect")


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    many: Path,
    files_of: Callable[..., Any],
    lsr_command: Callable[..., list[str]],
) -> dict[str, bytes]:
    """The files of an index that was built in one go."""
    out = tmp_path_factory.mktemp("undisturbed") / "i"
    command = lsr_command(SHARD, "index", many, "-o", out)
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    found: dict[str, bytes] = files_of(out)
    return found


Watch = Callable[..., list[str]]


def stop_at(watch: Watch, number: int, signal_number: int) -> None:
    """Send this process a signal when a document is encoded, once."""
    watch(LearnedEncoder, "collect", f"item {number} ", lambda: os.kill(os.getpid(), signal_number))


def shards(out: Path) -> list[int]:
    """The sealed shards of an unfinished build, and nothing else is there."""
    assert [path.name for path in out.iterdir()] == ["partial"]
    assert sorted(path.name for path in (out / "partial").iterdir()) == ["lock", "vectors"]
    vectors = out / "partial" / "vectors"
    assert sorted(path.name for path in vectors.iterdir()) == ["job.json", "observed", "shards"]
    assert not any((vectors / "shards").iterdir())
    return shards_in(vectors / "observed")


SEALED = [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_goes_on_from_its_sealed_shards(
    run: Callable[..., Any],
    many: Path,
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    watch: Watch,
    encoded: list[str],
    files_of: Callable[..., Any],
    number: int,
) -> None:
    out = tmp_path / "i"
    stop_at(watch, STOP, number)
    answer = run("index", many, "-o", out)
    assert (answer.code, answer.out) == (130, "")
    assert [line for line in answer.err.splitlines() if line][-2:] == [
        f"Finished work is kept in {out}/partial: run the same command again to resume.",
        "Interrupted.",
    ]
    assert shards(out) == SEALED
    encoded.clear()
    assert run("index", many, "-o", out).code == 0
    assert len(encoded) == DOCUMENTS - 300
    assert encoded[0].startswith("item 300 ")
    assert files_of(out) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_a_killed_build_goes_on_from_its_sealed_shards(
    run: Callable[..., Any],
    many: Path,
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    encoded: list[str],
    files_of: Callable[..., Any],
    lsr_command: Callable[..., list[str]],
) -> None:
    out = tmp_path / "i"
    partial = out / "partial"
    observed = partial / "vectors" / "observed"
    command = lsr_command(SHARD, "index", many, "-o", out)
    killed(command, lambda: len(list(observed.glob("0*.parquet"))) >= 2)
    with pytest.raises(LsrError, match=r"i is unfinished; run the `lsr index` that was making it"):
        lsr.open(out)
    for lock in (partial / "vectors" / "locks", partial / "vectors" / "lock"):
        assert lock.exists()
    sealed = sorted(path.name for path in observed.glob("0*.parquet"))
    assert 2 <= len(sealed) < DOCUMENTS // SHARD
    # Half a shard and half a job as a crash leaves them.
    (observed / f".{len(sealed):06}.parquet.77.tmp").write_bytes(b"PAR1")
    (partial / "vectors" / ".job.json.77.tmp").write_bytes(b"{")
    (partial / "new" / "segments").mkdir(parents=True)
    (partial / "spool.arrow").write_bytes(b"ARROW1")
    assert run("index", many, "-o", out).code == 0
    assert len(encoded) == DOCUMENTS - len(sealed) * SHARD
    assert files_of(out) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


@pytest.fixture
def interrupted(
    run: Callable[..., Any],
    many: Path,
    tmp_path: Path,
    watch: Watch,
    encoded: list[str],
) -> Path:
    """The place of a build that was interrupted; `encoded` starts from there."""
    stop_at(watch, STOP, signal.SIGINT)
    assert run("index", many, "-o", tmp_path / "i").code == 130
    encoded.clear()
    return tmp_path / "i"


def changed(many: Path) -> Path:
    """The same documents but for one in shard 1."""
    lines = many.read_text().splitlines(keepends=True)
    lines[150] = lines[150].replace("shelf", "drawer")
    path = many.with_name("changed.jsonl")
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    ("encoder", "numbers"),
    [
        # Shard 1 has changed; 0 and 2 have not.
        ("splade-tiny", [*range(100, 200), *range(300, DOCUMENTS)]),
        # The term ids of words depend on all documents before.
        ("bm25+splade-tiny", [*range(100, DOCUMENTS)]),
    ],
)
def test_a_changed_collection_is_encoded_from_the_change_on(
    run: Callable[..., Any],
    many: Path,
    tmp_path: Path,
    watch: Watch,
    encoded: list[str],
    encoder: str,
    numbers: list[int],
) -> None:
    out = tmp_path / "i"
    command = ["-o", out, "--encoder", encoder]
    stop_at(watch, STOP, signal.SIGINT)
    assert run("index", many, *command).code == 130
    encoded.clear()
    assert run("index", changed(many), *command).code == 0
    assert [int(text.split()[1]) for text in encoded] == numbers
    index = lsr.open(out)
    assert (len(index), index.get("d150").text.split()[-1]) == (DOCUMENTS, "drawer")


def test_statistics_are_gathered_again(
    run: Callable[..., Any],
    many: Path,
    tmp_path: Path,
    watch: Watch,
    files_of: Callable[..., Any],
) -> None:
    """Stopped in shard 3, then, with a word changed in shard 1, in shard 2; then left alone."""
    command = ["--encoder", "bm25"]
    assert run("index", changed(many), "-o", tmp_path / "whole", *command).code == 0
    for corpus, stop in ((many, STOP), (changed(many), 250)):
        watch(BM25Encoder, "collect", f"item {stop} ", lambda: os.kill(os.getpid(), signal.SIGINT))
        assert run("index", corpus, "-o", tmp_path / "i", *command).code == 130
    counted = watch(BM25Encoder, "collect")
    assert run("index", changed(many), "-o", tmp_path / "i", *command).code == 0
    assert len(counted) == DOCUMENTS
    assert files_of(tmp_path / "i") == files_of(tmp_path / "whole")


def test_a_document_more_moves_all_that_follow(
    run: Callable[..., Any], many: Path, tmp_path: Path, interrupted: Path, encoded: list[str]
) -> None:
    lines = many.read_text().splitlines(keepends=True)
    lines.insert(120, '{"id": "new", "text": "item new of the shelf"}\n')
    (tmp_path / "more.jsonl").write_text("".join(lines[:350]))
    assert run("index", tmp_path / "more.jsonl", "-o", interrupted).code == 0
    assert len(encoded) == 250
    assert len(lsr.open(interrupted)) == 350


@pytest.mark.parametrize(
    "options", [["--max-length", "16"], ["--document-terms", "5"], ["--encoder", "bm25"]]
)
def test_another_encoder_starts_again(
    run: Callable[..., Any], many: Path, interrupted: Path, encoded: list[str], options: list[str]
) -> None:
    few = interrupted.with_name("few.jsonl")
    few.write_text("".join(many.read_text().splitlines(keepends=True)[:110]))
    assert run("index", few, "-o", interrupted, *options).code == 0
    assert len(encoded) == (0 if "bm25" in options else 110)
    assert not (interrupted / "partial").exists()


def test_a_failed_start_keeps_the_shards(
    run: Callable[..., Any], many: Path, tmp_path: Path, interrupted: Path
) -> None:
    (tmp_path / "bad.jsonl").write_text("not json\n")
    assert run("index", tmp_path / "bad.jsonl", "-o", interrupted).code == 1
    assert run("index", many, "-o", interrupted, "--encoder", "no-such-model").code == 1
    assert shards(interrupted) == SEALED


def test_damaged_remains(
    run: Callable[..., Any],
    many: Path,
    interrupted: Path,
    undisturbed: dict[str, bytes],
    encoded: list[str],
    files_of: Callable[..., Any],
) -> None:
    folder = interrupted / "partial" / "vectors" / "observed"
    cut(shard(folder, 0), 100)
    shard(folder, 1).write_bytes(b"")
    assert run("index", many, "-o", interrupted).code == 0
    assert len(encoded) == DOCUMENTS - 100
    assert files_of(interrupted) == undisturbed


def test_a_shard_with_a_damaged_body_is_named(
    run: Callable[..., Any], many: Path, interrupted: Path
) -> None:
    path = shard(interrupted / "partial" / "vectors" / "observed", 1)
    flip(path)
    answer = run("index", many, "-o", interrupted)
    assert answer.code == 1
    assert f"Error: {path} is damaged: " in answer.err
    assert answer.err.endswith("; remove it and run the command that made it again\n")
    assert not (interrupted / "manifest.json").exists()
    path.unlink()
    assert run("index", many, "-o", interrupted).code == 0


def test_interrupted_while_it_is_ordered(
    run: Callable[..., Any],
    many: Path,
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    encoded: list[str],
    files_of: Callable[..., Any],
) -> None:
    """All is encoded, and stays so; what was unpacked goes."""
    out = tmp_path / "i"
    with pytest.raises(KeyboardInterrupt) as stopped:
        lsr.Index.build(out, open_corpus(many), progress=stopped_at("Ordering"))
    partial = out / "partial"
    assert stopped.value.__notes__ == [
        f"Finished work is kept in {partial}: run the same command again to resume."
    ]
    assert VectorFolder.open(partial / "vectors").documents == DOCUMENTS
    assert sum(len(data) for data in files_of(partial).values()) == sum(
        len(data) for data in files_of(partial / "vectors").values()
    )
    encoded.clear()
    assert run("index", many, "-o", out).code == 0
    assert encoded == []
    assert files_of(out) == undisturbed


def test_a_job_that_cannot_be_read_starts_again(
    run: Callable[..., Any],
    many: Path,
    interrupted: Path,
    undisturbed: dict[str, bytes],
    encoded: list[str],
    files_of: Callable[..., Any],
) -> None:
    (interrupted / "partial" / "vectors" / "job.json").write_bytes(b"{")
    assert run("index", many, "-o", interrupted).code == 0
    assert len(encoded) == DOCUMENTS
    assert files_of(interrupted) == undisturbed


def test_two_builds_of_one_place(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, python: list[str]
) -> None:
    out = tmp_path / "i"
    partial = out / "partial"
    command = [*python, "from lsr.cli import main; main()", "index", "-", "-o", str(out)]
    first = subprocess.Popen([*command, "--encoder", "bm25"], stdin=subprocess.PIPE)
    assert first.stdin is not None
    try:
        wait_for((partial / "vectors" / "job.json").exists)
        answer = run("index", corpus, "-o", out, "--encoder", "bm25", "--force")
        assert (answer.code, answer.error) == (
            1,
            f"{out} is being written by another process; wait for it or choose another place",
        )
        assert (partial / "vectors" / "job.json").exists()
    finally:
        first.kill()
        first.wait()
        first.stdin.close()
    assert partial.exists()
    assert run("index", corpus, "-o", out, "--encoder", "bm25").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "i"]


def one(name: str) -> list[dict[str, str]]:
    return [{"id": name, "text": "copper"}]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("first", [True, False])
def test_stopped_at_every_step_of_publishing(
    tmp_path: Path,
    error: BaseException,
    first: bool,
    files_of: Callable[..., Any],
) -> None:
    """The old edition, if there is one, and no file of the new one."""
    out = tmp_path / "i"
    if not first:
        lsr.Index.build(out, one("old"), "bm25")
    files = files_of(tmp_path)
    stop = 0
    while True:
        fail = FailAt(stop + 1, error)

        def stopping(source: Any, target: Any, fail: FailAt = fail) -> None:
            if "new" in Path(source).parts and Path(target).is_relative_to(out):
                fail()

        with before_call("os.replace", stopping):
            try:
                lsr.Index.build(out, one("new"), "bm25", force=True)
            except (KeyboardInterrupt, LsrError):
                pass
            else:
                break
        # Vectors are kept for the next build; all else is as it was.
        assert {n: d for n, d in files_of(tmp_path).items() if "partial" not in n} == files
        if not first:
            assert lsr.open(out).search("copper").ids.tolist() == ["old"]
        stop += 1
    assert stop > 10  # files, and the manifest
    assert lsr.open(out).search("copper").ids.tolist() == ["new"]


@pytest.mark.parametrize("moved", range(0, 14, 3))
@pytest.mark.parametrize("first", [True, False])
def test_killed_while_an_edition_is_published(tmp_path: Path, moved: int, first: bool) -> None:
    """What a kill leaves: some files of the new edition are there, and nobody lists them."""
    out = tmp_path / "i"
    lsr.Index.build(tmp_path / "j", one("new"), "bm25")
    if not first:
        lsr.Index.build(out, one("old"), "bm25")
    (out / "partial").mkdir(parents=True)
    (out / "partial" / "lock").touch()
    names = [p.relative_to(tmp_path / "j") for p in (tmp_path / "j").rglob("*.arrow")]
    for name in names[:moved]:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "j" / name).rename(out / name)
    if first:
        with pytest.raises(LsrError, match="is unfinished; run the `lsr index`"):
            lsr.open(out)
    else:
        assert lsr.open(out).search("copper").ids.tolist() == ["old"]
        with pytest.raises(LsrError, match="is an index already"):
            lsr.Index.build(out, one("third"), "bm25")
    lsr.Index.build(out, one("third"), "bm25", force=not first)
    index = lsr.open(out)
    assert index.search("copper").ids.tolist() == ["third"]
    listed = {"manifest.json", *index.manifest.files}
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == listed


def test_killed_before_the_old_edition_was_removed(tmp_path: Path) -> None:
    out = tmp_path / "i"
    lsr.Index.build(out, one("old"), "bm25")
    lsr.Index.build(tmp_path / "j", one("new"), "bm25")
    for path in (tmp_path / "j").rglob("*.arrow"):
        (out / path.relative_to(tmp_path / "j")).parent.mkdir(parents=True, exist_ok=True)
        path.rename(out / path.relative_to(tmp_path / "j"))
    (tmp_path / "j" / "manifest.json").rename(out / "manifest.json")
    assert lsr.open(out).search("copper").ids.tolist() == ["new"]
    assert len(list((out / "segments").iterdir())) == 2
    lsr.Index.build(out, one("third"), "bm25", force=True)
    assert lsr.open(out).search("copper").ids.tolist() == ["third"]
    assert len(list((out / "segments").iterdir())) == 1

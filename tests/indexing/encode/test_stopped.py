"""`lsr encode`, stopped anywhere: nothing sealed is lost, touched or encoded again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsr.data.vectors.folder import VectorFolder
from support.editions import shard, shards_in
from support.encode_job import DOCUMENTS, SHARD, SHARDS, numbers, stamps, unfinished
from support.system import FailAt, before_call, limited
from support.toy_encoder import ToyEncoder

pytestmark = pytest.mark.usefixtures("toy")


@pytest.mark.parametrize("encoder", ["toy", "bm25+toy"])
@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)]
)
def test_stopped_at_every_write(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    out: Path,
    files_of: Callable[[Path], dict[str, bytes]],
    toy: Callable[[], list[str]],
    encoder: str,
    error: BaseException,
    code: int,
) -> None:
    command = ["encode", corpus, "--encoder", encoder, "-o"]
    assert run(*command, tmp_path / "whole").code == 0
    whole = files_of(tmp_path / "whole")
    writes = 0
    while True:
        writes += 1
        failing = FailAt(writes, error)
        toy()
        with before_call("os.fsync", failing):
            answer = run(*command, out)
        if failing.calls < writes:
            break
        assert answer.code == code, writes
        kept = {
            path: stamp
            for path, stamp in (stamps(out) if out.exists() else {}).items()
            if path.endswith("parquet")
        }
        assert not any(path.endswith(".tmp") for path in kept)
        sealed = max(sum(path.startswith(kind) for path in kept) for kind in ("observed", "shards"))
        # The shard whose file is there though its folder was not made durable counts as well.
        encoded = len(toy())
        assert encoded <= sealed * SHARD + SHARD
        sentence = f"Finished work is kept in {out}: run the same command again to resume."
        if code == 1:
            assert answer.err.splitlines()[-1].startswith(
                f"Error: {out} cannot be written: No space left on device"
            )
        if sealed:
            assert sentence in answer.err
            left = {path.name.partition(".")[0] for path in out.iterdir()}
            assert left <= {"job", "shards", "observed", "vocabulary", "manifest"}
        else:
            assert sentence not in answer.err
            assert list(out.parent.iterdir()) == []
        answer = run(*command, out)
        assert answer.code == 0
        assert len(toy()) == DOCUMENTS - min(sealed * SHARD, DOCUMENTS)
        after = stamps(out)
        final = {path: stamp for path, stamp in kept.items() if path.startswith("shards")}
        assert {path: after[path] for path in final} == final
        assert files_of(out) == whole
        shutil.rmtree(out)
    assert writes > 2 * len(SHARDS)


@pytest.mark.parametrize("signal_number", [2, 15])
def test_interrupted_in_a_shard(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    watch: Callable[..., list[str]],
    toy: Callable[[], list[str]],
    signal_number: int,
) -> None:
    watch(
        ToyEncoder,
        "encode_documents",
        "item 27 ",
        lambda: os.kill(os.getpid(), signal_number),
    )
    answer = run("encode", corpus, "-o", out, "--encoder", "toy")
    assert (answer.code, answer.out) == (130, "")
    assert [line for line in answer.err.splitlines() if line][-2:] == [
        f"Finished work is kept in {out}: run the same command again to resume.",
        "Interrupted.",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["job.json", "shards"]
    assert shards_in(out / "shards") == [0, 1]
    toy()
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    assert numbers(toy()) == [*range(20, DOCUMENTS)]


def stop_in_observed(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    shards: int,
    *options: str,
) -> None:
    """Encode with statistics until so many shards are observed; the job is written as well."""
    written = 0 if options else 2
    command = ["encode", corpus, "-o", out, "--encoder", "bm25+toy", *options]
    with before_call("os.fsync", FailAt(written + 2 * shards + 1, KeyboardInterrupt())):
        assert run(*command).code == 130
    assert shards_in(out / "observed") == [*SHARDS[:shards]]


def test_work_that_was_forced_goes_on(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    """Stopped while the older documents are still published, which then still are."""
    command = ["encode", changed, "-o", out, "--encoder", "bm25+toy"]
    assert run("encode", corpus, "-o", out, "--encoder", "bm25+toy").code == 0
    published = [chunk.texts for chunk in VectorFolder.open(out).chunks()]
    stop_in_observed(run, changed, out, 4, "--force")
    assert [chunk.texts for chunk in VectorFolder.open(out).chunks()] == published
    assert "holds vectors of other documents" in run(*command).error
    toy()
    assert run(*command, "--force").code == 0
    assert numbers(toy()) == [*range(40, DOCUMENTS)]
    assert run("encode", changed, "-o", tmp_path / "whole", "--encoder", "bm25+toy").code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


@pytest.mark.parametrize("back", [False, True])  # of two shards of a number, either is first
def test_forced_work_that_was_never_published_goes_on_without_force(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[[Path], dict[str, bytes]],
    back: bool,
) -> None:
    old, new = (changed, corpus) if back else (corpus, changed)
    assert run("encode", old, "-o", out, "--encoder", "toy").code == 0
    unfinished(out, [0, 1, 2, 3, 4])
    command = ["encode", new, "-o", out, "--encoder", "toy"]
    with before_call("os.fsync", FailAt(3, KeyboardInterrupt())):  # shard 3 is sealed, 5 is not
        assert run(*command, "--force").code == 130
    assert shards_in(out / "shards") == [0, 1, 2, 3, 3, 4]
    toy()
    assert run(*command).code == 0
    assert numbers(toy()) == [*range(50, DOCUMENTS)]
    assert run("encode", new, "-o", tmp_path / "whole", "--encoder", "toy").code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_gap_in_what_was_observed(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    out: Path,
    toy: Callable[[], list[str]],
) -> None:
    stop_in_observed(run, corpus, out, 5)
    shard(out / "observed", 1).unlink()
    before = stamps(out)
    toy()
    assert "shard 3 (documents" in run("encode", changed, "-o", out, "--encoder", "bm25+toy").err
    assert (stamps(out), toy()) == (before, [])
    assert run("encode", corpus, "-o", out, "--encoder", "bm25+toy").code == 0
    assert numbers(toy()) == [*range(10, 20), *range(50, DOCUMENTS)]


def test_standard_input_that_ends_before_what_was_observed(
    run: Callable[..., Any], corpus: Path, out: Path
) -> None:
    stop_in_observed(run, corpus, out, 5)
    shorter = corpus.with_name("shorter.jsonl")
    shorter.write_text("".join(corpus.read_text().splitlines(keepends=True)[:30]))
    answer = run("encode", "-", "-o", out, "--encoder", "bm25+toy", stdin=shorter)
    assert "the corpus ends before shard 3; add --force" in answer.err
    assert not (out / "manifest.json").exists()


def test_a_shard_sealed_while_its_lock_was_free(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
) -> None:
    """Another process seals shard 3 between the first look at it and the lock."""
    assert run("encode", corpus, "-o", tmp_path / "whole", "--encoder", "toy").code == 0

    def sealing(descriptor: int, _: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == out / "locks" / "3":
            shutil.copy(shard(tmp_path / "whole" / "shards", 3), out / "shards")

    toy()
    with before_call("fcntl.flock", sealing):
        assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    assert numbers(toy()) == [*range(30), *range(40, DOCUMENTS)]


def test_a_folder_is_finished_with_its_own_documents_only(
    run: Callable[..., Any], corpus: Path, out: Path
) -> None:
    from lsr.data.vectors.folder import commit
    from lsr.data.vectors.shards import shard_origin
    from lsr.errors import VectorFolderError

    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    files = [out / "shards" / entry.file for entry in VectorFolder.open(out).manifest.shards]
    origins = [shard_origin(file) for file in files]
    files[2].write_bytes(files[1].read_bytes())
    (out / "manifest.json").unlink()
    with pytest.raises(
        VectorFolderError, match=r"000002-\w+.parquet is damaged: it contains other d"
    ):
        commit(out, origins, text=True, job=None, encoder=None, words=None)
    assert not (out / "manifest.json").exists()


def test_observed_documents_that_have_changed(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    """Statistics depend on all documents before, so all from the change on is observed again."""
    command = ["-o", out, "--encoder", "bm25+toy"]
    stop_in_observed(run, corpus, out, 5)
    before = stamps(out)
    toy()
    answer = run("encode", changed, *command)
    assert answer.code == 1
    assert "shard 3 (documents 31 to 40, 'd30' to 'd39') is not what was encoded" in answer.error
    assert (stamps(out), toy()) == (before, [])
    assert run("encode", changed, *command, "--force").code == 0
    assert numbers(toy()) == [*range(30, DOCUMENTS)]
    assert run("encode", changed, "-o", tmp_path / "whole", "--encoder", "bm25+toy").code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_bad_record_on_standard_input_keeps_what_is_sealed(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    toy: Callable[[], list[str]],
) -> None:
    bad = corpus.with_name("bad.jsonl")
    lines = corpus.read_text().splitlines(keepends=True)
    bad.write_text("".join(lines[:25]) + "not json\n")
    for source, code in ((bad, 1), (corpus, 0)):
        answer = run("encode", "-", "-o", out, "--encoder", "toy", stdin=source)
        assert answer.code == code
        if code:
            assert "standard input, line 26 is not valid JSON" in answer.err
            assert f"Finished work is kept in {out}: " in answer.err
            assert numbers(toy()) == [*range(20)]
    assert numbers(toy()) == [*range(20, DOCUMENTS)]


@pytest.mark.parametrize("encoder", ["toy", "bm25"])
@pytest.mark.parametrize("limit", [100, 1500, 2200])  # job, shard, vocabulary or manifest
def test_a_full_disk(
    corpus: Path,
    tmp_path: Path,
    out: Path,
    lsr_command: Callable[..., list[str]],
    encoder: str,
    limit: int,
) -> None:
    """Files may not grow beyond a limit, which fails as a full disk does."""
    encode = lsr_command(6, "encode", corpus, "-o", out, "--encoder", encoder)
    done = subprocess.run(limited(limit, encode), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"Error: {out} cannot be written: File too")
    assert "Traceback" not in done.stderr
    assert out.exists() == (limit == 2200)
    done = subprocess.run(encode, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("all of it was already encoded\n") == (limit == 2200)


def test_unfinished_vectors_make_no_index(
    run: Callable[..., Any], corpus: Path, out: Path, tmp_path: Path
) -> None:
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    unfinished(out, [0, 1])
    answer = run("index", out, "-o", tmp_path / "i")
    assert (answer.code, answer.error) == (
        1,
        f"{out} is unfinished; run the `lsr encode` that was making it again",
    )

"""`lsr encode CORPUS -o VECTORS`: what it makes, and what it makes of earlier work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from lsr.data.corpus import open_corpus
from lsr.vector_folder import VectorFolder
from lsr.vectors import SparseVectors

DOCUMENTS, SHARD = 55, 10
SHARDS = [f"{number:06}.parquet" for number in range(6)]

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsr.shards.SHARD_DOCUMENTS", SHARD)


def record(number: int, what: str = "shelf") -> dict[str, str]:
    title = "T" if number % 3 else ""
    text = f"item {number} of the {('red', 'blue')[number % 2]} {what}"
    return {"id": f"d{number}", "title": title, "text": text}


@pytest.fixture
def corpus(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    """A file of 55 documents, six shards."""
    return write_jsonl(tmp_path / "in" / "c.jsonl", map(record, range(DOCUMENTS)))


@pytest.fixture
def changed(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    """The same but for document 33, in shard 3."""
    records = [record(n, "drawer" if n == 33 else "shelf") for n in range(DOCUMENTS)]
    return write_jsonl(tmp_path / "in" / "changed.jsonl", records)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "v"


def stamps(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below: whether it was touched can be seen from these."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            path.stat().st_ino,
            path.read_bytes(),
        )
        for path in files
    }


def numbers(texts: list[str]) -> list[int]:
    """The documents of encoded texts."""
    found = [re.search(r"item (\d+) ", text) for text in texts]
    assert all(found)
    return [int(match[1]) for match in found if match]


def unfinished(folder: Path, shards: list[int]) -> None:
    """Make a finished folder one that was left with these shards."""
    (folder / "manifest.json").unlink()
    (folder / "vocabulary.arrow").unlink()
    for number, name in enumerate(SHARDS):
        if number not in shards:
            (folder / "shards" / name).unlink()


@pytest.mark.parametrize("encoder", ["toy", "bm25", "bm25+toy"])
def test_the_folder_holds_what_the_encoder_makes(
    run: Callable[..., Any], corpus: Path, out: Path, encoder: str
) -> None:
    answer = run("encode", corpus, "-o", out, "--encoder", encoder)
    assert answer.code == 0
    folder = VectorFolder.open(out)
    chunks = list(folder.chunks())
    assert [len(chunk.ids) for chunk in chunks] == [10] * 5 + [5]
    documents = list(open_corpus(str(corpus)))
    assert [document for chunk in chunks for document in chunk.documents()] == documents
    loaded = lsr.load_encoder(encoder)
    texts = [document.indexed_text for document in documents]
    observed = loaded.observe(texts)
    loaded.settle(lambda: [observed])
    assert SparseVectors.concatenate(c.vectors for c in chunks) == loaded.weigh(observed)
    assert folder.encoder == json.loads(json.dumps(loaded.identity))
    assert folder.words is not None
    words = [folder.words[term] for term in range(len(folder.words))]
    assert words == [loaded.vocabulary[term] for term in range(len(words))]
    assert {k: v.tolist() for k, v in folder.term_columns.items()} == {
        k: v.tolist() for k, v in loaded.term_columns().items()
    }
    assert sorted(path.name for path in out.iterdir()) == [
        "job.json",
        "manifest.json",
        "shards",
        "vocabulary.arrow",
    ]
    assert sorted(path.name for path in (out / "shards").iterdir()) == SHARDS
    assert re.fullmatch(
        rf"{out} is complete: 55 documents, {folder.postings} postings, 0\.\d MB\n", answer.out
    )
    lines = [line.split(" in ")[0] for line in answer.err.splitlines()]
    assert lines[:2] == ["Checking: 55 documents", "Encoding: 55 documents"]
    assert lines[2:] == ([] if encoder == "toy" else ["Weighing: 55 documents"])


@pytest.mark.parametrize("encoder", ["toy", "bm25", "bm25+toy"])
def test_the_same_command_again_finds_nothing_to_do(
    run: Callable[..., Any], corpus: Path, out: Path, encoder: str, toy: Callable[[], list[str]]
) -> None:
    for force in ([], [], ["--force"]):
        before = stamps(out)
        answer = run("encode", corpus, "-o", out, "--encoder", encoder, *force)
        assert answer.code == 0
        if before:
            assert answer.out.endswith(" MB; nothing was left to encode\n")
            assert (stamps(out), toy()) == (before, [])
        toy()


@pytest.mark.parametrize("encoder", ["toy", "bm25", "bm25+toy"])
@pytest.mark.parametrize("options", [[], ["--bits", 16, "--keep-floats", "--order", "none"]])
def test_an_index_of_vectors_is_that_of_the_corpus(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    files_of: Callable[[Path], dict[str, bytes]],
    encoder: str,
    options: list[Any],
) -> None:
    encoding = ["--encoder", encoder]
    assert run("encode", corpus, "-o", tmp_path / "v", *encoding).code == 0
    before = stamps(tmp_path / "v")
    answer = run("index", tmp_path / "v", "-o", tmp_path / "i", *options)
    assert answer.code == 0
    assert answer.err.partition(":")[0] == "Reading"
    other = run("index", corpus, "-o", tmp_path / "j", *encoding, *options)
    assert other.out.replace("/j:", "/i:") == answer.out
    assert files_of(tmp_path / "i") == files_of(tmp_path / "j")
    assert stamps(tmp_path / "v") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "in", "j", "v"]
    assert run("verify", tmp_path / "i").out == f"{tmp_path / 'i'} is sound.\n"
    hits = lsr.open(tmp_path / "i").search("a blue shelf", k=27)
    assert {int(name[1:]) % 2 for name in hits.ids.tolist()} == {1}


def fail_at_sync(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> list[int]:
    """Fail when a file or folder is made durable for the given time; counts the times."""
    fsync, count = os.fsync, [0]

    def failing(descriptor: int) -> None:
        count[0] += 1
        if count[0] == number:
            raise error
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    return count


@pytest.mark.parametrize("encoder", ["toy", "bm25+toy"])
@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)]
)
def test_stopped_at_every_write(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
    toy: Callable[[], list[str]],
    encoder: str,
    error: BaseException,
    code: int,
) -> None:
    command = ["encode", corpus, "--encoder", encoder, "-o"]
    assert run(*command, tmp_path / "whole").code == 0
    whole = files_of(tmp_path / "whole")
    sync = os.fsync
    writes = 0
    while True:
        writes += 1
        count = fail_at_sync(monkeypatch, writes, error)
        toy()
        answer = run(*command, out)
        monkeypatch.setattr(os, "fsync", sync)
        if count[0] < writes:
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
        sentence = f"Finished work is kept in {out}: the same command goes on from there."
        if code == 1:
            assert answer.err.splitlines()[-1].startswith(
                f"Error: {out} cannot be written: No space left on device"
            )
        if sealed:
            assert sentence in answer.err
            left = {path.name for path in out.iterdir()}
            assert left <= {"job.json", "shards", "observed", "vocabulary.arrow", "manifest.json"}
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
    monkeypatch: pytest.MonkeyPatch,
    toy: Callable[[], list[str]],
    signal_number: int,
) -> None:
    import toy_encoder  # beside this file

    encode = toy_encoder.ToyEncoder.encode_documents

    def stopping(self: Any, texts: list[str]) -> SparseVectors:
        if any("item 27 " in text for text in texts):
            os.kill(os.getpid(), signal_number)
        found: SparseVectors = encode(self, texts)
        return found

    monkeypatch.setattr(toy_encoder.ToyEncoder, "encode_documents", stopping)
    answer = run("encode", corpus, "-o", out, "--encoder", "toy")
    assert (answer.code, answer.out) == (130, "")
    assert [line for line in answer.err.splitlines() if line][-2:] == [
        f"Finished work is kept in {out}: the same command goes on from there.",
        "Interrupted.",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["job.json", "shards"]
    assert sorted(path.name for path in (out / "shards").iterdir()) == SHARDS[:2]
    monkeypatch.setattr(toy_encoder.ToyEncoder, "encode_documents", encode)
    toy()
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    assert numbers(toy()) == [*range(20, DOCUMENTS)]


@pytest.mark.parametrize(
    ("encoder", "sealed"),
    [("toy", None), ("toy", [0, 1, 2, 3]), ("toy", [0, 3, 5]), ("bm25+toy", None)],
)
def test_a_changed_corpus(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[[Path], dict[str, bytes]],
    encoder: str,
    sealed: list[int] | None,
) -> None:
    """Finished, stopped, or left with gaps by one of several processes."""
    command = ["-o", out, "--encoder", encoder]
    assert run("encode", corpus, *command).code == 0
    if sealed is not None:
        unfinished(out, sealed)
    before = stamps(out)
    toy()
    answer = run("encode", changed, *command)
    assert (answer.code, answer.error) == (
        1,
        f"{out} holds vectors of other documents: shard 3 (documents 31 to 40, 'd30' to 'd39') is "
        "not what was encoded; add --force to encode again what has changed, or choose another "
        "place",
    )
    assert (stamps(out), toy()) == (before, [])
    assert run("encode", changed, *command, "--force").code == 0
    again = numbers(toy())
    after = stamps(out)
    if encoder == "toy":
        missing = set() if sealed is None else {0, 1, 2, 3, 4, 5} - set(sealed)
        assert {number // SHARD for number in again} == missing | {3}
        kept = [f"shards/{SHARDS[n]}" for n in range(6) if n not in missing | {3}]
        assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    else:
        assert again == [*range(DOCUMENTS)]  # what was observed is gone
    assert run("encode", changed, "-o", tmp_path / "whole", "--encoder", encoder).code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


@pytest.mark.parametrize("count", [DOCUMENTS - 1, DOCUMENTS + 1, 50, 60, 61, 20])
@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_corpus_of_another_length(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    out: Path,
    write_jsonl: Callable[..., Path],
    toy: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
    count: int,
    finished: bool,
    from_stdin: bool,
) -> None:
    command = ["-o", out, "--encoder", "toy"]
    assert run("encode", corpus, *command).code == 0
    if not finished:
        unfinished(out, [0, 1, 2, 3, 4, 5])
    before = stamps(out)
    other = write_jsonl(tmp_path / "in" / "other.jsonl", map(record, range(count)))

    def encode(*options: str) -> Any:
        if not from_stdin:
            return run("encode", other, *command, *options)
        with other.open() as file:
            monkeypatch.setattr("sys.stdin", file)
            return run("encode", "-", *command, *options)

    toy()
    answer = encode()
    assert answer.code == 1
    said = answer.err.splitlines()[-1]
    assert said.startswith(f"Error: {out} holds vectors of other documents: ")
    if count == 50 or count == 20:
        assert f"the corpus ends before shard {count // SHARD}; add --force" in said
    else:
        assert f"shard 5 (documents 51 to {min(count, 60)}, 'd50' to " in said
    if not (from_stdin and not finished and count == 20):
        assert (stamps(out), toy()) == (before, [])
    toy()
    answer = encode("--force")
    assert answer.code == 0
    assert numbers(toy()) == ([] if count in (20, 50) else [*range(50, count)])
    assert run("encode", other, "-o", tmp_path / "whole", "--encoder", "toy").code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


@pytest.mark.parametrize("encoder", ["toy", "bm25"])
@pytest.mark.parametrize("old", [20, 50, DOCUMENTS])
@pytest.mark.parametrize("new", [20, 50, 61])
def test_documents_more_and_fewer(
    run: Callable[..., Any],
    tmp_path: Path,
    out: Path,
    write_jsonl: Callable[..., Path],
    files_of: Callable[[Path], dict[str, bytes]],
    encoder: str,
    old: int,
    new: int,
) -> None:
    """Shards that appear, disappear or are no longer full."""
    before = write_jsonl(tmp_path / "in" / "before.jsonl", map(record, range(old)))
    after = write_jsonl(tmp_path / "in" / "after.jsonl", map(record, range(new)))
    command = ["-o", out, "--encoder", encoder]
    assert run("encode", before, *command).code == 0
    answer = run("encode", after, *command)
    assert answer.code == (0 if old == new else 1)
    if old < new:
        assert f"shard {old // SHARD} (documents {old // SHARD * SHARD + 1} to " in answer.err
        assert "is not what was encoded; add --force" in answer.err
    elif new < old:
        assert f"the corpus ends before shard {new // SHARD}; add --force" in answer.err
    assert run("encode", after, *command, "--force").code == 0
    assert run("encode", after, "-o", tmp_path / "whole", "--encoder", encoder).code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_shorter_corpus_is_found_before_a_gap_is_filled(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, out: Path, toy: Callable[[], list[str]]
) -> None:
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    unfinished(out, [0, 5])
    shorter = tmp_path / "in" / "shorter.jsonl"
    shorter.write_text("".join(corpus.read_text().splitlines(keepends=True)[:40]))
    before = stamps(out)
    toy()
    answer = run("encode", shorter, "-o", out, "--encoder", "toy")
    assert (answer.code, "the corpus ends before shard 5; add --force" in answer.err) == (1, True)
    assert (stamps(out), toy()) == (before, [])


def stop_in_observed(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    shards: int,
    *options: str,
) -> None:
    """Encode with statistics until so many shards are observed; the job is written as well."""
    sync = os.fsync
    written = 0 if options else 2
    fail_at_sync(monkeypatch, written + 2 * shards + 1, KeyboardInterrupt())
    command = ["encode", corpus, "-o", out, "--encoder", "bm25+toy", *options]
    assert run(*command).code == 130
    monkeypatch.setattr(os, "fsync", sync)
    assert sorted(path.name for path in (out / "observed").iterdir()) == SHARDS[:shards]


def test_work_that_was_forced_goes_on_without(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    """Stopped while the shards of the older documents are still there."""
    assert run("encode", corpus, "-o", out, "--encoder", "bm25+toy").code == 0
    stop_in_observed(run, changed, out, monkeypatch, 4, "--force")
    assert not (out / "manifest.json").exists()
    assert sorted(path.name for path in (out / "shards").iterdir()) == SHARDS
    toy()
    assert run("encode", changed, "-o", out, "--encoder", "bm25+toy").code == 0
    assert numbers(toy()) == [*range(40, DOCUMENTS)]
    assert run("encode", changed, "-o", tmp_path / "whole", "--encoder", "bm25+toy").code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_gap_in_what_was_observed(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    out: Path,
    toy: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop_in_observed(run, corpus, out, monkeypatch, 5)
    (out / "observed" / SHARDS[1]).unlink()
    before = stamps(out)
    toy()
    assert "shard 3 (documents" in run("encode", changed, "-o", out, "--encoder", "bm25+toy").err
    assert (stamps(out), toy()) == (before, [])
    assert run("encode", corpus, "-o", out, "--encoder", "bm25+toy").code == 0
    assert numbers(toy()) == [*range(10, 20), *range(50, DOCUMENTS)]


def test_standard_input_that_ends_before_what_was_observed(
    run: Callable[..., Any], corpus: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_in_observed(run, corpus, out, monkeypatch, 5)
    shorter = corpus.with_name("shorter.jsonl")
    shorter.write_text("".join(corpus.read_text().splitlines(keepends=True)[:30]))
    with shorter.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        answer = run("encode", "-", "-o", out, "--encoder", "bm25+toy")
    assert "the corpus ends before shard 3; add --force" in answer.err
    assert not (out / "manifest.json").exists()


def test_a_shard_sealed_while_its_lock_was_free(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process seals shard 3 between the first look at it and the lock."""
    from lsr.locks import Lock

    assert run("encode", corpus, "-o", tmp_path / "whole", "--encoder", "toy").code == 0
    take = Lock.take

    def sealing(self: Lock, *, shared: bool = False) -> bool:
        if self._path.name == "3":
            shutil.copy(tmp_path / "whole" / "shards" / SHARDS[3], out / "shards")
        return take(self, shared=shared)

    monkeypatch.setattr(Lock, "take", sealing)
    toy()
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    assert numbers(toy()) == [*range(30), *range(40, DOCUMENTS)]


def test_a_folder_is_finished_with_its_own_documents_only(
    run: Callable[..., Any], corpus: Path, out: Path
) -> None:
    from lsr.errors import VectorFolderError
    from lsr.vector_folder import commit

    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    digests = [shard.digest for shard in VectorFolder.open(out).manifest.shards]
    digests[2] = digests[1]
    (out / "manifest.json").unlink()
    with pytest.raises(VectorFolderError, match=r"000002.parquet is damaged: it is of other doc"):
        commit(out, digests, text=True, job=None, encoder=None, words=None)
    assert not (out / "manifest.json").exists()


def test_from_python(out: Path, toy: Callable[[], list[str]]) -> None:
    from lsr.encoding import encode
    from lsr.errors import VectorFolderError
    from lsr.progress import Silent

    def encoded(path: Path, **options: Any) -> tuple[VectorFolder, int]:
        encoder = lsr.load_encoder("toy")
        records = [record(number) for number in range(12)]
        return encode(path, records, encoder, progress=Silent, alone=False, **options)

    folder, count = encoded(out)
    assert (folder.documents, folder.path, count) == (12, out, 12)
    assert encoded(out)[1] == 0
    foreign = out.with_name("foreign")
    foreign.mkdir()
    (foreign / "letter").write_text("dear")
    with pytest.raises(VectorFolderError, match="is not a folder of encoded vectors"):
        encoded(foreign, force=True)
    assert [path.name for path in foreign.iterdir()] == ["letter"]


def test_observed_documents_that_have_changed(
    run: Callable[..., Any],
    corpus: Path,
    changed: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    """Statistics depend on all documents before, so all from the change on is observed again."""
    command = ["-o", out, "--encoder", "bm25+toy"]
    stop_in_observed(run, corpus, out, monkeypatch, 5)
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


OTHER = {
    "model": (["--encoder", "toy:other"], '"toy", and this command has "toy:other"'),
    "bm25": (["--encoder", "bm25"], '"toy", and this command has "bm25"'),
    "setting": (
        ["--encoder", "toy", "--max-length", 3],
        '"toy" with max_length 256, and this command has 3',
    ),
}


@pytest.mark.parametrize("case", OTHER)
@pytest.mark.parametrize("finished", [True, False])
def test_the_work_of_another_encoder(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[[Path], dict[str, bytes]],
    case: str,
    finished: bool,
) -> None:
    options, message = OTHER[case]
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    if not finished:
        unfinished(out, [0, 1])
    before = stamps(out)
    toy()
    answer = run("encode", corpus, "-o", out, *options)
    assert (answer.code, answer.error) == (
        1,
        f"{out} holds vectors of the encoder {message}; run the command as it was, choose another "
        "place, or add --force to start over",
    )
    assert (stamps(out), toy()) == (before, [])
    assert run("encode", corpus, "-o", out, *options, "--force").code == 0
    assert len(toy()) == (0 if case == "bm25" else DOCUMENTS)
    assert run("encode", corpus, "-o", tmp_path / "whole", *options).code == 0
    assert files_of(out) == files_of(tmp_path / "whole")


def test_imported_vectors_are_not_encoded_over(
    run: Callable[..., Any], corpus: Path, out: Path, toy: Callable[[], list[str]]
) -> None:
    from lsr.vector_folder import Chunk, write_vectors

    write_vectors(out, [Chunk(["a"], None, None, SparseVectors([0, 0], [], []))], words=None)
    before = stamps(out)
    answer = run("encode", corpus, "-o", out, "--encoder", "toy")
    assert answer.code == 1
    assert f"{out} holds vectors that were not encoded here; run the command" in answer.error
    assert (stamps(out), toy()) == (before, [])
    assert run("encode", corpus, "-o", out, "--encoder", "toy", "--force").code == 0
    assert VectorFolder.open(out).documents == DOCUMENTS


def test_places_that_are_something_else(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, files_of: Callable[..., Any]
) -> None:
    mine = tmp_path / "mine"
    (mine / "shards").mkdir(parents=True)
    (mine / "shards" / SHARDS[0]).write_text("dear")
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"format": "else"}')
    (other / "job.json").write_text("[]")
    index = lsr.Index.build(tmp_path / "index", [record(1)], "bm25").path
    for place in (mine, other, index, corpus, corpus.parent):
        for force in ([], ["--force"]):
            before = stamps(tmp_path)
            answer = run("encode", corpus, "-o", place, "--encoder", "toy", *force)
            assert (answer.code, answer.error) == (
                1,
                f"{place} exists and is not a folder of encoded vectors; choose another place",
            )
            assert stamps(tmp_path) == before
    # Nor is a folder of vectors replaced by an index.
    assert run("encode", corpus, "-o", tmp_path / "v", "--encoder", "toy").code == 0
    for source in (corpus, tmp_path / "v"):
        answer = run("index", source, "-o", tmp_path / "v", "--force")
        assert answer.error == f"{tmp_path / 'v'} exists and is not an index; choose another place"
    below = corpus / "v"
    answer = run("encode", corpus, "-o", below, "--encoder", "toy")
    assert answer.code == 1
    assert f"Error: {below} cannot be written: Not a directory" in answer.err


def test_files_of_others_in_a_folder_of_vectors_stay(
    run: Callable[..., Any], corpus: Path, out: Path
) -> None:
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    (out / "README").write_text("dear")
    assert run("encode", corpus, "-o", out, "--encoder", "bm25", "--force").code == 0
    assert (out / "README").read_text() == "dear"


def test_an_empty_folder_is_a_place(
    run: Callable[..., Any], corpus: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir()
    bad = corpus.parent / "bad.jsonl"
    bad.write_text("not json\n")
    with bad.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert run("encode", "-", "-o", out, "--encoder", "toy").code == 1
    assert list(out.iterdir()) == []
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0


def test_folders_on_the_way_are_made(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run("encode", "in/c.jsonl", "-o", "deep/down/v", "--encoder", "toy")
    assert (answer.code, answer.out[:24]) == (0, "deep/down/v is complete:")
    answer = run("encode", "in/c.jsonl", "-o", ".", "--encoder", "toy")
    assert answer.error.startswith(". exists and is not a folder of encoded vectors")


@pytest.mark.parametrize("encoder", ["toy", "bm25"])
def test_corpora_that_cannot_be_encoded(
    run: Callable[..., Any],
    tmp_path: Path,
    out: Path,
    write_jsonl: Callable[..., Path],
    encoder: str,
) -> None:
    folder = tmp_path / "in"
    late = write_jsonl(folder / "late.jsonl", [*map(record, range(25)), {"id": "x"}])
    twice = write_jsonl(folder / "twice.jsonl", [*map(record, range(25)), record(3)])
    (folder / "empty.jsonl").write_text("")
    for source, message in {
        folder / "none.jsonl": "none.jsonl' does not exist; give a BEIR folder",
        folder / "empty.jsonl": "empty.jsonl holds no documents",
        late: "late.jsonl, line 26 has no text",
        twice: "twice.jsonl, line 26: the id 'd3' was there before",
    }.items():
        answer = run("encode", source, "-o", out, "--encoder", encoder)
        assert (answer.code, answer.out) == (1, "")
        assert message in answer.error
        assert list(out.parent.iterdir()) == []


def test_a_bad_record_on_standard_input_keeps_what_is_sealed(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    toy: Callable[[], list[str]],
) -> None:
    bad = corpus.with_name("bad.jsonl")
    lines = corpus.read_text().splitlines(keepends=True)
    bad.write_text("".join(lines[:25]) + "not json\n")
    for source, code in ((bad, 1), (corpus, 0)):
        with source.open() as file:
            monkeypatch.setattr("sys.stdin", file)
            answer = run("encode", "-", "-o", out, "--encoder", "toy")
        assert answer.code == code
        if code:
            assert "standard input, line 26 is not valid JSON" in answer.err
            assert f"Finished work is kept in {out}: " in answer.err
            assert numbers(toy()) == [*range(20)]
    assert numbers(toy()) == [*range(20, DOCUMENTS)]


@pytest.mark.parametrize("encoder", ["toy", "bm25", "bm25+toy"])
def test_one_document(
    run: Callable[..., Any],
    tmp_path: Path,
    out: Path,
    write_jsonl: Callable[..., Path],
    encoder: str,
) -> None:
    path = write_jsonl(tmp_path / "in" / "one.jsonl", [{"id": "👩‍🚀", "text": "Ω 😀 moon"}])
    assert run("encode", path, "-o", out, "--encoder", encoder).code == 0
    (chunk,) = VectorFolder.open(out).chunks()
    assert (chunk.ids, chunk.titles, chunk.texts) == (["👩‍🚀"], [""], ["Ω 😀 moon"])
    assert run("index", out, "-o", tmp_path / "i").code == 0
    assert lsr.open(tmp_path / "i").search("moon").ids.tolist() == ["👩‍🚀"]


def test_bad_records_may_be_skipped(
    run: Callable[..., Any], tmp_path: Path, out: Path, write_jsonl: Callable[..., Path]
) -> None:
    records = [record(0), {"id": "b"}, 7, record(1)]
    path = write_jsonl(tmp_path / "in" / "c.jsonl", records)
    for _ in range(2):
        answer = run("encode", path, "-o", out, "--encoder", "toy", "--on-error", "skip")
        assert (answer.code, VectorFolder.open(out).documents) == (0, 2)
        assert "2 bad records were skipped." in answer.err


def test_shards_that_were_cut_are_encoded_again(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[..., Any],
) -> None:
    command = ["encode", corpus, "-o", out, "--encoder", "toy"]
    assert run(*command).code == 0
    whole = files_of(out)
    for finished in (True, False):
        if not finished:
            unfinished(out, [0, 1, 2, 3, 4, 5])
        path = out / "shards" / SHARDS[1]
        path.write_bytes(path.read_bytes()[:-20])
        (out / "shards" / SHARDS[2]).write_bytes(b"")
        (out / "shards" / SHARDS[4]).unlink()
        (out / "shards" / f".{SHARDS[4]}.77.tmp").write_bytes(b"PAR1")
        toy()
        assert run(*command).code == 0
        assert numbers(toy()) == [*range(10, 30), *range(40, 50)]
        assert files_of(out) == whole


def test_a_shard_with_a_damaged_body_is_named(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    tmp_path: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[..., Any],
) -> None:
    command = ["encode", corpus, "-o", out, "--encoder", "toy"]
    assert run(*command).code == 0
    whole = files_of(out)
    path = out / "shards" / SHARDS[2]
    good = path.read_bytes()
    path.write_bytes(good[:300] + bytes([good[300] ^ 1]) + good[301:])
    answer = run("index", out, "-o", tmp_path / "i")
    assert answer.code == 1
    assert f"Error: {path} is damaged: it does not match its checksum; remove it" in answer.err
    assert not (tmp_path / "i").exists()
    assert not (tmp_path / "i.partial").exists()
    (out / "manifest.json").unlink()
    answer = run(*command)
    assert answer.code == 1
    assert f"Error: {path} is damaged: " in answer.err
    assert not (out / "manifest.json").exists()
    path.unlink()
    toy()
    assert run(*command).code == 0
    assert numbers(toy()) == [*range(20, 30)]
    assert files_of(out) == whole


@pytest.mark.parametrize("encoder", ["toy", "bm25+toy"])
def test_what_else_may_be_lost(
    run: Callable[..., Any],
    corpus: Path,
    out: Path,
    toy: Callable[[], list[str]],
    files_of: Callable[..., Any],
    encoder: str,
) -> None:
    command = ["encode", corpus, "-o", out, "--encoder", encoder]
    assert run(*command).code == 0
    whole = files_of(out)
    toy()
    for name in ("manifest.json", "vocabulary.arrow"):
        path = out / name
        for damage in (lambda path: path.write_bytes(path.read_bytes()[:-9]), Path.unlink):
            damage(path)
            assert run(*command).code == 0
            # What is observed is not kept, and there is no vocabulary without it.
            assert len(toy()) == (0 if encoder == "toy" else DOCUMENTS)
            assert files_of(out) == whole
    (out / "job.json").unlink()
    answer = run(*command)
    assert "holds vectors that were not encoded here" in answer.error


def test_a_finished_folder_with_remains(
    run: Callable[..., Any], corpus: Path, out: Path, files_of: Callable[..., Any]
) -> None:
    """Killed after the manifest was written, before the rest was tidied."""
    command = ["encode", corpus, "-o", out, "--encoder", "bm25"]
    assert run(*command).code == 0
    whole = files_of(out)
    shutil.copytree(out / "shards", out / "observed")
    (out / "locks").mkdir()
    for name in ("lock", "locks/3", ".manifest.json.7.tmp", ".job.json.7.tmp"):
        (out / name).write_bytes(b"")
    assert run(*command).out.endswith("nothing was left to encode\n")
    assert files_of(out) == whole
    assert not (out / "locks").exists()


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
    command = lsr_command(6, "encode", corpus, "-o", out, "--encoder", encoder)
    command[command.index("-c") + 1] = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2);"
    ) + command[command.index("-c") + 1]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"Error: {out} cannot be written: File too")
    assert "Traceback" not in done.stderr
    assert out.exists() == (limit == 2200)
    again = lsr_command(6, "encode", corpus, "-o", out, "--encoder", encoder)
    done = subprocess.run(again, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("nothing was left to encode\n") == (limit == 2200)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["c.jsonl"], "Say where the vectors of CORPUS go: -o VECTORS."),
        (["c.jsonl", "-o", "v", "--text", "a"], "Give a CORPUS or a --text, not both."),
        (["c.jsonl", "-o", "v", "--show"], "--show is for a --text; leave it out."),
        (["c.jsonl", "-o", "v", "--query"], "--query is for a --text; leave it out."),
        (["c.jsonl", "-o", "v", "--index", "i"], "--index is for a --text; leave it out."),
        (["c.jsonl", "-o", "v", "--top", "3"], "--top is for a --text; leave it out."),
        (["c.jsonl", "-o", "v", "--json"], "--json is for a --text; leave it out."),
        (["--text", "a", "-o", "v"], "-o is for a CORPUS; leave it out."),
        (["--text", "a", "--force"], "--force is for a CORPUS; leave it out."),
        (["--text", "a", "--on-error", "stop"], "--on-error is for a CORPUS; leave it out."),
        (["--text", "a", "--max-memory", "2GB"], "--max-memory is for a CORPUS; leave it out."),
        (["--text", "a", "--index", "i", "--precision", "bf16"], "leave out --precision."),
        (["c.jsonl", "-o", "v", "--precision", "fp8"], "Invalid value for '--precision'"),
        (["c.jsonl", "-o", "v", "--max-memory", "much"], "Invalid value for '--max-memory'"),
        (["-o", "v"], "Give a CORPUS and -o VECTORS, or a text to show"),
    ],
)
def test_bad_usage(run: Callable[..., Any], arguments: list[str], message: str) -> None:
    answer = run("encode", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in " ".join(answer.err.split())


OF_ENCODING = {
    "encoder": "toy",
    "weights": "a=1",
    "max-length": 9,
    "precision": "bf16",
    "on-error": "skip",
    "document-terms": 9,
    "query-terms": 9,
    "prune-ratio": 0.1,
    "device": "cpu",
    "batch-size": 9,
}


@pytest.mark.parametrize("option", OF_ENCODING)
def test_vectors_are_encoded_already(
    run: Callable[..., Any], corpus: Path, out: Path, tmp_path: Path, option: str
) -> None:
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    answer = run("index", out, "-o", tmp_path / "i", f"--{option}", OF_ENCODING[option])
    assert answer.code == 2
    assert f"holds vectors, which are encoded already; leave out --{option}." in " ".join(
        answer.err.split()
    )


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


def test_settings_reach_the_encoder(
    run: Callable[..., Any], corpus: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_encoder  # beside this file

    given = []
    load = toy_encoder.load
    monkeypatch.setattr(
        toy_encoder, "load", lambda name, settings: given.append(settings) or load(name, settings)
    )
    options = ["--threads", 3, "--precision", "bf16", "--max-memory", "2GB", "--max-length", 7]
    assert run("encode", corpus, "-o", out, "--encoder", "toy", *options).code == 0
    index = ["index", corpus, "-o", out.with_name("i"), "--encoder", "toy"]
    assert run(*index, "--threads", 2, "--precision", "int8", "--max-memory", "1GB").code == 0
    assert run("encode", "--text", "a", "--encoder", "toy", "--precision", "int8").code == 0
    seen = [(s.threads, s.precision, s.max_memory, s.max_length) for s in given]
    assert seen == [
        (3, "bf16", 2 * 10**9, 7),
        (2, "int8", None, 256),
        (None, "int8", None, 256),
    ]

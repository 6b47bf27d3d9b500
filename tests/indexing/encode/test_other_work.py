"""`lsr encode` where there is work on another corpus or with another encoder: it is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsr.data.vectors.folder import VectorFolder
from lsr.vectors import SparseVectors
from support.encode_job import DOCUMENTS, SHARD, SHARDS, numbers, record, stamps, unfinished

pytestmark = pytest.mark.usefixtures("toy")

OTHER = {
    "model": (["--encoder", "toy:other"], '"toy", and this command has "toy:other"'),
    "bm25": (["--encoder", "bm25"], '"toy", and this command has "bm25"'),
    "setting": (
        ["--encoder", "toy", "--max-length", 3],
        '"toy" with max_length 256, and this command has 3',
    ),
}


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
        kept = {n for n in SHARDS if n not in missing | {3}}
        of_kept = [
            path for path in before if path.startswith("shards/") and int(path[7:13]) in kept
        ]
        assert len(of_kept) == len(kept)
        assert {path: after[path] for path in of_kept} == {path: before[path] for path in of_kept}
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
        return run("encode", "-", *command, *options, stdin=other)

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
    from lsr.data.corpus import Chunk
    from lsr.data.vectors.folder import write_vectors

    write_vectors(out, [Chunk(["a"], None, None, SparseVectors([0, 0], [], []))], words=None)
    before = stamps(out)
    answer = run("encode", corpus, "-o", out, "--encoder", "toy")
    assert answer.code == 1
    assert f"{out} holds vectors that were not encoded here; run the command" in answer.error
    assert (stamps(out), toy()) == (before, [])
    assert run("encode", corpus, "-o", out, "--encoder", "toy", "--force").code == 0
    assert VectorFolder.open(out).documents == DOCUMENTS

"""`lsr encode CORPUS -o VECTORS`: what it makes, where, and with which settings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsr
from lsr.data.corpus import open_corpus
from lsr.data.vectors.folder import VectorFolder
from lsr.vectors import SparseVectors
from support.editions import shards_in, vocabulary
from support.encode_job import SHARDS, record, stamps
from support.toy_encoder import LOADED

pytestmark = pytest.mark.usefixtures("toy")


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
    observed = loaded.collect(texts)
    loaded.finalize(lambda: [observed])
    assert SparseVectors.concatenate(c.vectors for c in chunks) == loaded.apply_statistics(observed)
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
        vocabulary(out).name,
    ]
    assert shards_in(out / "shards") == [*SHARDS]
    assert re.fullmatch(
        rf"{out} is complete: 55 documents, {folder.postings} postings, 0\.\d MB\n", answer.out
    )
    lines = [line.split(" in ")[0] for line in answer.err.splitlines()]
    assert lines[:2] == ["Checking: 55 documents", "Encoding: 55 documents"]
    assert lines[2:] == ([] if encoder == "toy" else ["Weighting: 55 documents"])


@pytest.mark.parametrize("encoder", ["toy", "bm25", "bm25+toy"])
def test_the_same_command_again_finds_nothing_to_do(
    run: Callable[..., Any], corpus: Path, out: Path, encoder: str, toy: Callable[[], list[str]]
) -> None:
    for force in ([], [], ["--force"]):
        before = stamps(out)
        answer = run("encode", corpus, "-o", out, "--encoder", encoder, *force)
        assert answer.code == 0
        if before:
            assert answer.out.endswith(" MB; all of it was already encoded\n")
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


def test_from_python(out: Path, toy: Callable[[], list[str]]) -> None:
    from lsr.errors import VectorFolderError
    from lsr.indexing.encode import encode
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


def test_files_of_others_in_a_folder_of_vectors_stay(
    run: Callable[..., Any], corpus: Path, out: Path
) -> None:
    assert run("encode", corpus, "-o", out, "--encoder", "toy").code == 0
    (out / "README").write_text("dear")
    assert run("encode", corpus, "-o", out, "--encoder", "bm25", "--force").code == 0
    assert (out / "README").read_text() == "dear"


def test_an_empty_folder_is_a_place(run: Callable[..., Any], corpus: Path, out: Path) -> None:
    out.mkdir()
    bad = corpus.parent / "bad.jsonl"
    bad.write_text("not json\n")
    assert run("encode", "-", "-o", out, "--encoder", "toy", stdin=bad).code == 1
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


def test_settings_reach_the_encoder(
    run: Callable[..., Any], corpus: Path, out: Path, toy: Callable[[], list[str]]
) -> None:
    LOADED.clear()
    options = ["--threads", 3, "--precision", "bf16", "--max-memory", "2GB", "--max-length", 7]
    assert run("encode", corpus, "-o", out, "--encoder", "toy", *options).code == 0
    index = ["index", corpus, "-o", out.with_name("i"), "--encoder", "toy"]
    assert run(*index, "--threads", 2, "--precision", "int8", "--max-memory", "1GB").code == 0
    assert run("encode", "--text", "a", "--encoder", "toy", "--precision", "int8").code == 0
    seen = [(s.threads, s.precision, s.max_memory, s.max_length) for s in LOADED]
    assert seen == [
        (3, "bf16", 2 * 10**9, 7),
        (2, "int8", None, 256),
        (None, "int8", None, 256),
    ]

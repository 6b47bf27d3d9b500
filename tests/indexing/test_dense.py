"""Dense vectors beside an index: made, stopped and resumed, refused, damaged and missed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.data.corpus import Chunk
from lsr.data.vectors.folder import write_vectors
from lsr.encoders.dense.encoder import DenseEncoder, load_dense
from lsr.errors import CorpusError, DenseCorrupt, EncoderMismatch, IndexFormatError, LsrError
from lsr.index.dense import no_dense
from lsr.index.dense.faiss_files import KINDS
from lsr.index.dense.side import DenseSide
from lsr.indexing.dense import add_dense
from support.damage import cut, flip
from support.editions import only, shard
from support.system import before_call, killed
from support.tiny_dense import write_tiny_dense

SHARD = 10


@pytest.fixture(autouse=True)
def small_shards(shards_of: Callable[[int], None]) -> None:
    shards_of(SHARD)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dense(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def with_dense(
    tmp_path_factory: pytest.TempPathFactory,
    bm25_index: lsr.Index,
    documents: list[dict[str, str]],
    model: Path,
) -> lsr.Index:
    """The index of the documents with a dense side, sq8; not to be changed."""
    path = tmp_path_factory.mktemp("dense") / "index"
    shutil.copytree(bm25_index.path, path)
    add_dense(path, documents, str(model), "sq8")
    return lsr.Index.open(path)


@pytest.fixture
def encoded(watch: Callable[..., list[str]]) -> list[str]:
    """The texts that a dense encoder encodes, as they come."""
    return watch(DenseEncoder, "encode_documents")


def texts_of(documents: list[dict[str, str]]) -> list[str]:
    return [f"{d['title']} {d['text']}" if d["title"] else d["text"] for d in documents]


def test_a_search_of_the_dense_side(
    with_dense: lsr.Index, documents: list[dict[str, str]], model: Path
) -> None:
    side = with_dense.dense
    assert side is not None
    assert (side.documents, side.dimensions, side.kind) == (len(documents), 8, "sq8")
    encoder = load_dense(str(model))
    assert side.encoder == encoder.identity
    vectors = encoder.encode_documents(texts_of(documents))
    assert np.array_equal(side.vectors(range(len(documents))), vectors)
    query = with_dense.dense_encoder.encode_queries(["glass bees"])
    exact = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    ((positions, scores),) = side.search(query, 5)
    best = np.lexsort((np.arange(exact.size), -exact))[:5]
    assert positions.tolist() == best.tolist()
    assert scores.tolist() == exact[best].tolist()


def test_positions_are_those_that_the_index_breaks_ties_by(with_dense: lsr.Index) -> None:
    """Documents are stored in another order than given, and both sides number them as given."""
    assert with_dense.dense is not None
    (segment,) = with_dense.reader.segments
    assert segment.positions.tolist() != sorted(segment.positions.tolist())
    encoder = with_dense.dense_encoder
    for row in (0, 50, 143):
        found = with_dense.get(segment.ids[row])
        text = f"{found.title} {found.text}" if found.title else found.text
        position = int(segment.positions[row])
        expected = encoder.encode_documents([text])
        assert np.array_equal(with_dense.dense.vectors([position]), expected)


def test_an_index_without_one(bm25_index: lsr.Index) -> None:
    assert bm25_index.dense is None
    for ask in (lambda: bm25_index.dense_encoder, lambda: DenseSide.open(bm25_index.path)):
        with pytest.raises(IndexFormatError, match=r"has no dense side; make one with `lsr index"):
            ask()


# The command.


def test_the_command_with_both_sides(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path, bm25_index: lsr.Index
) -> None:
    out = tmp_path / "i"
    answer = run("index", corpus, "-o", out, "--encoder", "bm25", "--dense", model)
    assert answer.code == 0
    assert answer.out.splitlines()[1] == f"{out}: 144 dense vectors of 8 dimensions, flat, 0.0 MB"
    assert "Encoding: 144 documents" in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "i"]
    index = lsr.Index.open(out)
    assert index.dense is not None
    expected = [hit.id for hit in bm25_index.search("copper kettles")]
    assert [hit.id for hit in index.search("copper kettles")] == expected
    assert run("verify", out).code == 0
    facts = run("info", out, "--json").json["dense"]
    assert (facts["documents"], facts["dimensions"], facts["kind"]) == (144, 8, "flat")
    assert set(facts["sizes"]) == {"vectors.arrow"}
    assert "144 of 8 dimensions" in run("info", out).out


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_on_an_index_that_is_there(
    run: Callable[..., Any],
    corpus: Path,
    model: Path,
    copy: Callable[..., Path],
    bm25_index: lsr.Index,
    files_of: Callable[..., Any],
    kind: str,
) -> None:
    out = copy(bm25_index)
    before = files_of(out)
    answer = run("index", corpus, "-o", out, "--dense", model, "--faiss", kind)
    if kind == "pq":
        assert answer.code == 1
        assert "pq needs at least 256 documents" in answer.err.splitlines()[-1]
        assert files_of(out) == before
        return
    assert answer.code == 0
    assert "is an existing index: only its dense vectors are added" in answer.err
    after = files_of(out)
    assert {name: after[name] for name in before} == before
    made = ["manifest.json", "vectors.*.arrow", *([] if kind == "flat" else ["vectors.*.faiss"])]
    assert set(after) - set(before) == {f"dense/{only(out / 'dense', name).name}" for name in made}
    again = run("index", corpus, "-o", out, "--dense", model)
    assert again.code == 1
    assert "an index with dense vectors; add --force" in again.err
    assert files_of(out) == after
    assert (
        run("index", corpus, "-o", out, "--encoder", "bm25", "--dense", model, "--force").code == 0
    )
    assert {name for name in files_of(out) if name.startswith("dense")} == {
        "dense/manifest.json",
        f"dense/{only(out / 'dense', '*.arrow').name}",
    }


def test_the_command_from_vectors(
    run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path, files_of: Callable[..., Any]
) -> None:
    vectors, one, other = (tmp_path / name for name in ("v", "one", "other"))
    assert run("encode", corpus, "-o", vectors, "--encoder", "bm25").code == 0
    assert run("index", vectors, "-o", one, "--dense", model).code == 0
    command = ("--encoder", "bm25", "--dense", model)
    assert run("index", corpus, "-o", other, *command).code == 0
    assert files_of(one) == files_of(other)
    bare = Chunk(["a"], None, None, lsr.SparseVectors.from_rows([([1], [1.0])]))
    write_vectors(tmp_path / "bare", [bare], words=None)
    answer = run("index", tmp_path / "bare", "-o", tmp_path / "i", "--dense", model)
    assert (answer.code, (tmp_path / "i").exists()) == (1, False)
    assert "has no texts to make dense vectors of" in answer.error


def test_bad_usage(run: Callable[..., Any], corpus: Path, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "i"
    for arguments, said in (
        (["--faiss", "hnsw"], "add --dense"),
        (["--dense", model, "--faiss", "tree"], "'tree' is not one of"),
    ):
        answer = run("index", corpus, "-o", out, *arguments)
        assert answer.code == 2
        assert said in answer.err
    answer = run("index", "-", "-o", out, "--dense", model)
    assert answer.code == 2
    assert "standard input can be read only once" in answer.err
    for name, said in (("nothing", "no dense encoder 'nothing'"), (tmp_path, "no modules.json")):
        answer = run("index", corpus, "-o", out, "--dense", name)
        assert answer.code == 1
        assert said in answer.error
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]


def test_the_choices_are_those_there_are() -> None:
    from lsr.cli.commands.index import index

    (option,) = (option for option in index.params if option.name == "faiss")
    assert tuple(option.type.choices) == KINDS  # type: ignore[attr-defined]


# Interruption.


def shards(partial: Path) -> list[int]:
    """The sealed shards of an unfinished dense side, and nothing else is there."""
    assert {path.name for path in partial.iterdir()} <= {"lock", "shards"}
    return sorted(int(path.name[:6]) for path in (partial / "shards").glob("*.parquet"))


@pytest.fixture
def undisturbed(with_dense: lsr.Index, files_of: Callable[..., Any]) -> dict[str, bytes]:
    found: dict[str, bytes] = files_of(with_dense.path)
    return found


def test_a_killed_run_goes_on_from_its_sealed_shards(
    run: Callable[..., Any],
    corpus: Path,
    copy: Callable[..., Path],
    bm25_index: lsr.Index,
    model: Path,
    lsr_command: Callable[..., list[str]],
    encoded: list[str],
    undisturbed: dict[str, bytes],
    files_of: Callable[..., Any],
    documents: list[dict[str, str]],
) -> None:
    out = copy(bm25_index)
    command = ["index", corpus, "-o", out, "--dense", model, "--faiss", "sq8"]
    partial = out / "dense" / "partial"
    killed(lsr_command(SHARD, *command), lambda: len(list(partial.glob("shards/0*.parquet"))) >= 2)
    sealed = shards(partial)
    assert sealed == [*range(len(sealed))]
    index = lsr.Index.open(out)  # half-built: search is unharmed
    assert index.dense is None
    assert len(index.search("copper")) > 0
    assert "is unfinished; run the `lsr index" in str(no_dense(out))
    # Half a shard and half a folder as a crash leaves them.
    (partial / "shards" / f".{len(sealed):06}.parquet.77.tmp").write_bytes(b"PAR1")
    (partial / "new").mkdir(exist_ok=True)
    (partial / "new" / "vectors.arrow").write_bytes(b"ARROW1")
    answer = run(*command)
    assert answer.code == 0
    assert encoded == texts_of(documents)[SHARD * len(sealed) :]
    assert files_of(out) == undisturbed
    assert not partial.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_where_its_work_is(
    run: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    model: Path,
    documents: list[dict[str, str]],
    watch: Callable[..., list[str]],
    number: int,
    undisturbed: dict[str, bytes],
    files_of: Callable[..., Any],
) -> None:
    out = tmp_path / "i"
    at = documents[30]["text"]
    encoded = watch(DenseEncoder, "encode_documents", at, lambda: os.kill(os.getpid(), number))
    command = ["index", corpus, "-o", out, "--encoder", "bm25", "--keep-floats"]
    command += ["--dense", model, "--faiss", "sq8"]
    answer = run(*command)
    partial = out / "dense" / "partial"
    assert answer.code == 130
    assert [line for line in answer.err.splitlines() if line][-2:] == [
        f"Finished work is kept in {partial}: run the same command again to resume.",
        "Interrupted.",
    ]
    assert len(shards(partial)) == 3
    encoded.clear()
    assert run(*command).code == 0
    assert len(encoded) == 144 - 30
    assert files_of(out) == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "i"]


def stop_before_publishing(out: Path, documents: list[dict[str, str]], model: Path) -> None:
    """Add a dense side until all is encoded."""

    def stop(_: Any, target: Any) -> None:
        if Path(target).parent == out / "dense":
            raise KeyboardInterrupt

    with before_call("os.replace", stop), pytest.raises(KeyboardInterrupt):
        add_dense(out, documents, str(model))


def test_shards_of_another_encoder_are_made_again(
    copy: Callable[..., Path],
    bm25_index: lsr.Index,
    documents: list[dict[str, str]],
    model: Path,
    tmp_path: Path,
    encoded: list[str],
) -> None:
    out = copy(bm25_index)
    stop_before_publishing(out, documents, model)
    assert len(shards(out / "dense" / "partial")) == 15
    encoded.clear()
    other = write_tiny_dense(tmp_path / "other", seed=1)
    add_dense(out, documents, str(other))
    assert len(encoded) == 144
    side = DenseSide.open(out)
    expected = load_dense(str(other)).encode_documents(texts_of(documents))
    assert np.array_equal(side.vectors(range(144)), expected)


def test_a_damaged_shard_is_named(
    copy: Callable[..., Path],
    bm25_index: lsr.Index,
    documents: list[dict[str, str]],
    model: Path,
) -> None:
    out = copy(bm25_index)
    stop_before_publishing(out, documents, model)
    file = shard(out / "dense" / "partial" / "shards", 3)
    flip(file, 100)
    with pytest.raises(LsrError, match=r"000003-\w+.parquet is damaged .*; remove it and run"):
        add_dense(out, documents, str(model))
    assert lsr.Index.open(out).dense is None
    file.unlink()
    add_dense(out, documents, str(model))
    assert DenseSide.open(out).documents == 144


def test_a_replacement_that_was_stopped_half_way(
    run: Callable[..., Any],
    copy: Callable[..., Path],
    with_dense: lsr.Index,
    documents: list[dict[str, str]],
    model: Path,
) -> None:
    out = copy(with_dense)
    with pytest.raises(LsrError, match=r"already has a dense side; add --force"):
        add_dense(out, documents, str(model))
    partial = out / "dense" / "partial"
    assert not partial.exists()
    # Killed when the files were there and the manifest was not.
    (out / "dense" / f"vectors.{'0' * 16}.arrow").write_bytes(b"ARROW1")
    assert DenseSide.open(out).kind == "sq8"
    assert run("verify", out).code == 0
    add_dense(out, documents, str(model), "flat", force=True)
    assert DenseSide.open(out).kind == "flat"
    assert len(list((out / "dense").iterdir())) == 2
    partial.mkdir()
    (partial / "notes.txt").write_text("mine")
    with pytest.raises(LsrError, match=r"notes.txt there is not the work of an earlier run"):
        add_dense(out, documents, str(model), force=True)


def test_two_processes_at_one_index(
    copy: Callable[..., Path], bm25_index: lsr.Index, documents: list[dict[str, str]], model: Path
) -> None:
    from lsr.storage.locks import Lock

    out = copy(bm25_index)
    partial = out / "dense" / "partial"
    partial.mkdir(parents=True)
    lock = Lock(partial / "lock")
    assert lock.take()
    with pytest.raises(LsrError, match="being written by another process"):
        add_dense(out, documents, str(model))
    lock.release()
    add_dense(out, documents, str(model))


# Other documents.


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[:-1], r"has 144 documents, and the collection has 143"),
        (lambda d: [*d, {"id": "x", "text": "more"}], r"the collection has 145"),
        (lambda d: [d[1], d[0], *d[2:]], r"document [12] of the collection is not 'd00[01]' as"),
        (lambda d: [*d[:7], {**d[7], "text": "new"}, *d[8:]], r"document 8 .* is not 'd013' as"),
        (lambda d: [*d[:7], {**d[7], "title": "new"}, *d[8:]], r"document 8 "),
        (lambda d: [*d[:7], {**d[7], "id": "new"}, *d[8:]], r"document 8 "),
        (lambda d: [*d[:7], d[6], *d[8:]], r"the id 'd012' is repeated"),
    ],
)
def test_other_documents_are_found_before_any_work(
    copy: Callable[..., Path],
    bm25_index: lsr.Index,
    documents: list[dict[str, str]],
    model: Path,
    encoded: list[str],
    change: Any,
    said: str,
) -> None:
    out = copy(bm25_index)
    with pytest.raises(CorpusError, match=said):
        add_dense(out, change(documents), str(model))
    assert encoded == []
    assert not (out / "dense").exists()


def test_an_index_without_texts_compares_ids(tmp_path: Path, model: Path) -> None:
    vectors = lsr.SparseVectors.from_rows([([1], [1.0]), ([2], [1.0])])
    lsr.Index.from_vectors(tmp_path / "i", ["a", "b"], vectors)
    documents = [{"id": "a", "text": "red"}, {"id": "b", "text": "blue"}]
    with pytest.raises(CorpusError, match=r"document [12] of the collection"):
        add_dense(tmp_path / "i", documents[::-1], str(model))
    with pytest.raises(LsrError, match="not an iterator"):
        add_dense(tmp_path / "i", iter(documents), str(model))
    add_dense(tmp_path / "i", documents, str(model))
    assert DenseSide.open(tmp_path / "i").documents == 2


def test_the_dense_side_of_another_index(
    copy: Callable[..., Path],
    with_dense: lsr.Index,
    documents: list[dict[str, str]],
    tmp_path: Path,
) -> None:
    lsr.Index.build(tmp_path / "other", documents[::-1], "bm25")
    shutil.copytree(with_dense.path / "dense", tmp_path / "other" / "dense")
    index = lsr.Index.open(tmp_path / "other")
    assert index.dense is None
    with pytest.raises(IndexFormatError, match="is of another index or of other documents"):
        index.hybrid()
    assert len(index.search("copper")) > 0


# Damage, and encoders that are gone or others.


@pytest.mark.parametrize("pattern", ["manifest.json", "vectors.*.arrow", "vectors.*.faiss"])
@pytest.mark.parametrize("how", ["missing", "cut", "changed"])
def test_damage_is_named_and_sparse_search_unharmed(
    run: Callable[..., Any],
    copy: Callable[..., Path],
    with_dense: lsr.Index,
    pattern: str,
    how: str,
) -> None:
    expected = [hit.id for hit in with_dense.search("glass bees")]
    out = copy(with_dense)
    file = only(out / "dense", pattern)
    if how == "missing":
        file.unlink()
    elif how == "changed":
        flip(file)
    else:
        cut(file, 3)
    index = lsr.Index.open(out)
    assert [hit.id for hit in index.search("glass bees")] == expected
    assert run("search", out, "glass bees").code == 0
    assert run("info", out).code == 0
    answer = run("verify", out)
    if (pattern, how) == ("manifest.json", "missing"):  # then there is no dense side
        assert answer.code == 0
        assert index.dense is None
    else:
        assert answer.code == 1
        assert answer.err.startswith(f"{file} is damaged: ")
        if (pattern, how) != ("vectors.*.arrow", "changed"):  # read through only by verify
            with pytest.raises(DenseCorrupt, match="sparse search is unharmed"):
                index.search("glass bees", hybrid="rrf")
    shutil.rmtree(out / "dense")
    assert run("verify", out).code == 0


def test_encoders_that_are_gone_or_others(
    copy: Callable[..., Path],
    bm25_index: lsr.Index,
    documents: list[dict[str, str]],
    tmp_path: Path,
) -> None:
    out = copy(bm25_index)
    folder = write_tiny_dense(tmp_path / "m")
    add_dense(out, documents, str(folder))
    folder.rename(tmp_path / "moved")
    index = lsr.Index.open(out)
    with pytest.raises(LsrError, match=r"dense encoder 'm' of the index cannot be found where"):
        index.dense_encoder  # noqa: B018 - loaded when asked for
    assert len(index.search("copper")) > 0
    index.use_dense_encoder(str(tmp_path / "moved"))
    assert index.dense_encoder.dimensions == 8
    other = write_tiny_dense(tmp_path / "other", seed=1)
    with pytest.raises(EncoderMismatch, match="give the encoder they were made with"):
        index.use_dense_encoder(str(other))
    # One of other dimensions under the same identity, as only a forged manifest has it.
    assert index.dense is not None
    index.dense.dimensions = 9
    with pytest.raises(EncoderMismatch, match=r"makes vectors of 8 dimensions, and those of .* 9"):
        index.use_dense_encoder(str(tmp_path / "moved"))


def test_flat_needs_neither_faiss_nor_torch(
    python: list[str], corpus: Path, tmp_path: Path, model: Path
) -> None:
    code = (
        "import sys\nfrom lsr.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "import lsr; index = lsr.open(sys.argv[4])\n"
        "index.dense.search(index.dense_encoder.encode_queries(['red']), 3)\n"
        "print('imported:', *sys.modules)"
    )
    command = ["index", corpus, "-o", tmp_path / "i", "--encoder", "bm25", "--dense", model]
    done = subprocess.run(
        [*python, code, *map(str, command)], capture_output=True, text=True, check=True
    )
    assert {"faiss", "torch", "transformers"} & set(done.stdout.split()) == set()
    assert json.loads((tmp_path / "i" / "dense" / "manifest.json").read_text())["kind"] == "flat"

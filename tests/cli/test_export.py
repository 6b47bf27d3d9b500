"""`lsr export`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lsr
from lsr.data.corpus import Chunk
from lsr.data.vectors.folder import VectorFolder, write_vectors
from lsr.indexing.read_back import IndexVectors
from lsr.progress import Silent
from support.damage import flip
from support.editions import reseal, segment, shard, vocabulary
from support.system import FailAt, before_call


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A folder of three documents."""
    rows = lsr.SparseVectors([0, 2, 2, 3], [0, 2, 1], [0.5, 1.25, 2])
    chunk = Chunk(["a", "b", "c"], ["", "T", ""], ["x", "y", ""], rows)
    write_vectors(tmp_path / "vectors", [chunk], words=["red", "blue", "é"])
    return tmp_path / "vectors"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def in_words(index: lsr.Index, identifier: str) -> dict[str, float]:
    vector = index.get(identifier).vector
    pairs = zip(vector.terms.tolist(), vector.weights.tolist(), strict=True)
    return {index.reader.word(term): weight for term, weight in pairs}


def test_a_folder_of_vectors(run: Callable[..., Any], vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.jsonl"
    answer = run("export", vectors, "-o", out, "--format", "pyterrier")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines()[-1] == (
        f"{out}: 3 documents, 3 postings. It holds no term ids; Terrier itself reads whole weights "
        "only (--scale 100 makes them)."
    )
    assert lines(out) == [
        {"docno": "a", "text": "x", "toks": {"red": 0.5, "é": 1.25}},
        {"docno": "b", "title": "T", "text": "y", "toks": {}},
        {"docno": "c", "text": "", "toks": {"blue": 2.0}},
    ]
    assert run("export", vectors, "-o", out, "--format", "seismic", "--scale", 10).code == 0
    assert [line["vector"] for line in lines(out)] == [{"red": 5, "é": 12}, {}, {"blue": 20}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.jsonl", "vectors"]


@pytest.mark.parametrize("which", ["bm25_index", "splade_index", "composite_index"])
def test_an_index_in_the_order_given(
    run: Callable[..., Any],
    request: pytest.FixtureRequest,
    documents: list[dict[str, str]],
    tmp_path: Path,
    which: str,
) -> None:
    index: lsr.Index = request.getfixturevalue(which)
    given = documents if which == "bm25_index" else documents[::6]
    out = tmp_path / "v.jsonl"
    assert run("export", index.path, "-o", out, "--format", "jsonvectors").code == 0
    assert lines(out) == [
        {
            "id": document["id"],
            **({"title": document["title"]} if document["title"] else {}),
            "contents": document["text"],
            "vector": pytest.approx(in_words(index, document["id"]), rel=1e-7),
        }
        for document in given
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["v.jsonl"]  # no scratch is left


def test_floats_are_those_given_and_others_those_stored(
    bm25_index: lsr.Index, splade_index: lsr.Index, tmp_path: Path
) -> None:
    """The very floats, not only near ones."""
    for number, index in enumerate((bm25_index, splade_index)):
        source = IndexVectors(index.reader, tmp_path / str(number), Silent)
        assert (source.documents, source.postings) == (len(index), index.manifest.postings)
        for chunk in source.chunks():
            for identifier, row in zip(chunk.ids, chunk.vectors, strict=True):
                assert row == index.get(identifier).vector


def test_eight_bits_survive_ciff(
    run: Callable[..., Any], splade_index: lsr.Index, tmp_path: Path
) -> None:
    """The integers of an index are the impacts of its CIFF, and the other way round."""
    out, back = tmp_path / "v.ciff", tmp_path / "back"
    answer = run("export", splade_index.path, "-o", out)
    assert f"a weight is its impact times {splade_index.manifest.step:.6g}." in answer.err
    assert run("import", out, "-o", back, "--vocabulary", "splade-tiny").code == 0
    again = IndexVectors(splade_index.reader, tmp_path / "scratch", Silent)
    for one, other in zip(VectorFolder.open(back).chunks(), again.chunks(), strict=True):
        assert (one.ids, one.vectors) == (other.ids, other.vectors)


def test_an_index_of_several_partitions_without_words_and_texts(
    run: Callable[..., Any], tmp_path: Path, segment_limits: Callable[..., None]
) -> None:
    segment_limits(partition=900)
    count = 3000  # more than are given at a time
    generator = np.random.default_rng(5)
    rows = [
        (np.sort(generator.choice(40, size, replace=False)), generator.random(size) + 0.5)
        for size in generator.integers(0, 12, count)
    ]
    vectors = lsr.SparseVectors.from_rows(rows)
    ids = [f"d{number}" for number in range(count)]
    index = lsr.Index.from_vectors(tmp_path / "index", ids, vectors, keep_floats=True)
    assert len(index.manifest.segments[0].partitions) > 2
    assert run("export", index.path, "-o", tmp_path / "v.csr").code == 0
    assert not (tmp_path / "v.csr.words").exists()
    assert (tmp_path / "v.csr.ids").read_text().split() == ids
    assert run("import", tmp_path / "v.csr", "-o", tmp_path / "back").code == 0
    chunks = list(VectorFolder.open(tmp_path / "back").chunks())
    assert lsr.SparseVectors.concatenate(chunk.vectors for chunk in chunks) == vectors
    assert [identifier for chunk in chunks for identifier in chunk.ids] == ids
    assert chunks[0].texts is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["v.jsonl"], "v.jsonl can be jsonvectors, seismic, pyterrier; choose with --format."),
        (["v.jsonl.gz"], "v.jsonl.gz can be jsonvectors, seismic, pyterrier; choose with"),
        (["v.tsv"], "The name v.tsv does not tell the format; give --format."),
        (["v.csr", "--format", "npz"], "v.csr is a name of another format than npz; rename"),
        (["v.jsonl", "--format", "csr"], "v.jsonl is a name of another format than csr"),
        (["v.csr.gz"], "csr files cannot be compressed; unpack or rename v.csr.gz."),
        (["v.gz", "--format", "ciff"], "ciff files cannot be compressed; unpack or rename v.gz."),
        (["v.npz", "--scale", "2"], "npz stores weights as floats; leave out --scale."),
        (["v.csr", "--scale", "2"], "csr stores weights as floats; leave out --scale."),
        (["v.ciff", "--scale", "0"], "--scale must be above 0, not 0."),
        (["v.ciff", "--scale", "-1"], "--scale must be above 0, not -1."),
        (["v.ciff", "--scale", "nan"], "--scale must be above 0, not nan."),
        (["v.ciff", "--scale", "inf"], "--scale must be above 0, not inf."),
        (["v.ciff", "--scale", "x"], "'x' is not a valid float"),
        (["v.x", "--format", "parquet"], "'parquet' is not one of"),
    ],
)
def test_bad_usage(
    run: Callable[..., Any], vectors: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    answer = run("export", vectors, "-o", tmp_path / arguments[0], *arguments[1:])
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


def test_sources_that_cannot_be_read(
    run: Callable[..., Any], vectors: Path, tmp_path: Path
) -> None:
    out = tmp_path / "v.npz"
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("none", "folder", "file"):
        answer = run("export", tmp_path / name, "-o", out)
        assert answer.code == 1
        assert answer.error.startswith(
            f"{tmp_path / name} is neither a folder of encoded vectors nor an index"
        )
    damaged = shard(vectors / "shards", 0)
    flip(damaged)
    answer = run("export", vectors, "-o", out)
    assert answer.code == 1
    assert f"{damaged} is damaged" in answer.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "vectors"]


def test_outputs_that_cannot_be_written(
    run: Callable[..., Any], vectors: Path, tmp_path: Path
) -> None:
    for place, why in (
        (tmp_path / "no" / "v.csr", "its folder does not exist; create it first"),
        (vectors, "it is a folder; name a file"),
    ):
        answer = run("export", vectors, "-o", place, "--format", "csr")
        assert (answer.code, answer.error) == (1, f"{place} cannot be written: {why}")


@pytest.mark.parametrize("name", ["stored", "sparse_postings", "payload", "documents", "ranks"])
def test_a_damaged_index_is_no_traceback(
    run: Callable[..., Any],
    bm25_index: lsr.Index,
    copy: Callable[[lsr.Index], Path],
    tmp_path: Path,
    name: str,
) -> None:
    """Bytes changed anywhere: a complete file, or an error and no file."""
    path = copy(bm25_index)
    file = segment(path) / f"{name}.arrow"
    whole = file.read_bytes()
    generator = np.random.default_rng(1)
    for at in generator.integers(0, len(whole), 12).tolist():
        data = bytearray(whole)
        data[at : at + 4] = b"\xff" * len(data[at : at + 4])
        file.write_bytes(data)
        answer = run("export", path, "-o", tmp_path / "v.ciff")
        assert answer.code in (0, 1)
        assert (tmp_path / "v.ciff").exists() == (answer.code == 0)
        (tmp_path / "v.ciff").unlink(missing_ok=True)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
    file.write_bytes(whole[:-5])
    assert "is damaged" in run("export", path, "-o", tmp_path / "v.ciff").error
    shutil.rmtree(path)


def test_an_index_with_terms_beyond_its_words(
    run: Callable[..., Any],
    bm25_index: lsr.Index,
    copy: Callable[[lsr.Index], Path],
    tmp_path: Path,
) -> None:
    few = lsr.Index.build(tmp_path / "few", [{"id": "a", "text": "tidal mills"}], "bm25")
    path = copy(bm25_index)
    vocabulary(path).write_bytes(vocabulary(few.path).read_bytes())
    reseal(path, vocabulary=few.manifest.vocabulary)
    before = set(tmp_path.iterdir())
    answer = run("export", path, "-o", tmp_path / "v.csr")
    assert answer.code == 1
    assert "partition 0: it has the term 27, which has no word" in answer.error
    assert set(tmp_path.iterdir()) == before


def test_an_index_with_texts_cut_otherwise(
    run: Callable[..., Any],
    tmp_path: Path,
) -> None:
    documents = [{"id": f"d{n}", "text": f"number {n}"} for n in range(300)]
    index = lsr.Index.build(tmp_path / "index", documents, "bm25")
    file = segment(index.path) / "stored.arrow"
    with pa.ipc.open_file(file) as opened:
        table = opened.read_all()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=150)  # as many batches, of 150
    reseal(index.path)
    answer = run("export", index.path, "-o", tmp_path / "v.ciff")
    assert answer.code == 1
    assert "stored.arrow is damaged: a batch of texts has another length" in answer.error


def test_an_interruption_leaves_nothing(
    run: Callable[..., Any],
    bm25_index: lsr.Index,
    tmp_path: Path,
) -> None:
    (tmp_path / "v.csr").write_text("old")
    with before_call("os.fsync", FailAt(1, KeyboardInterrupt())):
        answer = run("export", bm25_index.path, "-o", tmp_path / "v.csr")
    assert (answer.code, answer.err.splitlines()[-1]) == (130, "Interrupted.")
    assert [path.name for path in tmp_path.iterdir()] == ["v.csr"]
    assert (tmp_path / "v.csr").read_text() == "old"

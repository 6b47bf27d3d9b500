"""Folders of vectors: what is written comes back, and what is damaged is named."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lsr
from lsr.data.corpus import Chunk
from lsr.data.vectors.folder import VectorFolder, write_vectors
from lsr.data.vectors.shards import Origin, regrouped, shard_origin, write_shard
from lsr.errors import LsrError, VectorError, VectorFolderError
from lsr.storage.files import checksum_bytes
from lsr.storage.locks import Lock
from lsr.storage.manifest import sealed_json
from lsr.vectors import SparseVectors
from support.editions import shard, shards_in, vocabulary
from support.system import FailAt, before_call

WORDS = ["zwei", "eins", "ü", "word:x"]


def vectors(*rows: dict[int, float]) -> SparseVectors:
    return SparseVectors.from_rows([(sorted(row), [row[t] for t in sorted(row)]) for row in rows])


def chunk(*ids: str, text: bool = True, row: dict[int, float] | None = None) -> Chunk:
    texts = [f"text of {name} 😀" for name in ids] if text else None
    titles = ["T" if number % 2 else "" for number, _ in enumerate(ids)] if text else None
    return Chunk(list(ids), titles, texts, vectors(*([row or {0: 0.1, 3: 7.5}] * len(ids))))


def joined(chunks: list[Chunk]) -> tuple[list[str], list[Any], list[Any], SparseVectors]:
    """Ids, titles, texts and vectors of several chunks."""
    return (
        [name for c in chunks for name in c.ids],
        [title for c in chunks for title in (c.titles or [None] * len(c.ids))],
        [text for c in chunks for text in (c.texts or [None] * len(c.ids))],
        SparseVectors.concatenate(c.vectors for c in chunks),
    )


def same(a: list[Chunk], b: list[Chunk]) -> bool:
    (*lists, values), (*others, wanted) = joined(a), joined(b)
    return lists == others and values == wanted


@pytest.fixture
def folder(tmp_path: Path, shards_of: Callable[[int], None]) -> Path:
    """A folder of three shards: documents a, b; ü, 😀; e."""
    shards_of(2)
    write_vectors(tmp_path / "v", [chunk("a", "b", "ü"), chunk("😀", "e")], words=WORDS)
    return tmp_path / "v"


def test_what_is_written_comes_back(folder: Path) -> None:
    opened = VectorFolder.open(folder)
    assert (opened.path, opened.encoder, opened.keeps_text) == (folder, None, True)
    assert (opened.documents, opened.postings) == (5, 10)
    assert opened.words is not None
    assert [opened.words[term] for term in range(len(opened.words))] == WORDS
    assert [opened.words.find(word) for word in (*WORDS, "drei")] == [0, 1, 2, 3, None]
    assert opened.term_columns == {}
    chunks = list(opened.chunks())
    assert [c.ids for c in chunks] == [["a", "b"], ["ü", "😀"], ["e"]]
    assert same(chunks, [chunk("a", "b", "ü"), chunk("😀", "e")])
    assert shards_in(folder / "shards") == [0, 1, 2]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["manifest.json", "shards", vocabulary(folder).name]


def test_the_files_are_plain_parquet(folder: Path) -> None:
    table = pq.read_table(shard(folder / "shards", 0))
    assert table.to_pylist()[1] == {
        "id": "b",
        "title": "T",
        "text": "text of b 😀",
        "terms": [0, 3],
        "weights": [pytest.approx(0.1), 7.5],
    }
    assert str(table.schema.field("terms").type) == "list<element: uint32>"
    assert str(table.schema.field("weights").type) == "list<element: float>"


rows = st.dictionaries(st.integers(0, 3), st.floats(0, 2.0**99, width=32), max_size=4)
documents = st.lists(st.tuples(st.text("aü😀Ω", max_size=5), rows), max_size=9)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(documents, st.lists(st.integers(0, 9), max_size=4), st.booleans())
def test_the_pieces_do_not_matter(
    tmp_path: Path,
    shards_of: Callable[..., None],
    files_of: Callable[[Path], dict[str, bytes]],
    given_documents: list[tuple[str, dict[int, float]]],
    cuts: list[int],
    text: bool,
) -> None:
    """However an importer cuts its documents, the folder has the same bytes."""
    shards_of(4, characters=12, open_postings=9)
    ids = [f"d{n}" for n in range(len(given_documents))]
    texts = [text for text, _ in given_documents] if text else None
    whole = Chunk(ids, texts, texts, vectors(*(row for _, row in given_documents)))
    bounds = sorted({0, len(ids), *(min(cut, len(ids)) for cut in cuts)})
    pieces = [
        Chunk(ids[a:b], texts and texts[a:b], texts and texts[a:b], whole.vectors[a:b])
        for a, b in pairwise(bounds)
    ]
    for name, chunks in (("one", [whole]), ("many", pieces)):
        write_vectors(tmp_path / name, chunks, words=None, force=True)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "many")
    read = list(VectorFolder.open(tmp_path / "one").chunks())
    assert same(read, [whole])
    for c in read:
        characters = [len(document.title) + len(document.text) for document in c.documents()]
        assert len(c.ids) <= 4
        assert sum(characters[:-1]) < 12
        assert c.vectors.terms.size <= 9 or len(c.ids) == 1
    shutil.rmtree(tmp_path / "one")
    shutil.rmtree(tmp_path / "many")


def test_nothing_makes_an_empty_folder(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v", [], words=None)
    opened = VectorFolder.open(tmp_path / "v")
    assert (opened.documents, opened.words, list(opened.chunks())) == (0, None, [])


def test_texts_without_titles_and_no_texts(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v", [Chunk(["a"], None, ["x"], vectors({}))], words=None)
    (only,) = VectorFolder.open(tmp_path / "v").chunks()
    assert (only.titles, only.texts) == ([""], ["x"])
    write_vectors(tmp_path / "w", [chunk("a", text=False)], words=None)
    opened = VectorFolder.open(tmp_path / "w")
    (only,) = opened.chunks()
    assert (opened.keeps_text, only.titles, only.texts) == (False, None, None)


BAD: dict[str, tuple[list[Chunk], str]] = {
    "twice": ([chunk("a", "b"), chunk("a")], "document 3 has the id 'a' of an earlier one"),
    "blank": ([chunk(" ")], "document 1 has an empty id"),
    "surrogate": ([Chunk(["a"], ["\ud800"], [""], vectors({}))], "lone surrogate U.D800 in its t"),
    "word": ([chunk("a", row={3: 1}), chunk("b", row={4: 1})], "'b', has the term 4, and .* 4 wor"),
    "text": ([chunk("a"), chunk("b", text=False)], "document 2, 'b', has no text"),
    "texts": ([chunk("a", text=False), chunk("b")], "document 2, 'b', has a text"),
    "rows": ([Chunk(["a"], None, None, vectors())], "1 ids for 0 vectors"),
    "order": (
        [
            Chunk(
                ["a"],
                None,
                None,
                SparseVectors.trusted(
                    np.array([0, 2]), np.array([2, 1], np.uint32), np.ones(2, np.float32)
                ),
            )
        ],
        "from 'a' on: row 0 has term 1 out of order",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_imported_leaves_all_as_it_was(
    tmp_path: Path, files_of: Callable[[Path], dict[str, bytes]], case: str
) -> None:
    chunks, message = BAD[case]
    with pytest.raises(VectorError, match=message):
        write_vectors(tmp_path / "v", chunks, words=WORDS)
    assert list(tmp_path.iterdir()) == []
    write_vectors(tmp_path / "v", [chunk("old")], words=None)
    before = files_of(tmp_path)
    with pytest.raises(VectorError, match=message):
        write_vectors(tmp_path / "v", chunks, words=WORDS, force=True)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [(["a", "b", "a"], "a word is in the vocabulary twice"), (["\udfff"], "term 0 has the lone")],
)
def test_words_that_cannot_be(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(VectorError, match=message):
        write_vectors(tmp_path / "v", [], words=words)
    assert list(tmp_path.iterdir()) == []


def test_an_importer_that_fails(tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk]:
        yield chunk("a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_vectors(tmp_path / "v", chunks(), words=None)
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_taken(
    tmp_path: Path, folder: Path, files_of: Callable[[Path], dict[str, bytes]]
) -> None:
    with pytest.raises(
        VectorFolderError, match="is already a folder of encoded vectors; add --force"
    ):
        write_vectors(folder, [chunk("new")], words=None)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "manifest.json").write_text('{"format": "other"}')
    (tmp_path / "file").write_text("dear")
    index = lsr.Index.from_vectors(tmp_path / "index", ["a"], vectors({1: 1.0})).path
    for place in (foreign, tmp_path / "file", index):
        before = files_of(tmp_path)
        with pytest.raises(VectorFolderError, match="exists and is not a folder of encoded"):
            write_vectors(place, [chunk("new")], words=None, force=True)
        assert files_of(tmp_path) == before
    lock = Lock(folder / "lock")
    assert lock.take(shared=True)
    with pytest.raises(VectorFolderError, match="is being written by another process"):
        write_vectors(folder, [chunk("new")], words=None, force=True)
    lock.release()
    write_vectors(folder, [chunk("new")], words=None, force=True)
    assert [c.ids for c in VectorFolder.open(folder).chunks()] == [["new"]]
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "shards"]


@pytest.mark.parametrize("stop", range(6))
def test_the_old_folder_stays_until_the_new_one_takes_its_place(
    folder: Path,
    tmp_path: Path,
    files_of: Callable[[Path], dict[str, bytes]],
    stop: int,
) -> None:
    before = files_of(tmp_path)
    failing = FailAt(stop + 1, OSError(28, "No space left on device"))
    with (
        before_call("os.replace", failing),
        pytest.raises(LsrError, match="v cannot be written: No space left on device"),
    ):
        write_vectors(folder, [chunk("new")], words=["a", "b", "c", "d"], force=True)
    assert failing.calls == stop + 1  # and so each replacement was refused once
    assert files_of(tmp_path) == before


def test_what_is_no_finished_folder(tmp_path: Path, folder: Path) -> None:
    for place in (tmp_path, tmp_path / "none", folder / "manifest.json"):
        with pytest.raises(VectorFolderError, match=r"it has no manifest\.json; make one with"):
            VectorFolder.open(place)
    (folder / "job.json").write_text('{"format": "lsr-vectors"}')
    (folder / "manifest.json").unlink()
    with pytest.raises(VectorFolderError, match="v is unfinished; run the `lsr encode` that"):
        VectorFolder.open(folder)


def read_all(folder: Path) -> None:
    opened = VectorFolder.open(folder)
    for _ in opened.chunks():
        pass


def damage(folder: Path) -> str:
    """What is said about a damaged folder, when it is opened or read."""
    with pytest.raises(VectorFolderError) as caught:
        read_all(folder)
    return str(caught.value)


def forge(folder: Path, **fields: Any) -> None:
    """Change fields of the manifest, or leave out those of `KeyError`; the checksum fits."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text()) | fields
    del body["checksum"]
    path.write_bytes(sealed_json({}, {k: v for k, v in body.items() if v is not KeyError}))


def test_every_byte_of_the_manifest_counts(folder: Path) -> None:
    path = folder / "manifest.json"
    good = path.read_bytes()
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 2]) + good[place + 1 :])
        assert "manifest.json" in damage(folder)
    for size in (0, 1, 100, len(good) - 1):
        path.write_bytes(good[:size])
        assert "manifest.json is damaged: it is not JSON; remove it and run" in damage(folder)
    path.write_bytes(b"[" * 100_000)
    assert "it is not JSON" in damage(folder)
    path.write_bytes(good)
    read_all(folder)


SHARD = {
    **{"documents": 2, "postings": 4, "digest": "0" * 32, "size": 9, "checksum": "0" * 32},
    "file": "000000-0123456789abcdef.parquet",
}
FORGED: list[tuple[dict[str, Any], str]] = [
    ({"format": "lsr-index"}, "its manifest.json is a manifest of another kind"),
    ({"version": 3}, "has version 3 of the format of encoded vectors, and this lsr reads"),
    ({"version": "2"}, "has an impossible value"),
    ({"version": KeyError}, "has an impossible value"),
    *(
        ({name: KeyError}, "has an impossible value")
        for name in ("job", "encoder", "documents", "text", "shards", "input", "words")
    ),
    *(
        (fields, "has an impossible value")
        for fields in (
            {"job": 7},
            {"job": "x" * 32},
            {"encoder": []},
            {"encoder": {"kind": "toy"}},
            {"documents": 6},
            {"documents": -5},
            {"documents": 5.0},
            {"documents": True},
            {"postings": 11},
            {"words": None},
            {"words": -1},
            {"words": "4"},
            {"vocabulary": None},
            {"vocabulary": {"size": -1, "checksum": "0" * 32}},
            {"vocabulary": {"size": 8, "checksum": None}},
            {"text": 1},
            {"input": "0" * 32},
            {"created_by": None},
            {"shards": []},
            {"shards": [SHARD | {"documents": 0}] * 3},
            {"shards": [SHARD | {"postings": 1 << 40}] * 3},
            {"shards": [SHARD | {"file": "../secret.parquet"}] * 3},
            {"shards": [SHARD | {"file": 7}] * 3},
        )
    ),
    ({"shards": 7}, "has an impossible value"),
    ({"shards": [7]}, "has an impossible value"),
    ({"shards": [{"size": 1}]}, "has an impossible value"),
    ({"vocabulary": 7}, "has an impossible value"),
    ({"words": 3}, "arrow is damaged: it has 4 words instead of 3"),
    ({"words": 1 << 60}, "arrow is damaged: it has 4 words instead of"),
    (
        {"vocabulary": {"size": 8, "checksum": "0" * 32}},
        f"{'0' * 16}.arrow is damaged: it is missing",
    ),
    ({"text": False}, ".parquet is damaged: it has texts and others have none"),
    ({"words": None, "vocabulary": None}, None),
]


@pytest.mark.parametrize("number", range(len(FORGED)))
def test_a_forged_manifest(folder: Path, number: int) -> None:
    fields, message = FORGED[number]
    forge(folder, **fields)
    if message is None:
        read_all(folder)  # words may be left out
    else:
        assert message in damage(folder)


def test_more_postings_than_a_shard_can_hold(folder: Path) -> None:
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    shards[0]["postings"] += 1 << 40
    forge(folder, shards=shards, postings=10 + (1 << 40))
    assert "has an impossible value" in damage(folder)


@pytest.mark.parametrize("field", ["documents", "postings", "digest", "size", "checksum"])
def test_a_shard_is_held_to_its_entry(folder: Path, field: str) -> None:
    body = json.loads((folder / "manifest.json").read_text())
    first, second, third = body["shards"]
    if field in ("digest", "checksum"):
        first[field], second[field] = second[field], first[field]
    else:
        first[field] += 1
        second[field] -= 1
    from lsr.data.vectors.manifest import input_digest

    digests = [shard["digest"] for shard in body["shards"]]
    forge(folder, shards=[first, second, third], input=input_digest(digests))
    assert f"{shard(folder / 'shards', 0)} is damaged: " in damage(folder)


def test_files_that_are_missing_cut_or_changed(folder: Path) -> None:
    for path in (shard(folder / "shards", 1), vocabulary(folder)):
        good = path.read_bytes()
        path.unlink()
        assert f"{path} is damaged: it is missing" in damage(folder)
        for size in (0, 8, len(good) - 1):
            path.write_bytes(good[:size])
            assert f"{path} is damaged: it has {size:,} bytes instead of {len(good):,}" in damage(
                folder
            )
        for place in range(0, len(good), 41):
            path.write_bytes(good[:place] + bytes([good[place] ^ 64]) + good[place + 1 :])
            assert f"{path} is damaged: it does not match its checksum" in damage(folder)
        path.write_bytes(good)
    read_all(folder)


def replace_shard(folder: Path, data: bytes) -> None:
    """Put other bytes in the place of the first shard, with a manifest that fits."""
    shard(folder / "shards", 0).write_bytes(data)
    body = json.loads((folder / "manifest.json").read_text())
    body["shards"][0] |= {"size": len(data), "checksum": checksum_bytes(data)}
    forge(folder, shards=body["shards"])


def parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, **options)
    return bytes(buffer.getvalue())


def test_forged_bytes_of_a_shard(folder: Path) -> None:
    """Whatever a checksum is made to fit, reading ends with a sentence about the shard."""
    good = shard(folder / "shards", 0).read_bytes()
    replace_shard(folder, good)
    read_all(folder)
    refused = 0
    for place in range(4, len(good), 7):
        replace_shard(folder, good[:place] + bytes([good[place] ^ 0x15]) + good[place + 1 :])
        try:
            read_all(folder)
        except VectorFolderError as error:
            assert f"{shard(folder / 'shards', 0)} is damaged: " in str(error)  # noqa: PT017
            refused += 1
    assert refused > len(good) / 7 * 0.7
    for size in (0, 4, 50, len(good) - 1):
        replace_shard(folder, good[:size])
        assert f"{shard(folder / 'shards', 0)} is damaged: " in damage(folder)


def column(kind: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.array(values, kind)


TERMS, WEIGHTS = pa.list_(pa.uint32()), pa.list_(pa.float32())
NONE = object()
WRONG: dict[str, dict[str, Any]] = {
    "64 bits": {"terms": column(pa.list_(pa.uint64()), [[0, 3]] * 2)},
    "signed": {"terms": column(pa.list_(pa.int32()), [[0, 3]] * 2)},
    "double": {"weights": column(pa.list_(pa.float64()), [[1, 1]] * 2)},
    "no list": {"terms": column(pa.uint32(), [0, 3])},
    "binary": {"id": column(pa.binary(), [b"a", b"b"])},
    "numbers": {"id": column(pa.int64(), [1, 2])},
    "no terms": {"terms": NONE},
    "no text": {"text": NONE},
    "more": {"more": column(pa.int64(), [1, 2])},
    "null list": {"terms": column(TERMS, [[0, 3], None])},
    "null lists": {"terms": column(TERMS, [[], None]), "weights": column(WEIGHTS, [[], None])},
    "null term": {"terms": column(TERMS, [[0, 3], [0, None]])},
    "null weight": {"weights": column(WEIGHTS, [[1, 1], [1, None]])},
    "null id": {"id": column(pa.string(), ["a", None])},
    "null title": {"title": column(pa.string(), ["a", None])},
    "null text": {"text": column(pa.string(), [None, "b"])},
    "lengths": {"weights": column(WEIGHTS, [[1], [1, 1, 1]])},
    "fewer": {"weights": column(WEIGHTS, [[1, 1], [1]])},
    "descending": {"terms": column(TERMS, [[3, 0], [0, 3]])},
    "term twice": {"terms": column(TERMS, [[3, 3], [0, 3]])},
    "term without a word": {"terms": column(TERMS, [[0, 3], [0, 4]])},
    "negative": {"weights": column(WEIGHTS, [[1, 1], [1, -1]])},
    "nan": {"weights": column(WEIGHTS, [[1, 1], [1, float("nan")]])},
    "infinite": {"weights": column(WEIGHTS, [[1, 1], [1, float("inf")]])},
    "NUL in id": {"id": column(pa.string(), ["a", "b\0c"])},
    "empty id": {"id": column(pa.string(), ["a", ""])},
}


@pytest.mark.parametrize("case", WRONG)
def test_columns_that_are_wrong(folder: Path, case: str) -> None:
    table = pq.read_table(shard(folder / "shards", 0))
    metadata = table.schema.metadata
    columns = dict(zip(table.column_names, table.columns, strict=True)) | WRONG[case]
    columns = {name: values for name, values in columns.items() if values is not NONE}
    replace_shard(folder, parquet(pa.table(columns).replace_schema_metadata(metadata)))
    assert f"{shard(folder / 'shards', 0)} is damaged: " in damage(folder)


def test_no_byte_of_a_shard_changes_its_documents_unseen(tmp_path: Path) -> None:
    """Pages have checksums: what is sealed is sound before there is a manifest, too."""
    from lsr.data.vectors.shards import ShardDamaged, read_shard

    good = chunk("a", "b", "c", row={n: n / 7 for n in range(40)})
    write_shard(tmp_path / "s", good, Origin("d" * 32, "j" * 32))
    data = (tmp_path / "s").read_bytes()
    refused = 0
    for place in range(len(data)):
        for bit in (1, 64):
            try:
                flipped = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
                found, _ = read_shard(pa.py_buffer(flipped))
            except ShardDamaged:
                refused += 1
            else:
                assert same([found], [good]), place
    assert refused > len(data)


def test_the_digest_of_documents() -> None:
    from hashlib import blake2b

    from lsr.data.corpus import Document
    from lsr.data.vectors.shards import digest_of

    documents = [Document("ab", "", "ü"), Document("c", "d", "")]
    data = b"".join(
        len(part.encode()).to_bytes(8, "little") + part.encode()
        for part in ("ab", "", "ü", "c", "d", "")
    )
    assert digest_of(documents) == blake2b(data, digest_size=16).hexdigest()


def test_a_shard_without_its_digest(folder: Path) -> None:
    table = pq.read_table(shard(folder / "shards", 0))
    replace_shard(folder, parquet(table.replace_schema_metadata({"job": ""})))
    assert f"{shard(folder / 'shards', 0)} is damaged: " in damage(folder)
    replace_shard(folder, parquet(table.replace_schema_metadata({"documents": "0", "job": ""})))
    assert "it does not match the manifest" in damage(folder)


def test_rewritten_by_another_program(folder: Path) -> None:
    """What matters is the documents, not who wrote the file or how."""
    table = pq.read_table(shard(folder / "shards", 0))
    for options in ({}, {"compression": "gzip"}, {"row_group_size": 1}, {"version": "1.0"}):
        replace_shard(folder, parquet(table, **options))
        if options == {"version": "1.0"}:  # which has no unsigned numbers of 32 bits
            assert "its columns are id: string, " in damage(folder)
        else:
            read_all(folder)


def varint(value: int) -> bytes:
    """A whole number in Parquet's header: zigzag, 7 bits a byte."""
    value = value << 1 ^ value >> 63
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


@pytest.mark.parametrize("size", [(1 << 32) + 1, -1])
def test_a_header_with_impossible_sizes(folder: Path, size: int) -> None:
    path = shard(folder / "shards", 0)
    data, group = path.read_bytes(), pq.read_metadata(path).row_group(0)
    (length,) = struct.unpack("<I", data[-8:-4])
    header = data[-8 - length : -8]
    # The field after the list of columns: its number is one more, its type i64.
    found = b"\x16" + varint(group.total_byte_size) + b"\x16" + varint(group.num_rows)
    assert header.count(found) == 1
    forged = header.replace(found, b"\x16" + varint(size) + b"\x16" + varint(group.num_rows))
    ends = struct.pack("<I", len(forged)) + data[-4:]
    replace_shard(folder, data[: -8 - length] + forged + ends)
    assert "its header has impossible sizes" in damage(folder)


def test_a_header_with_impossibly_many_rows(folder: Path) -> None:
    table = pq.read_table(shard(folder / "shards", 0))
    replace_shard(folder, parquet(table.take([0] * ((1 << 20) + 1)).combine_chunks()))
    assert "its header has impossible sizes" in damage(folder)


def test_more_than_a_shard_holds(tmp_path: Path, shards_of: Callable[..., None]) -> None:
    shards_of(10, postings=3)
    write_shard(tmp_path / "s", chunk("a"), Origin("d", "j"))
    with pytest.raises(VectorError, match="the 2 documents from 'a' on have 4 terms together"):
        write_shard(tmp_path / "t", chunk("a", "b"), Origin("d", "j"))
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert shard_origin(tmp_path / "s") == Origin("d", "j")
    assert shard_origin(tmp_path / "t") is None
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes()[:-9])
    assert shard_origin(tmp_path / "s") is None


def test_an_id_twice_is_found_when_an_index_is_made(folder: Path, tmp_path: Path) -> None:
    from lsr.indexing.build import build

    shard(folder / "shards", 2).write_bytes(shard(folder / "shards", 1).read_bytes())
    body = json.loads((folder / "manifest.json").read_text())
    body["shards"][2] = body["shards"][1]
    from lsr.data.vectors.manifest import input_digest

    forge(
        folder,
        shards=body["shards"],
        documents=6,
        postings=12,
        input=input_digest(shard["digest"] for shard in body["shards"]),
    )
    with pytest.raises(LsrError, match="v has an id twice"):
        build(tmp_path / "i", VectorFolder.open(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v"]


def test_an_index_of_imported_vectors(
    folder: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    answer = run("index", folder, "-o", tmp_path / "i", "--keep-floats")
    assert (answer.code, answer.out.partition(", 10 postings")[0]) == (
        0,
        f"{tmp_path}/i: 5 documents",
    )
    index = lsr.open(tmp_path / "i")
    hits = index.search_vectors(vectors({3: 2.0}), exact_floats=True)[0]
    assert sorted(hits.ids.tolist()) == sorted(["a", "b", "ü", "😀", "e"])
    assert hits[0].explain().terms[0].term == "word:x"
    assert index.get("😀").text == "text of 😀 😀"
    assert run("verify", tmp_path / "i").code == 0
    assert run("search", tmp_path / "i", "eins").code == 1  # there is no encoder


def test_shards_regroup_lazily() -> None:
    taken = []

    def chunks() -> Iterator[Chunk]:
        for number in range(5000):
            taken.append(number)
            yield chunk(f"d{number}")

    next(regrouped(chunks()))
    assert len(taken) == 2049

"""The manifest, damage found by `problems`, and the grammar."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lsr.errors import IndexCorrupt, IndexFormatError, QueryError
from lsr.index import format
from lsr.index.format import (
    FORMAT_VERSION,
    LISTS_PADDING,
    SEGMENTS,
    Manifest,
)
from lsr.index.search.options import SearchOptions
from lsr.index.segments import schema
from lsr.index.segments.reader import Segment
from lsr.index.segments.schema import FLOAT_FILES, LIST_FILES, PARTITION_FILES
from lsr.index.verify import problems
from lsr.kernels import ISAS
from lsr.retrieval.index import Index
from lsr.storage.arrow import ArrowFile, write_arrow
from lsr.storage.manifest import MANIFEST, FileEntry, sealed_json
from lsr.vectors import SparseVectors
from support.bare_index import open_searcher, write_index


@pytest.fixture
def small() -> SparseVectors:
    """600 documents, two superblocks of blocks, with 20 dense terms and 200 sparse ones."""
    rng = np.random.default_rng(1)
    return SparseVectors.from_rows(
        (np.append(np.sort(rng.choice(20, 6, replace=False)), 100 + d % 200), rng.random(7) + 0.1)
        for d in range(600)
    )


def test_a_manifest_comes_back(tmp_path: Path, small: SparseVectors) -> None:
    index, manifest = write_index(tmp_path, small)
    assert Manifest.read(index) == manifest


def test_any_changed_byte_of_a_manifest_is_found(tmp_path: Path, small: SparseVectors) -> None:
    index, _ = write_index(tmp_path, small)
    path = index / MANIFEST
    good = path.read_bytes()
    for offset in range(len(good)):
        path.write_bytes(good[:offset] + bytes([good[offset] ^ 1]) + good[offset + 1 :])
        with pytest.raises((IndexCorrupt, IndexFormatError)):
            Manifest.read(index)


def test_another_format_version_is_named(tmp_path: Path, small: SparseVectors) -> None:
    index, _ = write_index(tmp_path, small)
    body = json.loads((index / MANIFEST).read_text())
    body["format_version"] = 99
    (index / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(IndexFormatError, match="format 99"):
        Manifest.read(index)


@pytest.mark.parametrize("name", ["../outside.arrow", "/etc/passwd", "a//b", ""])
def test_paths_that_leave_the_index_are_refused(
    tmp_path: Path, small: SparseVectors, name: str
) -> None:
    index, manifest = write_index(tmp_path, small)
    replace(manifest, files={name: FileEntry(0, "0" * 32)}).write(index)
    with pytest.raises(IndexCorrupt, match="names the file"):
        Manifest.read(index)


def test_a_folder_without_a_manifest_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(IndexFormatError, match="is not an index"):
        Index.open(tmp_path)


def rewrite(index: Path, manifest: Manifest, name: str, change: object) -> None:
    """Change one column of a file and make every checksum right again."""
    path = index / SEGMENTS / "0" / f"{name}.arrow"
    with pa.ipc.open_file(pa.BufferReader(path.read_bytes())) as file:
        batch = file.get_batch(0)
    columns = {n: batch.column(n).to_numpy(zero_copy_only=False).copy() for n in batch.schema.names}
    types = {field.name: field.type for field in batch.schema}
    change(columns)  # type: ignore[operator]
    write_arrow(path, {n: pa.array(values, types[n]) for n, values in columns.items()})
    files = manifest.files | {f"{SEGMENTS}/0/{name}.arrow": FileEntry.of(path)}
    replace(manifest, files=files).write(index)


def put(column: str, offset: int, value: object) -> object:
    def change(columns: dict[str, np.ndarray]) -> None:
        columns[column][offset] = value

    return change


def flip(column: str, offset: int, bits: int) -> object:
    def change(columns: dict[str, np.ndarray]) -> None:
        columns[column][offset] ^= columns[column].dtype.type(bits)

    return change


def cut(columns: dict[str, np.ndarray]) -> None:
    """A row less."""
    for name, values in columns.items():
        columns[name] = values[:-1]


def lengthen(columns: dict[str, np.ndarray]) -> None:
    """The last row twice."""
    for name, values in columns.items():
        columns[name] = np.append(values, values[-1:])


def survives(index: Path, queries: SparseVectors) -> None:
    """Whatever is damaged, every use finishes or says so."""
    with suppress(IndexCorrupt):
        searcher = open_searcher(index)
        documents, terms = np.arange(0, 600, 7, dtype=np.uint32), np.arange(300, dtype=np.uint32)
        for call in (
            lambda: searcher.search(queries, SearchOptions(10, method="scan")),
            lambda: searcher.search(queries, SearchOptions(10, method="pruned")),
            lambda: searcher.search(queries, SearchOptions(10, method="reference")),
            lambda: searcher.search(queries, SearchOptions(10, exact_floats=True)),
            lambda: searcher.stored_weights(documents, terms),
            lambda: searcher.given_weights(documents, terms),
            lambda: [searcher.vector(document) for document in documents.tolist()],
        ):
            with suppress(IndexCorrupt, QueryError):  # there may be no floats
                call()


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("sparse_terms", put("term", 1, 100), "sparse terms do not ascend"),
        ("sparse_terms", put("term", 0, 7), "both sparse and dense"),
        ("sparse_terms", put("start", 1, 4_000_000), "do not cover"),
        ("sparse_terms", put("start", 0, 1), "do not cover"),
        ("sparse_terms", put("start", 1, 4), "do not ascend"),
        ("sparse_terms", put("maximum", 0, 1), "sparse_terms.arrow does not follow"),
        ("sparse_postings", put("document", 599, 600), "leave the partition"),
        ("sparse_postings", put("document", 0, 599), "do not ascend"),
        ("sparse_postings", put("weight", 0, 0), "no weight"),
        ("dense_terms", put("term", 0, 1), "dense terms do not ascend"),
        ("dense_terms", put("posting", 0, 1), "do not cover"),
        ("dense_terms", put("posting", 9, 4_000_000_000), "blocks of term 8 are damaged"),
        ("dense_terms", put("payload", 1, 0), "the blocks of term 1 are damaged"),
        ("dense_terms", put("payload", 1, 4_000_000_000), "blocks of term 1 are damaged"),
        ("codebooks", put("maximum", 0, 255), "codebook does not ascend"),
        ("codebooks", flip("maximum", 15, 1), "codebook does not ascend"),
        ("codebooks", put("maximum", slice(0, 15), 0), "maxima.arrow does not follow"),
        ("codebooks", put("maximum", slice(None), 0), "codebook does not ascend"),
        ("maxima", put("codes", slice(0, 32), 0), "the blocks of term 0 are damaged"),
        ("maxima", put("codes", slice(19 * 64, 20 * 64), 0), "the blocks of term 19 are damaged"),
        ("chunks", put("start", 1, 0), "the blocks of term 0 are damaged"),
        ("chunks", put("start", 0, 65_535), "the blocks of term 0 are damaged"),
        ("maxima", flip("codes", 0, 1), "maxima.arrow does not follow"),
        ("maxima", flip("codes", -1, 1), "more or fewer weights as given"),
        ("payload", flip("bytes", 0, 1), "the blocks of term 0 are damaged"),
        ("payload", put("bytes", 64, 0), "no weight"),  # behind at most 64 masks
        ("payload", flip("bytes", -1, 1), "payload.arrow does not follow"),
        ("ranks", put("first", 0, 1), "ranks.arrow does not follow"),
        ("ranks", put("first", 1, 65_535), "ranks.arrow does not follow"),
        ("floats", put("weight", 0, 9.0), "as given is not the one stored"),
        ("floats", put("weight", 0, np.nan), "as given is not the one stored"),
        ("alive", cut, "has another length"),
        ("documents", put("terms", 0, 5), "do not add up"),
        ("documents", put("position", 0, 1), "one position"),
        ("documents", put("by_id", 0, 1), "not distinct or not in order"),
        ("documents", put("id", 0, "d1"), "not distinct or not in order"),
    ],
)
def test_a_wrong_structure_under_right_checksums_is_found(
    tmp_path: Path, small: SparseVectors, name: str, change: object, what: str
) -> None:
    index, manifest = write_index(tmp_path, small, keep_floats=True)
    assert list(problems(index)) == []
    rewrite(index, manifest, name, change)
    found = " ".join(problems(index))
    assert what in found
    survives(index, small[:5])


LISTS = [
    ("list_terms", put("term", 1, 0), "list terms do not ascend"),
    ("list_terms", put("start", 1, 4_000_000), "do not cover"),
    ("list_terms", put("start", 0, 1), "do not cover"),
    ("list_terms", put("start", 1, 0), "do not cover"),
    ("list_terms", cut, "do not cover their bytes|of term|add up"),
    ("lists", put("bytes", 0, 0), "the list of term 0 is damaged|leave the partition|follow"),
    ("lists", put("bytes", slice(0, 9), 255), "the list of term 0|add up|follow"),
    ("lists", put("bytes", slice(0, 9), 0), "the list of term 0 is damaged"),
    ("lists", flip("bytes", -1, 1), "lists.arrow does not follow"),
    ("lists", cut, "do not cover|of term|follow"),
    ("lists", lengthen, "of term|follow"),
    ("alive", cut, "has another length"),
    ("documents", put("terms", 0, 5), "do not add up"),
]


@pytest.mark.parametrize(("name", "change", "what"), LISTS)
def test_a_wrong_list_under_right_checksums_is_found(
    tmp_path: Path, small: SparseVectors, name: str, change: object, what: str
) -> None:
    index, manifest = write_index(tmp_path, small, bits=1)
    assert list(problems(index)) == []
    rewrite(index, manifest, name, change)
    found = " ".join(problems(index))
    assert re.search(what, found), found
    survives(index, small[:5])


@pytest.mark.parametrize(
    "bits",
    [
        "0" * 64,  # nothing
        "0000" + "1" * 21 + "0000001",  # a code that is cut off
        "0000" + "0" * 12 + "1" + "0" * 12 + "111",  # a document behind the partition
        "11110000" + "1" * 24,  # a bitmap of another length
    ],
)
def test_damaged_lists_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: str
) -> None:
    """A list of four bytes, read alone, between others, and looked up."""
    rows = [[n for n in range(10) if d % (200 if n == 9 else 20) == 0] for d in range(600)]
    vectors = SparseVectors.from_rows((terms, np.ones(len(terms))) for terms in rows)
    index, manifest = write_index(tmp_path, vectors, bits=1)
    columns = Segment(index, manifest.segments[0], manifest).partition(0)
    start = int(columns["list_starts"][9])
    assert columns["lists"].size - LISTS_PADDING - start == 4
    damaged = np.packbits(np.array(list(bits.ljust(32, "0"))[:32], np.uint8))
    rewrite(index, manifest, "lists", put("bytes", slice(start, start + 4), damaged))
    searcher = open_searcher(index)
    for terms in ([9], range(10), [8, 9]):
        query = SparseVectors.from_rows([(list(terms), np.ones(len(terms)))])
        for isa in ISAS["index"]:
            searcher.isa = isa
            with pytest.raises(IndexCorrupt, match=r"list|bitmap"):
                searcher.search(query, SearchOptions(5))
        with pytest.raises(IndexCorrupt):
            searcher.search(query, SearchOptions(5, method="reference"))
    with pytest.raises(IndexCorrupt):
        searcher.stored_weights(np.array([599], np.uint32), np.array([9], np.uint32))
    sound = SparseVectors.from_rows([([0, 8], np.ones(2))])
    assert searcher.search(sound, SearchOptions(5))[0].docids.tolist() == [0, 20, 40, 60, 80]


def test_lists_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    """Of an index without a term, whose lists are the zeros at their end alone."""
    index, manifest = write_index(tmp_path, SparseVectors.from_rows([([], [])]), bits=1)
    rewrite(index, manifest, "lists", cut)
    with pytest.raises(IndexCorrupt, match="cut short"):
        open_searcher(index)
    assert list(problems(index)) != []


def test_a_list_that_could_be_shorter_is_found(tmp_path: Path) -> None:
    """Order 1 for document 0 of 9, where order 0 is as good."""
    index, manifest = write_index(tmp_path, SparseVectors.from_rows([([7], [1.0])] * 9), bits=1)
    rewrite(index, manifest, "lists", put("bytes", slice(0, 4), [0x1A, 0xAA, 0xAA, 0x00]))
    assert list(problems(index)) != []


def test_versions_and_bits_that_cannot_be(tmp_path: Path, small: SparseVectors) -> None:
    """Version 2 is of indexes with weights, and 3 of those without."""
    index, manifest = write_index(tmp_path, small, bits=1)
    body = json.loads((index / MANIFEST).read_text())
    assert body["format_version"] == FORMAT_VERSION
    for changes in (
        {"format_version": 2},
        {"format_version": 3, "bits": 8},
        {"kept": ["floats"]},
        {"bits": 4},
    ):
        head = {key: body[key] for key in ("format", "format_version")}
        head |= {key: value for key, value in changes.items() if key in head}
        rest = {key: body[key] for key in body if key not in (*head, "checksum")} | {
            key: value for key, value in changes.items() if key not in head
        }
        (index / MANIFEST).write_bytes(sealed_json(head, rest))
        with pytest.raises(IndexCorrupt, match="impossible value"):
            Manifest.read(index)
    manifest.write(index)
    assert Manifest.read(index) == manifest


@pytest.mark.parametrize("change", [cut, lengthen], ids=["cut", "lengthened"])
@pytest.mark.parametrize("name", [*PARTITION_FILES, *FLOAT_FILES])
def test_columns_of_another_length_are_found(
    tmp_path: Path, small: SparseVectors, name: str, change: object
) -> None:
    for bits in (8, 16):
        index, manifest = write_index(tmp_path, small, keep_floats=True, bits=bits)
        rewrite(index, manifest, name, change)
        (found,) = problems(index)
        assert ": partition 0: " in found
        survives(index, small[:5])


@pytest.mark.parametrize(
    ("file", "column", "bits"),
    [
        (file, name, bits)
        for bits, files in ((1, LIST_FILES), *((n, PARTITION_FILES | FLOAT_FILES) for n in (8, 16)))
        for file, names in files.items()
        for name in names
    ],
)
def test_any_value_of_any_column_may_be_wrong(
    tmp_path: Path, small: SparseVectors, file: str, column: str, bits: int
) -> None:
    index, manifest = write_index(tmp_path, small, keep_floats=bits > 1, bits=bits)
    good = (index / SEGMENTS / "0" / f"{file}.arrow").read_bytes()
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(12):
        (index / SEGMENTS / "0" / f"{file}.arrow").write_bytes(good)

        def change(columns: dict[str, np.ndarray]) -> None:
            values = columns[column]
            raw = rng.integers(0, 256, values.itemsize * 3, np.uint8)
            if values.size > 3:
                offset = int(rng.integers(values.size - 3))
                values[offset : offset + 3] = raw.view(values.dtype)

        rewrite(index, manifest, file, change)
        found += bool(list(problems(index)))
        survives(index, small[:5])
    assert found == 12


def test_files_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_arrow(path, {"x": pa.array([1, 2], pa.uint32())})
    size = path.stat().st_size
    assert ArrowFile(path, size=size, batches=1).numbers(0, x=np.uint32)["x"].tolist() == [1, 2]
    with pytest.raises(IndexCorrupt, match="bytes instead of"):
        ArrowFile(path, size=size + 1)
    with pytest.raises(IndexCorrupt, match="batches instead of"):
        ArrowFile(path, size=size, batches=2)
    with pytest.raises(IndexCorrupt, match="no column 'y'"):
        ArrowFile(path, size=size).numbers(0, y=np.uint32)
    with pytest.raises(IndexCorrupt, match="is uint32, not"):
        ArrowFile(path, size=size).numbers(0, x=np.int32)
    with pytest.raises(IndexCorrupt, match="missing"):
        ArrowFile(tmp_path / "b.arrow", size=1)


def test_the_documentation_shows_the_grammar_of_the_code() -> None:
    docstring = inspect.getdoc(format) or ""
    grammar = textwrap.dedent(docstring.split("::\n\n", 1)[1].split("\n\nFiles are", 1)[0])
    page = Path(__file__).parents[2] / "docs" / "format.md"
    assert f"```\n{grammar}\n```" in page.read_text()


def test_the_grammar_has_the_columns_of_the_code() -> None:
    grammar = inspect.getdoc(format) or ""
    whole = {"documents": schema.DOCUMENTS, "alive": schema.ALIVE, "stored": schema.STORED}
    for file, columns in (PARTITION_FILES | FLOAT_FILES | LIST_FILES | whole).items():
        rule = grammar.split(f"\n    {file} ", 1)[1].lstrip("= ").split("= ", 1)[0]
        shown = set(re.findall(r"^ {10,}(\w+):", rule, re.MULTILINE))
        assert shown == columns.keys(), file
    assert schema.CONTENTS.keys() == {
        *PARTITION_FILES,
        *FLOAT_FILES,
        *LIST_FILES,
        *whole,
        "vocabulary",
    }

"""The manifest, damage found by `problems`, and indexes of released formats."""

from __future__ import annotations

import inspect
import json
import textwrap
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import open_searcher, write_index

from lsr.errors import IndexCorrupt, IndexFormatError
from lsr.index import format
from lsr.index.columns import ArrowFile, write_arrow
from lsr.index.format import MANIFEST, SEGMENTS, FileEntry, Manifest
from lsr.index.verify import problems
from lsr.retrieval import Index
from lsr.vectors import SparseVectors

RELEASED = Path(__file__).parent / "released"


@pytest.fixture
def small() -> SparseVectors:
    rng = np.random.default_rng(1)
    return SparseVectors.from_rows(
        (np.sort(rng.choice(20, 6, replace=False)), rng.random(6) + 0.1) for _ in range(100)
    )


def test_a_manifest_comes_back(tmp_path: Path, small: SparseVectors) -> None:
    index, manifest = write_index(tmp_path, small)
    assert Manifest.read(index) == manifest


def test_any_changed_byte_of_a_manifest_is_found(tmp_path: Path, small: SparseVectors) -> None:
    index, _ = write_index(tmp_path, small)
    path = index / MANIFEST
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
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


def put(column: str, place: int, value: object) -> object:
    def change(columns: dict[str, np.ndarray]) -> None:
        columns[column][place] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("terms", put("start", 1, 4_000_000), "do not cover"),
        ("terms", put("start", 0, 1), "do not cover"),
        ("terms", put("term", 0, 19), "do not ascend"),
        ("terms", put("maximum", 0, 1), "largest weight"),
        ("terms", put("row", 0, 77), "rows of block maxima"),
        ("postings", put("document", 0, 101), "leave the window"),
        ("postings", put("document", 0, 99), "do not ascend"),
        ("postings", put("weight", 0, 0), "no weight"),
        ("blocks", put("maximum", 0, 1), "block maxima of term"),
        ("documents", put("terms", 0, 5), "do not add up"),
        ("documents", put("position", 0, 1), "one position"),
        ("documents", put("by_id", 0, 1), "not distinct or not in order"),
        ("documents", put("id", 0, "d1"), "not distinct or not in order"),
    ],
)
def test_a_wrong_structure_under_right_checksums_is_found(
    tmp_path: Path, small: SparseVectors, name: str, change: object, what: str
) -> None:
    index, manifest = write_index(tmp_path, small)
    assert list(problems(index)) == []
    rewrite(index, manifest, name, change)
    found = " ".join(problems(index))
    assert what in found
    # What verify reports, a search survives: it finishes, or says what is damaged.
    with suppress(IndexCorrupt):
        for method in ("scan", "pruned"):
            open_searcher(index).search(small[:5], 10, method=method)


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


@pytest.mark.parametrize("path", sorted(RELEASED.glob("format-*")), ids=lambda path: path.name)
def test_indexes_of_released_formats_open_for_ever(path: Path) -> None:
    assert list(problems(path)) == []
    index = Index.open(path)
    hits = index.search("red planet", k=3)
    expected = json.loads((RELEASED / "expected.json").read_text())
    assert hits.ids.tolist() == expected["ids"]
    assert hits.scores.tolist() == expected["scores"]
    assert index.get(expected["ids"][0]).text == expected["text"]
    assert sum(match.product for match in hits[0].explain().terms) == expected["scores"][0]


def test_there_is_an_index_of_every_released_format() -> None:
    assert [path.name for path in sorted(RELEASED.glob("format-*"))] == ["format-1"]


def test_the_documentation_shows_the_grammar_of_the_code() -> None:
    docstring = inspect.getdoc(format) or ""
    grammar = textwrap.dedent(docstring.split("::\n\n", 1)[1].split("\n\nA run", 1)[0])
    page = Path(__file__).parents[2] / "docs" / "format.md"
    assert f"```\n{grammar}\n```" in page.read_text()

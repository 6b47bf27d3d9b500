"""Indexes of released formats open for ever, or are refused with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lsr.errors import IndexFormatError
from lsr.index.format import FORMAT_VERSION, SEGMENTS, Manifest
from lsr.index.segments.older import converted
from lsr.index.segments.reader import Segment
from lsr.index.segments.schema import CONTENTS, OLD_CONTENTS, old_files, partition_types
from lsr.index.verify import problems
from lsr.retrieval.index import Index
from lsr.storage.arrow import ArrowFile, Columns
from lsr.vectors import SparseVectors

RELEASED = Path(__file__).parent / "released"
DOCUMENTS = [
    {"id": "mars", "title": "Mars", "text": "Mars is called the red planet."},
    {"id": "venus", "text": "Venus is a hot planet."},
    {"id": "wine", "title": "Red wine", "text": "Wine is made from grapes."},
    {"id": "empty", "text": ""},
    {"id": "ünïcode", "title": "émoji 🪐", "text": "Saturn has rings 🪐"},
]


def write_released() -> None:
    """Write the index of a format to be released: `python tests/index/test_released_indexes.py`."""
    Index.build(RELEASED / f"format-{FORMAT_VERSION}", DOCUMENTS, "bm25", keep_floats=True)
    Index.from_vectors(RELEASED / f"format-{FORMAT_VERSION}-of-bits", *binary(), bits=1)
    wide = RELEASED / f"format-{FORMAT_VERSION}-of-16-bits"
    Index.from_vectors(wide, *scattered(), bits=16, keep_floats=True, order="none")


def binary() -> tuple[list[str], SparseVectors]:
    """Ids and vectors of equal weights: 200 documents, some of which have no term."""
    rows = [[n for n in range(40) if d % (n + 2) == n] for d in range(200)]
    return [f"d{d}" for d in range(200)], SparseVectors.from_rows(
        (row, np.ones(len(row))) for row in rows
    )


def scattered() -> tuple[list[str], SparseVectors]:
    """Ids and vectors of 600 documents: terms that miss documents, blocks and superblocks."""
    documents = np.arange(600)
    terms = np.column_stack(
        [
            documents >= 0,
            documents % 3 == 0,
            (documents >= 256) & (documents < 512),
            documents >= 512,
            (documents < 256) & (documents % 2 == 0),
            documents % 8 == 7,
            documents % 64 == 5,
            documents % 100 == 0,
        ]
    )
    weights = (documents[:, None] * 7 + np.arange(8) * 13) % 97 / 8 + 0.125
    return [f"d{d}" for d in documents.tolist()], SparseVectors.from_rows(
        (np.flatnonzero(row), values[row]) for row, values in zip(terms, weights, strict=True)
    )


WITH_WEIGHTS = ["format-2", "format-4", "format-5"]
OF_BITS = ["format-3", "format-4-of-bits", "format-5-of-bits"]
OF_16_BITS = ["format-4-of-16-bits", "format-5-of-16-bits"]
REFUSED = ["format-1"]


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_indexes_of_released_formats_open_for_ever(name: str) -> None:
    path = RELEASED / name
    assert list(problems(path)) == []
    index = Index.open(path)
    hits = index.search("red planet", k=3)
    expected = json.loads((RELEASED / "expected.json").read_text())
    assert hits.ids.tolist() == expected["ids"]
    assert hits.scores.tolist() == expected["scores"]
    assert index.get(expected["ids"][0]).text == expected["text"]
    # Its words are cut as they were when it was built.
    assert ("word_rule" in index.encoder.identity) == (name != "format-2")
    assert sum(match.product for match in hits[0].explain().terms) == expected["scores"][0]


@pytest.mark.parametrize("name", OF_BITS)
def test_indexes_without_weights_open_for_ever(name: str) -> None:
    path = RELEASED / name
    assert list(problems(path)) == []
    index = Index.open(path)
    ids, vectors = binary()
    query = SparseVectors.from_rows([([0, 1, 2, 5, 39], np.ones(5))])
    scores = [len({0, 1, 2, 5, 39} & set(row.terms.tolist())) for row in vectors]
    best = sorted(range(200), key=lambda d: (-scores[d], d))[:20]
    for method in ("pruned", "reference"):
        (hits,) = index.search_vectors(query, 20, method=method)
        assert hits.ids.tolist() == [ids[d] for d in best]
        assert hits.scores.tolist() == [scores[d] for d in best]


@pytest.mark.parametrize("name", OF_16_BITS)
def test_released_postings_are_those_of_an_index_built_now(tmp_path: Path, name: str) -> None:
    now = tmp_path / "now"
    Index.from_vectors(now, *scattered(), bits=16, keep_floats=True, order="none")
    assert list(problems(RELEASED / name)) == []
    then, built = (_partition(path) for path in (RELEASED / name, now))
    assert then.keys() == built.keys()
    for column, values in built.items():
        assert then[column].dtype == values.dtype
        assert np.array_equal(then[column], values), column


def _partition(path: Path) -> Columns:
    manifest = Manifest.read(path)
    return Segment(path, manifest.segments[0], manifest).partition(0)


@pytest.mark.parametrize(
    ("column", "row", "value", "what"),
    [
        ("sparse_starts", 0, 1, "do not cover"),
        ("first_postings", 1, 599, "blocks of term 0 are damaged"),
        ("payload_starts", 0, 4_000_000_000, "blocks of term 0 are damaged"),
        ("records", 1, 65_535, "blocks of term 0 are damaged"),
        ("bitmaps", 1, 2**64 - 1, "blocks of term 0 are damaged"),
        ("bitmaps", slice(0, 2), 0, "blocks of term 0 are damaged"),
    ],
)
def test_damaged_postings_of_older_formats_are_refused(
    column: str, row: int | slice, value: int, what: str
) -> None:
    columns = _old_columns(RELEASED / "format-4-of-16-bits")
    columns[column][row] = value
    with pytest.raises(ValueError, match=what):
        converted(columns, 600)


@pytest.mark.parametrize("column", ["bitmaps", "records", "codebooks", "floats"])
def test_columns_of_older_formats_that_are_cut_are_refused(column: str) -> None:
    columns = _old_columns(RELEASED / "format-4-of-16-bits")
    columns[column] = columns[column][:-1]
    with pytest.raises(ValueError, match="more or fewer"):
        converted(columns, 600)


def _old_columns(path: Path) -> Columns:
    manifest = Manifest.read(path)
    folder = path / SEGMENTS / manifest.segments[0].id
    columns = {}
    for file, names in old_files(floats=True).items():
        types = partition_types(manifest.bits, names)
        arrow = folder / f"{file}.arrow"
        values = ArrowFile(arrow, size=arrow.stat().st_size).numbers(0, **types)
        columns |= {kernel: values[name].copy() for name, (kernel, _) in names.items()}
    return columns


@pytest.mark.parametrize("path", sorted(RELEASED.glob("format-[2-9]*")), ids=lambda path: path.name)
def test_every_file_of_a_released_format_is_described(path: Path) -> None:
    assert Index.open(path).info()["sizes"].keys() <= (CONTENTS | OLD_CONTENTS).keys()


def test_there_is_an_index_of_every_released_format() -> None:
    released = sorted(path.name for path in RELEASED.glob("format-*"))
    assert released == sorted(WITH_WEIGHTS + OF_BITS + OF_16_BITS + REFUSED)
    assert f"format-{FORMAT_VERSION}" in WITH_WEIGHTS
    assert f"format-{FORMAT_VERSION}-of-bits" in OF_BITS
    assert f"format-{FORMAT_VERSION}-of-16-bits" in OF_16_BITS


@pytest.mark.parametrize("name", REFUSED)
def test_an_index_of_a_format_of_the_past_is_to_be_rebuilt(name: str) -> None:
    number = name.removeprefix("format-")
    message = f"{name} has index format {number}, and this lsr reads the formats 2 to 5; .*"
    for use in (Index.open, lambda path: list(problems(path))):
        with pytest.raises(IndexFormatError, match=message + "rebuild the index with this version"):
            use(RELEASED / name)


if __name__ == "__main__":
    write_released()

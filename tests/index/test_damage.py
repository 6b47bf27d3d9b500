"""Damaged indexes: found by `lsr verify`, and used without a crash or a strange exception."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.errors import IndexCorrupt, IndexFormatError, LsrError
from lsr.storage.files import checksum_bytes
from support.editions import only, segment, vocabulary

FILES = [
    "manifest.json",
    "vocabulary.*.arrow",
    *(
        f"segments/*/{name}.arrow"
        for name in (
            *("alive", "chunks", "codebooks", "dense_terms", "documents", "floats", "maxima"),
            *("payload", "ranks", "sparse_postings", "sparse_terms", "stored"),
        )
    ),
]
FLIPS = 40  # of each file


def use(path: Path) -> None:
    """Read about everything there is in an index."""
    index = lsr.open(path)
    questions = ["who repairs tidal mills", "copper without any light"]
    for options in ({"method": "scan"}, {"method": "pruned"}, {"exact_floats": True}):
        for hits in index.search(questions, 5, **options):  # type: ignore[arg-type]
            for hit in hits:
                assert isinstance(hit.title + hit.text + str(hit.explain()), str)
    for identifier in ("d000", "d350", "d553"):
        assert index.get(identifier).id == identifier
    index.info()


def test_the_files_of_an_index(bm25_index: lsr.Index, files_of: Callable[..., Any]) -> None:
    assert len(files_of(bm25_index.path)) == len(FILES)
    assert all(only(bm25_index.path, pattern) for pattern in FILES)
    use(bm25_index.path)


@pytest.mark.parametrize("pattern", FILES)
def test_a_flipped_byte_anywhere(
    run: Callable[..., Any], bm25_index: lsr.Index, copy: Callable[..., Path], pattern: str
) -> None:
    path = copy(bm25_index)
    file = only(path, pattern)
    data = file.read_bytes()
    chance = random.Random(pattern)
    failures = 0
    for _ in range(FLIPS):
        offset, bits = chance.randrange(len(data)), chance.choice([1, 2, 4, 64, 128, 255])
        damaged = bytearray(data)
        damaged[offset] ^= bits
        # A new file: the bytes under a mapping that is still open must not change.
        file.unlink()
        file.write_bytes(damaged)
        checked = run("verify", path)
        assert (checked.code, checked.out) == (1, ""), (offset, bits)
        assert str(path) in checked.err
        try:
            use(path)
        except LsrError as error:
            failures += "\n" not in str(error)
    if pattern == "manifest.json":
        assert failures == FLIPS


@pytest.mark.parametrize("pattern", FILES)
def test_a_file_that_is_cut_or_missing(
    run: Callable[..., Any], bm25_index: lsr.Index, copy: Callable[..., Path], pattern: str
) -> None:
    path = copy(bm25_index)
    file = only(path, pattern)
    data = file.read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 8, len(data) - 1, len(data) + 1):
        file.unlink()
        file.write_bytes((data + b"\0")[:size])
        with pytest.raises(IndexCorrupt, match=file.name):
            use(path)
        answer = run("search", path, "copper")
        assert answer.code == 1
        assert answer.error.startswith(f"{file} is damaged: ")
        assert answer.error.endswith("; run `lsr verify` and rebuild the index")
        assert run("verify", path).code == 1
    file.unlink()
    with pytest.raises((IndexCorrupt, IndexFormatError), match=r"missing|no manifest\.json"):
        use(path)
    assert run("verify", path).code == 1


def overwrite(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of a file by as many others, wherever they are."""
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.unlink()
    path.write_bytes(data.replace(old, new))


def test_a_column_name_that_is_not_utf_8(bm25_index: lsr.Index, copy: Callable[..., Path]) -> None:
    path = copy(bm25_index)
    overwrite(segment(path) / "documents.arrow", b"by_id", b"by_\xffd")
    with pytest.raises(IndexCorrupt, match=r"documents\.arrow is damaged: .*codec can't decode"):
        use(path)


def test_words_that_are_not_utf_8(bm25_index: lsr.Index, copy: Callable[..., Path]) -> None:
    path = copy(bm25_index)
    term = bm25_index.reader.find_term("copper")
    assert term is not None
    overwrite(vocabulary(path), b"copper", b"\xffopper")
    with pytest.raises(IndexCorrupt, match=f"row {term} of column 'word' is not UTF-8"):
        lsr.open(path).reader.word(term)


@pytest.mark.parametrize("bounds", [(2**40, 2**40 + 4), (-8, -4), (8, 4), (576, 580)], ids=str)
def test_strings_that_lie_outside_their_column(
    bm25_index: lsr.Index, copy: Callable[..., Path], bounds: tuple[int, int]
) -> None:
    path = copy(bm25_index)
    offsets = np.arange(0, 4 * 145, 4, dtype=np.int64)  # each id has four bytes
    wrong = offsets.copy()
    wrong[7:9] = bounds
    overwrite(segment(path) / "documents.arrow", offsets.tobytes(), wrong.tobytes())
    index = lsr.open(path)
    with pytest.raises(IndexCorrupt, match="of column 'id' lies outside it"):
        index.search("harbour", 144).ids  # noqa: B018  # reading the ids is what fails


def rewrite(path: Path, **changes: Any) -> None:
    """Change fields of a manifest and make its checksum right again."""
    body = json.loads((path / "manifest.json").read_bytes())
    for name, value in changes.items():
        if callable(value):
            value(body)
        else:
            body[name] = value
    body["checksum"] = "0" * 32
    text = json.dumps(body, indent=1, ensure_ascii=False)
    digest = checksum_bytes(text.encode())
    (path / "manifest.json").write_text(text.replace("0" * 32, digest, 1))


@pytest.mark.parametrize("version", [0, 1, 99])
def test_another_format_version(
    run: Callable[..., Any], bm25_index: lsr.Index, copy: Callable[..., Path], version: int
) -> None:
    path = copy(bm25_index)
    rewrite(path)
    use(path)  # `rewrite` makes a manifest that is read
    rewrite(path, format_version=version)
    for command in (["search", path, "copper"], ["info", path], ["verify", path]):
        answer = run(*command)
        assert (answer.code, answer.out) == (1, "")
        assert answer.error.startswith(f"{path} has index format {version}, and this lsr reads ")


def _id(body: dict[str, Any]) -> str:
    """The name of the only segment."""
    return str(body["segments"][0]["id"])


IMPOSSIBLE: list[dict[str, Any]] = [
    {"bits": 4},
    {"bits": "8"},
    {"format_version": "4"},
    {"format_version": None},
    {"step": 0},
    {"step": float("nan")},
    {"step": "1"},
    {"error": -1.0},
    {"error": None},
    {"encoder": "bm25"},
    {"encoder": {}},
    {"encoder": {"kind": "bm25"}},
    {"encoder": {"kind": ["bm25"], "name": "bm25"}},
    {"vocabulary": -1},
    {"vocabulary": 1.5},
    {"kept": None},
    {"segments": None},
    {"segments": {"id": "0"}},
    {"segments": [{"id": "0"}]},
    {"segments": [{"id": 0, "partitions": [144], "postings": 1}]},
    {"segments": [{"id": "..", "partitions": [144], "postings": 1}]},
    {"segments": [{"id": "0", "partitions": 144, "postings": 1}]},
    {"segments": [{"id": "0", "partitions": ["144"], "postings": 1}]},
    {"segments": [{"id": "0", "partitions": [0, 144], "postings": 1}]},
    {"segments": [{"id": "0", "partitions": [70_000], "postings": 1}]},
    {"segments": [{"id": "0", "partitions": [2**70], "postings": 1}]},
    {"segments": [{"id": "0", "partitions": [144], "postings": None}]},
    {"files": []},
    {"files": {"vocabulary.x.arrow": 7}},
    {"files": {"vocabulary.x.arrow": {"size": "1", "checksum": ""}}},
    {"files": {"vocabulary.x.arrow": {"size": 1, "checksum": None}}},
    {"files": {"../secret": {"size": 1, "checksum": ""}}},
    {"change": lambda body: body.pop("step")},
    {"change": lambda body: body["files"].pop(f"segments/{_id(body)}/sparse_terms.arrow")},
    {"change": lambda body: body["segments"][0].update(partitions=[100, 44])},
    {"change": lambda body: body["segments"][0].update(partitions=[143])},
    {"change": lambda body: body.update(bits=16)},
    {"change": lambda body: body.update(vocabulary=3)},
]


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=",".join)
def test_an_impossible_manifest_under_a_right_checksum(
    run: Callable[..., Any],
    bm25_index: lsr.Index,
    copy: Callable[..., Path],
    changes: dict[str, Any],
) -> None:
    path = copy(bm25_index)
    rewrite(path, **changes)
    with pytest.raises(IndexCorrupt):
        use(path)
    assert run("verify", path).code == 1


@pytest.mark.parametrize("edition", [None, 7, "", "x" * 32, "0" * 31])
def test_an_impossible_edition(
    bm25_index: lsr.Index, copy: Callable[..., Path], edition: Any
) -> None:
    path = copy(bm25_index)
    rewrite(path, edition=edition)
    with pytest.raises(IndexCorrupt, match="impossible value"):
        use(path)


@pytest.mark.parametrize(
    "encoder",
    [
        {"kind": "unknown", "name": "x"},
        {"kind": "bm25", "name": "bm25"},
        {"kind": "learned", "name": "x"},
        {"kind": "learned", "name": "x", "source": "../x", "revision": None},
    ],
    ids=str,
)
def test_an_encoder_that_cannot_be(
    run: Callable[..., Any], bm25_index: lsr.Index, copy: Callable[..., Path], encoder: Any
) -> None:
    path = copy(bm25_index)
    rewrite(path, encoder=encoder)
    answer = run("search", path, "copper")
    assert answer.code == 1
    assert answer.error
    assert run("info", path, "--json").code == 0

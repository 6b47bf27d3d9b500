"""Every way a collection can be wrong."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsr.data.corpus import Document, open_corpus
from lsr.data.streams import MAX_LINE
from lsr.errors import CorpusError

DOCUMENTS = [Document("d1", "Mars", "The red planet."), Document("7", "", "äöü 行星.")]
JSONL = (
    '{"_id": "d1", "title": "Mars", "text": "The red planet."}\n'
    '{"id": 7, "contents": "äöü 行星."}\n'
).encode()


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


def write_zip(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


BAD_RECORDS = {
    b'{"_id": "x", "text": "y"': r"is not valid JSON \(.*, column 25\); give one complete JSON",
    b'["x", "y"]': "is a list; give one JSON object a line",
    b"null": "is null; give one JSON object a line",
    b'{"text": "y"}': 'has no id; give each record an "_id"',
    b'{"_id": null, "text": "y"}': "has no id",
    b'{"_id": "", "text": "y"}': "has an empty id",
    b'{"_id": " ", "text": "y"}': "has an empty id",
    b'{"_id": true, "text": "y"}': "has true or false for an id; ids are strings or integers",
    b'{"_id": 1.5, "text": "y"}': "has a number for an id; ids are strings or integers",
    b'{"_id": "a\\u0000", "text": "y"}': "has a NUL character in its id",
    b'{"_id": "a\\ud800", "text": "y"}': r"has the lone surrogate U\+D800 in its id at character 2",
    b'{"_id": "' + "ä".encode() * 513 + b'", "text": "y"}': "has an id longer than 1,024 bytes",
    b'{"_id": "x", "title": "y"}': "has no text; give each record",
    b'{"_id": "x", "text": null}': "has no text; give each record",
    b'{"_id": "x", "text": 7}': "has a number for a text; give a string",
    b'{"_id": "x", "text": ["y"]}': "has a list for a text; give a string",
    b'{"_id": "x", "title": 7, "text": "y"}': "has a number for a title; give a string",
    b'{"_id": "x", "text": "y\\udfff"}': "has the lone surrogate .* in its text at character 2",
    b'{"_id": "x", "title": "\\ud800", "text": ""}': "has the lone surrogate .* in its title",
    b'{"_id": "x", "text": "\xff"}': "is not UTF-8 at byte 23; convert",
    b'{"_id": "x", "text": "\xed\xa0\x80"}': "is not UTF-8 at byte 23",
    b'{"_id": ' + b"9" * 5000 + b', "text": "y"}': "has JSON that cannot be read",
    b'{"_id": "x", "text": ' + b"[" * 200_000: "has JSON that cannot be read|is not valid JSON",
}


@pytest.mark.parametrize("line", BAD_RECORDS, ids=range(len(BAD_RECORDS)))
def test_a_bad_record_stops_or_is_skipped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(JSONL + line + b"\n" + b'{"_id": "last", "text": "z"}')
    with pytest.raises(CorpusError, match=r"bad\.jsonl, line 3 (?:" + BAD_RECORDS[line] + ")"):
        list(open_corpus(str(path)))
    corpus = open_corpus(str(path), on_error="skip")
    assert list(corpus) == [*DOCUMENTS, Document("last", "", "z")]
    assert corpus.skipped == 1


def test_broken_json_far_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl.gz"
    lines = [b'{"_id": "%d", "text": "some words"}' % number for number in range(1, 70_011)]
    lines[70_000] = lines[70_000][:-1]
    path.write_bytes(gzip.compress(b"\n".join(lines), 1))
    with pytest.raises(CorpusError, match=r"long\.jsonl\.gz, line 70001 is not valid JSON"):
        list(open_corpus(str(path)))
    corpus = open_corpus(str(path), on_error="skip")
    assert sum(1 for _ in corpus) == 70_009
    assert corpus.skipped == 1


def test_a_line_that_is_too_long_is_not_kept(tmp_path: Path) -> None:
    longest = b'{"_id": "x", "text": "' + b"y" * (MAX_LINE - 25) + b'"}\n'
    assert len(longest) == MAX_LINE == 1 << 26
    path = tmp_path / "long.jsonl"
    path.write_bytes(longest + longest.replace(b"y", b"y" * 100, 1) + JSONL)
    with pytest.raises(CorpusError, match=r"long\.jsonl, line 2 is longer than 64 MiB"):
        list(open_corpus(str(path)))
    corpus = open_corpus(str(path), on_error="skip")
    assert [d.id for d in corpus] == ["x", "d1", "7"]
    assert corpus.skipped == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\tb\nc\n", r"line 2 has 1 tab-separated columns instead of 2 \(id, text\)"),
        (b"a\tb\nc\td\te\n", r"line 2 has 3 tab-separated columns instead of 2 \(id, text\)"),
        (b"a\n", r"line 1 has 1 .* instead of 2 \(id, text\) or 3 \(id, title, text\)"),
        (b"a\tb\n\tc\n", "line 2 has an empty id"),
        (b"id\ttitle\na\tb\n", "line 2 has no text"),
    ],
)
def test_bad_tsv(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "bad.tsv").write_bytes(data)
    with pytest.raises(CorpusError, match=message):
        list(open_corpus(str(tmp_path / "bad.tsv")))


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"'nowhere\.jsonl' does not exist; give a BEIR folder"):
        open_corpus("nowhere.jsonl")
    with pytest.raises(CorpusError, match=r"has no corpus\.jsonl in it; give a folder"):
        open_corpus(str(tmp_path))
    with pytest.raises(CorpusError, match="does not exist"):
        open_corpus("a\0b")
    with pytest.raises(CorpusError, match="cannot be opened"):
        open_corpus("x" * 5000)
    (tmp_path / "c.docx").touch()
    with pytest.raises(CorpusError, match=r"is of no known format \(\.docx\)"):
        open_corpus(str(tmp_path / "c.docx"))
    with pytest.raises(CorpusError, match='on_error is "stop" or "skip"'):
        open_corpus("arxiv-cs", on_error="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["c.jsonl", "c.tsv", "c.txt"])
@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_empty_corpus(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match="holds no documents; check"):
        list(open_corpus(str(tmp_path / name)))


def test_nothing_left_after_skipping(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"{}\n{}\n")
    with pytest.raises(CorpusError, match="holds no documents, only 2 bad records"):
        list(open_corpus(str(path), on_error="skip"))


def test_empty_standard_input(feed: Callable[[bytes], io.BytesIO]) -> None:
    feed(b"")
    with pytest.raises(CorpusError, match="standard input holds no documents"):
        list(open_corpus("-"))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd)])
def test_truncated_or_damaged_compression(
    tmp_path: Path, suffix: str, pack: Any, on_error: Any
) -> None:
    lines = b"".join(b'{"_id": "%d", "text": "%d"}\n' % (n, n**9) for n in range(20_000))
    packed = pack(lines)
    path = tmp_path / f"c.jsonl{suffix}"
    for broken in (packed[: len(packed) // 2], packed[:-2], packed + b"garbage", b"not packed"):
        path.write_bytes(broken)
        with pytest.raises(
            CorpusError, match=r"is truncated or damaged after line \d+ \(.*; fetch"
        ):
            list(open_corpus(str(path), on_error=on_error))


def test_broken_zips(tmp_path: Path) -> None:
    good = Path(write_zip(tmp_path / "good.zip", {"set/corpus.jsonl": JSONL * 100}))
    with pytest.raises(CorpusError, match=r"has no corpus\.jsonl in it; give a zip in BEIR's"):
        open_corpus(write_zip(tmp_path / "none.zip", {"a/b/corpus.jsonl": JSONL, "x.txt": b""}))
    with pytest.raises(CorpusError, match=r"has both a/corpus\.jsonl and b/corpus\.jsonl"):
        open_corpus(
            write_zip(tmp_path / "two.zip", {"a/corpus.jsonl": JSONL, "b/corpus.jsonl": JSONL})
        )
    cut = tmp_path / "cut.zip"
    cut.write_bytes(good.read_bytes()[:-30])
    with pytest.raises(CorpusError, match="is not a readable zip"):
        open_corpus(str(cut))
    data = bytearray(good.read_bytes())
    data[60:80] = bytes(20)  # inside the compressed member
    cut.write_bytes(data)
    with pytest.raises(CorpusError, match=r"cut\.zip/set/corpus\.jsonl is truncated or damaged"):
        list(open_corpus(str(cut)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, 10_000),
    value=st.integers(0, 255),
    suffix=st.sampled_from([".zip", ".jsonl.gz", ".jsonl.zst", ".jsonl", ".parquet"]),
)
def test_a_flipped_byte_is_harmless_or_a_corpus_error(
    tmp_path: Path, at: int, value: int, suffix: str
) -> None:
    path = tmp_path / f"flip{suffix}"
    if suffix == ".zip":
        write_zip(path, {"corpus.jsonl": JSONL})
    elif suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"id": ["a", "b"], "text": ["one", "zwei ä"]}), path)
    else:
        pack = {".gz": gzip.compress, ".zst": zstd}.get(path.suffix, bytes)
        path.write_bytes(pack(JSONL))
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    path.write_bytes(data)
    with suppress(CorpusError):
        list(open_corpus(str(path)))

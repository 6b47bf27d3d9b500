"""Every format: what is written comes back, but for what the format cannot hold."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.data.corpus import Chunk
from lsr.data.interchange import FORMATS, detect, named
from lsr.errors import CorpusError, LsrError
from support.interchanging import Documents, documents, name_of, read, write

LINES = ["jsonvectors", "seismic", "pyterrier"]
MATRICES = {"npz": 2**32 - 1, "csr": 2**31 - 1}
FEW = Documents(["a", "b-2", "😀"], [{2: 1.5, 0: 0.25}, {}, {1: 2.0**127}], ["red", "blue", "é"])


def only_corpus_errors(format: str, path: Path) -> None:
    """Reading succeeds, or says in which file it does not."""
    problem = str(path)
    with suppress(CorpusError):
        try:
            read(format, path)
        except CorpusError as error:
            problem = str(error)
            raise
    assert str(path) in problem
    assert "\n" not in problem


def round_trip(format: str, given: Documents, scale: float | None = None) -> Documents:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name_of(format)
        write(format, path, given, scale)
        return read(format, path)


@pytest.mark.parametrize("format", LINES)
@given(given=documents() | documents(worded=True))
def test_lines_keep_words_and_floats(format: str, given: Documents) -> None:
    back = round_trip(format, given)
    assert back.ids == given.ids
    assert back.by_word == given.by_word  # the very floats
    assert back.texts is None


@pytest.mark.parametrize("format", MATRICES)
@given(data=st.data(), worded=st.booleans())
def test_matrices_keep_terms_and_words(format: str, data: st.DataObject, worded: bool) -> None:
    given = data.draw(documents(MATRICES[format], worded))
    back = round_trip(format, given)
    assert (back.ids, back.rows) == (given.ids, given.rows)
    text = "\n".join(given.words or [])
    if "\r" in text or text.count("\n") >= len(given.words or [""]) or text.startswith("\ufeff"):
        assert back.words is None  # one word a line cannot be
    else:
        assert back.words == given.words


@given(given=documents() | documents(worded=True))
def test_ciff_keeps_words_and_eight_bits(given: Documents) -> None:
    back = round_trip("ciff", given)
    largest = max((weight for row in given.rows for weight in row.values()), default=0)
    step = largest / 255
    expected = [
        {
            word: float(np.float32(max(1, round(weight * (1 / step))) * step))
            for word, weight in row.items()
            if weight > 0
        }
        for row in given.by_word
    ]
    assert (back.ids, back.by_word) == (given.ids, expected)


@pytest.mark.parametrize("format", [*LINES, "ciff"])
@given(given=documents(worded=True), scale=st.sampled_from([0.5, 100, 4096.0]))
def test_a_scale_makes_integers(format: str, given: Documents, scale: float) -> None:
    """Weights become integers, zeros go, all else stays at least 1."""
    for row in given.rows:
        for term, weight in row.items():
            row[term] = float(np.float32(weight % 1000))
    back = round_trip(format, given, scale)
    expected = [
        {word: max(1, round(weight * scale)) for word, weight in row.items() if weight > 0}
        for row in given.by_word
    ]
    if format == "ciff":  # the step in the file makes them weights again
        scaled = [
            {w: float(np.float32(i * (1 / scale))) for w, i in row.items()} for row in expected
        ]
        assert back.by_word == scaled
    else:
        assert back.by_word == expected


@pytest.mark.parametrize("format", LINES)
def test_titles_and_texts(tmp_path: Path, format: str) -> None:
    given = Documents(["a", "b"], [{}, {}], ["x"], ["", 'T "1"'], ["é\n\u2028", ""])
    write(format, tmp_path / "v.jsonl", given)
    back = read(format, tmp_path / "v.jsonl")
    assert (back.titles, back.texts) == (given.titles, given.texts)


@pytest.mark.parametrize("format", FORMATS)
def test_many_chunks_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Small limits change nothing: the file and what is read from it are the same."""
    generator = np.random.default_rng(3)
    rows = [
        {int(term): float(generator.integers(1, 256)) for term in generator.choice(50, size)}
        for size in generator.integers(0, 30, 41)
    ]
    rows[7][49] = 255.0
    ids, texts = [f"d{n}" for n in range(41)], [f"text {n}" for n in range(41)]
    given = Documents(ids, rows, [f"w{n}" for n in range(50)], texts[::-1], texts)
    path = tmp_path / name_of(format)
    write(format, path, given)
    whole, back = path.read_bytes(), read(format, path)
    assert back.by_word == given.by_word
    for limit, value in (
        ("base.CHUNK_DOCUMENTS", 3),
        ("base.CHUNK_POSTINGS", 20),
        ("base.PASS_POSTINGS", 16),
        ("ciff._MERGED", 10),
        ("lines.CHUNK_DOCUMENTS", 3),
    ):  # which it takes 67 million postings to reach
        monkeypatch.setattr(f"lsr.data.interchange.{limit}", value)
    given.chunk_size = 1000
    write(format, path, given)
    assert path.read_bytes() == whole
    assert read(format, path) == back
    if format in LINES:
        assert (back.ids, back.titles, back.texts) == (ids, texts[::-1], texts)


@pytest.mark.parametrize("format", FORMATS)
def test_writing_fails_whole(tmp_path: Path, format: str) -> None:
    path = tmp_path / name_of(format)
    write(format, path, FEW)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    class Broken(Documents):
        def chunks(self) -> Iterator[Chunk]:
            yield next(super().chunks())
            raise LsrError("a shard is damaged")

    other = Broken(["x", "y"], [{1: 1.0}, {0: 2.0}], FEW.words, chunk_size=1)
    with pytest.raises(LsrError, match="a shard is damaged"):
        write(format, path, other)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("format", LINES)
@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_compressed_lines(tmp_path: Path, format: str, suffix: str) -> None:
    plain, packed = tmp_path / "v.jsonl", tmp_path / f"v{suffix}"
    write(format, plain, FEW)
    write(format, packed, FEW)
    if suffix.endswith("gz"):
        assert packed.read_bytes()[4:8] == b"\0" * 4  # no time
        assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    else:
        with pa.input_stream(str(packed), compression="zstd") as stream:
            assert stream.read() == plain.read_bytes()
    assert read(format, packed).by_word == FEW.by_word
    assert detect(packed) == ("jsonvectors" if format == "seismic" else format)  # without texts


def test_formats_by_name_and_first_record(tmp_path: Path) -> None:
    assert named(Path("a.NPZ")) == ["npz"]
    assert named(Path("a.csr")) == ["csr"]
    assert named(Path("a.b.ciff")) == ["ciff"]
    assert named(Path("a.jsonl.zst")) == named(Path("a.ndjson")) == LINES
    assert named(Path("a.tsv")) == named(Path("npz")) == []
    path = tmp_path / "v.jsonl"
    for line, format in (
        ('{"id": "a", "contents": "", "vector": {}}', "jsonvectors"),
        ('{"id": "a", "vector": {}}', "jsonvectors"),
        ('\n{"id": "a", "content": "x", "vector": {}}', "seismic"),
        ('{"docno": "a", "toks": {}}\n{"id": 3}', "pyterrier"),
        ('{"_id": "a", "text": "x"}', None),
        ("[1]", None),
        ("\n\n", None),
    ):
        path.write_text(line)
        assert detect(path) == format
    assert detect(tmp_path / "a.csr") == "csr"
    assert detect(tmp_path / "a.txt") is None
    with pytest.raises(CorpusError, match="cannot be read: No such file"):
        detect(tmp_path / "b.jsonl")


@pytest.mark.parametrize("format", FORMATS)
def test_files_that_are_not_there(tmp_path: Path, format: str) -> None:
    for path in (tmp_path / name_of(format), tmp_path):
        with pytest.raises(CorpusError, match=r"cannot be read: (No such file|Is a directory)"):
            read(format, path)


@pytest.mark.parametrize("format", ["npz", "csr", "ciff"])
def test_files_cut_short(tmp_path: Path, format: str) -> None:
    """A file cut anywhere is refused in one sentence; lines are whole until the last one."""
    path = tmp_path / name_of(format)
    write(format, path, FEW)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match="fetch or write the file again"):
            read(format, path)
    path.write_bytes(whole + b"\0")
    if format != "npz":  # zips may have a tail
        with pytest.raises(CorpusError, match="fetch or write the file again"):
            read(format, path)


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
def test_a_changed_byte_is_harmless_or_an_error(format: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name_of(format)
        write(format, path, FEW)
        damaged = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(damaged)
        only_corpus_errors(format, path)


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.binary(max_size=200))
def test_random_bytes(format: str, data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name_of(format)
        path.write_bytes(data)
        only_corpus_errors(format, path)

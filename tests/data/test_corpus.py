"""Reading collections in every format."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsr.data.builtin import COLLECTIONS, DENSE_MODELS, MODELS, collection_path, model_path
from lsr.data.collection import checked
from lsr.data.corpus import Document, open_corpus
from lsr.errors import CorpusError
from support.ir_dataset import registered

DOCUMENTS = [
    Document("d1", "Mars", "The red planet."),
    Document("7", "", "No title, and äöü 行星."),
    Document("d3", "Empty text", ""),
]
JSONL = (
    '{"_id": "d1", "title": "Mars", "text": "The red planet."}\n'
    '{"id": 7, "title": null, "contents": "No title, and äöü 行星.", "url": [1]}\n'
    "\n"
    '{"_id": "d3", "title": "Empty text", "text": ""}'
).encode()
TSV = "d1\tMars\tThe red planet.\r\n7\t\tNo title, and äöü 行星.\r\nd3\tEmpty text\t\n".encode()


def read(path: Path, name: str, data: bytes) -> list[Document]:
    (path / name).write_bytes(data)
    return list(open_corpus(str(path / name)))


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


def write_zip(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


@pytest.mark.parametrize("name", ["c.jsonl", "c.json", "c.ndjson", "C.JSONL"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, name, JSONL) == DOCUMENTS


@pytest.mark.parametrize(("suffix", "data"), [(".jsonl", JSONL), (".tsv", TSV)])
def test_compressed(tmp_path: Path, suffix: str, data: bytes) -> None:
    half = data.index(b"\n") + 4  # two members, two frames: both formats allow several
    gzipped = gzip.compress(data[:half]) + gzip.compress(data[half:])
    assert read(tmp_path, f"c{suffix}.gz", gzipped) == DOCUMENTS
    assert read(tmp_path, f"c{suffix}.zst", zstd(data[:half]) + zstd(data[half:])) == DOCUMENTS


def test_tsv_layouts(tmp_path: Path) -> None:
    assert read(tmp_path, "three.tsv", TSV) == DOCUMENTS
    assert read(tmp_path, "two.tsv", b"a\tsome text\n\nb\t\n") == [
        Document("a", "", "some text"),
        Document("b", "", ""),
    ]
    header = b"text\t_id\tTitle\nsome text\ta\tone\n"
    assert read(tmp_path, "header.tsv", header) == [Document("a", "one", "some text")]


def test_txt_numbers_passages_by_line(tmp_path: Path) -> None:
    expected = [Document("1", "", "one"), Document("4", "", " two\tx")]
    assert read(tmp_path, "c.txt", b"one\n\n  \n two\tx\r\n") == expected


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "c.parquet"
    titles = ["Mars", None, "Empty text"]
    texts = [d.text for d in DOCUMENTS]
    table = pa.table({"_id": ["d1", "7", "d3"], "n": [1, 2, 3], "title": titles, "text": texts})
    pq.write_table(table, path)
    corpus = open_corpus(str(path))
    assert corpus.fraction is None
    assert list(corpus) == DOCUMENTS
    assert corpus.fraction == 1.0

    pq.write_table(pa.table({"id": [1, 2], "text": ["a", None]}), path)
    with pytest.raises(CorpusError, match=r"c\.parquet, row 2 has no text"):
        list(open_corpus(str(path)))
    pq.write_table(pa.table({"id": [1], "body": ["a"]}), path)
    with pytest.raises(CorpusError, match="has the columns id, body but no text or contents"):
        list(open_corpus(str(path)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorpusError, match="is not a readable Parquet file"):
        list(open_corpus(str(path)))


def test_beir_folder_and_zip(tmp_path: Path) -> None:
    for number, (name, data) in enumerate(
        [
            ("corpus.jsonl", JSONL),
            ("corpus.jsonl.gz", gzip.compress(JSONL)),
            ("corpus.jsonl.zst", zstd(JSONL)),
        ]
    ):
        folder = tmp_path / f"beir{number}"
        folder.mkdir()
        (folder / name).write_bytes(data)
        corpus = open_corpus(str(folder))
        assert (corpus.name, list(corpus)) == (f"beir{number}", DOCUMENTS)
        for top in ("", "set/"):
            corpus = open_corpus(write_zip(tmp_path / "nf.zip", {top + name: data}))
            assert (corpus.name, list(corpus)) == ("nf", DOCUMENTS)
            assert corpus.fraction == 1.0


def test_zip_packed_on_a_mac(tmp_path: Path) -> None:
    members = {"set/corpus.jsonl": JSONL, "__MACOSX/corpus.jsonl": b"\x00\x05"}
    assert list(open_corpus(write_zip(tmp_path / "mac.zip", members))) == DOCUMENTS


@pytest.mark.parametrize("data", [JSONL, gzip.compress(JSONL)])
def test_standard_input(feed: Callable[[bytes], io.BytesIO], data: bytes) -> None:
    stream = feed(data)
    corpus = open_corpus("-")
    assert (corpus.name, corpus.fraction) == ("stdin", None)
    assert list(corpus) == DOCUMENTS
    assert corpus.fraction is None
    assert not stream.closed


class TitledDoc(NamedTuple):
    doc_id: str
    title: str
    text: str


class MarcoDoc(NamedTuple):
    doc_id: str
    url: str
    body: str

    def default_text(self) -> str:
        return self.body


@pytest.mark.parametrize(
    ("docs", "expected"),
    [
        (
            [TitledDoc("a", "one", "x"), TitledDoc("b", "", "y")],
            [("a", "one", "x"), ("b", "", "y")],
        ),
        ([MarcoDoc("a", "http://x", "body")], [("a", "", "body")]),
    ],
)
def test_ir_datasets(docs: list[Any], expected: list[tuple[str, str, str]]) -> None:
    from ir_datasets.formats import BaseDocs

    class Docs(BaseDocs):  # type: ignore[misc]
        def docs_iter(self) -> Iterator[Any]:
            return iter(docs)

        def docs_count(self) -> int:
            return len(docs)

    with registered({"lsr-test/tiny": (Docs(),)}):
        corpus = open_corpus("irds:lsr-test/tiny")
        assert corpus.name == "lsr-test/tiny"
        assert list(corpus) == [Document(*fields) for fields in expected]
        assert corpus.fraction == 1.0
    with pytest.raises(CorpusError, match="knows no dataset 'lsr-test/tiny'"):
        open_corpus("irds:lsr-test/tiny")


def test_builtin_collection_and_model() -> None:
    corpus = open_corpus("arxiv-cs")
    documents = list(corpus)
    assert (corpus.name, len(documents)) == ("arxiv-cs", 3788)
    assert documents[0].id == "2312.00690"
    assert documents[0].indexed_text.startswith("Open-vocabulary object 6D pose estimation We ")
    for name in COLLECTIONS:
        folder = collection_path(name)
        assert folder is not None
        assert (folder / "README.md").is_file()
    for name in MODELS + DENSE_MODELS:
        folder = model_path(name)
        assert folder is not None
        assert {"LICENSE", "README.md", "config.json"} <= {file.name for file in folder.iterdir()}
    assert collection_path("../models") is None
    assert model_path("arxiv-cs") is None


def test_indexed_text() -> None:
    assert Document("1", "title", "text").indexed_text == "title text"
    assert Document("1", "", "text").indexed_text == "text"


def test_a_corpus_restarts_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read(tmp_path, "bom.jsonl", b"\xef\xbb\xbf" + JSONL) == DOCUMENTS
    corpus = open_corpus(str(tmp_path / "bom.jsonl"))
    next(iter(corpus))
    assert list(corpus) == list(corpus) == DOCUMENTS


def test_fraction_grows_with_reading(tmp_path: Path) -> None:
    line = json.dumps({"id": "x", "text": "y" * 1000}).encode() + b"\n"
    path = tmp_path / "c.jsonl"
    path.write_bytes(line * 3000)
    corpus = open_corpus(str(path))
    seen = [corpus.fraction for _ in corpus]
    assert seen == sorted(seen)
    assert seen[0] < 0.1
    assert seen[1500] == pytest.approx(0.5, abs=0.1)
    assert corpus.fraction == 1.0


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1).filter(
    lambda value: value.split() == [value]
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=st.lists(st.builds(Document, ids, texts, texts), min_size=1),
    ascii_only=st.booleans(),
    compress=st.sampled_from([("", bytes), (".gz", gzip.compress), (".zst", zstd)]),
)
def test_any_unicode_survives(
    tmp_path: Path, documents: list[Document], ascii_only: bool, compress: Any
) -> None:
    lines = (
        json.dumps({"_id": d.id, "title": d.title, "text": d.text}, ensure_ascii=ascii_only)
        for d in documents
    )
    suffix, pack = compress
    data = "".join(f"{line}\n" for line in lines).encode()
    assert read(tmp_path, f"random.jsonl{suffix}", pack(data)) == documents


def test_a_folder_inside_a_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"set/a/corpus.jsonl": JSONL, "b/corpus.jsonl": b"{}"})
    corpus = open_corpus(f"{path}/a")
    assert corpus.name == "a"
    documents = list(corpus)
    assert documents == DOCUMENTS
    assert corpus.location.startswith(f"{path}/set/a/corpus.jsonl, line ")
    with pytest.raises(CorpusError, match=r"has no c/corpus\.jsonl in it"):
        open_corpus(f"{path}/c")


def test_the_place_of_a_repeated_id(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"_id": 1, "text": ""}\n\n{"_id": 1, "text": ""}\n')
    with pytest.raises(CorpusError, match=r"c\.jsonl, line 3: the id '1' is repeated"):
        list(checked(open_corpus(str(path))))

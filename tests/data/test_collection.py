"""A collection is checked once; later readings are compared with the first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import lsr
from lsr.data.collection import Collection
from lsr.data.corpus import open_corpus
from lsr.errors import CorpusError
from lsr.indexing.build import Texts, build
from lsr.progress import Silent


class Counted(list[dict[str, str]]):
    """Documents, and how often they were read."""

    readings = 0

    def __iter__(self) -> Iterator[dict[str, str]]:
        self.readings += 1
        return super().__iter__()


@pytest.fixture
def records() -> Counted:
    return Counted({"id": f"d{n}", "text": f"tidal mill number {n}"} for n in range(5000))


def test_the_scan_of_a_reading_is_kept(records: Counted) -> None:
    collection = Collection(records)
    scan = collection.scanned(Silent)
    assert (scan.documents, len(scan.spans)) == (5000, 3)
    assert scan.spans[1].ids == ("d2048", "d4095")
    assert collection.scanned(Silent) is scan
    assert records.readings == 1
    assert [span for span, _ in collection.shards()] == scan.spans
    assert [document.id for _, group in collection.shards() for document in group] == [
        record["id"] for record in records
    ]


def test_an_index_is_built_with_one_reading_after_the_scan(
    records: Counted, tmp_path: Path
) -> None:
    collection = Collection(records)
    build(tmp_path / "a", Texts(collection, "bm25"))
    assert records.readings == 1  # which also scans
    build(tmp_path / "b", Texts(collection, "bm25"))
    assert records.readings == 2
    assert lsr.open(tmp_path / "a").manifest.edition == lsr.open(tmp_path / "b").manifest.edition


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda records: records[2100].update(text="wheat"), "shard 1 .*d2048.* changed while"),
        (lambda records: records[0].update(id="d1"), "shard 0 .* changed while"),
        (lambda records: records.append({"id": "new", "text": ""}), "shard 2 .* changed while"),
        (lambda records: records.__delitem__(slice(4096, None)), "shard 2 .* was missing in"),
    ],
)
def test_a_collection_that_changes_between_two_readings(
    records: Counted, tmp_path: Path, change: object, message: str
) -> None:
    collection = Collection(records)
    collection.scanned(Silent)
    change(records)  # type: ignore[operator]  # one of the above
    with pytest.raises(CorpusError, match=message):
        list(collection.shards())
    with pytest.raises(CorpusError, match=message):
        build(tmp_path / "i", Texts(collection, "bm25"))
    assert not (tmp_path / "i" / "manifest.json").exists()


def test_what_is_wrong_is_found_by_the_first_reading(tmp_path: Path) -> None:
    for wrong, message in (
        ([{"id": "a", "text": ""}] * 2, "document 2: the id 'a' is repeated"),
        ([{"id": "a", "text": ""}, {"id": "b"}], "document 2: "),
        (["text"], "document 1 is str, not a mapping"),
        ("path", "documents are mappings, one after another, not str"),
    ):
        collection = Collection(wrong)  # type: ignore[arg-type]  # on purpose
        with pytest.raises(CorpusError, match=message):
            collection.scanned(Silent)
        assert collection.scan is None


def test_whether_it_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text('{"id": "a", "text": "bees"}\n')
    assert not Collection(open_corpus(file)).once
    assert not Collection([]).once
    assert Collection(open_corpus("-")).once
    assert Collection(iter([])).once

"""Coded lists: what is written is read back, and is as short as the code can make it."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsr.index.format import LIST_ORDERS, LISTS_PADDING, PARTITION
from lsr.index.postings.decoding import decode
from lsr.index.postings.lists import list_columns, read_list
from lsr.index.search.options import SearchOptions
from lsr.index.segments.reader import Segment
from lsr.vectors import SparseVectors
from support.bare_index import open_searcher, stored_integers, write_index


def bits_of(documents: list[int], order: int) -> str:
    """A list by the words of the format, without the zeros at its end."""
    written, before = f"{order:04b}", -1
    for document in documents:
        number = f"{2**order + document - before - 1:b}"
        written += "0" * (len(number) - 1 - order) + number
        before = document
    return written


def bytes_of(bits: str) -> list[int]:
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def written(documents: list[int], count: int) -> list[int]:
    """The bytes of a list of a partition of `count` documents."""
    if len(documents) < count / 16:
        return bytes_of(min((bits_of(documents, n) for n in range(LIST_ORDERS)), key=len))
    bits = np.zeros(count, np.uint8)
    bits[documents] = 1
    return [0xF0, *np.packbits(bits, bitorder="little").tolist()]


def columns_of(runs: list[list[int]], count: int) -> dict[str, np.ndarray]:
    """The columns of a partition whose terms, 10, 11 and so on, are in these documents."""
    terms = np.arange(10, 10 + len(runs), dtype=np.uint32)
    starts = np.cumsum([0, *map(len, runs)]).astype(np.int64)
    files = list_columns(terms, starts, np.array([*chain(*runs)], np.uint16), count)
    return {
        "list_terms": files["list_terms"]["term"],
        "list_starts": files["list_terms"]["start"],
        "lists": files["lists"]["bytes"],
    }


@st.composite
def partitions(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """A number of documents, and those of some terms."""
    count = draw(st.sampled_from([1, 8, 9, 64, 300, PARTITION]))
    some = st.integers(0, count - 1) | st.integers(0, min(count, 300) - 1)
    return count, draw(st.lists(st.sets(some, min_size=1, max_size=60).map(sorted), max_size=5))


@given(partitions())
@example((PARTITION, [[0], [PARTITION - 1], [0, PARTITION - 1], list(range(2000))]))
@example((PARTITION, [list(range(0, PARTITION, 16)), list(range(0, PARTITION - 16, 16))]))
@example((PARTITION - 3, [list(range(PARTITION - 3))]))
def test_lists_come_back_and_are_as_the_format_says(partition: tuple[int, list[list[int]]]) -> None:
    count, runs = partition
    columns = columns_of(runs, count)
    lists = [written(run, count) for run in runs]
    assert columns["lists"].tolist() == [*chain(*lists)] + [0] * LISTS_PADDING
    assert columns["list_starts"].tolist() == np.cumsum([0, *map(len, lists)])[:-1].tolist()
    back = decode(columns, count)
    assert back.terms.tolist() == [10 + n for n in range(len(runs))]
    assert np.diff(back.starts).tolist() == [len(run) for run in runs]
    assert back.documents.tolist() == [*chain(*runs)]
    assert back.weights.tolist() == [1] * back.documents.size


@pytest.mark.parametrize(
    ("written", "room", "found"),
    [
        ("0000" + "1" + "010", 4, [0, 2]),  # the documents 0 and 2
        ("0000" + "1" + "010", 1, None),  # more than there is room for
        ("0010" + "111" + "0", 4, [3]),
        ("0000", 4, []),
        ("", 4, None),
        ("0000" + "1" + "001", 4, None),  # cut off
        ("0000" + "1000" + "00000000", 4, None),  # a whole byte that says nothing
        ("0000" + "1111" + "00000000", 4, None),
        ("0000" + "0" * 15 + "1" + "0" * 14 + "1", 4, [2**15]),
        ("0000" + "0" * 16 + "1" + "0" * 15 + "1", 4, None),  # no partition has so many documents
        ("11110000" + "10010000", 8, [4, 7]),
        ("11110000" + "10010000", 7, None),  # of a document beyond the partition
        ("11110000" + "10010000" * 2, 8, None),
        ("11110000", 8, None),
        ("11110001" + "10010000", 8, None),
    ],
)
def test_what_is_no_list_is_not_read(written: str, room: int, found: list[int] | None) -> None:
    documents = np.empty(room, np.int64)
    count = read_list(np.array(bytes_of(written), np.uint8), documents)
    assert (None if count < 0 else documents[:count].tolist()) == found


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, 0, "the list of term 10 is damaged"),  # no document at all
        (1, 1, "the list of term 11 is damaged"),  # a bitmap no longer
        (2, 0, "the list of term 11 is damaged"),
    ],
)
def test_a_term_has_a_document(offset: int, value: int, message: str) -> None:
    columns = columns_of([[0], [0, 1, 2]], 24)
    assert columns["lists"].tolist() == [0b00001000, 0xF0, 7, 0, 0] + [0] * LISTS_PADDING
    columns["lists"][offset] = value
    with pytest.raises(ValueError, match=message):
        decode(columns, 24)


def test_terms_that_share_documents_take_little(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """64 of 4,096 dimensions, neighbours alike: less than a byte a posting, no byte a weight."""
    rng = np.random.default_rng(5)
    kinds = [np.sort(rng.choice(4096, 64, replace=False)) for _ in range(40)]
    vectors = SparseVectors.from_rows((kinds[d // 100], np.full(64, 0.25)) for d in range(4000))
    index, manifest = write_index(tmp_path, vectors, bits=1)
    assert (manifest.step, manifest.error) == (0.25, 0.0)
    sizes = {name.split("/")[-1]: entry.size for name, entry in manifest.files.items()}
    assert set(sizes) == {
        "documents.arrow",
        "alive.arrow",
        "list_terms.arrow",
        "lists.arrow",
    }
    assert sizes["lists.arrow"] < manifest.postings / 2
    searcher = open_searcher(index)
    (found,) = searcher.search(vectors[150:151], SearchOptions(5))
    assert found.scores.tolist() == [64 * 0.25 * 0.25] * 5
    assert found.docids.tolist() == [100, 101, 102, 103, 104]
    assert stored_integers(vectors, manifest).tolist() == [1] * manifest.postings
    segment = Segment(index, manifest.segments[0], manifest)
    assert set(segment.partition(0)) == {"list_terms", "list_starts", "lists"}

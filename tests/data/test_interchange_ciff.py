"""CIFF: files of another protobuf encoder, fields in any order, bad messages."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.data.interchange.messages import CUT, put, varint
from lsr.data.interchange.vocabulary import Given
from lsr.errors import CorpusError, LsrError
from support.interchanging import GOLDEN, Documents, documents, read, write

# What the golden file holds; see interchange/README.md.
WORDS = ["cat", "dog", "über", "🐟"]
IMPACTS = [{"cat": 255, "über": 3}, {"dog": 128}, {"dog": 300}, {"cat": 1, "🐟": 70000}]
STEP = 0.25
IDS = ["a", "b-2", "😀", "d"]


def number(value: int) -> bytes:
    """A varint, by the definition; negative ones take ten bytes."""
    value %= 1 << 64
    data = bytearray()
    while True:
        value, group = value >> 7, value & 127
        data.append(group | 128 if value else group)
        if not value:
            return bytes(data)


def message(*fields: tuple[int, int | bytes | float]) -> bytes:
    """A protobuf message of any fields in any order."""
    data = b""
    for field, value in fields:
        if isinstance(value, int):
            data += number(field << 3) + number(value)
        elif isinstance(value, float):
            data += number(field << 3 | 1) + struct.pack("<d", value)
        else:
            data += number(field << 3 | 2) + number(len(value)) + value
    return data


def framed(*messages: bytes) -> bytes:
    return b"".join(number(len(data)) + data for data in messages)


def postings(*pairs: tuple[int, int]) -> list[tuple[int, bytes]]:
    """Fields of a postings list: gaps and impacts."""
    return [(4, message((1, gap), (2, impact))) for gap, impact in pairs]


def ciff(lists: list[bytes], records: list[bytes], counts: tuple[int, int] | None = None) -> bytes:
    found = counts or (len(lists), len(records))
    return framed(message((1, 1), (2, found[0]), (3, found[1])), *lists, *records)


RECORDS = [message((1, 0), (2, b"x")), message((1, 1), (2, b"y"), (3, 7))]
LIST = message((1, b"dog"), (2, 1), *postings((0, 3)))


def test_golden_file() -> None:
    back = read("ciff", GOLDEN / "ciff-toolkit.ciff")
    expected = [{word: impact * STEP for word, impact in row.items()} for row in IMPACTS]
    assert (back.ids, back.words, back.by_word) == (IDS, WORDS, expected)


def test_the_bytes_are_those_of_protobuf(tmp_path: Path) -> None:
    """Terms given in another order, and one that no document has."""
    words = ["🐟", "none", "über", "dog", "cat"]
    rows = [{words.index(w): i * STEP for w, i in row.items()} for row in IMPACTS]
    note = write("ciff", tmp_path / "v.ciff", Documents(IDS, rows, words), 1 / STEP)
    assert (tmp_path / "v.ciff").read_bytes() == (GOLDEN / "ciff-toolkit.ciff").read_bytes()
    assert note == (
        "It holds no texts and no term ids, and for weights whole impacts: a weight is its impact "
        "times 0.25."
    )


def test_a_vocabulary_gives_the_ids(tmp_path: Path) -> None:
    path = GOLDEN / "ciff-toolkit.ciff"
    words = ["🐟", "none", "über", "dog", "cat"]
    back = read("ciff", path, Given("words.txt", words))
    assert back.rows[3] == {4: STEP, 0: 70000 * STEP}
    assert back.words == words
    with pytest.raises(
        CorpusError, match="postings list 3 has the token 'über', which is not a word of w"
    ):
        read("ciff", path, Given("words.txt", ["cat", "dog"]))
    write("ciff", tmp_path / "v.ciff", Documents(["a"], [{7: 1, 30: 2}]), 2)
    digits = read("ciff", tmp_path / "v.ciff", Given("words.txt", [f"w{n}" for n in range(31)]))
    assert digits.rows == [{7: 1, 30: 2}]


@given(given=documents())
def test_any_file_read_and_written_again_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, given: Documents
) -> None:
    """Eight bits have nothing more to lose."""
    folder = tmp_path_factory.mktemp("ciff")
    write("ciff", folder / "a.ciff", given)
    write("ciff", folder / "b.ciff", read("ciff", folder / "a.ciff"))
    assert (folder / "a.ciff").read_bytes() == (folder / "b.ciff").read_bytes()


def test_impacts_without_a_step_are_weights(tmp_path: Path) -> None:
    path = tmp_path / "v.ciff"
    path.write_bytes(ciff([LIST], RECORDS))
    assert read("ciff", path).rows == [{0: 3.0}, {}]
    for description, weight in (
        (b"a weight is its impact times 0.5", 1.5),
        (b"by X: a weight is its impact times 1e-05", float(np.float32(3e-5))),
        (b"a weight is its impact times 0.5.", 3.0),
        (b"a weight is its impact times 5 or so", 3.0),
        (b"a weight is its impact times -5", 3.0),
    ):
        header = message((3, 2), (8, description), (2, 1))
        path.write_bytes(framed(header, LIST, *RECORDS))
        assert read("ciff", path).rows == [{0: weight}, {}]


def test_fields_in_any_order_and_unknown_ones(tmp_path: Path) -> None:
    strange = [(9, 1), (9, b"what"), (9, 2.5)]
    fixed = number(9 << 3 | 5) + b"\1\2\3\4"
    posting = message(*strange, (2, 5), (2, 6), (1, 1)) + fixed  # the last impact holds
    scattered = message(
        (4, posting), *strange, (1, b"old"), (4, message((1, 3), (2, 9))), (1, b"t")
    )
    records = [
        message((2, b"d3"), (1, 3), *strange),
        message((2, b"d4"), (1, 4)),
        message((3, 5), (2, b"d0")),
        message((1, 1), (2, b"d1")) + fixed,
        message((1, 2), (2, b"d2")),
    ]
    path = tmp_path / "v.ciff"
    path.write_bytes(ciff([scattered], records))
    back = read("ciff", path)
    assert back.ids == [f"d{n}" for n in range(5)]
    assert back.by_word == [{}, {"t": 6}, {}, {}, {"t": 9}]


def test_an_empty_list_and_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "v.ciff"
    path.write_bytes(ciff([message((1, b"t"))], []))
    assert read("ciff", path).ids == []


BAD_LISTS = {
    "documents descend": (message((1, b"t"), *postings((1, 1), (-1, 1))), "out of order"),
    "a document twice": (message((1, b"t"), *postings((0, 1), (0, 1))), "out of order"),
    "a negative document": (message((1, b"t"), *postings((-1, 1))), "out of order"),
    "beyond the last": (message((1, b"t"), *postings((2, 1))), "beyond the last"),
    "far beyond the last": (
        message((1, b"t"), *postings((1, 1), (2**63 - 1, 1))),
        "beyond the last",
    ),
    "no impact": (message((1, b"t"), (4, message((1, 1)))), "an impact that is not above 0"),
    "a negative impact": (message((1, b"t"), *postings((0, -3))), "an impact that is not above 0"),
    "the same term": (LIST, "is a second one of 'dog'"),
    "no UTF-8": (message((1, b"\xff"), *postings((0, 1))), "has a name that is not UTF-8"),
    "a posting too long": (number(4 << 3 | 2) + number(9) + b"\x08\x01", "is cut short"),
    "a posting of negative length": (number(4 << 3 | 2) + number(-1), "is cut short"),
    "a posting cut": (message((1, b"t"), (4, b"\x08\x00\x10\x81")), "is cut short"),
    "a posting with half a field": (message((1, b"t"), (4, b"\x08\x00\x1a\x05")), "is cut short"),
    "a group": (number(5 << 3 | 3), "is cut short or no protobuf message"),
    "half a number": (number(5 << 3 | 1) + b"\0" * 7, "is cut short"),
    "half a small number": (number(5 << 3 | 5) + b"\0" * 3, "is cut short"),
    "an endless number": (number(2 << 3) + b"\xff" * 10 + b"\1", "is cut short"),
    "a number beyond 64 bits": (number(2 << 3) + b"\xff" * 9 + b"\2", "is cut short"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_bad_lists(tmp_path: Path, case: str) -> None:
    bad, problem = BAD_LISTS[case]
    path = tmp_path / "v.ciff"
    path.write_bytes(ciff([LIST, bad], RECORDS))
    with pytest.raises(CorpusError) as caught:
        read("ciff", path)
    assert str(caught.value).startswith(f"{path}, postings list 2 ")
    assert problem in str(caught.value)


BAD_RECORDS = {
    "no id": ([message((1, 0)), RECORDS[1]], "document record 1 has an empty id"),
    "NUL": ([message((2, b"a\0b")), RECORDS[1]], "record 1 has a NUL character in its id"),
    "no UTF-8": ([message((2, b"\xff")), RECORDS[1]], "record 1 has a name that is not UTF-8"),
    "twice": ([RECORDS[1], RECORDS[1]], "record 2 is of document 1, beyond or again"),
    "beyond": ([RECORDS[0], message((1, 2), (2, b"z"))], "is of document 2, beyond or again"),
    "negative": ([RECORDS[0], message((1, -1), (2, b"z"))], "is of document -1, beyond or again"),
    "same id": ([RECORDS[0], message((1, 1), (2, b"x"))], "record 2 repeats the id 'x'"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_bad_records(tmp_path: Path, case: str) -> None:
    records, problem = BAD_RECORDS[case]
    path = tmp_path / "v.ciff"
    path.write_bytes(ciff([LIST], records))
    with pytest.raises(CorpusError) as caught:
        read("ciff", path)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        (
            (2**31 - 1, 2),
            "declares 2,147,483,647 postings lists and 2 documents, which do not fit",
        ),
        ((1, 2**31 - 1), "declares 1 postings lists and 2,147,483,647 documents"),
        ((2**62, 2**62), "which do not fit"),
        ((-1, 2), "declares -1 postings lists"),
        ((1, -1), "and -1 documents"),
        ((2, 2), "document record 2 is cut short"),
        ((1, 3), "document record 3 is cut short"),
        ((1, 1), "goes on for 8 bytes after its last document"),
        ((0, 2), "document record 1"),
    ],
)
def test_forged_counts(tmp_path: Path, counts: tuple[int, int], problem: str) -> None:
    path = tmp_path / "v.ciff"
    path.write_bytes(ciff([LIST], RECORDS, counts))
    with pytest.raises(CorpusError, match=problem):
        read("ciff", path)


@pytest.mark.parametrize("length", [10**12, -1, 2**64 - 1])
def test_forged_lengths(tmp_path: Path, length: int) -> None:
    path = tmp_path / "v.ciff"
    whole = ciff([], RECORDS, (1, 2))
    header = len(framed(message((1, 1), (2, 1), (3, 2))))
    path.write_bytes(whole[:header] + number(length) + LIST + whole[header:])
    with pytest.raises(CorpusError, match="postings list 1 is cut short"):
        read("ciff", path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "v.ciff").touch()
    with pytest.raises(CorpusError, match="is empty"):
        read("ciff", tmp_path / "v.ciff")


def test_lengths_that_the_format_cannot_hold(tmp_path: Path) -> None:
    rows = [{0: 1.0}, {0: 2.0**30, 1: 2.0**30}]
    with pytest.raises(LsrError, match=r"of document 'b' add up to more than the 2,147,483,647"):
        write("ciff", tmp_path / "v.ciff", Documents(["a", "b"], rows), 1)
    assert not any(tmp_path.iterdir())


@given(value=st.integers(0, 2**63 - 1))
def test_varints(value: int) -> None:
    """The compiled loops against the definition."""
    data = np.frombuffer(number(value), np.uint8)
    assert varint(data, 0, data.size) == (value, data.size)
    for length in range(data.size):
        assert varint(data, 0, length) == (0, CUT)
    room = np.empty(10, np.uint8)
    assert room[: put(value, room, 0)].tobytes() == data.tobytes()

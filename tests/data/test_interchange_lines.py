"""JSON lines: what exactly is written, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsr.data.interchange.vocabulary import Given
from lsr.errors import CorpusError, LsrError
from support.interchanging import Documents, read, write

WEIGHTS = [0.1, 2, 1e-10, 1e10, 123456.7, 2**24, 1e-45, float(np.finfo(np.float32).max), 0]
ROW = {term: float(np.float32(weight)) for term, weight in enumerate(WEIGHTS)}
WORDS = ["a", '"', "\\", "é", "😀", "\n", "7", "", "\u2028"]


def test_jsonvectors(tmp_path: Path) -> None:
    given = Documents(["d1", 'd"2'], [ROW, {}], WORDS, ["", "T"], ["x", "\ty"])
    note = write("jsonvectors", tmp_path / "v.jsonl", given)
    assert (tmp_path / "v.jsonl").read_text().split("\n") == [
        '{"id": "d1", "contents": "x", "vector": {"a": 0.1, "\\"": 2.0, "\\\\": 1e-10, '
        '"é": 1e+10, "😀": 123456.7, "\\n": 16777216.0, "7": 1e-45, "": 3.4028235e+38, '
        '"\u2028": 0.0}}',
        '{"id": "d\\"2", "title": "T", "contents": "\\ty", "vector": {}}',
        "",
    ]
    assert note == (
        "It holds no term ids; Anserini itself reads whole weights only (--scale 100 makes them)."
    )


def test_seismic(tmp_path: Path) -> None:
    given = Documents(["1"], [{0: 2.45}], ["dog"], [""], ["A dog."])
    assert write("seismic", tmp_path / "v.jsonl", given) == "It holds no term ids."
    assert (tmp_path / "v.jsonl").read_text() == (
        '{"id": "1", "content": "A dog.", "vector": {"dog": 2.45}}\n'
    )


def test_pyterrier(tmp_path: Path) -> None:
    given = Documents(["1"], [{0: 2.45, 1: 0.001, 2: 0}], ["dog", "pet", "cat"])
    note = write("pyterrier", tmp_path / "v.jsonl", given, 100)
    assert (tmp_path / "v.jsonl").read_text() == '{"docno": "1", "toks": {"dog": 245, "pet": 1}}\n'
    assert note == "It holds no term ids, and weights as integers: times 100, rounded."


def test_terms_without_words_are_digits(tmp_path: Path) -> None:
    write("seismic", tmp_path / "v.jsonl", Documents(["1"], [{7: 1, 2**32 - 1: 0.5}]))
    assert (tmp_path / "v.jsonl").read_text() == (
        '{"id": "1", "vector": {"7": 1.0, "4294967295": 0.5}}\n'
    )


def test_an_impact_that_no_reader_takes(tmp_path: Path) -> None:
    for format in ("jsonvectors", "ciff"):
        with pytest.raises(LsrError, match=r"30\.0 times 1e\+08 is more than the 2,147,483,647 "):
            write(format, tmp_path / "v", Documents(["1"], [{0: 30}]), 1e8)
        with pytest.raises(LsrError, match=r"times 1e\+308 is more than"):
            write(format, tmp_path / "v", Documents(["1"], [{0: 3e38}]), 1e308)
    write("jsonvectors", tmp_path / "v", Documents(["1"], [{0: 2**31 - 128}]), 1)
    assert list(tmp_path.iterdir()) == [tmp_path / "v"]


def test_what_others_write(tmp_path: Path) -> None:
    """Ids as numbers, integers for weights, tokens in any order, fields beside, nulls."""
    path = tmp_path / "v.jsonl"
    path.write_text(
        '{"vector": {"b": 1, "a": 2.5}, "id": 17, "contents": null, "url": "x"}\n'
        "\n"
        '{"id": "x", "contents": "y", "vector": {"c": 3e0, "b": 0}}\r\n'
    )
    back = read("jsonvectors", path)
    assert (back.ids, back.words) == (["17", "x"], ["b", "a", "c"])
    assert back.rows == [{0: 1, 1: 2.5}, {2: 3, 0: 0}]
    assert back.texts is None  # as the first has none


def test_texts_are_kept_when_the_first_has_one(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"docno": "1", "text": "", "toks": {}}\n{"docno": "2", "toks": {}}\n')
    back = read("pyterrier", path)
    assert (back.titles, back.texts) == (["", ""], ["", ""])
    path.write_text('{"docno": "1", "title": "t", "toks": {}}\n')
    assert read("pyterrier", path).titles == ["t"]


def test_a_vocabulary_gives_the_ids(tmp_path: Path) -> None:
    """A word that is digits is a word first; digits that are no word are an id."""
    given = Given("words.txt", ["red", "1", "blue", "2"])
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "a", "vector": {"blue": 1, "1": 2, "0": 4, "2": 5}}\n')
    back = read("jsonvectors", path, given)
    assert back.rows == [{0: 4, 1: 2, 2: 1, 3: 5}]
    assert back.words == ["red", "1", "blue", "2"]


def test_words_are_learned_without_one(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "a", "vector": {"30000": 1, "1": 2}}\n')
    back = read("jsonvectors", path)
    assert (back.words, back.rows) == (["30000", "1"], [{0: 1, 1: 2}])


LINE = '{"id": "a", "vector": {"red": 1}}\n'
BAD = {
    '{"id": "b", "vector": {"green": 1}}': (
        "has the token 'green', which is not a word of words.txt; give"
    ),
    '{"id": "b", "vector": {"2": 1}}': "has the term 2, beyond the 2 words of words.txt; give the",
    '{"id": "b", "vector": {"99999999999": 1}}': "has the token '99999999999', which is not a word",
    '{"id": "b", "vector": {"²": 1}}': "has the token '²', which is not a word",
    '{"id": "b", "vector": {"red": 1, "0": 1}}': "has term 0 twice",
    '{"id": "b", "vector": {"red": 1, "red": 2}}': "has 'red' twice in one object; keep one",
    '{"id": "b", "id": "c", "vector": {}}': "has 'id' twice in one object",
    '{"id": "a", "vector": {}}': "repeats the id 'a'",
    '{"id": "b"}': 'has no vector; give each document a "vector" of',
    '{"id": "b", "vector": [["red", 1]]}': "has no vector",
    '{"id": "b", "toks": {"red": 1}}': "has no vector",
    '{"docno": "b", "vector": {"red": 1}}': 'has no id; give each record an "id"',
    '{"_id": "b", "vector": {"red": 1}}': "has no id",
    '{"id": "b", "vector": {"red": -0.5}}': "has the weight -0.5 for term 0; weights must be",
    '{"id": "b", "vector": {"red": NaN}}': "has the weight nan for term 0",
    '{"id": "b", "vector": {"blue": 1, "red": Infinity}}': "has the weight inf for term 0",
    '{"id": "b", "vector": {"red": 1e39}}': "has the weight inf for term 0",
    '{"id": "b", "vector": {"red": %s}}' % ("9" * 400): "has a weight too large for a number",
    '{"id": "b", "vector": {"red": "1"}}': "has weights that are not numbers",
    '{"id": "b", "vector": {"red": true}}': "has weights that are not numbers",
    '{"id": "b", "vector": {"red": null}}': "has weights that are not numbers",
    '{"id": "b", "vector": {"red": [1]}}': "has weights that are not numbers",
    '{"id": 1.5, "vector": {}}': "has a number for an id",
    '{"id": "b", "contents": 3, "vector": {}}': "has a number for a text",
    '{"id": "b", "title": [], "vector": {}}': "has a list for a title",
    '{"id": "b", "contents": "\\ud800", "vector": {}}': "has the lone surrogate U+D800 in its text",
    '{"id": "\\ud800", "vector": {}}': "has the lone surrogate U+D800 in its id",
    '{"id": "b", "vector": {': "is not valid JSON",
    "[]": "is a list; give one JSON object a line",
    '{"id": "b", "vector": {"red": 1}} {}': "is not valid JSON (Extra data",
}


@pytest.mark.parametrize("line", BAD)
@pytest.mark.parametrize("before", [0, 2048])  # as many as are read at a time
def test_a_bad_line_is_named(tmp_path: Path, line: str, before: int) -> None:
    path = tmp_path / "v.jsonl"
    good = [LINE, *(LINE.replace('"a"', f'"{n}"') for n in range(before))]
    path.write_text("".join(good) + "\n" + line + "\n" + LINE.replace('"a"', '"z"'))
    with pytest.raises(CorpusError) as caught:
        read("jsonvectors", path, Given("words.txt", ["red", "blue"]))
    assert str(caught.value).startswith(f"{path}, line {before + 3} {BAD[line]}")


def test_a_token_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "b", "vector": {"\\udfff": 1}}')
    with pytest.raises(CorpusError, match=r"line 1 has the lone surrogate U\+DFFF in its token"):
        read("jsonvectors", path)


def test_damaged_compression(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl.gz"
    write("jsonvectors", path, Documents(["a"], [ROW]))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorpusError, match=r"truncated or damaged after line"):
        read("jsonvectors", path)

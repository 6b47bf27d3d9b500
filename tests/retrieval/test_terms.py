"""`lsr.show_terms`: the terms of one text."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import lsr
from lsr.encoders import Encoder
from lsr.errors import EncoderError, LsrError, QueryError

TEXT = "robots that walk over rough ground"


class Words(list[str]):
    def find(self, word: str) -> int | None:
        return self.index(word) if word in self else None


class Fixed(Encoder):
    """The same vector for every document; queries have its first term only."""

    name = "fixed"

    def __init__(self, words: Sequence[str], weights: Sequence[float], literal: set[int]) -> None:
        self.vocabulary = Words(words)
        self._weights, self._literal = weights, literal

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "fixed", "name": self.name}

    def encode_documents(self, texts: Sequence[str]) -> lsr.SparseVectors:
        return lsr.SparseVectors.from_rows([(range(len(self._weights)), self._weights)])

    def encode_queries(self, texts: Sequence[str]) -> lsr.SparseVectors:
        return lsr.SparseVectors.from_rows([([0], self._weights[:1])])

    def literal_terms(self, text: str) -> npt.NDArray[np.uint32]:
        return np.array(sorted(self._literal), np.uint32)


FIXED = Fixed(["a", "walk", "日本", "<b>&", "zero"], [1, 4, 2, 1, 0], {1, 3})


def test_terms_are_those_of_the_vector() -> None:
    encoder = lsr.load_encoder("splade-tiny")
    vector = encoder.encode_documents([TEXT])
    view = lsr.show_terms(TEXT, encoder)
    assert [(term.word, term.weight) for term in view.terms] == encoder.decode(vector[0])
    own = {term.word for term in view.terms if term.kind == "literal"}
    assert {"robots", "walk", "rough", "ground"} <= own <= set(TEXT.split())
    assert "walking" in {term.word for term in view.terms if term.kind == "expansion"}
    assert lsr.show_terms(TEXT) == view
    assert len(lsr.show_terms(TEXT, document_terms=3).terms) == 3


def test_queries_and_ties_and_zeros() -> None:
    view = lsr.show_terms("any", FIXED)
    # Equal weights stay in the order of the terms; a weight of zero is no term.
    assert [term.word for term in view.terms] == ["walk", "日本", "a", "<b>&"]
    assert [term.word for term in lsr.show_terms("any", FIXED, query=True).terms] == ["a"]
    assert view.share("literal") == 5 / 8
    assert view.share("expansion") == 3 / 8


def test_bars() -> None:
    assert str(lsr.show_terms("any", FIXED, top=3)) == "\n".join(
        [
            "fixed: 4 terms",
            "",
            "literal: 2 terms, 62% of the weight",
            f"  walk   4.000  {'█' * 40}",
            "  … and 1 weaker",
            "",
            "expansion: 2 terms, 38% of the weight",
            f"  日本   2.000  {'█' * 20}",
            f"  a      1.000  {'█' * 10}",
        ]
    )


@pytest.mark.parametrize("columns", [1, 20, 30, 60, 200])
def test_bars_fit(columns: int) -> None:
    lines = lsr.show_terms(TEXT).draw(columns).splitlines()
    numbers_end = len("  scientist    0.433")
    assert max(map(len, lines[3:])) <= max(columns, numbers_end, len(lines[2]), len(lines[10]))
    assert max(line.count("█") for line in lines) <= 40
    assert ("█" in "".join(lines)) == (columns >= 30)


def test_bars_can_be_painted() -> None:
    painted = lsr.show_terms("any", FIXED).draw(80, lambda bar, kind: f"<{kind} {len(bar)}>")
    assert "walk   4.000  <literal 40>" in painted
    assert "a      1.000  <expansion 10>" in painted


class Checked(HTMLParser):
    """Collects tags and text, and that every tag is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


def test_html_is_escaped_and_whole() -> None:
    page = Checked(lsr.show_terms("<script>alert(1)</script>", FIXED)._repr_html_())
    assert page.tags == {"div", "span", "b"}
    assert page.seen == [
        *("fixed", ": 4 terms"),
        "literal: 2 terms, 62% of the weight",
        *("walk", "4.000", "<b>&", "1.000"),
        "expansion: 2 terms, 38% of the weight",
        *("日本", "2.000", "a", "1.000"),
    ]
    assert "… and 1 weaker" in Checked(lsr.show_terms("x", FIXED, top=3)._repr_html_()).seen


def test_nothing_to_show(bm25_index: lsr.Index) -> None:
    for text in ("", "😀", "zyzzyva", "the"):
        view = lsr.show_terms(text, bm25_index.encoder)
        assert view.terms == []
        assert view.share("literal") == 0
        assert str(view) == "bm25: no terms"
        assert Checked(view._repr_html_()).seen == ["bm25", ": no terms"]
    for text in ("", "😀"):  # a model may have something to say about nothing
        assert all(term.weight > 0 for term in lsr.show_terms(text).terms)


def test_statistics_of_an_index(bm25_index: lsr.Index) -> None:
    view = lsr.show_terms("copper copper bees repair", bm25_index.encoder)
    weights = {term.word: term.weight for term in view.terms}
    assert set(weights) == {"copper", "bee", "repair"}
    assert weights["copper"] > weights["bee"]  # as rare, but twice in the text
    assert {term.kind for term in view.terms} == {"literal"}
    query = lsr.show_terms("copper copper bees", bm25_index.encoder, query=True)
    assert [(term.word, term.weight) for term in query.terms] == [("copper", 2), ("bee", 1)]


@pytest.mark.parametrize("query", [False, True])
@pytest.mark.parametrize("name", ["bm25", "bm25:atire"])
def test_no_statistics(name: str, query: bool) -> None:
    with pytest.raises(EncoderError, match=f"^{name} needs the statistics of a coll"):
        lsr.show_terms("text", name, query=query)


def test_bad_input() -> None:
    with pytest.raises(EncoderError, match="lone surrogate"):
        lsr.show_terms("a \ud800")
    with pytest.raises(EncoderError, match="is int, not a text"):
        lsr.show_terms(3)  # type: ignore[arg-type]
    with pytest.raises(EncoderError, match="max_length cannot be set here"):
        lsr.show_terms("a", FIXED, max_length=3)
    top: Any
    for top in (0, -1, 1.5, True, None):
        with pytest.raises(QueryError, match="top must be a whole number of at least 1"):
            lsr.show_terms("a", FIXED, top=top)
    with pytest.raises(LsrError, match="there is no encoder 'none'"):
        lsr.show_terms("a", "none")


def test_importing_the_module_keeps_the_function() -> None:
    import lsr.encoders.term_view

    assert lsr.show_terms is lsr.encoders.term_view.show_terms
    assert {"show_terms", "Term", "TermView"} <= set(dir(lsr))

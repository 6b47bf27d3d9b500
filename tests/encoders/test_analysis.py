from __future__ import annotations

import numpy as np
import pytest

from lsr.encoders.text.analysis import Analysis, GrowingVocabulary, TermIds, count_terms
from lsr.encoders.text.languages import STOP_WORDS, find_language
from lsr.errors import EncoderError


def terms_of(text: str, how: Analysis | None = None) -> list[str]:
    """The distinct terms of a text in the order they come."""
    vocabulary = GrowingVocabulary()
    count_terms([text], TermIds(vocabulary.add, how))
    return [vocabulary[term] for term in range(len(vocabulary))]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Running RUNS, runner's", ["run", "runner"]),  # what is left of 's has one letter
        ("this is not the end", ["end"]),
        ("state-of-the-art x y2k", ["state", "art", "y2k"]),
        ("naïve ΣΊΣΥΦΟΣ 日本語", ["naïv", "σίσυφος", "日", "本", "語", "日本", "本語"]),
        ("snake_case 3.14", ["snake_cas", "14"]),
        ("", []),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


def test_stop_words_go_before_stemming() -> None:
    assert len(STOP_WORDS) == 33
    assert terms_of("willing") == ["will"]  # a stem may be a stop word


def test_counting_in_pieces_changes_nothing() -> None:
    """More words than are counted at once, and more different ones than are remembered."""
    size, texts = 270_000, []
    for first in (10, 10 + size):  # a digit alone is no term
        numbers = " the ".join(map(str, range(first, first + size)))
        texts += [f"{numbers} {first} seven", "", "seven seven"]
    vocabulary = GrowingVocabulary()
    ids = TermIds(vocabulary.add)
    vectors, lengths = count_terms(texts, ids)
    assert len(ids) <= 1 << 19 < 2 * size
    assert lengths.tolist() == [size + 2, 0, 2] * 2
    assert np.diff(vectors.indptr).tolist() == [size + 1, 0, 1] * 2

    def pairs(row: int) -> list[tuple[int, float]]:
        return list(zip(vectors[row].terms.tolist(), vectors[row].weights.tolist(), strict=True))

    seven = vocabulary.find("seven")
    for row, first in ((0, 10), (3, 10 + size)):
        words = {vocabulary[term]: weight for term, weight in pairs(row)}
        assert words.pop("seven") == 1
        assert words == {str(n): 1 + (n == first) for n in range(first, first + size)}
    for row in (2, 5):
        assert pairs(row) == [(seven, 2)]


def test_no_texts() -> None:
    vectors, lengths = count_terms([], TermIds(GrowingVocabulary().add))
    assert len(vectors) == len(lengths) == 0


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("german", "Die Häuser, das HAUS", ["die", "haus", "das"]),
        ("russian", "дома Дом", ["дом"]),
        ("turkish", "IRAK ırak İPEK ipek I\u0307pek", ["ırak", "ipek"]),
        (
            "auto",
            "the houses дома घरों 猫 σπίτια الكتاب",
            ["hous", "дом", "घर", "猫", "σπιτ", "كتاب"],
        ),
        ("auto", "שלום", ["שלום"]),
    ],
)
def test_languages(language: str, text: str, terms: list[str]) -> None:
    assert terms_of(text, Analysis(language)) == terms


def test_names_of_languages() -> None:
    assert [find_language(name) for name in ("de", "DE", "german", "nb", "auto")] == [
        "german",
        "german",
        "german",
        "norwegian",
        "auto",
    ]
    with pytest.raises(EncoderError, match=r"'zh'; leave it out, or give auto.* de german, .*yi"):
        find_language("zh")


def test_the_first_rule_is_what_it_was() -> None:
    first = Analysis(rule=1)
    assert terms_of("Ünder हिन्दी 日本語 İx cafe\u0301", first) == ["ünder", "日本語", "cafe"]
    assert "word_rule" not in first.identity
    for analysis_ in (first, Analysis(), Analysis("german"), Analysis("auto")):
        assert Analysis.of(analysis_.identity) == analysis_


@pytest.mark.parametrize(
    "change", [{"word_rule": 3}, {"stemmer": "porter"}, {"language": "german"}, {"word_rule": "2"}]
)
def test_analyses_of_other_versions_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(EncoderError, match=r"text analysis .* rebuild the index"):
        Analysis.of(Analysis().identity | change)

from __future__ import annotations

import numpy as np
import pytest

from lsr.encoders import analysis
from lsr.encoders.analysis import STOP_WORDS, GrowingVocabulary, TermIds, count_terms


def terms_of(text: str) -> list[str]:
    """The distinct terms of a text in the order they come."""
    vocabulary = GrowingVocabulary()
    count_terms([text], TermIds(vocabulary.add))
    return [vocabulary[term] for term in range(len(vocabulary))]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Running RUNS, runner's", ["run", "runner"]),  # what is left of 's has one letter
        ("this is not the end", ["end"]),
        ("state-of-the-art x y2k", ["state", "art", "y2k"]),
        ("naïve ΣΊΣΥΦΟΣ 日本語", ["naïv", "σίσυφος", "日本語"]),
        ("snake_case 3.14", ["snake_cas", "14"]),
        ("", []),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


def test_stop_words_go_before_stemming() -> None:
    assert len(STOP_WORDS) == 33
    assert terms_of("willing") == ["will"]  # a stem may be a stop word


def test_counting_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"word{n % 5} other the word{n % 3}" for n in range(40)] + [""]
    whole = count_terms(texts, TermIds(GrowingVocabulary().add))
    monkeypatch.setattr(analysis, "_WORDS_AT_ONCE", 7)
    monkeypatch.setattr(analysis, "_CACHED_WORDS", 2)
    ids = TermIds(GrowingVocabulary().add)
    vectors, lengths = count_terms(texts, ids)
    assert len(ids) <= 2
    assert vectors == whole[0]
    assert np.array_equal(lengths, whole[1])
    assert lengths.tolist() == [3] * 40 + [0]


def test_no_texts() -> None:
    vectors, lengths = count_terms([], TermIds(GrowingVocabulary().add))
    assert len(vectors) == len(lengths) == 0

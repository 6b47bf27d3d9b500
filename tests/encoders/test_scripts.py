"""Words in every script: cutting and folding, and BM25 on small collections."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence

import numpy as np
import pytest
import regex
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lsr.encoders import load_encoder
from lsr.encoders.text.analysis import Analysis, GrowingVocabulary, TermIds, count_terms
from lsr.encoders.text.scripts import COMMON, Plain, has_words, places, words
from support.sentences import COLLECTIONS

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
LETTERS = {chr(c) for c in range(sys.maxunicode) if unicodedata.category(chr(c))[0] == "L"}
texts = st.text(st.characters(exclude_categories=["Cs"]))
pictographs = regex.compile(r"\p{Extended_Pictographic}")


class Searchable:
    """Texts as BM25 has them."""

    def __init__(self, collection: Sequence[str], encoder: str = "bm25") -> None:
        self.encoder = load_encoder(encoder)
        observed = self.encoder.collect(collection)
        self.vectors = self.encoder.apply_statistics(observed)

    def scores(self, question: str) -> list[float]:
        """The score of each text."""
        query = self.encoder.encode_queries([question])
        weights = dict(zip(query.terms.tolist(), query.weights.tolist(), strict=True))
        return [
            sum(
                weights.get(t, 0.0) * w
                for t, w in zip(row.terms.tolist(), row.weights, strict=True)
            )
            for row in self.vectors
        ]


def terms_of(text: str, analysis: Analysis | None = None) -> list[str]:
    vocabulary = GrowingVocabulary()
    count_terms([text], TermIds(vocabulary.add, analysis))
    return [vocabulary[term] for term in range(len(vocabulary))]


@pytest.mark.parametrize("encoder", ["bm25", "bm25:language=auto"])
@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_text_is_found_by_each_of_its_words(name: str, encoder: str) -> None:
    collection = COLLECTIONS[name]
    assert len(collection) >= 5
    for form in FORMS:  # documents in one form, questions in another
        searchable = Searchable(
            [unicodedata.normalize(form, text) for text, _ in collection], encoder
        )
        for number, (text, own) in enumerate(collection):
            assert len(own) > 2
            for word in own:
                assert searchable.scores(word)[number] > 0, (form, word, text)
            scores = searchable.scores(text)
            assert scores.index(max(scores)) == number
            assert sorted(scores)[-2] < scores[number]


def test_with_harakat_or_without() -> None:
    plain, written = COLLECTIONS["arabic"], COLLECTIONS["arabic with harakat"]
    assert [words(text) for text, _ in plain] == [words(text) for text, _ in written]


@pytest.mark.parametrize(
    ("spellings", "expected"),
    [
        (["Straße", "STRASSE", "STRAẞE", "strasse"], ["strasse"]),
        (["σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"], ["σίσυφος"]),
        (["İstanbul", "istanbul", "ISTANBUL", "I\u0307stanbul"], ["istanbul"]),
        (["café", "cafe\u0301", "CAFÉ"], ["café"]),
        (["zusammen", "zu\u00adsammen", "zu\u200csam\u200dmen", "zusam\ufe0fmen"], ["zusammen"]),
        (["שָׁלוֹם", "שלום"], ["שלום"]),
        (["كـــتاب", "كِتَابٌ", "كتاب"], ["كتاب"]),
        (["هٰذَا", "هذا"], ["هذا"]),
        (["ﬁne", "ｆｉｎｅ", "fine"], ["fine"]),
        (["ｶｰﾄﾞ", "カード"], ["カ", "ー", "ド", "カー", "ード"]),
        (["Tylenol™ ©", "tylenol"], ["tylenol"]),
        (["हिन्दी", "हिन्\u200dदी"], ["हिन्दी"]),
    ],
)
def test_spellings_of_one_word(spellings: list[str], expected: list[str]) -> None:
    for spelling in spellings:
        assert words(spelling) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我喜欢猫", ["我", "喜", "欢", "猫", "我喜", "喜欢", "欢猫"]),
        ("猫。犬", ["猫", "犬"]),
        ("Python入門2", ["python", "入", "門", "入門"]),
        ("กำ ก็", ["กํ", "า", "กํา", "ก็"]),
        ("그 x я ו 5 ٥ _ ʼ", ["그", "ו"]),
        ("x̂y", ["x̂y"]),
        ("1️⃣ 😀 👩‍👩‍👧 🇩🇪 ❤️ ™ ℹ️ 👍🏽", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


# What the rule was before there were two, for text that has nothing to fold.
ALPHABETS = regex.compile(r"[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Common}]")
CHARACTERS = [
    character
    for character in map(chr, range(sys.maxunicode))
    if ALPHABETS.match(character)
    and unicodedata.category(character)[0] not in "MC"
    and unicodedata.normalize("NFKC", character) == character
    and (character.casefold() == character.lower() or character in "Σσς")
    and not regex.match(r"\p{Default_Ignorable_Code_Point}", character)
    and character not in "〆〱〲〳〴〵〼ーـ"  # of Japanese, and tatweel
    and not (pictographs.match(character) and character.isalnum())
    and unicodedata.normalize("NFKC", character.lower()) == character.lower()
    and len(character.lower()) == 1  # that of İ is two
]
common = "abcdefXYZ ,.'-_0189 éüñ αβγδσςΣΩ абвгдЯЖ"


def rule_before(text: str) -> list[str]:
    return re.compile(r"\b\w\w+\b").findall(text.lower())


@given(st.text(st.sampled_from(common) | st.sampled_from(CHARACTERS)))
@example("ΣΊΣΥΦΟΣ snake_case 3.14 y2k naïve — “don’t”")
def test_plain_text_keeps_its_words(text: str) -> None:
    assume(unicodedata.normalize("NFKC", text) == text)
    before = rule_before(text)
    # Greek as it is written: ς where a word ends, and nowhere else.
    assume(not any("ς" in word[:-1] or word.endswith("σ") for word in before))
    assert words(text) == before
    # The same through all of the folding, which another character of the text asks for.
    assert words(f"{text} 猫") == [*before, "猫"]


def test_plain_text_is_most_characters() -> None:
    assert len(CHARACTERS) > 5_000
    assert {"é", "ж", "ω", "ς", "”", "_", "ə"} <= set(CHARACTERS)


@given(texts)
@example("\u0345\u0301ᾴ")
@example("²\U0001df1f")  # a letter of Unicode 17
def test_normal_forms_and_cases_have_the_same_words(text: str) -> None:
    assume(not pictographs.search(text))  # ™ is none; as letters it is TM
    expected = words(text)
    for form in FORMS:
        spelled = unicodedata.normalize(form, text)
        assert words(spelled) == expected
    assert words(unicodedata.normalize("NFC", text).casefold()) == expected


@given(texts, st.sampled_from("\u00ad\u200b\u200c\u200d\u2060\ufe0f\u034f\U000e0101"), st.data())
def test_what_cannot_be_seen_changes_nothing(text: str, sign: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    assume(not pictographs.search(text))
    assert words(text[:place] + sign + text[place:]) == words(text)


def is_cut_away(text: str) -> bool:
    """Whether all letters of a text are in words of one letter or stop words: no terms."""
    for part in regex.split(r"[^\p{L}\p{N}\p{M}_]+", unicodedata.normalize("NFKC", text)):
        bare = regex.sub(r"\p{M}", "", part)
        if len(bare) > 1 and terms_of("zz " + bare) != ["zz"]:
            return False
        if regex.search(rf"[\p{{L}}--{ALPHABETS.pattern}]", part, regex.V1):
            return False
    return True


@given(texts.filter(lambda text: any(character in LETTERS for character in text)))
@example("ก")
@example("猫")
def test_a_text_with_letters_finds_itself(text: str) -> None:
    visible = regex.sub(r"\p{Default_Ignorable_Code_Point}", "", pictographs.sub(" ", text))
    assume(any(character in LETTERS for character in visible))
    assume(not is_cut_away(visible))
    searchable = Searchable([text, "other words", text])
    assert searchable.scores(text)[0] > 0


@given(st.lists(texts, max_size=8), st.integers(1, 8))
def test_batches_change_nothing(collection: list[str], size: int) -> None:
    together, apart = TermIds(GrowingVocabulary().add), TermIds(GrowingVocabulary().add)
    whole, lengths = count_terms(collection, together)
    parts = [count_terms(collection[i : i + size], apart) for i in range(0, len(collection), size)]
    assert [len(row.terms) for row in whole] == [len(row.terms) for p, _ in parts for row in p]
    assert [row.terms.tolist() for row in whole] == [r.terms.tolist() for p, _ in parts for r in p]
    assert lengths.tolist() == [length for _, part in parts for length in part.tolist()]


@given(texts)
def test_text_without_letters_and_digits_has_no_words(text: str) -> None:
    if not has_words(text):
        assert regex.sub(r"_", "", "".join(words(text))) == ""
    assert (
        has_words(text)
        or not any(c.isalnum() and not pictographs.match(c) for c in text)
        or ("\u20e3" in text or regex.search(r"\p{Default_Ignorable_Code_Point}", text))
    )


@pytest.mark.parametrize(
    ("text", "wanted", "marked"),
    [
        ("She walks, walking on", ["walk"], ["walks", "walking"]),
        ("sidewalk", ["walk"], []),
        ("Cafe\u0301s here", ["café"], ["Cafe\u0301s"]),
        ("हिन्दी भाषा", ["हिन्दी"], ["हिन्दी"]),
        ("كِتَابٌ كبير", ["كتاب"], ["كِتَابٌ"]),
        ("我喜欢猫", ["喜欢", "猫"], ["喜欢", "猫"]),
        ("Straße", ["strasse"], ["Straße"]),
        ("so-\u00adund zu\u00adsammen", ["zusammen"], ["zu\u00adsammen"]),
    ],
)
def test_places(text: str, wanted: list[str], marked: list[str]) -> None:
    assert [text[start:end] for start, end in places(text, wanted)] == marked


@given(texts, st.lists(texts, max_size=3))
def test_places_are_in_the_text(text: str, wanted: list[str]) -> None:
    for start, end in places(text, [*wanted, *words(text)]):
        assert 0 <= start < end <= len(text)


def test_counts_are_of_words() -> None:
    vectors, lengths = count_terms(["猫猫 the Cat", ""], TermIds(GrowingVocabulary().add))
    assert lengths.tolist() == [4, 0]
    assert np.array_equal(vectors.weights, np.array([2, 1, 1], np.float32))


def test_the_letters_and_signs_known_to_be_plain() -> None:
    rule = Plain()
    assert all(rule[character] for character in COMMON)

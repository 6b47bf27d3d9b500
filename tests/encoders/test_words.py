"""Words of byte-level vocabularies as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders.text.words import reader


@pytest.fixture(scope="module")
def spelling() -> dict[str, str]:
    """How the tokenizers library spells each byte, by way of its own pre-tokenizer."""
    from tokenizers.pre_tokenizers import ByteLevel

    return dict.fromkeys(ByteLevel.alphabet(), "")


def spell(text: str) -> str:
    from tokenizers.pre_tokenizers import ByteLevel

    return "".join(word for word, _ in ByteLevel(add_prefix_space=False).pre_tokenize_str(text))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_spelt_and_read_again(spelling: dict[str, str], text: str) -> None:
    read = reader({word: number for number, word in enumerate(spelling)}.get)
    expected = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text.replace(" ", "▁")
    )
    assert read(spell(text)) == expected


def test_words(spelling: dict[str, str]) -> None:
    read = reader({word: number for number, word in enumerate(spelling)}.get)
    assert read("Ġmars") == "▁mars"
    assert read("mars") == "mars"
    assert read("Ċ") == r"\n"
    assert read("ĠthÃ©") == "▁thé"
    assert read("ç") == r"\xe7"  # the first byte of three
    assert read("neural network") == "neural network"  # an added token, spelt as it is
    assert read("") == ""


def test_other_vocabularies_are_left_alone(spelling: dict[str, str]) -> None:
    for missing in ("Ġ", "!", "Ń"):
        words = {word: number for number, word in enumerate(spelling) if word != missing}
        assert reader(words.get)("Ġmars") == "Ġmars"
    assert reader({}.get)("Ġgantija") == "Ġgantija"

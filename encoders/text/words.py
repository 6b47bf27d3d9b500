"""Words as people read them: byte-level vocabularies spell UTF-8 bytes by characters of their own.

The vocabularies of GPT-2, RoBERTa, Llama 3, Qwen and others hold " mars" as "Ġmars" and "é" as
"Ã©".  Here a space is shown as "▁", as vocabularies of SentencePiece hold it; so "▁mars" begins
a word, and "mars" goes on with one or begins the text.
"""

from __future__ import annotations

from collections.abc import Callable

_PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTED]
# A byte's character; it is its own where that can be printed.
_BYTES = {chr(byte): byte for byte in _PRINTED} | {
    chr(256 + place): byte for place, byte in enumerate(_OTHERS)
}


def reader(find: Callable[[str], int | None]) -> Callable[[str], str]:
    """A function that makes words of a vocabulary readable.

    A vocabulary that has a word for each of the 256 bytes spells by them; words of others, and
    added tokens, which are spelt as they are, are left alone.

    Args:
        find: the term of a word, or None.
    """
    spelt = all(find(character) is not None for character in reversed(_BYTES))
    return _read if spelt else str


def _read(word: str) -> str:
    if not all(character in _BYTES for character in word):
        return word
    text = bytes(_BYTES[character] for character in word).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text.replace(" ", "▁")
    )

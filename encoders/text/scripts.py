"""Words of a text, in every script.

A text is folded first, so that spellings of the same words are the same: NFKC, full case folding,
default-ignorable code points (soft hyphens, joiners, variation selectors) removed, and what is
written in Arabic and Hebrew for reading aloud alone (harakat, tatweel, niqqud, cantillation), as by
Lucene's ArabicNormalizer.  Pictographs, ™ among them, stand between words like punctuation.

Words are runs of letters, digits and underscores, combining marks staying with their letters.  In
scripts that put no space between words, each letter with its marks is a word, and each two that
stand side by side: overlapping pairs as in Lucene's CJKAnalyzer, which finds words of two letters
or more, and single letters beside them (its `outputUnigrams`), without which a word of one letter
would only be found where it stands alone.

A word of one character is dropped when it is a digit, an underscore, or a letter of the Latin,
Greek or Cyrillic alphabets, as in "x y²"; in other scripts it is often a word of the language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any
from unicodedata import normalize

# Japanese, Chinese, the scripts whose lines are broken with a dictionary, and some that are rare.
_UNSPACED_SCRIPTS = (
    "Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Nushu", "Tangut", "Thai", "Lao", "Khmer",
    "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Javanese", "Balinese",
)  # fmt: skip
_UNSPACED = (
    r"[[\p{L}\p{Nl}]&&["
    + "".join(rf"\p{{Script={name}}}" for name in _UNSPACED_SCRIPTS)
    + "\u3006\u3031-\u3035\u303c\u30fc\uff70]]"  # signs that Japanese scripts share, such as ー
)
_ALPHABETS = r"[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Common}]"
_CHARACTER = rf"[[\p{{L}}\p{{N}}_]--{_UNSPACED}]"
# For the package regex, version 1: sets may be subtracted and intersected.
_PATTERNS = {
    "pictograph": r"\p{Extended_Pictographic}",
    "unwritten": r"[\p{Default_Ignorable_Code_Point}"
    r"[\p{Mn}&&[\u0591-\u05C7\u0610-\u061A\u064B-\u0652\u0656-\u065F\u0670\u06D6-\u06ED]]\u0640]",
    "final sigma": r"(?<=[\p{L}\p{M}\p{N}_])σ(?![\p{L}\p{M}\p{N}_])",
    # One of the two groups matches.
    "run": rf"((?:{_UNSPACED}\p{{M}}*)+)|({_CHARACTER}[{_CHARACTER}\p{{M}}]*)",
    "letter": rf"{_UNSPACED}\p{{M}}*",
    "single": rf"(?:[\p{{N}}_]|{_ALPHABETS})\p{{M}}*",
    # A word of a text as it is written, before it is folded.
    "written": r"[\p{L}\p{N}_--\p{Extended_Pictographic}]"
    r"[\p{L}\p{M}\p{N}_\p{Default_Ignorable_Code_Point}--\p{Extended_Pictographic}]*",
    # Digits of keycaps are none.
    "letter or digit": r"[\p{L}\p{N}--\p{Extended_Pictographic}--\p{Default_Ignorable_Code_Point}]"
    r"(?!\uFE0F?\u20E3)",
    "between words": r"[^\p{L}\p{N}\p{M}_\p{Default_Ignorable_Code_Point}]+",
    "not plain": rf"{_UNSPACED}|[\p{{L}}\p{{N}}--{_ALPHABETS}]|\p{{M}}",
}

# Plain characters of texts in English, which so need no other package.
COMMON = "–—‘’“”…•«»°±×§áàâäãåçéèêëíîïñóòôöõøúùûüÁÅÇÉÖÜ"
PLAIN_WORD = re.compile(r"\b\w\w+\b")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ASCII_WORD = re.compile(r"[A-Za-z0-9](?![\uFE0F\u20E3])")


@cache
def _pattern(name: str) -> Any:
    """One of `_PATTERNS`, compiled when a text first needs it: most texts are plain."""
    import regex

    return regex.compile(_PATTERNS[name], regex.VERSION1)


class Plain(dict[str, bool]):
    """Character -> whether `PLAIN_WORD` cuts texts of such characters as the rule says."""

    def __missing__(self, character: str) -> bool:
        lower, composed = character.lower(), normalize("NFKC", character)
        between = _pattern("between words").fullmatch
        is_between = between(character) is not None
        if is_between == (character.isalnum() or character == "_"):
            plain = False  # `re` and `regex` go by Unicode of different years
        elif is_between:
            plain = bool(_pattern("pictograph").match(character) or between(composed))
        else:
            plain = (
                lower == character.casefold()
                and character not in "Σσ"  # which of its letters it is depends on the next one
                and len(lower) == 1
                and composed == character
                and normalize("NFKC", lower) == lower
                and not any(
                    _pattern(name).match(character)
                    for name in ("not plain", "pictograph", "unwritten")
                )
            )
        self[character] = plain
        return plain


_plain = Plain.fromkeys(COMMON, True)


def _is_plain(text: str) -> bool:
    return text.isascii() or all(map(_plain.__getitem__, _NOT_ASCII.findall(text)))


def fold(text: str) -> str:
    """A text as its words are compared: all spellings of a word the same."""
    text = normalize("NFKC", _pattern("pictograph").sub(" ", text))
    text = normalize("NFKC", _pattern("unwritten").sub("", text)).casefold()
    # The dot of İ, which nobody types below an i; and the alef of vocalized texts.
    text = normalize("NFKC", text).replace("i\u0307", "i").replace("\u0671", "\u0627")
    # Folding writes every sigma σ, and Greek ends words with ς.
    return str(_pattern("final sigma").sub("ς", text))


def words(text: str) -> list[str]:
    """The words of a text, folded, in order, by the rule at the top of this file."""
    if _is_plain(text):
        return PLAIN_WORD.findall(text.lower())
    cut: list[str] = []
    for unspaced, spaced in _pattern("run").findall(fold(text)):
        if unspaced:
            letters = _pattern("letter").findall(unspaced)
            cut += letters
            cut += map("".join, pairwise(letters))
        elif not _pattern("single").fullmatch(spaced):
            cut.append(spaced)
    return cut


def has_words(text: str) -> bool:
    """Whether there is any letter or digit in a text that is no pictograph."""
    if _ASCII_WORD.search(text):
        return True
    return not text.isascii() and _pattern("letter or digit").search(text) is not None


def places(text: str, wanted: list[str]) -> Iterator[tuple[int, int]]:
    """Where a text, as it is written, has words that begin with any of those `wanted`.

    Yields start and end of each, in no order; of scripts without spaces, the wanted word alone.
    """
    pairs = [word for word in wanted if not word.isascii() and _pattern("letter").match(word)]
    starts = tuple(word for word in wanted if word not in pairs)
    plain = _is_plain(text)
    written = re.compile(r"\w+") if plain else _pattern("written")
    for match in written.finditer(text) if starts else ():
        if (match[0].lower() if plain else _folded(match[0])).startswith(starts):
            yield match.span()
    for word in pairs:
        for occurrence in re.finditer(re.escape(word), text):
            yield occurrence.span()


@lru_cache(1 << 15)
def _folded(word: str) -> str:
    return fold(word)

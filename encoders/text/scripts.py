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
from functools import lru_cache
from itertools import pairwise
from unicodedata import normalize

import regex

# Japanese, Chinese, the scripts whose lines are broken with a dictionary, and some that are rare.
_UNSPACED_SCRIPTS = (
    "Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Nushu", "Tangut", "Thai", "Lao", "Khmer",
    "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Javanese", "Balinese",
)  # fmt: skip

_V1 = regex.VERSION1  # sets may be subtracted and intersected
_UNSPACED = (
    r"[[\p{L}\p{Nl}]&&["
    + "".join(rf"\p{{Script={name}}}" for name in _UNSPACED_SCRIPTS)
    + "\u3006\u3031-\u3035\u303c\u30fc\uff70]]"  # signs that Japanese scripts share, such as ー
)
_ALPHABETS = r"[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Common}]"
_CHARACTER = rf"[[\p{{L}}\p{{N}}_]--{_UNSPACED}]"

_PLAIN_WORD = re.compile(r"\b\w\w+\b")
_PICTOGRAPH = regex.compile(r"\p{Extended_Pictographic}", _V1)
_UNWRITTEN = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}"
    r"[\p{Mn}&&[\u0591-\u05C7\u0610-\u061A\u064B-\u0652\u0656-\u065F\u0670\u06D6-\u06ED]]"
    r"\u0640]",
    _V1,
)
_FINAL_SIGMA = regex.compile(r"(?<=[\p{L}\p{M}\p{N}_])σ(?![\p{L}\p{M}\p{N}_])", _V1)
# One of the two groups matches.
_RUN = regex.compile(rf"((?:{_UNSPACED}\p{{M}}*)+)|({_CHARACTER}[{_CHARACTER}\p{{M}}]*)", _V1)
_LETTER = regex.compile(rf"{_UNSPACED}\p{{M}}*", _V1)
_SINGLE = regex.compile(rf"(?:[\p{{N}}_]|{_ALPHABETS})\p{{M}}*", _V1)
# A word of a text as it is written, before it is folded.
_WRITTEN = regex.compile(
    r"[\p{L}\p{N}_--\p{Extended_Pictographic}]"
    r"[\p{L}\p{M}\p{N}_\p{Default_Ignorable_Code_Point}--\p{Extended_Pictographic}]*",
    _V1,
)
_HAS_WORDS = regex.compile(  # digits of keycaps are none
    r"[\p{L}\p{N}--\p{Extended_Pictographic}--\p{Default_Ignorable_Code_Point}](?!\uFE0F?\u20E3)",
    _V1,
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class _Plain(dict[str, bool]):
    """Character -> whether `_PLAIN_WORD` cuts texts of such characters as the rule says."""

    _between = regex.compile(r"[^\p{L}\p{N}\p{M}_\p{Default_Ignorable_Code_Point}]+", _V1)
    _other = regex.compile(rf"{_UNSPACED}|[\p{{L}}\p{{N}}--{_ALPHABETS}]|\p{{M}}", _V1)

    def __missing__(self, character: str) -> bool:
        lower, composed = character.lower(), normalize("NFKC", character)
        between = self._between.fullmatch(character) is not None
        if between == (character.isalnum() or character == "_"):
            plain = False  # `re` and `regex` go by Unicode of different years
        elif between:
            plain = bool(_PICTOGRAPH.match(character) or self._between.fullmatch(composed))
        else:
            plain = (
                lower == character.casefold()
                and character not in "Σσ"  # which of its letters it is depends on the next one
                and len(lower) == 1
                and composed == character
                and normalize("NFKC", lower) == lower
                and not self._other.match(character)
                and not _PICTOGRAPH.match(character)
                and not _UNWRITTEN.match(character)
            )
        self[character] = plain
        return plain


_plain = _Plain()


def fold(text: str) -> str:
    """A text as its words are compared: all spellings of a word the same."""
    text = normalize("NFKC", _PICTOGRAPH.sub(" ", text))
    text = normalize("NFKC", _UNWRITTEN.sub("", text)).casefold()
    # The dot of İ, which nobody types below an i; and the alef of vocalized texts.
    text = normalize("NFKC", text).replace("i\u0307", "i").replace("\u0671", "\u0627")
    # Folding writes every sigma σ, and Greek ends words with ς.
    return str(_FINAL_SIGMA.sub("ς", text))


def words(text: str) -> list[str]:
    """The words of a text, folded, in order; what is said in the module."""
    if text.isascii() or all(map(_plain.__getitem__, _NOT_ASCII.findall(text))):
        return _PLAIN_WORD.findall(text.lower())
    found: list[str] = []
    for unspaced, spaced in _RUN.findall(fold(text)):
        if unspaced:
            letters = _LETTER.findall(unspaced)
            found += letters
            found += map("".join, pairwise(letters))
        elif not _SINGLE.fullmatch(spaced):
            found.append(spaced)
    return found


def has_words(text: str) -> bool:
    """Whether there is any letter or digit in a text that is no pictograph."""
    return _HAS_WORDS.search(text) is not None


def places(text: str, wanted: list[str]) -> Iterator[tuple[int, int]]:
    """Where a text, as it is written, has words that begin with any of those `wanted`.

    Yields start and end of each, in no order; of scripts without spaces, the wanted word alone.
    """
    pairs = [word for word in wanted if _LETTER.match(word)]
    starts = tuple(word for word in wanted if word not in pairs)
    for match in _WRITTEN.finditer(text) if starts else ():
        if _folded(match[0]).startswith(starts):
            yield match.span()
    for word in pairs:
        for found in re.finditer(re.escape(word), text):
            yield found.span()


@lru_cache(1 << 15)
def _folded(word: str) -> str:
    return fold(word)

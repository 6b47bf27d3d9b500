"""BERT's tokenizers without the tokenizers library, for the texts that most are.

A kernel reads text of the alphabets and signs in `KNOWN` ten times faster than the library, and
what it needs is read from tokenizer.json in a fifth of the time.  Other text is for the library
(`lsr.encoders.text.tokens`).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lsr import kernels
from lsr.encoders.rows import Ids

# Code points that all versions of Unicode in use agree on: Latin, Greek, Cyrillic, and signs from
# punctuation to mathematics.
KNOWN = (
    range(0x0250),
    range(0x0386, 0x0482),
    range(0x2010, 0x2028),
    range(0x2030, 0x205F),
    range(0x20A0, 0x20B0),
    range(0x2190, 0x2300),
)
_REFUSED, _LETTER, _SPACE, _PUNCTUATION, _DROPPED = range(5)  # as in encoders/kernels/wordpiece.h


@dataclass(frozen=True)
class WordPiece:
    """The settings in tokenizer.json of a tokenizer like BERT's.

    Attributes:
        vocabulary: token -> id, added tokens included.
        special: ids that are no terms of a text.
        unknown: the token that stands for words not in the vocabulary.
        before, after: ids that every text gets.
    """

    vocabulary: dict[str, int]
    special: list[int]
    unknown: str
    before: list[int]
    after: list[int]
    kernel: kernels.encoders.WordPiece

    def encode(self, texts: Sequence[str], most: int, whole: bool) -> list[Ids | None]:
        """The first `most` ids of each text, or None where the library must read it.

        `whole`: with the ids that every text gets, which count.
        """
        if not whole:
            return self.kernel.encode(list(texts), [], most, [])
        most -= len(self.before) + len(self.after)
        return self.kernel.encode(list(texts), self.before, most, self.after)


def read_wordpiece(data: bytes) -> WordPiece | None:
    """The tokenizer in the bytes of a tokenizer.json; None unless it is like BERT's in every
    respect."""
    try:
        read = json.loads(data)
        model, normalizer = read["model"], read["normalizer"]
        vocabulary = {str(token): int(number) for token, number in model["vocab"].items()}
        added = [dict(token) for token in read.get("added_tokens") or []]
        before, after = _frame(read["post_processor"])
        plain = (
            model["type"] == "WordPiece"
            and normalizer["type"] == "BertNormalizer"
            and normalizer["clean_text"] is True
            and read["pre_tokenizer"]["type"] == "BertPreTokenizer"
            and all(_is_whole(token) for token in added)
            and all(0 <= number < 2**32 for number in vocabulary.values())
        )
        if not plain:
            return None
        whole = {str(token["content"]): int(token["id"]) for token in added}
        kernel = kernels.encoders.WordPiece(
            vocabulary,
            str(model["continuing_subword_prefix"]),
            _characters(normalizer),
            list(whole),
            str(model["unk_token"]),
            int(model["max_input_chars_per_word"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # the library will say what is wrong, or knows what it means
    unknown = str(model["unk_token"])
    return WordPiece(vocabulary | whole, sorted(whole.values()), unknown, before, after, kernel)


def _characters(normalizer: dict[str, Any]) -> list[tuple[int, str]]:
    """Kind and spelling of each code point, as the library's BertNormalizer has them."""
    lower = bool(normalizer["lowercase"])
    strip = lower if normalizer.get("strip_accents") is None else bool(normalizer["strip_accents"])
    characters = [(_REFUSED, "")] * (max(known.stop for known in KNOWN))
    for point in (point for known in KNOWN for point in known):
        character = chr(point)
        category = unicodedata.category(character)
        written = character
        if strip:
            parts = unicodedata.normalize("NFD", character)
            written = "".join(part for part in parts if unicodedata.category(part) != "Mn")
        if lower:
            written = "".join(map(str.lower, written))
        kinds = {unicodedata.category(part)[0] for part in written}
        if (character.isspace() and category != "Cc") or character in "\t\n\r":
            characters[point] = (_SPACE, "")
        elif not written or category in ("Cc", "Cf"):
            characters[point] = (_DROPPED, "")
        elif kinds == {"P"} or (written.isascii() and kinds == {"S"}):
            characters[point] = (_PUNCTUATION, written)
        elif kinds <= set("LMNS"):
            characters[point] = (_LETTER, written)
    return characters


def _is_whole(token: dict[str, Any]) -> bool:
    """Whether an added token is special and looked for in the text as it is."""
    changes = ("single_word", "lstrip", "rstrip", "normalized")
    return bool(token["content"]) and token["special"] and not any(map(token.get, changes))


def _frame(processor: Any) -> tuple[list[int], list[int]]:
    """The ids before and after every text; `KeyError` or `ValueError` when there is more to it."""
    if processor["type"] == "BertProcessing":
        return [int(processor["cls"][1])], [int(processor["sep"][1])]
    if processor["type"] != "TemplateProcessing":
        raise ValueError(processor["type"])
    ids: list[list[int]] = [[]]
    for part in processor["single"]:
        if "Sequence" in part:
            ids.append([])
        else:
            ids[-1] += map(int, processor["special_tokens"][part["SpecialToken"]["id"]]["ids"])
    before, after = ids
    return before, after

"""A folder's tokenizer, without torch: texts to token ids, ids to words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from lsr.encoders.base import check_texts
from lsr.encoders.rows import Ids
from lsr.errors import EncoderError, first_line

# Characters of a text read at first, a token: more than texts have.  See `_start`.
_CHARACTERS = 32


class TokenVocabulary:
    """A tokenizer's tokens; ids of the model beyond them are called "[unused-ID]"."""

    def __init__(self, tokens: Mapping[str, int], size: int) -> None:
        self._terms = dict(tokens)
        self._words = [f"[unused-{term}]" for term in range(size)]
        for token, term in tokens.items():
            self._words[term] = token

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, term: int, /) -> str:
        return self._words[term]

    def find(self, word: str) -> int | None:
        """The id of a token, or None."""
        return self._terms.get(word)

    def content_hash(self) -> str:
        """BLAKE2b (32 bytes, hexadecimal) over the words in order."""
        return hashlib.blake2b("\0".join(self._words).encode(), digest_size=32).hexdigest()


class Tokens:
    """The tokenizer of a folder, cutting texts at `max_length` tokens, special ones included.

    Safe to use from several threads: nothing is changed once it is loaded.

    Attributes:
        special: uint32, ascending: ids that are no terms of a text ([CLS], [UNK], ...).
        added: how many special tokens every text gets.
        size: one more than the largest id.
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        self.max_length = max_length
        self._tokenizer = _load(folder)
        self._tokenizer.no_padding()  # files may carry settings of their own
        self._tokenizer.no_truncation()
        self.added: int = self._tokenizer.num_special_tokens_to_add(False)
        self.vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        self.size = max(self.vocabulary.values(), default=-1) + 1
        if not self.size:
            raise EncoderError(f"the tokenizer in {folder} has no tokens; copy the right one there")
        if self.added < max_length:
            self._tokenizer.enable_truncation(max_length)
        added = self._tokenizer.get_added_tokens_decoder()
        self.special: Ids = np.array(sorted(t for t, a in added.items() if a.special), np.uint32)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text, in order, special ones included.

        Raises `EncoderError` for what is not a text.
        """
        check_texts(texts)
        return [np.array(e.ids, np.uint32) for e in self._encode(texts, True)]

    def own(self, texts: Sequence[str]) -> list[Ids]:
        """Distinct token ids of each text, ascending, without those every text gets added.

        A text is read up to `max_length` tokens of its own: no model needs room for others.
        Raises `EncoderError` for what is not a text.
        """
        check_texts(texts)
        return [np.unique(np.array(e.ids, np.uint32)) for e in self._encode(texts, False)]

    def literal(self, text: str) -> Ids:
        """The distinct ids of what `encode` reads of a text, ascending, special ones left out."""
        return self.ordinary(np.unique(self.encode([text])[0]))

    def ordinary(self, ids: Ids) -> Ids:
        """The ids that are terms of a text."""
        return ids[~np.isin(ids, self.special)]

    def _encode(self, texts: Sequence[str], special: bool) -> list[Any]:
        if len(texts) == 1:  # a question: no threads for it
            return [self._start(texts[0], special)]
        long = {n for n, text in enumerate(texts) if len(text) > _CHARACTERS * self.max_length}
        short = [text for n, text in enumerate(texts) if n not in long]
        encoded = iter(self._tokenizer.encode_batch(short, add_special_tokens=special))
        return [
            self._start(text, special) if n in long else next(encoded)
            for n, text in enumerate(texts)
        ]

    def _start(self, text: str, special: bool) -> Any:
        """The encoding of a text, of which no more is tokenized than is read.

        A megabyte is not tokenized for the sake of its first 256 tokens: a start of it that
        ends at a space has the same first tokens, as tokenizers never join over a space, and
        is enough once it has more of them than are kept.
        """
        room = _CHARACTERS * self.max_length
        while room < len(text):
            end = text.rfind(" ", 0, room)
            if end > 0:
                encoding = self._tokenizer.encode(text[:end], add_special_tokens=special)
                if encoding.overflowing:
                    return encoding
            room *= 4
        return self._tokenizer.encode(text, add_special_tokens=special)


def _load(folder: Path) -> Any:
    file = folder / "tokenizer.json"
    try:
        if file.exists():
            return Tokenizer.from_file(str(file))
        # Only transformers knows how to make one of a vocabulary alone.
        from transformers import AutoTokenizer

        made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return Tokenizer.from_str(made.backend_tokenizer.to_str())
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        reason = first_line(error)
        raise EncoderError(
            f"the tokenizer in {folder} cannot be loaded ({type(error).__name__}: {reason}); copy "
            "the one the model was trained with there"
        ) from None

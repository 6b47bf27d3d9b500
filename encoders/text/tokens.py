"""A folder's tokenizer: texts to token ids, ids to words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from lsr.encoders.base import WordList, check_texts
from lsr.encoders.rows import Ids
from lsr.encoders.text.scripts import has_words
from lsr.encoders.text.wordpiece import read_wordpiece
from lsr.errors import EncoderError, first_line, refusal
from lsr.storage.files import read_file

# Characters of a text read at first, a token: more than texts have.  See `_start`.
_CHARACTERS = 32


class TokenVocabulary(WordList):
    """A tokenizer's tokens; ids of the model beyond them are called "[unused-ID]"."""

    def __init__(self, tokens: Mapping[str, int], size: int) -> None:
        super().__init__([f"[unused-{term}]" for term in range(size)], dict(tokens))
        for token, term in tokens.items():
            self._words[term] = token

    def content_hash(self) -> str:
        """BLAKE2b (32 bytes, hexadecimal) over the words in order."""
        return hashlib.blake2b("\0".join(self._words).encode(), digest_size=32).hexdigest()


class Tokens:
    """The tokenizer of a folder, cutting texts at `max_length` tokens, special ones included.

    Safe to use from several threads.

    Attributes:
        special: uint32, ascending: ids that are no terms of a text ([CLS], [UNK], ...).
        phrases: uint32, ascending: ids of ordinary tokens that were added to the vocabulary.
        before, after: how many special tokens every text gets at its beginning and end.
        added: their sum.
        size: one more than the largest id.
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        self.max_length = max_length
        self._folder = folder
        self._loading = Lock()
        self._loaded: Any = None
        # Read once: the folder may be another's by the time the library is needed.
        self._data = _read(folder / "tokenizer.json")
        self._fast = None if self._data is None else read_wordpiece(self._data)
        phrases: dict[int, str] = {}
        if self._fast is not None:
            self.before, self.after = len(self._fast.before), len(self._fast.after)
            self.vocabulary = self._fast.vocabulary
            unknown = self._fast.unknown
            special = [*self._fast.special, *self._fast.before, *self._fast.after]
        else:
            self.before, self.after = self._frame()
            self.vocabulary = self._library.get_vocab(with_added_tokens=True)
            added = self._library.get_added_tokens_decoder()
            special = [token for token, about in added.items() if about.special]
            special += self._library.encode("").ids
            phrases = {token: about.content for token, about in added.items() if not about.special}
            # The library does not tell it of Unigram, whose vocabularies call it <unk>.
            unknown = getattr(self._library.model, "unk_token", "<unk>")
        # None of these need be among the added tokens.
        self.unknown: int | None = self.vocabulary.get(unknown)
        special += [self.unknown] if self.unknown is not None else []
        self.added = self.before + self.after
        self.special: Ids = np.array(sorted({*special}), np.uint32)
        self.phrases: Ids = np.array(sorted(phrases), np.uint32)
        self._longest = max(map(len, phrases.values()), default=0)
        self.size = max(self.vocabulary.values(), default=-1) + 1
        if not self.size:
            raise EncoderError(f"the tokenizer in {folder} has no tokens; copy the right one there")

    @property
    def _library(self) -> Any:
        """The tokenizers library's tokenizer, loaded when first needed."""
        with self._loading:
            if self._loaded is None:
                tokenizer = _load(self._folder, self._data)
                self._data = None
                tokenizer.no_padding()  # files may carry settings of their own
                tokenizer.no_truncation()
                if tokenizer.num_special_tokens_to_add(False) < self.max_length:
                    tokenizer.enable_truncation(self.max_length)
                self._loaded = tokenizer
            return self._loaded

    def _frame(self) -> tuple[int, int]:
        """The number of special tokens before and after a text."""
        added = self._library.num_special_tokens_to_add(False)
        if not added:
            return 0, 0
        if added >= self.max_length:  # of a text nothing could be read; an error follows
            return added, 0
        mask = self._library.encode("a").special_tokens_mask
        before = mask.index(0) if 0 in mask else len(mask)
        return before, added - before

    def check_size(self, terms: int) -> None:
        """Raise `EncoderError` when a model of so many terms lacks some of the tokens."""
        if self.size > terms:
            raise EncoderError(
                f"the tokenizer in {self._folder} has {self.size} tokens but the model only "
                f"{terms}; give the tokenizer the model was trained with"
            )

    def check_length(self, folder: Path, positions: float) -> None:
        """Raise `EncoderError` when the model in a folder cannot read `max_length` tokens."""
        if not self.added < self.max_length <= positions:
            raise EncoderError(
                f"max_length {self.max_length} is not possible with {folder}, which reads "
                f"{self.added + 1} to {positions:g} tokens; give one in between"
            )

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Token ids of each text, in order, special ones included.

        Raises `EncoderError` for what is not a text.
        """
        return self._encode(check_texts(texts), True)

    def own(self, texts: Sequence[str]) -> list[Ids]:
        """Distinct token ids of each text, ascending, without those every text gets added.

        A text is read up to `max_length` tokens of its own: no model needs room for others.
        Raises `EncoderError` for what is not a text.
        """
        return [np.unique(ids) for ids in self._encode(check_texts(texts), False)]

    def literal(self, text: str) -> Ids:
        """The distinct ids of what `encode` reads of a text, ascending, special ones left out."""
        return self.ordinary(np.unique(self.encode([text])[0]))

    def has_known_words(self, text: str, ids: Ids) -> bool:
        """Whether a text has words, and any in the vocabulary among the ids that are read of it.

        Blanks, punctuation and emoji have none; a model would answer with what it expands [CLS] or
        [UNK] to.
        """
        return has_words(text) and self.ordinary(ids).size > 0

    def ordinary(self, ids: Ids) -> Ids:
        """The ids that are terms of a text."""
        return ids[~np.isin(ids, self.special)]

    def _encode(self, texts: Sequence[str], special: bool) -> list[Ids]:
        encoded: list[Ids | None] = [None] * len(texts)
        if self._fast is not None and self.added < self.max_length:
            encoded = self._fast.encode(texts, self.max_length, special)
        rest = [number for number, ids in enumerate(encoded) if ids is None]
        others = self._encode_by_library([texts[number] for number in rest], special)
        return [ids if ids is not None else next(others) for ids in encoded]

    def _encode_by_library(self, texts: list[str], special: bool) -> Iterator[Ids]:
        """The ids of each text, in order."""
        short: Iterator[Any] = iter(())
        most = _CHARACTERS * self.max_length
        if len(texts) > 1:  # of one, such as a question, none: threads are not worth their start
            several = [text for text in texts if len(text) <= most]
            short = iter(self._library.encode_batch_fast(several, add_special_tokens=special))
        for text in texts:
            long = len(texts) == 1 or len(text) > most
            yield np.array((self._start(text, special) if long else next(short)).ids, np.uint32)

    def _start(self, text: str, special: bool) -> Any:
        """The encoding of a text, of which no more is tokenized than is read.

        A megabyte is not tokenized for the sake of its first 256 tokens: a start of it that
        ends at a space has the same first tokens, as tokenizers never join over a space (but for
        phrases, one of which may have been cut), and is enough once it has more of them than are
        kept.
        """
        room = _CHARACTERS * self.max_length
        while room < len(text):
            end = text.rfind(" ", 0, room)
            if end > 0:
                encoding = self._library.encode(text[:end], add_special_tokens=special)
                read = max((stop for _, stop in encoding.offsets), default=0)
                if encoding.overflowing and read + self._longest <= end:
                    return encoding
            room *= 4
        return self._library.encode(text, add_special_tokens=special)


def _read(file: Path) -> bytes | None:
    """The bytes of a tokenizer.json; None where there is none."""
    try:
        return read_file(file)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _load(folder: Path, data: bytes | None) -> Any:
    """The library's tokenizer of the bytes of a tokenizer.json, or of a folder without one."""
    try:
        from tokenizers import Tokenizer

        if data is not None:
            return Tokenizer.from_buffer(data)
        # Only transformers knows how to make one of a vocabulary alone.
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        reason = first_line(error)
        raise refusal("read", folder, error) or EncoderError(
            f"the tokenizer in {folder} cannot be loaded ({type(error).__name__}: {reason}); copy "
            "the one the model was trained with there"
        ) from None

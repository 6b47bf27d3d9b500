"""SPLADE: term weights from a masked language model.

With H[i, j] the logit of position i for term j, a text's weight for j is
max_i log(1 + relu(H[i, j])), or the sum over i: T. Formal et al., "SPLADE v2: Sparse lexical
and expansion model for information retrieval" (2021) and "SPLADE: Sparse lexical and expansion
model for first stage ranking" (SIGIR 2021).  Positions of special tokens count; padding does
not.  Queries and documents go through the same model, in float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import Encoder, Settings, Vocabulary, check_texts, strongest
from lsr.encoders.checkpoint import (
    Checkpoint,
    check,
    content_hash,
    find,
    sentence_transformers_pooling,
)
from lsr.errors import EncoderError, EncoderMismatch
from lsr.vectors import SparseVectors

if TYPE_CHECKING:
    import torch

_BATCH_TOKENS = 1 << 13
_BATCH_DOCUMENTS = 256  # bounds the documents x vocabulary matrix of pooled weights


def load(name: str, settings: Settings) -> SpladeEncoder:
    """The SPLADE encoder of a built-in model, a folder or a hub id."""
    return SpladeEncoder(find(name), settings)


def restore(
    identity: Mapping[str, Any],
    vocabulary: Vocabulary,
    term_columns: Mapping[str, npt.NDArray[Any]],
    source: str | None,
    device: str | None,
    batch_size: int | None,
) -> SpladeEncoder:
    """The SPLADE encoder of an index, from `source` or from where it was."""
    try:
        name, recorded_hash = identity["name"], identity["content_hash"]
        settings = Settings(
            identity["max_length"],
            identity["pooling"],
            identity["document_terms"],
            identity["query_terms"],
            device,
            batch_size,
        )
        recorded, revision = str(identity["source"]), identity["revision"]
        words_hash = identity["vocabulary_hash"]
    except KeyError as error:
        raise EncoderError(
            f"the recorded SPLADE encoder lacks {error}; rebuild the index"
        ) from None
    if source is None:
        try:
            checkpoint = find(f"{recorded}@{revision}" if revision else recorded)
        except EncoderError as error:
            raise EncoderError(
                f"the encoder {name!r} of the index cannot be found where it was, {recorded}: "
                f"pass --encoder FOLDER with the folder it is in now ({error})"
            ) from None
    else:
        checkpoint = find(source)
    found_hash = content_hash(checkpoint.folder)
    if found_hash != recorded_hash:
        raise EncoderMismatch(
            f"the index was built with the encoder {name!r} (content hash {recorded_hash}), but "
            f"{checkpoint.folder} holds {checkpoint.name!r} (content hash {found_hash}); pass "
            "the encoder the index was built with, or rebuild the index"
        )
    encoder = SpladeEncoder(checkpoint, settings)
    if encoder.identity["vocabulary_hash"] != words_hash:
        raise EncoderMismatch(
            f"the encoder {name!r} has other words now (hash "
            f"{encoder.identity['vocabulary_hash']}) than when the index was built (hash "
            f"{words_hash}); use the transformers release of that time, or rebuild the index"
        )
    return encoder


class TokenVocabulary:
    """A tokenizer's tokens; ids of the model beyond them are called "[unused-ID]"."""

    def __init__(self, tokens: Mapping[str, int], size: int) -> None:
        self._terms = {token: term for token, term in tokens.items()}
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


class SpladeEncoder(Encoder):
    """SPLADE from a checkpoint with a `…ForMaskedLM` architecture.

    Encoding may be called from several threads.  Raises `EncoderError` when the checkpoint is
    unfit, so that its vectors would silently be wrong, or does not allow the settings.
    """

    def __init__(self, checkpoint: Checkpoint, settings: Settings) -> None:
        check(checkpoint.folder)
        recorded = sentence_transformers_pooling(checkpoint.folder)
        self._settings = replace(settings, pooling=settings.pooling or recorded or "max")
        self._checkpoint = checkpoint
        self._content_hash = content_hash(checkpoint.folder)
        self.name = checkpoint.name
        try:
            from lsr.encoders.masked_lm import load_masked_lm
        except ImportError as error:
            raise EncoderError(f"SPLADE needs the package {error.name}; install it") from None
        self._model = load_masked_lm(checkpoint.folder, settings.device)
        self._tokenizer = self._model.tokenizer
        vocabulary = TokenVocabulary(self._tokenizer.get_vocab(), len(self._model.weight))
        self.vocabulary = vocabulary
        self._vocabulary_hash = vocabulary.content_hash()
        special = self._tokenizer.num_special_tokens_to_add()
        if not special < settings.max_length <= self._model.positions:
            raise EncoderError(
                f"max_length {settings.max_length} is not possible with {checkpoint.folder}, which "
                f"reads {special + 1} to {self._model.positions:g} tokens; give one in between"
            )
        self._batch_documents = min(settings.batch_size or _BATCH_DOCUMENTS, _BATCH_DOCUMENTS)

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "kind": "splade",
            "name": self.name,
            "source": self._checkpoint.source,
            "revision": self._checkpoint.revision,
            "content_hash": self._content_hash,
            "max_length": self._settings.max_length,
            "precision": "float32",
            "pooling": self._settings.pooling,
            "document_terms": self._settings.document_terms,
            "query_terms": self._settings.query_terms,
            "vocabulary_hash": self._vocabulary_hash,
        }

    def encode_documents(self, texts: Sequence[str]) -> SparseVectors:
        """SPLADE weights, at most `document_terms` a row."""
        return strongest(self._encode(texts), self._settings.document_terms)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """SPLADE weights, at most `query_terms` a row."""
        return strongest(self._encode(texts), self._settings.query_terms)

    def literal_terms(self, text: str) -> npt.NDArray[np.uint32]:
        """The distinct tokens of a text within `max_length`, without the special ones."""
        tokens = self._tokenize([text], return_special_tokens_mask=True)
        special = np.array(tokens["special_tokens_mask"][0], bool)
        return np.unique(np.array(tokens["input_ids"][0], np.uint32)[~special])

    def _tokenize(self, texts: Sequence[str], **options: bool) -> Any:
        check_texts(texts)
        # Truncation is always the same: a tokenizer keeps it as state, which another thread
        # may be using.
        length = self._settings.max_length
        return self._tokenizer(list(texts), truncation=True, max_length=length, **options)

    def _encode(self, texts: Sequence[str]) -> SparseVectors:
        import torch

        from lsr.encoders.pooling import logits_buffer

        if not len(texts):
            check_texts(texts)
            return SparseVectors.from_rows([])
        tokens = self._tokenize(texts)
        inputs = {name: tokens[name] for name in self._model.inputs}
        lengths = np.array([len(row) for row in inputs["input_ids"]])
        # Longest first: little padding, and what does not fit in memory fails at once.
        order = np.argsort(-lengths, kind="stable")
        buffer = logits_buffer(int(lengths.max()), self._model.device)
        rows: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]] = [
            (np.empty(0, np.uint32), np.empty(0, np.float32))
        ] * len(order)
        at = 0
        while at < len(order):
            by_tokens = max(1, _BATCH_TOKENS // int(lengths[order[at]]))
            batch = order[at : at + min(self._batch_documents, by_tokens)]
            try:
                pooled = self._pool(inputs, batch, buffer)
            except torch.cuda.OutOfMemoryError:
                pooled = None
            if pooled is None:  # outside `except`, where the failed batch's memory is free again
                self._shrink(len(batch), int(lengths[batch[0]]))
                continue
            for number, weights in zip(batch, pooled, strict=True):
                terms = np.flatnonzero(weights)
                rows[number] = (terms.astype(np.uint32), weights[terms])
            at += len(batch)
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([terms.size for terms, _ in rows], out=indptr[1:])
        return SparseVectors.trusted(
            indptr,
            np.concatenate([terms for terms, _ in rows]),
            np.concatenate([weights for _, weights in rows]),
        )

    def _pool(
        self, inputs: dict[str, list[list[int]]], batch: npt.NDArray[np.int64], buffer: torch.Tensor
    ) -> npt.NDArray[np.float32]:
        """Dense weights of a batch, float32, shape (batch, vocabulary)."""
        import torch

        from lsr.encoders.pooling import pool_logits

        lengths = np.array([len(inputs["input_ids"][number]) for number in batch])
        fill = {
            "input_ids": self._tokenizer.pad_token_id or 0,
            "token_type_ids": self._tokenizer.pad_token_type_id,
        }
        arrays = {"attention_mask": (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)}
        for name, values in inputs.items():
            arrays[name] = np.full(arrays["attention_mask"].shape, fill.get(name, 0))
            for row, number in enumerate(batch):
                arrays[name][row, : lengths[row]] = values[number]
        model = self._model
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(a).to(model.device) for name, a in arrays.items()}
            hidden = model.body(**tensors).logits  # the output layer is out, so hidden states
            padding = tensors["attention_mask"] == 0
            how = str(self._settings.pooling)
            pooled = pool_logits(hidden, padding, model.weight, model.bias, how, buffer)
            if not bool(torch.isfinite(pooled).all()):
                raise EncoderError(
                    f"the model in {self._checkpoint.folder} gives weights that are not finite; "
                    "the checkpoint is unusable"
                )
            weights: npt.NDArray[np.float32] = pooled.T.contiguous().cpu().numpy()
        return weights

    def _shrink(self, documents: int, length: int) -> None:
        import torch

        if documents == 1:
            raise EncoderError(
                f"the device {self._model.device} has no memory for one text of {length} tokens; "
                "give a smaller max_length or the device cpu"
            )
        self._batch_documents = documents // 2
        torch.cuda.empty_cache()

"""Models over many texts: batches of a bounded size, on several threads or devices."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import compress
from pathlib import Path
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from lsr.encoders.base import Advance
from lsr.encoders.rows import Ids
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError
from lsr.machine import memory_in_use

# Positions of a batch, by their working memory: enough that weights are read seldom, and few
# enough that the states of small models stay in the second cache.
_BATCH_BYTES = 1 << 22
_BATCH_POSITIONS = range(256, 2049)
_PIECE = 32  # texts that a thread takes at a time
# What else grows with the batches: ids, rows, and what the allocators hold back.
_OVERHEAD = 2
# What a process takes besides, once it encodes: the texts of a shard, their vectors, the file that
# is written, and the memory that threads and libraries hold back.  Measured over 20,000 passages.
_BESIDES = 170 << 20


Side = TypeVar("Side", contravariant=True)
_Side = TypeVar("_Side")
_Row = TypeVar("_Row")


class Model(Protocol[Side, _Row]):
    """Something that makes rows of token ids, from several threads at once.

    A model defines its rows, and the sides that it makes them for.
    """

    @property
    def folder(self) -> Path: ...
    @property
    def terms(self) -> int: ...
    @property
    def positions(self) -> float: ...
    @property
    def position_bytes(self) -> int: ...
    def rows(self, side: Side, ids: Sequence[Ids]) -> list[_Row]: ...


class Batches(Generic[_Side, _Row]):
    """Runs models over texts; may itself be used from several threads.

    Args:
        models: one a thread that shall work; the same may be there several times.
        most: texts a model sees at once; None goes by their tokens.
        max_memory: bytes this process shall take at most; None for no limit.
        empty: the row of texts without known words (`Tokens.has_known_words`); None: the model's.

    Raises `EncoderError` when `max_memory` is too little for any batch.
    """

    def __init__(
        self,
        models: Sequence[Model[_Side, _Row]],
        most: int | None = None,
        max_memory: int | None = None,
        empty: _Row | None = None,
    ) -> None:
        self.model, self._empty = models[0], empty
        self._models, self._most = models, most or sys.maxsize
        cost = self.model.position_bytes
        wanted = max(_BATCH_POSITIONS.start, min(_BATCH_POSITIONS.stop - 1, _BATCH_BYTES // cost))
        self._positions = wanted
        if max_memory is not None:
            used = memory_in_use()
            position = cost * _OVERHEAD * len(models)
            room = (max_memory - used - _BESIDES) // position
            if room < 1:
                raise EncoderError(
                    f"max_memory of {max_memory / 1e6:,.0f} MB is too little: with the model this "
                    f"process takes {used / 1e6:,.0f} MB already, and encoding more; give at least "
                    f"{(used + _BESIDES + position) / 1e6 + 1:,.0f} MB"
                )
            self._positions = min(wanted, room)

    def rows(
        self, side: _Side, tokens: Tokens, texts: Sequence[str], advance: Advance | None = None
    ) -> list[_Row]:
        """The row of each text.

        Args:
            side: what `Model.rows` takes.
            advance: told how many texts are done, each time that some are.

        Raises `EncoderError` when weights are not finite, or one text alone is too much for
        the device.
        """
        # Texts of like length together: little padding where a model needs it.  The longest
        # come first, so that what does not fit fails at once, and threads end together.
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        pieces = [order[start : start + _PIECE] for start in range(0, len(order), _PIECE)]
        rows: dict[int, _Row] = {}
        for piece, piece_rows in self._rows_of_pieces(side, tokens, texts, pieces):
            rows |= zip(piece, piece_rows, strict=True)
            if advance is not None:
                advance(len(piece))
        return [rows[number] for number in range(len(texts))]

    def _rows_of_pieces(
        self, side: _Side, tokens: Tokens, texts: Sequence[str], pieces: list[list[int]]
    ) -> Iterator[tuple[list[int], list[_Row]]]:
        """The pieces and their rows, as they are done."""
        threads = min(len(self._models), len(pieces))
        if threads < 2:
            for piece in pieces:
                yield piece, self._piece(self.model, side, tokens, [texts[n] for n in piece])
            return
        free: SimpleQueue[Model[_Side, _Row]] = SimpleQueue()
        for model in self._models[:threads]:
            free.put(model)

        def work(piece: list[int]) -> list[_Row]:
            model = free.get()
            try:
                return self._piece(model, side, tokens, [texts[n] for n in piece])
            finally:
                free.put(model)

        pool = ThreadPoolExecutor(threads)
        try:
            futures = {pool.submit(work, piece): piece for piece in pieces}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _piece(
        self, model: Model[_Side, _Row], side: _Side, tokens: Tokens, texts: list[str]
    ) -> list[_Row]:
        ids = tokens.encode(texts)
        if self._empty is None:
            return self._in_batches(model, side, ids)
        known = [tokens.has_known_words(*pair) for pair in zip(texts, ids, strict=True)]
        rows = iter(self._in_batches(model, side, list(compress(ids, known))))
        return [next(rows) if is_known else self._empty for is_known in known]

    def _in_batches(self, model: Model[_Side, _Row], side: _Side, ids: list[Ids]) -> list[_Row]:
        rows: list[_Row] = []
        start = 0
        while start < len(ids):
            stop, longest = start, 0
            while stop < len(ids) and stop - start < self._most:
                longest = max(longest, ids[stop].size)
                if stop > start and longest * (stop + 1 - start) > self._positions:
                    break
                stop += 1
            rows += self._batch(model, side, ids[start:stop])
            start = stop
        return rows

    def _batch(self, model: Model[_Side, _Row], side: _Side, ids: list[Ids]) -> list[_Row]:
        """The rows of one batch, in halves when it is too much for the device."""
        try:
            return model.rows(side, ids)
        except MemoryError:
            if len(ids) == 1:
                raise EncoderError(
                    f"there is no memory for one text of {ids[0].size} tokens with the model in "
                    f"{model.folder}; give a smaller max_length"
                ) from None
        # Positions with padding, half of which the next batches may have.
        self._positions = len(ids) * max(text.size for text in ids) // 2
        middle = len(ids) // 2
        return [
            row for half in (ids[:middle], ids[middle:]) for row in self._batch(model, side, half)
        ]

"""An encoder for tests of encoding: quick, or slow on request, and it notes what it encodes.

TOY_LOG names a file that gets a line "PID TEXT" for each text encoded, TOY_DELAY the seconds that
a text takes.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lsr.encoders.base import Encoder, Recorded, Settings, Where
from lsr.vectors import SparseVectors

WORDS = 1000
LOADED: list[Settings] = []  # of each toy this process has loaded


def load(name: str, settings: Settings) -> ToyEncoder:
    LOADED.append(settings)
    return ToyEncoder(name, settings)


def restore(recorded: Recorded, where: Where) -> ToyEncoder:
    identity = recorded.identity
    return ToyEncoder(identity["name"], Settings(max_length=identity["max_length"]))


class Words:
    def __len__(self) -> int:
        return WORDS

    def __getitem__(self, term: int, /) -> str:
        return f"word{term}"

    def find(self, word: str) -> int | None:
        number = word.removeprefix("word")
        return (
            int(number) if number.isascii() and number.isdigit() and int(number) < WORDS else None
        )


class ToyEncoder(Encoder):
    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.vocabulary = Words()
        self._settings = settings

    @property
    def identity(self) -> dict[str, Any]:
        settings = self._settings
        return {"kind": "toy", "name": self.name, "max_length": settings.max_length}

    def encode_documents(self, texts: Sequence[str]) -> SparseVectors:
        for text in texts:
            time.sleep(float(os.environ.get("TOY_DELAY", 0)))
            if "TOY_LOG" in os.environ:
                with Path(os.environ["TOY_LOG"]).open("a") as log:
                    log.write(f"{os.getpid()} {text}\n")
        return self.encode_queries(texts)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        rows = []
        for text in texts:
            words = text.split()[: self._settings.max_length]
            terms, counts = np.unique(
                [zlib.crc32(word.encode()) % WORDS for word in words], return_counts=True
            )
            rows.append((terms, np.sqrt(counts) + len(words) / 7))
        return SparseVectors.from_rows(rows)

    def literal_terms(self, text: str) -> Any:
        return self.encode_queries([text]).terms

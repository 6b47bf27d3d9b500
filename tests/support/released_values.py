"""What the folders and files of released formats were made from."""

from __future__ import annotations

import numpy as np

from lsr.fusion.methods import Ranked

WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath"]
DOCUMENTS = [
    {
        "id": f"d{n}",
        "title": WORDS[n % 8] if n % 3 else "",
        "text": f"{WORDS[n % 5]} and {WORDS[n % 7]} ünder {WORDS[n * n % 8]} {'deep ' * (n % 4)}",
    }
    for n in range(24)
]
DIMENSIONS = 4


def dense_vectors(rows: int, seed: int) -> np.ndarray:
    """Multiples of 1/8, so that every product is exact on every machine."""
    whole = np.random.default_rng(seed).integers(-16, 17, (rows, DIMENSIONS))
    return (whole / 8).astype(np.float32)


def lists(seed: int) -> tuple[list[Ranked], dict[int, int]]:
    """Hits of a retriever that knows and of one that guesses, and what is relevant."""
    rng = np.random.default_rng(seed)
    relevant = rng.choice(60, 5, replace=False)
    hits = []
    for knows in (3.0, 0.0):
        scores = rng.integers(0, 64, 60) / 16
        scores[relevant] += knows
        best = np.argsort(-scores, kind="stable")[:20]
        hits.append(Ranked(best.astype(np.int64), scores[best]))
    return hits, {int(document): 1 for document in relevant}

"""Documents a second of lsr beside sentence-transformers, and how far their vectors differ."""

from __future__ import annotations

import gc
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoints import LENGTH, lengths, multiply_adds
from benchmarks.machine import available_memory, busy_seconds
from lsr import LsrError, SparseVectors, load_encoder
from lsr.encoders._kernels import multiply_adds as multiply_adds_a_second
from lsr.encoders.models.heads import isa

Row = dict[str, Any]
Encode = Callable[[Sequence[str]], Any]

PEER = "sentence-transformers"
TUNED = f"{PEER}, tuned"
PRECISIONS = ("fp32", "bf16", "int8")
TOLERANCE = 1e-3  # of a float32 weight

_POOLS = ("OMP", "MKL", "OPENBLAS", "RAYON")
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_CHUNKS = (None, 16)  # positions that SpladePooling takes at a time; None is all
_SETTLED_ON = 256  # texts that the settings of the peer are chosen on
_FINALISTS = 4  # settings that are tried again, twice
_PAUSE = 0.3  # seconds; OpenMP's threads spin for a while after their work
_PEAK_SECONDS = 0.5


def limit_threads(threads: int) -> None:
    """Bound what libraries take; to be called before one of them is imported or used."""
    for pool in _POOLS:
        os.environ[f"{pool}_NUM_THREADS"] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    import torch

    torch.set_num_threads(threads)


class Peer:
    """`SparseEncoder.encode_document` on the CPU, in float32.

    Attributes:
        tried: documents a second of each batch size and chunk.
        batch, chunk: the fastest of these settings.
        plain_batch: the fastest batch size where chunks are as they come.
    """

    def __init__(self, folder: Path, texts: Sequence[str], tokens: Any) -> None:
        from sentence_transformers import SparseEncoder
        from transformers.utils import logging

        logging.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a folder of transformers becomes a SPLADE
            model = SparseEncoder(str(folder), device="cpu", local_files_only=True)
        # A checkpoint stored in halves would be computed in halves.
        self._model = model.float()
        self._model.max_seq_length = LENGTH
        self.tried: list[Row] = []
        self._settle(texts[:_SETTLED_ON], int(tokens[:_SETTLED_ON].max()))

    def encode(self, texts: Sequence[str]) -> Any:
        """Weights of documents as people ask for them, at the best batch size."""
        self._model.splade_pooling_chunk_size = None
        return self._model.encode_document(
            list(texts), batch_size=self.plain_batch, show_progress_bar=False
        )

    def encode_tuned(self, texts: Sequence[str]) -> Any:
        """The same with every setting at its best, as rows of a dense tensor, which cost least."""
        self._model.splade_pooling_chunk_size = self.chunk
        return self._model.encode_document(
            list(texts),
            batch_size=self.batch,
            convert_to_sparse_tensor=False,
            show_progress_bar=False,
        )

    def _settle(self, texts: Sequence[str], longest: int) -> None:
        # A batch has logits of every position for every term, twice while they are masked.
        vocabulary = self._model.get_embedding_dimension() or len(self._model.tokenizer)
        row = 2 * 4 * longest * vocabulary
        fitting = [b for b in _BATCHES if b <= len(texts) and b * row < available_memory() / 2]
        settings = [(b, c) for b in fitting or _BATCHES[:1] for c in _CHUNKS]
        best = dict.fromkeys(settings, float("inf"))
        self.batch, self.chunk = settings[0]
        self.encode_tuned(texts[:16])
        for _ in range(3):
            for setting in settings:
                self.batch, self.chunk = setting
                best[setting] = min(best[setting], timed(self.encode_tuned, texts)["seconds"])
            settings = sorted(settings, key=lambda setting: best[setting])[:_FINALISTS]
        self.tried = [
            {"batch": b, "chunk": c, "per_second": len(texts) / seconds}
            for (b, c), seconds in best.items()
        ]
        self.batch, self.chunk = min(best, key=lambda setting: best[setting])
        plain = [setting for setting in best if setting[1] is None]
        self.plain_batch = min(plain, key=lambda setting: best[setting])[0]


def peaks(kinds: Sequence[str]) -> dict[str, float]:
    """Multiply-adds a second of one core for each kind of number."""
    return {
        kind: multiply_adds_a_second(isa(), PRECISIONS.index(kind), _PEAK_SECONDS) for kind in kinds
    }


def compare(
    name: str,
    folder: Path,
    texts: Sequence[str],
    *,
    threads: int,
    precisions: Sequence[str],
    repeats: int,
    say: Callable[[str], None],
) -> Row:
    """Speed of each precision of lsr and of the peer, taking turns, and differences of vectors.

    Args:
        folder: a checkpoint in the form of transformers.
        say: told what is being done.
    """
    tokens = lengths(folder, texts)
    say(f"{name}: {len(texts):,} texts of {tokens.mean():.0f} tokens; settings of {PEER}")
    peer = Peer(folder, texts, tokens)
    encoders: dict[str, Encode] = {PEER: peer.encode, TUNED: peer.encode_tuned}
    skipped: dict[str, str] = {}
    for precision in precisions:
        try:
            encoder = load_encoder(
                str(folder),
                max_length=LENGTH,
                device="cpu",
                threads=threads,
                precision=precision,
            )
        except LsrError as error:
            skipped[precision] = str(error)
        else:
            encoders[precision] = encoder.encode_documents
    say(f"{name}: vectors")
    expected = sparse(peer.encode_tuned(texts).numpy())  # these passes warm up, too
    peer.encode(texts)
    differ = {
        precision: differences(encode(texts), expected)
        for precision, encode in encoders.items()
        if precision in precisions
    }
    passes: dict[str, list[Row]] = {encoder: [] for encoder in encoders}
    for repeat in range(repeats):
        say(f"{name}: pass {repeat + 1} of {repeats}")
        turn = list(encoders.items())
        for encoder, encode in turn[repeat % len(turn) :] + turn[: repeat % len(turn)]:
            passes[encoder].append(timed(encode, texts))
    return {
        "model": name,
        "texts": len(texts),
        "tokens": int(tokens.sum()),
        "terms": expected.terms.size / len(texts),
        "multiply_adds": multiply_adds(folder, tokens),
        "peer": {
            "plain_batch": peer.plain_batch,
            "batch": peer.batch,
            "chunk": peer.chunk,
            "tried": peer.tried,
        },
        "passes": passes,
        "differences": differ,
        "skipped": skipped,
    }


def sparse(dense: Any) -> SparseVectors:
    """Rows of a matrix, float32, shape (rows, terms), without its zeros."""
    return SparseVectors.from_rows((np.flatnonzero(row), row[row != 0]) for row in dense)


def differences(found: SparseVectors, expected: SparseVectors) -> Row:
    """How far weights differ, over the terms that either gives a text.

    "largest" and "mean" difference, the number of "terms", how many of these only one side has
    ("alone") and the largest weight among those ("alone_largest").
    """
    gaps, alone = [np.empty(0, np.float32)], [np.empty(0, np.bool_)]
    for ours, theirs in zip(found, expected, strict=True):
        terms = np.union1d(ours.terms, theirs.terms)
        pair = np.zeros((2, terms.size), np.float32)
        for side, vector in zip(pair, (ours, theirs), strict=True):
            side[np.searchsorted(terms, vector.terms)] = vector.weights
        gaps.append(np.abs(pair[0] - pair[1]))
        alone.append((pair == 0).any(axis=0))
    gap, single = np.concatenate(gaps), np.concatenate(alone)
    return {
        "largest": float(gap.max(initial=0)),
        "mean": float(gap.mean()) if gap.size else 0.0,
        "terms": int(gap.size),
        "alone": int(single.sum()),
        "alone_largest": float(gap[single].max(initial=0)),
    }


def timed(encode: Encode, texts: Sequence[str]) -> Row:
    """Wall "seconds" of a pass, and the cores that "others" kept busy meanwhile."""
    gc.collect()
    time.sleep(_PAUSE)
    start, used, busy = time.perf_counter(), time.process_time(), busy_seconds()
    encode(texts)
    seconds = time.perf_counter() - start
    own = time.process_time() - used
    return {"seconds": seconds, "others": max(0.0, busy_seconds() - busy - own) / seconds}

"""Documents a second of lsr beside sentence-transformers, and how far their vectors differ."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scipy.sparse import csr_array

from benchmarks.commands import Row, progress
from benchmarks.encoding.checkpoints import LENGTH, lengths
from benchmarks.machine import available_memory, busy_seconds
from lsr import LsrError, SparseVectors, load_encoder

Encode = Callable[[Sequence[str]], Any]

PEER = "sentence-transformers"
TUNED = f"{PEER}, tuned"
PRECISIONS = ("fp32", "bf16", "int8")
TOLERANCE = 1e-3  # of a float32 weight

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_CHUNKS = (None, 16)  # positions that SpladePooling takes at a time; None is all
_SAMPLE = 256  # texts that the settings of the peer are chosen on
_FINALISTS = 4  # settings that are tried again, twice
_PAUSE = 0.3  # seconds; OpenMP's threads spin for a while after their work


class Peer:
    """`SparseEncoder.encode_document` on the CPU, in float32.

    Attributes:
        special: ids of special tokens.
        tried: documents a second of each batch size and chunk.
        batch, chunk: the fastest of these settings.
        plain_batch: the fastest batch size with the usual chunk.
    """

    def __init__(self, folder: Path, texts: Sequence[str], tokens: Any) -> None:
        from sentence_transformers import SparseEncoder
        from transformers.utils import logging

        logging.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that the folder becomes a SPLADE model
            model = SparseEncoder(str(folder), device="cpu", local_files_only=True)
        # A checkpoint stored in float16 would be computed in float16.
        self._model = model.float()
        self._model.max_seq_length = LENGTH
        self.special: list[int] = model.tokenizer.all_special_ids
        self.tried: list[Row] = []
        self._choose(texts[:_SAMPLE], int(tokens[:_SAMPLE].max()))

    def encode(self, texts: Sequence[str]) -> Any:
        """Sparse weights of documents, the default, at the best batch size."""
        self._model.splade_pooling_chunk_size = None
        return self._model.encode_document(
            list(texts), batch_size=self.plain_batch, show_progress_bar=False
        )

    def encode_tuned(self, texts: Sequence[str]) -> Any:
        """The same with the best of all settings, as rows of a dense tensor, which are cheapest."""
        self._model.splade_pooling_chunk_size = self.chunk
        return self._model.encode_document(
            list(texts),
            batch_size=self.batch,
            convert_to_sparse_tensor=False,
            show_progress_bar=False,
        )

    def _choose(self, texts: Sequence[str], longest: int) -> None:
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


def compare(
    name: str,
    folder: Path,
    texts: Sequence[str],
    *,
    threads: int,
    precisions: Sequence[str],
    repeats: int,
) -> Row:
    """Speed of each precision of lsr and of the peer, taking turns, and differences of vectors.

    Args:
        folder: a checkpoint of transformers.
    """
    tokens = lengths(folder, texts)
    progress.print(f"{name}: {len(texts):,} texts of {tokens.mean():.0f} tokens; tuning {PEER}")
    peer = Peer(folder, texts, tokens)
    encoders: dict[str, Encode] = {PEER: peer.encode, TUNED: peer.encode_tuned}
    skipped: dict[str, str] = {}
    for precision in precisions:
        try:
            encoder = load_encoder(
                str(folder), max_length=LENGTH, device="cpu", threads=threads, precision=precision
            )
        except LsrError as error:
            skipped[precision] = str(error)
        else:
            encoders[precision] = encoder.encode_documents
    progress.print(f"{name}: vectors")
    rows = peer.encode_tuned(texts).numpy()  # these passes warm up, too
    peer.encode(texts)
    rows[:, peer.special] = 0  # [UNK] and the like are not terms in lsr
    expected = SparseVectors.of(csr_array(rows))
    gaps = {
        precision: differences(encoders[precision](texts), expected)
        for precision in precisions
        if precision in encoders
    }
    passes: dict[str, list[Row]] = {encoder: [] for encoder in encoders}
    for repeat in range(repeats):
        progress.print(f"{name}: pass {repeat + 1} of {repeats}")
        first = repeat % len(encoders)  # each takes its turn to begin
        names = list(encoders)
        for encoder in names[first:] + names[:first]:
            passes[encoder].append(timed(encoders[encoder], texts))
    return {
        "model": name,
        "texts": len(texts),
        "tokens": int(tokens.sum()),
        "terms": expected.terms.size / len(texts),
        "peer": {name: getattr(peer, name) for name in ("plain_batch", "batch", "chunk", "tried")},
        "passes": passes,
        "differences": gaps,
        "skipped": skipped,
    }


def differences(vectors: SparseVectors, expected: SparseVectors) -> Row:
    """Differences of weights, over the terms that either side gives a text.

    "largest" and "mean" difference, the number of "terms", how many of these only one side has
    ("alone") and the largest weight among those ("alone_largest").
    """
    ours, theirs = _matrix(vectors), _matrix(expected)
    gaps, alone = abs(ours - theirs), abs(ours.sign() - theirs.sign())
    terms, alone_gaps = (ours.sign() + theirs.sign()).nnz, gaps.multiply(alone)
    return {
        "largest": float(gaps.max()),
        "mean": float(gaps.sum()) / max(terms, 1),
        "terms": terms,
        "alone": int(alone.sum()),
        "alone_largest": float(alone_gaps.max()),
    }


def _matrix(vectors: SparseVectors) -> csr_array:
    shape = len(vectors), 2**31 - 1
    return csr_array((vectors.weights, vectors.terms, vectors.indptr), shape=shape)


def timed(encode: Encode, texts: Sequence[str]) -> Row:
    """Wall "seconds" of a pass, and the cores that "others" kept busy during it."""
    gc.collect()
    time.sleep(_PAUSE)
    start, used, busy = time.perf_counter(), time.process_time(), busy_seconds()
    encode(texts)
    seconds = time.perf_counter() - start
    used = time.process_time() - used
    return {"seconds": seconds, "others": max(0.0, busy_seconds() - busy - used) / seconds}

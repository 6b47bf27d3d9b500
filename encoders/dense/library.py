"""Dense models by sentence-transformers itself: those unknown to our kernels, and on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer

from lsr.encoders.base import Advance
from lsr.encoders.checkpoints.weights import cannot_be_loaded
from lsr.encoders.dense.layout import Encode, Vectors
from lsr.encoders.models.torch_loading import quiet
from lsr.encoders.names import kind_of_folder
from lsr.errors import EncoderError

_BATCH = 32


def load_library(
    folder: Path, device: str, max_length: int | None, threads: int | None
) -> tuple[Encode, int, int | None]:
    """A function that encodes texts as float32; its dimensions; the limit of tokens a text, if any.

    Nothing is downloaded, executed or unpickled: `lsr.encoders.dense.layout` has looked first.  Of
    a folder with a sparse autoencoder it is what comes before that.
    Raises `EncoderError` when the folder cannot be loaded.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with quiet():
            # A SentenceTransformer of a sparse model's folder would make up modules of its own.
            sparse = kind_of_folder(str(folder)) == "csr"
            kind = sentence_transformers.SparseEncoder if sparse else SentenceTransformer
            model = kind(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            ).float()
            if sparse:
                model = SentenceTransformer(modules=list(model)[:-1], device=device)
            if max_length is not None:
                model.max_seq_length = max_length
            read = model.max_seq_length
            # What a text gives is known only of one.
            dimensions = model.encode(["a"], show_progress_bar=False).shape[1]
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        raise cannot_be_loaded(folder, error) from error
    computing = Lock()

    def encode(prompt: str, texts: Sequence[str], advance: Advance | None) -> Vectors:
        # By length here, so that progress is seen; that library does the same inside.
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        vectors = np.empty((len(texts), dimensions), np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            try:
                with computing, quiet():
                    vectors[batch] = model.encode(
                        [texts[number] for number in batch],
                        prompt=prompt,
                        batch_size=_BATCH,
                        show_progress_bar=False,
                    )
            except RuntimeError as error:
                raise EncoderError(
                    f"the model in {folder} fails on the device {device} ({error}); give a smaller "
                    "max_length or another device"
                ) from None
            if advance is not None:
                advance(len(batch))
        return vectors

    return encode, dimensions, int(read) if read and math.isfinite(read) else None

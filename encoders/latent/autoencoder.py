"""A top-k autoencoder of dense vectors, read, written and applied without torch.

    z = relu(TopK(W (x - b_pre) + b_lat))        x ~ W^T z + b_pre

as in CSR: T. Wen et al., "Beyond Matryoshka: Revisiting sparse coding for adaptive
representation" (ICML 2025).  A folder of it is that of sentence-transformers' SparseAutoEncoder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from lsr.encoders.checkpoints.checkpoint import read_json
from lsr.encoders.checkpoints.weights import Tensors
from lsr.encoders.rows import Row
from lsr.errors import EncoderError

MODULE = "SparseAutoEncoder"

Floats = npt.NDArray[np.float32]

_EPSILON = np.float32(1e-5)  # sentence-transformers' for layer normalization


@dataclass(frozen=True)
class Autoencoder:
    """W, its biases, and how many latents a vector has.

    Attributes:
        weight: W, float32, (latents, dimensions).
        pre_bias: b_pre, float32, (dimensions,).
        latent_bias: b_lat, float32, (latents,).
        active: latents of a vector, at most.
        layer_norm: whether a vector is first shifted and scaled to mean 0 and deviation 1.
    """

    weight: Floats
    pre_bias: Floats
    latent_bias: Floats
    active: int
    layer_norm: bool = False

    def rows(self, vectors: Floats, unit: bool) -> list[Row]:
        """The latents of vectors, (rows, dimensions): those above zero among the `active` largest.

        Of equal ones, the lower count.  `unit` gives each row of them unit length.
        """
        return [self._row(vector, unit) for vector in vectors]

    def _row(self, vector: Floats, unit: bool) -> Row:
        if self.layer_norm:
            centred = vector - vector.mean()
            vector = centred / (centred.std(ddof=1) + _EPSILON)
        # Not by BLAS: its threads cost more than they give here, and a product of matrices may
        # round a row by how many are beside it.
        activations = np.einsum("ld,d->l", self.weight, vector - self.pre_bias) + self.latent_bias
        best = np.sort(np.argsort(-activations, kind="stable")[: self.active])
        best = best[activations[best] > 0]
        weights = activations[best]
        if unit:
            weights = weights / np.sqrt((weights * weights).sum())
        return best.astype(np.uint32), np.asarray(weights, np.float32)


def read_autoencoder(folder: Path, dimensions: int) -> Autoencoder:
    """The autoencoder of vectors of so many `dimensions` in a folder.

    Raises `EncoderError` when it is incomplete, or for other vectors.
    """
    config = read_json(folder / "config.json")
    sizes = [config.get(key) for key in ("input_dim", "hidden_dim", "k")]
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise EncoderError(
            f"{folder / 'config.json'} has the input_dim, hidden_dim and k {sizes}, which must be "
            "whole numbers above 0; get the folder again"
        )
    width, latents, active = sizes
    if width != dimensions:
        raise EncoderError(
            f"{folder} is for vectors of {width} dimensions, and the dense model beside it makes "
            f"{dimensions}; get the folder again"
        )
    with Tensors(folder, "autoencoder") as tensors:
        # Both names are of one matrix, which is kept once.
        names = ("encoder.weight", "decoder.linear.weight")
        name = names[0] if names[0] in tensors else names[1]
        autoencoder = Autoencoder(
            tensors.take(name, latents, width),
            tensors.take("pre_bias", width),
            tensors.take("latent_bias", latents),
            min(active, latents),
            config.get("normalize") is True,
        )
        tensors.pass_over([*names, "stats_last_nonzero"])
        tensors.check()
    return autoencoder


def write_autoencoder(folder: Path, autoencoder: Autoencoder) -> None:
    """Write a folder, as sentence-transformers (its release 6) does."""
    latents, dimensions = autoencoder.weight.shape
    folder.mkdir()
    config = {
        "input_dim": dimensions,
        "hidden_dim": latents,
        "k": autoencoder.active,
        "k_aux": dimensions // 2,
        "normalize": autoencoder.layer_norm,
        "dead_threshold": 30,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=4) + "\n", "utf-8")
    tensors: dict[str, npt.NDArray[Any]] = {
        "encoder.weight": autoencoder.weight,
        "pre_bias": autoencoder.pre_bias,
        "latent_bias": autoencoder.latent_bias,
        "stats_last_nonzero": np.zeros(latents, np.int64),
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})

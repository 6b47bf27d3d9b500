"""A random sparse autoencoder on a random dense model, written as sentence-transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from support.tiny_dense import WIDTH, write_tiny_dense

LATENTS, ACTIVE = 24, 5
MODULE = "3_SparseAutoEncoder"


def write_tiny_csr(folder: Path, seed: int = 0, similarity: str | None = "cosine") -> Path:
    """Write the folder: Transformer, Pooling, Normalize, SparseAutoEncoder."""
    write_tiny_dense(folder, seed, similarity_fn_name=similarity)
    random = np.random.default_rng(seed + 1)
    sparse = "sentence_transformers.sparse_encoder.modules"
    types = {
        "": "sentence_transformers.base.modules.transformer.Transformer",
        "1_Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        "2_Normalize": "sentence_transformers.base.modules.normalize.Normalize",
        MODULE: f"{sparse}.sparse_auto_encoder.SparseAutoEncoder",
    }
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": kind}
        for number, (path, kind) in enumerate(types.items())
    ]
    pooling = {"embedding_dimension": WIDTH, "pooling_mode": "mean", "include_prompt": True}
    about = {
        "model_type": "SparseEncoder",
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": similarity,
    }
    config = {
        "input_dim": WIDTH,
        "hidden_dim": LATENTS,
        "k": ACTIVE,
        "k_aux": 4,
        "normalize": False,
        "dead_threshold": 30,
    }
    (folder / "2_Normalize").mkdir()
    (folder / MODULE).mkdir()
    for name, content in {
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
        "config_sentence_transformers.json": about,
        f"{MODULE}/config.json": config,
    }.items():
        (folder / name).write_text(json.dumps(content))
    tensors = {
        # The name under which that library keeps the matrix that encoder and decoder share.
        "decoder.linear.weight": random.standard_normal((LATENTS, WIDTH)).astype(np.float32),
        "pre_bias": random.standard_normal(WIDTH).astype(np.float32) / 4,
        "latent_bias": random.standard_normal(LATENTS).astype(np.float32) / 4,
        "stats_last_nonzero": np.zeros(LATENTS, np.int64),
    }
    save_file(tensors, folder / MODULE / "model.safetensors", {"format": "pt"})
    return folder


def change(file: Path, **settings: Any) -> None:
    """Change fields of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))

"""Writes the folders and files beside it: once for each version,

    PYTHONPATH=tests python tests/released/write.py


vectors-1 and dense-1 were written from the same values by the last sources that wrote version 1.
What is here is never written again: `test_released.py` opens it for ever.
"""

from __future__ import annotations

import json
from pathlib import Path

import lsr
from lsr.data.vectors import shards
from lsr.encoders import load_encoder
from lsr.encoders.training import autoencoder_fit
from lsr.fusion.learned import LearnedFusion
from lsr.index.dense.format import collection_of
from lsr.index.dense.side import write_dense
from lsr.index.format import Manifest
from lsr.indexing.encode import encode
from lsr.progress import Silent
from lsr.training.sae import fit_sae
from support.released_values import DIMENSIONS, DOCUMENTS, dense_vectors, lists
from support.tiny_dense import write_tiny_dense

HERE = Path(__file__).parent


def write() -> None:
    """Write the present versions."""
    shards.SHARD_DOCUMENTS = 10
    bm25 = load_encoder("bm25")
    folder, _ = encode(HERE / "vectors-2", DOCUMENTS, bm25, progress=Silent, alone=True)
    expected = {
        "vectors": [
            [chunk.ids[row], vector.terms.tolist(), vector.weights.tolist()]
            for chunk in folder.chunks()
            for row, vector in enumerate(chunk.vectors)
        ]
    }
    for kind in ("flat", "sq8"):
        path = HERE / f"dense-2-{kind}"
        rows = dense_vectors(24, 0)
        lsr.Index.from_vectors(path, [d["id"] for d in DOCUMENTS], rows - rows.min())
        write_dense(
            path / "dense",
            [rows],
            dimensions=DIMENSIONS,
            kind=kind,
            collection=collection_of(Manifest.read(path)),
            encoder={"name": "none"},
            created_by="lsr-engine",
            threads=1,
            progress=Silent,
        )
    model = write_tiny_dense(HERE / "model")
    autoencoder_fit.LEAST_STEPS, autoencoder_fit.PASSES = 20, 1
    fit_sae(HERE / "autoencoder", DOCUMENTS, str(model), width=2, active=3)
    encoder = load_encoder(str(HERE / "autoencoder"))
    for file in sorted(model.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    model.rmdir()
    expected["autoencoder"] = {
        "names": [encoder.vocabulary[term] for term in range(len(encoder.vocabulary))],
        "vectors": [
            [vector.terms.tolist(), vector.weights.tolist()]
            for vector in encoder.encode_documents([d["text"] for d in DOCUMENTS[:8]])
        ],
    }
    fusion = LearnedFusion.train(["knows", "guesses"], [lists(seed) for seed in range(20)], trees=8)
    fusion.save(HERE / "fusion.json")
    ranked = fusion.rank(lists(99)[0], 10)
    expected["fusion"] = [ranked[0].tolist(), ranked[1].tolist()]
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write()

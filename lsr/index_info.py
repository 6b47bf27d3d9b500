"""What there is to say of an index; `Index.info` and `lsr info`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsr.errors import IndexError_
from lsr.index.dense_format import DENSE, DenseManifest, has_dense

if TYPE_CHECKING:
    from lsr.retrieval import Index


def info(index: Index) -> dict[str, Any]:
    """Counts, sizes by part in bytes, active terms a document, encoders: JSON values."""
    manifest = index.manifest
    sizes: dict[str, int] = {}
    for name, entry in manifest.files.items():
        part = Path(name).stem
        sizes[part] = sizes.get(part, 0) + entry.size
    active = index.active_terms
    summary = {"mean": 0.0, "median": 0.0, "p99": 0.0, "largest": 0}
    if active.size:
        summary = {
            "mean": float(active.mean()),
            "median": float(np.median(active)),
            "p99": float(np.percentile(active, 99)),
            "largest": int(active.max()),
        }
    return {
        "path": str(index.path),
        "documents": len(index),
        "postings": manifest.postings,
        "vocabulary": manifest.vocabulary,
        "segments": [asdict(segment) for segment in manifest.segments],
        "bits": manifest.bits,
        "step": manifest.step,
        "kept": manifest.kept,
        "active_terms": summary,
        "sizes": sizes,
        "encoder": manifest.encoder,
        "dense": _dense_info(index.path),
        "created_by": manifest.created_by,
    }


def _dense_info(path: Path) -> dict[str, Any] | None:
    if not has_dense(path):
        return None
    try:
        manifest = DenseManifest.read(path / DENSE)
    except IndexError_ as error:  # the rest is worth knowing
        return {"problem": str(error)}
    return {
        "documents": manifest.documents,
        "dimensions": manifest.dimensions,
        "kind": manifest.kind,
        "sizes": {name: entry.size for name, entry in manifest.files.items()},
        "encoder": manifest.encoder,
    }

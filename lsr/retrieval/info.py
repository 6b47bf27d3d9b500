"""What there is to say of an index; `Index.info` and `lsr info`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsr.errors import LsrError

if TYPE_CHECKING:
    from lsr.retrieval.index import Index


def info(index: Index) -> dict[str, Any]:
    """Counts, sizes by part in bytes, active terms a document, encoders: JSON values."""
    manifest = index.manifest
    sizes: dict[str, int] = {}
    for name, entry in manifest.files.items():
        part = Path(name).name.partition(".")[0]
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
        "dense": _dense_info(index),
        "created_by": manifest.created_by,
    }


def _dense_info(index: Index) -> dict[str, Any] | None:
    try:
        dense = index.dense
    except LsrError as error:  # the rest is worth knowing
        return {"problem": str(error)}
    if dense is None:
        return None
    manifest = dense.manifest
    return {
        "documents": manifest.documents,
        "dimensions": manifest.dimensions,
        "kind": manifest.kind,
        # Without the edition in their names.
        "sizes": {
            f"vectors{Path(name).suffix}": entry.size for name, entry in manifest.files.items()
        },
        "encoder": manifest.encoder,
    }

"""Summary of an index, for `Index.info` and `lsr info`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lsr.errors import LsrError
from lsr.index.reader import IndexReader


def info(reader: IndexReader) -> dict[str, Any]:
    """Counts, sizes by part in bytes, active terms a document, encoders: JSON values."""
    manifest = reader.manifest
    sizes: dict[str, int] = {}
    for name, entry in manifest.files.items():
        part = Path(name).name.partition(".")[0]
        sizes[part] = sizes.get(part, 0) + entry.size
    active = reader.active_terms
    summary = {"mean": 0.0, "median": 0.0, "p99": 0.0, "largest": 0}
    if active.size:
        summary = {
            "mean": float(active.mean()),
            "median": float(np.median(active)),
            "p99": float(np.percentile(active, 99)),
            "largest": int(active.max()),
        }
    return {
        "path": str(reader.path),
        "documents": len(reader),
        "postings": manifest.postings,
        "vocabulary": manifest.vocabulary,
        "segments": [asdict(segment) for segment in manifest.segments],
        "bits": manifest.bits,
        "step": manifest.step,
        "kept": manifest.kept,
        "active_terms": summary,
        "sizes": sizes,
        "encoder": manifest.encoder,
        "dense": _dense_info(reader),
        "created_by": manifest.created_by,
    }


def _dense_info(reader: IndexReader) -> dict[str, Any] | None:
    try:
        dense = reader.dense
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

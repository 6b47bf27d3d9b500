"""Where a model runs when the caller does not say."""

from __future__ import annotations

from pathlib import Path


def usual_device(queries: bool) -> str:
    """A GPU for documents, if there is one; a query is done before a GPU has started."""
    if queries or not Path("/proc/driver/nvidia").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

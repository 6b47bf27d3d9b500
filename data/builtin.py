"""The small collection and the small models that ship with the package, with their licences."""

from __future__ import annotations

from pathlib import Path

COLLECTIONS = ("arxiv-cs",)
MODELS = ("splade-tiny",)
DENSE_MODELS = ("minilm",)

_HERE = Path(__file__).parent


def collection_path(name: str) -> Path | None:
    """The folder of a shipped collection, in BEIR form, or None when `name` is not one."""
    return _HERE / "collections" / name if name in COLLECTIONS else None


def model_path(name: str) -> Path | None:
    """The folder of a shipped model, in Hugging Face form, or None when `name` is not one."""
    return _HERE / "models" / name if name in MODELS + DENSE_MODELS else None

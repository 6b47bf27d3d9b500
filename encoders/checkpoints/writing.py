"""Files of model folders that are written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lsr.encoders.checkpoints.checkpoint import deciding_files


def copy_model(source: Path, target: Path, *others: str) -> None:
    """Copy the files that decide a model's vectors, and others by name where there are."""
    target.mkdir(exist_ok=True)
    for file in [*deciding_files(source), *(source / name for name in others)]:
        if file.exists():
            shutil.copyfile(file, target / file.name)


def write_json(path: Path, value: Any, indent: int = 2) -> None:
    """Write a value as JSON."""
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", "utf-8")


def write_modules(path: Path, modules: Iterable[tuple[str, str]], indent: int = 2) -> None:
    """Write a modules.json of sentence-transformers: the folder and the type of each module."""
    listed = [
        {"idx": number, "name": str(number), "path": folder, "type": kind}
        for number, (folder, kind) in enumerate(modules)
    ]
    write_json(path, listed, indent)


def write_about(
    path: Path, similarity: str, query_prompt: str = "", document_prompt: str = "", indent: int = 2
) -> None:
    """Write what sentence-transformers keeps of a SparseEncoder beside its modules."""
    about = {
        "model_type": "SparseEncoder",
        "prompts": {"query": query_prompt, "document": document_prompt},
        "default_prompt_name": None,
        "similarity_fn_name": similarity,
    }
    write_json(path, about, indent)

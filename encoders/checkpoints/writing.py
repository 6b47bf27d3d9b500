"""Files of model folders that are written."""

from __future__ import annotations

import json
import shutil
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

"""Writing model folders: whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsr.encoders.checkpoints.checkpoint import deciding_files
from lsr.errors import EncoderError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write, which becomes `target` when the block ends without an error.

    Raises `EncoderError` when `target` exists or cannot be written.
    """
    check_new(target)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(target)
    except OSError as error:
        raise EncoderError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_new(folder: Path) -> None:
    """Raise `EncoderError` when a folder exists."""
    if folder.exists():
        raise EncoderError(f"{folder} exists already; give a new folder")


def copy_model(source: Path, target: Path, *others: str) -> None:
    """Copy the files that decide a model's vectors, and others by name where there are."""
    target.mkdir(exist_ok=True)
    for file in [*deciding_files(source), *(source / name for name in others)]:
        if file.exists():
            shutil.copyfile(file, target / file.name)


def write_json(path: Path, value: Any, indent: int = 2) -> None:
    """Write a value as JSON."""
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", "utf-8")

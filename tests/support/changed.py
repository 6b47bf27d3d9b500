"""Changes to model folders, as releases and accidents make them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

WEIGHTS = "model.safetensors"
ABSENT = object()


def change_weights(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Let a function change the tensors by name."""
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    """Set values of config.json; ABSENT takes one out."""
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    config = {name: value for name, value in config.items() if value is not ABSENT}
    (folder / "config.json").write_text(json.dumps(config))


def rename_weights(folder: Path, rename: Callable[[str], str]) -> None:
    def change(weights: dict[str, Any]) -> None:
        for name in list(weights):
            weights[rename(name)] = weights.pop(name)

    change_weights(folder, change)


def split_weights(folder: Path) -> None:
    """Three files and their index instead of one."""
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    where = {}
    for number in range(3):
        file = f"model-{number + 1:05}-of-00003.safetensors"
        part = {name: weights[name] for name in sorted(weights)[number::3]}
        save_file(part, folder / file, {"format": "pt"})
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))

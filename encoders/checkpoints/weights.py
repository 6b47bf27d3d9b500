"""The tensors of a model folder, read without torch and accounted for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from lsr.encoders.checkpoints.checkpoint import read_json
from lsr.encoders.checkpoints.stored import Array, Stored, tensors_of
from lsr.errors import EncoderError, LsrError, first_line, refusal

# What checkpoints carry for training objectives other than masked language modelling, and
# constants of old releases: not used here, so not missed either.
UNUSED = re.compile(r"pooler|seq_relationship|position_ids|token_type_ids")
# The networks that give a token its weight by their names in the published checkpoints: of
# uniCOIL and TILDEv2, DeepImpact, DeepCT, EPIC.
TOKEN_HEAD = re.compile(
    r"((?:tok_proj|impact_score_encoder|classifier|query_salience)(?:\.\d+)?)\.(weight|bias)"
)
# The output layers of a masked language model.
MLM_HEAD = re.compile(r"(cls|lm_head|vocab_(transform|layer_norm|projector)|head|decoder)\..*")
# EPIC's folder has a network for queries and, for documents, two and the language model's own.
EPIC_QUERIES = "query_salience"
EPIC_DOCUMENTS = re.compile(rf"(doc_salience|doc_quality)\.(weight|bias)|{MLM_HEAD.pattern}")

_FILE = "model.safetensors"
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


class Tensors(ExitStack):
    """The tensors of a folder by name, each read as float32 when it is taken.

    What is missing, has another shape or is not finite is noted when it is taken, and `check`
    names it all.  Raises `EncoderError` when a file cannot be read.

    Args:
        model: what to call it in errors.
        name: the file; None takes the model's, of which there may be several.
    """

    def __init__(self, folder: Path, model: str, name: str | None = None) -> None:
        self._folder, self._model = folder, model
        super().__init__()
        self._where: dict[str, Stored] = {}
        self._taken: set[str] = set()
        self._wrong: dict[str, list[str]] = {
            "lacks": [],
            "has other shapes for": [],
            "has left over": [],
            "has numbers that are not finite in": [],
        }
        try:
            for path in [folder / name] if name is not None else _files(folder):
                file = self.enter_context(safe_open(path, "np"))
                self._where |= tensors_of(file)
        except (OSError, SafetensorError) as error:
            self.close()
            raise cannot_be_loaded(folder, error) from None
        self._room = sum(math.prod(self._shape(name)) for name in self._where)

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def __len__(self) -> int:
        return len(self._where)

    @property
    def plain(self) -> bool:
        """Whether there are tensors, all rounded, or float32 or float16, which NumPy has."""
        used = [stored for name, stored in self._where.items() if not UNUSED.search(name)]
        return bool(used) and all(stored.plain for stored in used)

    @property
    def names(self) -> list[str]:
        """The names of all tensors."""
        return list(self._where)

    def matches(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        """The names that match a pattern as a whole."""
        return [match for name in self._where if (match := pattern.fullmatch(name))]

    def rows(self, name: str) -> int:
        """The first size of a tensor, 0 where there is none."""
        return next(iter(self._shape(name)), 0) if name in self._where else 0

    def take(self, name: str, *shape: int) -> Array:
        """A tensor; when it is not there, or not of this shape, zeros."""
        stored = self._name(name)
        if stored is None:
            return self._instead("lacks", name, shape)
        self._taken.add(stored)
        if self._shape(stored) != shape:
            return self._instead("has other shapes for", stored, shape)
        values = self._where[stored].read()
        if not np.isfinite(values).all():
            self._wrong["has numbers that are not finite in"].append(stored)
        return values

    def pass_over(self, names: Iterable[str]) -> None:
        """Take these as used."""
        self._taken |= set(names)

    def check(self) -> None:
        """Raise `EncoderError` unless all that was taken was right, and nothing is left."""
        self._wrong["has left over"] = [
            name
            for name in self._where
            if name not in self._taken
            and not UNUSED.search(name)
            and not TOKEN_HEAD.fullmatch(name)
        ]
        check_weights(self._folder, self._model, self._wrong)

    def _instead(self, fault: str, name: str, shape: tuple[int, ...]) -> Array:
        """Zeros for what is wrong, so that all that is can be named.

        They take no more than the files do: sizes that a config.json makes up are named at once.
        """
        self._wrong[fault].append(name)
        self._room -= math.prod(shape)
        if self._room < 0:
            self.check()
        return np.zeros(shape, np.float32)

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._where[name].shape

    def _name(self, name: str) -> str | None:
        if name in self._where:
            return name
        for new, old in _OLD_NAMES.items():
            if name.endswith(new) and (older := name.removesuffix(new) + old) in self._where:
                return older
        return None


def token_layers(names: Iterable[str]) -> list[str]:
    """The layers of the network that gives a token its weight, first to last.

    `names` are of all tensors.  None is returned where there is no such network, and where there
    are several, as nothing says which is meant.
    """
    layers = {match[1] for name in names if (match := TOKEN_HEAD.fullmatch(name))}
    networks = {layer.partition(".")[0] for layer in layers}
    # ".2" comes before ".10".
    return sorted(layers, key=lambda name: (len(name), name)) if len(networks) == 1 else []


def check_weights(folder: Path, model: str, wrong: Mapping[str, Iterable[str]]) -> None:
    """Raise `EncoderError` for the first kind of wrong weights that there are.

    Whatever a checkpoint lacks would be random numbers, and whatever it has too much of says
    that the model built is not the one that was trained.
    """
    for fault, unsorted in wrong.items():
        if names := sorted(unsorted):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise EncoderError(
                f"the checkpoint in {folder} {fault} {', '.join(names[:3])}{more}, so its vectors "
                f"would be wrong; give a complete {model} checkpoint"
            )


def cannot_be_loaded(folder: Path, error: Exception) -> LsrError:
    """The error of a folder whose files make no model, or may not be read."""
    return refusal("read", folder, error) or EncoderError(
        f"the model in {folder} cannot be loaded ({type(error).__name__}: {first_line(error)}); "
        "check that its files are complete"
    )


def _files(folder: Path) -> list[Path]:
    """The files that make up the model; none when they are not where transformers has them."""
    if (folder / _FILE).exists():
        return [folder / _FILE]
    index = folder / f"{_FILE}.index.json"
    if not index.exists():
        return []
    names = dict(read_json(index).get("weight_map", {})).values()
    return [folder / name for name in sorted(set(map(str, names)))]

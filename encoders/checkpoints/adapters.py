"""LoRA adapters in the folder format of PEFT, merged into their model when it is loaded.

    adapter_config.json           "peft_type": "LORA", "base_model_name_or_path", "lora_alpha", ...
    adapter_model.safetensors     base_model.model.MODULE.lora_A.weight (r, in), .lora_B.weight
                                  (out, r); .lora_embedding_A, _B of embeddings; and whole
                                  weights of modules that were trained as they are

A layer's weight becomes W + s B A, s = lora_alpha / r, or lora_alpha / sqrt(r) with "use_rslora":
E. J. Hu et al., "LoRA: Low-rank adaptation of large language models" (ICLR 2022).  Where output
layer and embeddings share a weight, what is trained of one leaves the other as it was.
"""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from lsr.encoders.checkpoints.checkpoint import ADAPTER, find, read_json
from lsr.errors import EncoderError, first_line

_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LOW_RANK = re.compile(r"(.+)\.lora_(A\.weight|B\.weight|embedding_A|embedding_B)")
# What changes the product, or the model below it, otherwise than by B A.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    "alpha_pattern": (None, {}),
    "fan_in_fan_out": (None, False),
    "use_dora": (None, False),
    "init_lora_weights": (None, True, False, "gaussian"),
    "layer_replication": (None,),
}


def base_of(folder: Path) -> Path:
    """The folder of the model that a folder's adapter is for; a folder without one itself.

    Raises `EncoderError` when the model is not to be found.
    """
    if not (folder / ADAPTER).exists():
        return folder
    name = read_json(folder / ADAPTER).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise EncoderError(
            f"{folder / ADAPTER} does not say which model the adapter is for; write its folder or "
            "hub id there, as base_model_name_or_path"
        )
    try:
        base = _find(name)
    except EncoderError as error:
        raise EncoderError(
            f"the adapter in {folder} is for the model {name!r}, which is not here ({error})"
        ) from None
    if (base / ADAPTER).exists():
        raise EncoderError(
            f"the adapter in {folder} is for {base}, which holds an adapter itself; merge one of "
            "them into the model and save that"
        )
    return base


@cache
def _find(name: str) -> Path:
    return find(name).folder  # asks the hub


def merge(model: Any, folder: Path) -> None:
    """Merge the adapter of a folder, if it has one, into its model.

    Raises `EncoderError` for an adapter of another kind and for tensors that do not fit.
    """
    if not (folder / ADAPTER).exists():
        return
    import torch
    from safetensors.torch import load_file

    config = read_json(folder / ADAPTER)
    for name, plain in _PLAIN.items():
        if config.get(name) not in plain:
            raise EncoderError(
                f"the adapter in {folder} has {name} {config.get(name)!r}, and only plain LoRA is "
                "merged here; merge it with PEFT and save the model"
            )
    try:
        tensors = {name: value.float() for name, value in load_file(folder / _WEIGHTS).items()}
        alpha, root = float(config["lora_alpha"]), config.get("use_rslora") is True
        pairs: dict[str, dict[str, torch.Tensor]] = {}
        for name in list(tensors):
            if match := _LOW_RANK.fullmatch(name.removeprefix(_PREFIX)):
                pairs.setdefault(match[1], {})[match[2]] = tensors.pop(name)
        changes = {}
        for module, parts in pairs.items():
            embedding = "embedding_A" in parts
            a = parts.pop("embedding_A" if embedding else "A.weight")
            b = parts.pop("embedding_B" if embedding else "B.weight")
            if parts:
                raise KeyError(f"{module}: {', '.join(parts)} too")
            product = b @ a * (alpha / (math.sqrt(len(a)) if root else len(a)))
            changes[f"{module}.weight"] = product.T if embedding else product
        for name, value in [*changes.items(), *tensors.items()]:
            whole = name not in changes
            owner, _, attribute = name.removeprefix(_PREFIX).rpartition(".")
            module = model.get_submodule(owner)
            weight = getattr(module, attribute)
            if value.shape != weight.shape or not bool(value.isfinite().all()):
                raise ValueError(f"{name} has shape {tuple(value.shape)} or is not finite")
            # A new one, for embeddings and output layer may share the old.
            setattr(module, attribute, torch.nn.Parameter(value if whole else weight.data + value))
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        raise EncoderError(
            f"the adapter in {folder} does not fit its model ({type(error).__name__}: "
            f"{first_line(error)}); get the published files, and the model they are for"
        ) from None

"""The small networks that some methods have on hidden states, read from a model's folder."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lsr.encoders.checkpoints.layouts import BGE_HEAD, RESIDUAL
from lsr.encoders.checkpoints.weights import EPIC_DOCUMENTS, EPIC_QUERIES, TOKEN_HEAD, token_layers
from lsr.errors import EncoderError, first_line

Linear = tuple[torch.Tensor, torch.Tensor | None]


def token_network(folder: Path) -> tuple[list[Linear], list[re.Pattern[str]]]:
    """The network that gives a token its weight, layer by layer: "mlp".

    Also returns the names of tensors that a checkpoint with it may have besides the model's.
    Raises `EncoderError` when there is none, or several.
    """
    where = folder / BGE_HEAD
    if where.exists():
        network = _read(where)
        names = list(network)
    else:
        where, network = folder, _read(folder, TOKEN_HEAD)
        names = token_layers(f"{name}.weight" for name in network)
    layers = [network[name] for name in names]
    fits = all(a[0].shape[0] == b[0].shape[1] for a, b in pairwise(layers))
    if not layers or not fits or len(layers[-1][0]) != 1:
        raise no_network(where)
    return layers, [TOKEN_HEAD, EPIC_DOCUMENTS] if names == [EPIC_QUERIES] else [TOKEN_HEAD]


def document_networks(folder: Path) -> tuple[Linear, Linear]:
    """EPIC's networks for the importance of a position and for the quality of a document.

    Raises `EncoderError` when one is not there.
    """
    networks = _read(folder, re.compile(r"(doc_salience|doc_quality)\.(weight|bias)"))
    if len(networks) != 2 or any(len(weight) != 1 for weight, _ in networks.values()):
        raise EncoderError(
            f"{folder} has no networks from a hidden state to one finite number called "
            "doc_salience and doc_quality; give a checkpoint of EPIC"
        )
    return networks["doc_salience"], networks["doc_quality"]


def residual_network(folder: Path, shape: tuple[int, int]) -> Linear:
    """The literal residual network, for a model of so many (terms, width).

    Raises `EncoderError` when it is not there, or is for another model.
    """
    path = folder / RESIDUAL
    weight, bias = _read(path).get("", (None, None))
    if weight is None or weight.shape != shape:
        raise EncoderError(
            f"{path} must hold finite numbers: weight of shape {shape} and perhaps bias of "
            f"shape {shape[:1]}; give the network that was trained with the model"
        )
    return weight, bias


def no_network(where: Path) -> EncoderError:
    """The error of a folder without a network for tokens."""
    return EncoderError(
        f"{where} has no network, or not one alone, from a token's hidden state to one finite "
        f"number (tok_proj, impact_score_encoder, classifier, query_salience or {BGE_HEAD}); give "
        "a checkpoint that has one"
    )


def _read(where: Path, names: re.Pattern[str] | None = None) -> dict[str, Linear]:
    """The layers of these names in a folder's safetensors; or the one in a file, called ""."""
    try:
        tensors = {"": _alone(where)} if names is None else _named(where, names)
        layers = {
            name: (layer["weight"].float(), layer["bias"].float() if "bias" in layer else None)
            for name, layer in tensors.items()
        }
        fits = all(
            weight.ndim == 2
            and (bias is None or bias.shape == weight.shape[:1])
            and bool(weight.isfinite().all())
            and (bias is None or bool(bias.isfinite().all()))
            for weight, bias in layers.values()
        ) and all(layer.keys() <= {"weight", "bias"} for layer in tensors.values())
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        reason = first_line(error)
        raise EncoderError(
            f"the network in {where} cannot be loaded ({type(error).__name__}: {reason}); get the "
            "published file again"
        ) from None
    return layers if fits else {}


def _alone(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file that holds one layer."""
    if file.suffix == ".safetensors":
        return load_file(file)
    # The one pickled file that is read: weights_only lets nothing but tensors through.
    state = torch.load(file, map_location="cpu", weights_only=True)
    return {name: state[name] for name in ("weight", "bias")}


def _named(folder: Path, names: re.Pattern[str]) -> dict[str, dict[str, torch.Tensor]]:
    """The tensors of layers, in all safetensors of a folder."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - the file is no mapping
                if match := names.fullmatch(name):
                    layers.setdefault(match[1], {})[match[2]] = tensors.get_tensor(name)
    return layers

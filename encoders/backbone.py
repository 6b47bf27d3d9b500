"""A transformer from a folder, split into its body and its head."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers.utils import logging

from lsr.encoders.layouts import BGE_HEAD
from lsr.errors import EncoderError, first_line

# What checkpoints carry for training objectives other than masked language modelling, and
# constants of old releases: not used here, so not missed either.
_UNUSED_WEIGHTS = re.compile(r"pooler|seq_relationship|position_ids|token_type_ids")
# The networks that give a token its weight: uniCOIL's and DeepImpact's, by their names in the
# published checkpoints.
_TOKEN_HEADS = re.compile(r"(?:tok_proj|impact_score_encoder)(?:\.(\d+))?\.(weight|bias)")

Linear = tuple[torch.Tensor, torch.Tensor | None]


@dataclass(frozen=True)
class Backbone:
    """A model up to the hidden states, and the linear layers on top of them.

    Attributes:
        folder: where it is from.
        body: takes input_ids and attention_mask, returns an object with the hidden states.
        layers: (weight, bias) of each linear layer of the head, float32: one of shape (terms,
            width) for "mlm"; for "mlp" as many as it has, with relu between them.
        terms: the model's vocabulary.
        positions: the longest input, in tokens; infinite where the model has no limit.
        pad: the token id of padding.
        device: where the model is.
    """

    folder: Path
    body: Any
    layers: list[Linear]
    terms: int
    positions: float
    pad: int
    device: torch.device

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states of token ids: float32, shape (texts, positions, width)."""
        output = self.body(input_ids=ids, attention_mask=mask)
        # A masked language model without its output layer gives them as logits.
        states: torch.Tensor = output.logits if "logits" in output else output.last_hidden_state
        return states


def load_backbone(folder: Path, head: str, device: str | None) -> Backbone:
    """Load a folder in float32.

    Args:
        folder: what `lsr.encoders.layouts.check_model` accepts.
        head: "mlm" or "mlp", see `lsr.encoders.methods.Side`.
        device: a torch device; None is "cuda" when there is one, else "cpu".

    Raises `EncoderError` when a weight is missing, left over or not finite, or when the logits
    are no linear layer on hidden states.
    """
    place = _device(device)
    layers = [] if head == "mlm" else _token_head(folder)
    kind = transformers.AutoModelForMaskedLM if head == "mlm" else transformers.AutoModel
    # `dtype` was called `torch_dtype` before transformers 4.56.
    release = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    dtype = {"dtype" if release >= (4, 56) else "torch_dtype": torch.float32}
    try:
        with _quiet():
            model, report = kind.from_pretrained(
                folder,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
                **dtype,
            )
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        reason = first_line(error)
        raise EncoderError(
            f"the model in {folder} cannot be loaded ({type(error).__name__}: {reason}); "
            "check that its files are complete"
        ) from error
    _check_weights(model, report, folder)
    model = model.to(place).eval()
    terms = model.get_input_embeddings().num_embeddings
    if head == "mlm":
        layers = [_take_out_head(model, folder)]
        terms = len(layers[0][0])
    layers = [(w.to(place), None if b is None else b.to(place)) for w, b in layers]
    return Backbone(
        folder,
        model,
        layers,
        terms,
        _positions(model),
        getattr(model.config, "pad_token_id", 0) or 0,
        place,
    )


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except Exception as error:  # each backend has its own way to say that it is absent
        reason = first_line(error)
        raise EncoderError(
            f"the device {name!r} cannot be used ({reason}); give one such as cpu or cuda:0"
        ) from None
    return device


def _check_weights(model: Any, report: dict[str, Any], folder: Path) -> None:
    # Whatever a checkpoint lacks would be random numbers, and whatever it has too much of
    # says that the model built is not the one that was trained.
    wrong = {
        "lacks": sorted(key for key in report["missing_keys"] if not _UNUSED_WEIGHTS.search(key)),
        "has other shapes for": sorted(str(key) for key in report["mismatched_keys"]),
        "has left over": sorted(
            key
            for key in report["unexpected_keys"]
            if not _UNUSED_WEIGHTS.search(key) and not _TOKEN_HEADS.fullmatch(key)
        ),
        "has numbers that are not finite in": sorted(
            name
            for name, values in model.state_dict().items()
            if not bool(torch.isfinite(values).all())
        ),
    }
    for what, names in wrong.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise EncoderError(
                f"the checkpoint in {folder} {what} {', '.join(names[:3])}{more}, so its vectors "
                f"would be wrong; give a complete {type(model).__name__} checkpoint"
            )


def _take_out_head(model: Any, folder: Path) -> Linear:
    """Replace the output layer by nothing, and check that nothing else made the logits."""
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise EncoderError(
            f"the model in {folder} ({type(model).__name__}) has no linear output layer, so its "
            "terms cannot be weighed; give another checkpoint"
        )
    probe = torch.arange(min(8, head.out_features), device=head.weight.device)[None]
    with torch.inference_mode():
        logits = model(probe).logits
        for parent in model.modules():
            for name, child in list(parent.named_children()):
                if child is head:
                    setattr(parent, name, torch.nn.Identity())
        hidden = model(probe).logits
        same = hidden.shape[-1] == head.in_features and torch.allclose(
            head(hidden), logits, rtol=1e-3, atol=1e-3
        )
    if not same:
        raise EncoderError(
            f"the model in {folder} ({type(model).__name__}) makes its logits otherwise than by "
            "a linear layer, which is not supported; give another checkpoint"
        )
    bias = None if head.bias is None else head.bias.detach()
    return head.weight.detach(), bias


def _token_head(folder: Path) -> list[Linear]:
    """The network that gives a token its weight, layer by layer."""
    found: dict[int, dict[str, torch.Tensor]] = {}
    where = folder / BGE_HEAD
    try:
        if where.exists():
            # The one pickled file that is read: weights_only lets nothing but tensors through.
            state = torch.load(where, map_location="cpu", weights_only=True)
            found[0] = {name: state[name] for name in ("weight", "bias")}
        else:
            where = folder
            for file in sorted(folder.glob("*.safetensors")):
                with safe_open(file, "pt") as tensors:
                    for name in tensors.keys():  # noqa: SIM118 - the file is no mapping
                        if match := _TOKEN_HEADS.fullmatch(name):
                            layer = found.setdefault(int(match[1] or 0), {})
                            layer[match[2]] = tensors.get_tensor(name)
        layers = [
            (layer["weight"].float(), layer["bias"].float() if "bias" in layer else None)
            for _, layer in sorted(found.items())
        ]
        fits = all(
            weight.ndim == 2
            and (bias is None or bias.shape == weight.shape[:1])
            and bool(weight.isfinite().all())
            and (bias is None or bool(bias.isfinite().all()))
            for weight, bias in layers
        )
        inner = [(a[0].shape[0], b[0].shape[1]) for a, b in pairwise(layers)]
        fits = fits and all(a == b for a, b in inner)
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        reason = first_line(error)
        raise EncoderError(
            f"the head in {where} cannot be loaded ({type(error).__name__}: {reason}); get the "
            "published file again"
        ) from None
    if not layers or not fits or len(layers[-1][0]) != 1:
        raise EncoderError(
            f"{where} has no network from a token's hidden state to one finite number (tok_proj, "
            f"impact_score_encoder or {BGE_HEAD}); give a checkpoint that has one"
        )
    return layers


def _positions(model: Any) -> float:
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    if isinstance(table, torch.nn.Embedding):
        # RoBERTa counts positions from the one after padding.
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        return float(table.num_embeddings - first)
    return float(getattr(model.config, "max_position_embeddings", math.inf))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars, log lines and warnings of transformers."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()

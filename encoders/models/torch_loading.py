"""Loading models in torch: those `lsr.encoders.models.bert` does not cover, and all on a GPU."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.utils import logging

from lsr.encoders.checkpoints.adapters import base_of, merge
from lsr.encoders.checkpoints.layouts import is_causal
from lsr.encoders.checkpoints.networks import Linear, no_network, token_network
from lsr.encoders.checkpoints.weights import (
    EPIC_DOCUMENTS,
    TOKEN_HEAD,
    UNUSED,
    cannot_be_loaded,
    check_weights,
)
from lsr.encoders.methods import OF_LOGITS, Precision, Side
from lsr.encoders.models.epic import load_epic
from lsr.encoders.models.reading import Reading
from lsr.encoders.models.residual import LiteralResidual
from lsr.encoders.models.torch_model import TorchModel
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError, first_line

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_torch(
    folder: Path, side: Side, device: str, precision: Precision, tokens: Tokens
) -> TorchModel:
    """Load a folder.

    Args:
        folder: what `lsr.encoders.checkpoints.layouts.check_model` accepts.
        side: what is loaded are its `parts`.
        device: of torch.
        precision: of the body; the head is computed in float32.
        tokens: of the folder; which are special, and which phrases.

    Raises `EncoderError` when a weight is missing, left over or not finite, or when the logits
    are no linear layer on hidden states.
    """
    if precision not in _TYPES:
        raise EncoderError(
            f"the precision {precision} is for models like BERT on a CPU, and {folder} on "
            f"{device} runs in torch; give one of {', '.join(_TYPES)}"
        )
    target, head = _device(device), side.head
    layers: list[Linear] = []
    expected = [TOKEN_HEAD]
    if head == "mlp":
        layers, expected = token_network(folder)
    elif head == "epic":
        expected.append(EPIC_DOCUMENTS)
    if head in OF_LOGITS:
        model = load_language_model(folder, expected)
    else:
        model = _load(transformers.AutoModel, folder, expected)
    if layers and layers[0][0].shape[1] != getattr(model.config, "hidden_size", None):
        raise no_network(folder)
    model = model.to(target).eval()
    if head == "embeddings":
        words = model.get_input_embeddings().weight.detach().clone()
        words[tokens.special[tokens.special < len(words)].astype(np.int64)] = 0
        layers = [(words, None)]
    elif head in OF_LOGITS:
        layers = [_take_out_head(model, folder)]
    layers = [(w.to(target), None if b is None else b.to(target)) for w, b in layers]
    residual = None
    if side.literal_residual:
        terms, width = layers[0][0].shape
        residual = LiteralResidual(folder, (terms, width), tokens.special, target)
    body = model.to(_TYPES[precision])
    if head == "epic":
        return load_epic(folder, body, layers[0], tokens.special)
    reading = Reading(side.positions, tokens.before, tokens.after)
    phrases = tokens.phrases if side.phrases is not None else None
    return TorchModel(folder, body, layers, head, tokens.special, reading, phrases, residual)


def load_language_model(folder: Path, expected: Sequence[re.Pattern[str]] = (TOKEN_HEAD,)) -> Any:
    """A folder's model of transformers, masked or causal, in float32, its adapter merged.

    `expected` are names of tensors that the folder may have besides the model's.  Raises
    `EncoderError` as `load_torch`.
    """
    causal = is_causal(folder)
    model = _load(
        transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM,
        base_of(folder),
        expected,
    )
    model.config.use_cache = False  # of keys and values, for texts that go on
    merge(model, folder)
    return model


def _load(kind: Any, folder: Path, expected: Sequence[re.Pattern[str]]) -> Any:
    # `dtype` was called `torch_dtype` before transformers 4.56.
    release = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    dtype = {"dtype" if release >= (4, 56) else "torch_dtype": torch.float32}
    try:
        with quiet():
            model, report = kind.from_pretrained(
                folder,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
                **dtype,
            )
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        raise cannot_be_loaded(folder, error) from error
    _check(model, report, folder, expected)
    return model


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except Exception as error:  # each backend has its own way to say that it is absent
        reason = first_line(error)
        raise EncoderError(
            f"the device {name!r} cannot be used ({reason}); give one such as cpu or cuda:0"
        ) from None
    return device


def _check(
    model: Any, report: dict[str, Any], folder: Path, expected: Sequence[re.Pattern[str]]
) -> None:
    wrong = {
        "lacks": [key for key in report["missing_keys"] if not UNUSED.search(key)],
        "has other shapes for": [str(key) for key in report["mismatched_keys"]],
        "has left over": [
            key
            for key in report["unexpected_keys"]
            if not UNUSED.search(key) and not any(name.fullmatch(key) for name in expected)
        ],
        "has numbers that are not finite in": [
            name
            for name, values in model.state_dict().items()
            if not bool(torch.isfinite(values).all())
        ],
    }
    check_weights(folder, type(model).__name__, wrong)


def _take_out_head(model: Any, folder: Path) -> Linear:
    """Replace the output layer by nothing, and check that nothing else made the logits."""
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise EncoderError(
            f"the model in {folder} ({type(model).__name__}) has no linear output layer, so its "
            "terms cannot be weighed; give another checkpoint"
        )
    probe = torch.arange(min(8, head.out_features), device=head.weight.device)[None]
    try:
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
    except Exception as error:  # a config.json may ask for what no forward pass can do
        raise cannot_be_loaded(folder, error) from error
    if not same:
        raise EncoderError(
            f"the model in {folder} ({type(model).__name__}) makes its logits otherwise than by "
            "a linear layer, which is not supported; give another checkpoint"
        )
    bias = None if head.bias is None else head.bias.detach()
    return head.weight.detach(), bias


@contextmanager
def quiet() -> Iterator[None]:
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

"""A masked language model from a folder, split into its body and its output layer."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers.utils import logging

from lsr.errors import EncoderError

# What checkpoints carry for training objectives other than masked language modelling, and
# constants of old releases: not used here, so not missed either.
_UNUSED_WEIGHTS = re.compile(r"pooler|seq_relationship|position_ids|token_type_ids")


@dataclass(frozen=True)
class MaskedLM:
    """A model whose logits are body(inputs).logits x weight' + bias.

    Attributes:
        tokenizer: transformers' tokenizer.
        inputs: what the tokenizer makes that the model reads, beside "attention_mask".
        body: the model with its output layer taken out, so that its `logits` are the hidden
            states before that layer: float32, shape (texts, positions, width).
        weight: float32, shape (terms, width).
        bias: float32, shape (terms,), or None.
        positions: the longest input, in tokens; infinite where the model has no limit.
        device: where the model is.
    """

    tokenizer: Any
    inputs: tuple[str, ...]
    body: Any
    weight: torch.Tensor
    bias: torch.Tensor | None
    positions: float
    device: torch.device


def load_masked_lm(folder: Path, device: str | None) -> MaskedLM:
    """Load a checked folder in float32.

    Args:
        folder: what `lsr.encoders.checkpoint.check` accepts.
        device: a torch device; None is "cuda" when there is one, else "cpu".

    Raises `EncoderError` when a weight is missing, left over or not finite, when tokenizer and
    model do not fit each other, or when the logits are no linear layer on hidden states.
    """
    place = _device(device)
    # `dtype` was called `torch_dtype` before transformers 4.56.
    release = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    dtype = {"dtype" if release >= (4, 56) else "torch_dtype": torch.float32}
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
            model, report = transformers.AutoModelForMaskedLM.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **dtype, **local
            )
    except Exception as error:  # whatever foreign files provoke in the libraries that read them
        reason = str(error).strip().partition("\n")[0]
        raise EncoderError(
            f"the model in {folder} cannot be loaded ({type(error).__name__}: {reason}); "
            "check that its files are complete"
        ) from error
    _check_weights(model, report, folder)
    model = model.to(place).eval()
    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise EncoderError(
            f"the model in {folder} ({type(model).__name__}) has no linear output layer, so its "
            "terms cannot be weighed; give another checkpoint"
        )
    tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
    if tokens > len(head.weight):
        raise EncoderError(
            f"the tokenizer in {folder} has {tokens} tokens but the model only "
            f"{len(head.weight)}; give the tokenizer the model was trained with"
        )
    accepted = inspect.signature(model.forward).parameters
    made = (name for name in tokenizer.model_input_names if name != "attention_mask")
    inputs = tuple(name for name in made if name in accepted)
    _take_out(head, model, tokenizer, inputs, folder)
    bias = cast("torch.Tensor | None", head.bias)
    return MaskedLM(
        tokenizer,
        inputs,
        model,
        head.weight.detach(),
        None if bias is None else bias.detach(),
        _positions(model),
        place,
    )


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except Exception as error:  # each backend has its own way to say that it is absent
        reason = str(error).strip().partition("\n")[0]
        raise EncoderError(
            f"the device {name!r} cannot be used ({reason}); give one such as cpu or cuda:0"
        ) from None
    return device


def _check_weights(model: Any, report: dict[str, Any], folder: Path) -> None:
    # Whatever a checkpoint lacks would be random numbers, and whatever it has too much of
    # says that the model built is not the one that was trained.
    wrong = {
        "lacks": sorted(report["missing_keys"]),
        "has other shapes for": sorted(str(key) for key in report["mismatched_keys"]),
        "has left over": sorted(
            key for key in report["unexpected_keys"] if not _UNUSED_WEIGHTS.search(key)
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


def _take_out(
    head: torch.nn.Linear, model: Any, tokenizer: Any, inputs: tuple[str, ...], folder: Path
) -> None:
    """Replace the output layer by nothing, and check that nothing else made the logits."""
    probe = tokenizer("A probe of the output layer.", truncation=True, max_length=16)
    tensors = {name: torch.tensor([probe[name]], device=head.weight.device) for name in inputs}
    with torch.inference_mode():
        logits = model(**tensors).logits
        for parent in model.modules():
            for name, child in list(parent.named_children()):
                if child is head:
                    setattr(parent, name, torch.nn.Identity())
        hidden = model(**tensors).logits
        same = hidden.shape[-1] == head.in_features and torch.allclose(
            head(hidden), logits, rtol=1e-3, atol=1e-3
        )
    if not same:
        raise EncoderError(
            f"the model in {folder} ({type(model).__name__}) makes its logits otherwise than by "
            "a linear layer, which is not supported; give another checkpoint"
        )


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

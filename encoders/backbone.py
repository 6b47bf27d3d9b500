"""Models in torch: those that `lsr.encoders.bert` does not know, and all on a GPU."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import transformers
from transformers.utils import logging

from lsr.encoders.heads import Head, head_of, not_finite
from lsr.encoders.methods import Precision, Side
from lsr.encoders.networks import Linear, no_network, token_network
from lsr.encoders.pooling import pool_logits
from lsr.encoders.rows import Ids, Row
from lsr.encoders.weights import (
    EPIC_DOCUMENTS,
    TOKEN_HEAD,
    UNUSED,
    cannot_be_loaded,
    check_weights,
)
from lsr.errors import EncoderError, first_line

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Working memory of a position, in widths of the hidden states: the states, what attention and the
# wide layers make of them, and copies on the way.
_WIDTHS = 32


class TorchModel:
    """A transformer up to the hidden states, by torch, and a head on top of them.

    On a CPU the head is that of `lsr.encoders.heads`; on a GPU torch pools the logits.  May be
    called from several threads; one at a time computes.

    Attributes:
        folder: where it is from.
        terms: the model's vocabulary.
        positions: the longest input, in tokens; infinite where the model has no limit.
        position_bytes: working memory that a position takes, about.
    """

    def __init__(
        self, folder: Path, body: Any, layers: list[Linear], kind: str, special: Ids
    ) -> None:
        self.folder, self.positions = folder, _positions(body)
        self.terms = (
            body.get_input_embeddings().num_embeddings if kind == "mlp" else len(layers[0][0])
        )
        self.device = layers[0][0].device
        self._body, self._layers = body, layers
        self._pad = getattr(body.config, "pad_token_id", 0) or 0
        self.position_bytes = 4 * _WIDTHS * layers[0][0].shape[1]
        self._computing = Lock()
        self._first = kind == "cls-mlm"  # whether one position is all that counts
        self._head: Head | None = None
        if kind == "mlp" or (kind != "epic" and self.device.type == "cpu"):
            self._head = head_of(kind, folder, [_arrays(layer) for layer in layers], special)

    def rows(self, side: Side, ids: Sequence[Ids]) -> list[Row]:
        """The rows of some texts, each given by its ids as the model reads them.

        Raises `MemoryError` when they are too much for the device.
        """
        lengths = np.array([own.size for own in ids])
        mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
        padded = np.full(mask.shape, self._pad, np.int64)
        padded[mask] = np.concatenate([np.empty(0, np.uint32), *ids])
        try:
            with self._computing, torch.inference_mode():
                masks = torch.from_numpy(mask).to(self.device)
                output = self._body(
                    input_ids=torch.from_numpy(padded).to(self.device), attention_mask=masks.long()
                )
                # A masked language model without its output layer gives them as logits.
                hidden = output.logits if "logits" in output else output.last_hidden_state
                hidden = hidden.float()
                if self._head is None:
                    return self._pooled(side, ids, hidden, masks)
                states = hidden[masks].cpu().numpy()
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            if "not enough memory" not in str(error):  # torch's own words, on a CPU
                raise
        else:
            return self._head.rows(side, ids, states)
        # Outside `except`, where the failed batch's memory is free again.
        raise MemoryError(f"the device {self.device} has not enough memory")

    def _pooled(
        self, side: Side, ids: Sequence[Ids], hidden: torch.Tensor, masks: torch.Tensor
    ) -> list[Row]:
        """The rows of hidden states, shape (texts, positions, width), on the device."""
        weight, bias = self._layers[0]
        if self._first:
            hidden, masks = hidden[:, :1], masks[:, :1]
        found = pool_logits(hidden, ~masks, weight, bias, side.activation, side.pooling)
        if not bool(found.isfinite().all()):
            raise not_finite(self.folder)
        text, term = (found > 0).nonzero(as_tuple=True)
        weights = found[text, term].cpu().numpy()
        cuts = np.cumsum(np.bincount(text.cpu().numpy(), minlength=len(found)))[:-1]
        terms = term.cpu().numpy().astype(np.uint32)
        return list(zip(np.split(terms, cuts), np.split(weights, cuts), strict=True))


def load_torch(
    folder: Path, head: str, device: str, precision: Precision, special: Ids
) -> TorchModel:
    """Load a folder.

    Args:
        folder: what `lsr.encoders.layouts.check_model` accepts.
        head: one of a `lsr.encoders.methods.Side` that needs a model.
        device: of torch.
        precision: of the body; the head is computed in float32.
        special: uint32, ascending: token ids that are no terms of a text.

    Raises `EncoderError` when a weight is missing, left over or not finite, or when the logits
    are no linear layer on hidden states.
    """
    if precision not in _TYPES:
        raise EncoderError(
            f"the precision {precision} is for models like BERT on a CPU, and {folder} on "
            f"{device} runs in torch; give one of {', '.join(_TYPES)}"
        )
    place = _device(device)
    layers: list[Linear] = []
    expected = [TOKEN_HEAD]
    masked = head in ("mlm", "cls-mlm", "epic")
    if head == "mlp":
        layers, expected = token_network(folder)
    kind = transformers.AutoModelForMaskedLM if masked else transformers.AutoModel
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
    if head == "epic":
        expected.append(EPIC_DOCUMENTS)
    _check(model, report, folder, expected)
    if layers and layers[0][0].shape[1] != getattr(model.config, "hidden_size", None):
        raise no_network(folder)
    model = model.to(place).eval()
    if head == "embeddings":
        words = model.get_input_embeddings().weight.detach().clone()
        words[special[special < len(words)].astype(np.int64)] = 0
        layers = [(words, None)]
    elif masked:
        layers = [_take_out_head(model, folder)]
    layers = [(w.to(place), None if b is None else b.to(place)) for w, b in layers]
    if head == "epic":
        from lsr.encoders.epic import load_epic

        return load_epic(folder, model.to(_TYPES[precision]), layers[0], special)
    return TorchModel(folder, model.to(_TYPES[precision]), layers, head, special)


def _arrays(layer: Linear) -> tuple[Any, Any]:
    weight, bias = layer
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return weight.float().cpu().contiguous().numpy(), bias.float().cpu().contiguous().numpy()


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


def _positions(model: Any) -> float:
    embeddings = getattr(model.base_model, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    if isinstance(table, torch.nn.Embedding):
        # RoBERTa counts positions from the one after padding.
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        return float(table.num_embeddings - first)
    return float(getattr(model.config, "max_position_embeddings", math.inf))


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

"""Models in torch: those that `lsr.encoders.models.bert` does not know, and all on a GPU."""

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
from lsr.encoders.models.heads import Head, head_of, not_finite
from lsr.encoders.models.pooling import pool_logits
from lsr.encoders.models.reading import Reading
from lsr.encoders.models.residual import LiteralResidual
from lsr.encoders.rows import Ids, Row
from lsr.encoders.text.tokens import Tokens
from lsr.errors import EncoderError, first_line

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Working memory of a position, in widths of the hidden states: the states, what attention and the
# wide layers make of them, and copies on the way.
_WIDTHS = 32


class TorchModel:
    """A transformer up to the hidden states, by torch, and a head on top of them.

    On a CPU the head is that of `lsr.encoders.models.heads`; on a GPU torch pools the logits.  May
    be called from several threads; one at a time computes.  Texts are padded at their end, which
    neither attention mask nor causal attention lets in.

    Attributes:
        folder: where it is from.
        terms: the model's vocabulary.
        positions: the longest input, in tokens; infinite where the model has no limit.
        position_bytes: working memory that a position takes, about.
    """

    def __init__(
        self,
        folder: Path,
        body: Any,
        layers: list[Linear],
        kind: str,
        special: Ids,
        reading: Reading,
        phrases: Ids | None = None,
        residual: LiteralResidual | None = None,
    ) -> None:
        self.folder, self.positions = folder, reading.longest(_positions(body))
        self.terms = (
            body.get_input_embeddings().num_embeddings if kind == "mlp" else len(layers[0][0])
        )
        self.device = layers[0][0].device
        self._body, self._layers = body, layers
        self._pad = getattr(body.config, "pad_token_id", 0) or 0
        self._reading, self._residual = reading, residual
        self._phrases = None if phrases is None else torch.from_numpy(phrases.astype(np.int64))
        self.position_bytes = 4 * _WIDTHS * layers[0][0].shape[1] * reading.times
        self._computing = Lock()
        self._first = kind == "cls-mlm"  # whether one position is all that counts
        self._head: Head | None = None
        if kind == "mlp" or (kind != "epic" and self.device.type == "cpu"):
            arrays = [_arrays(layer) for layer in layers]
            self._head = head_of(kind, folder, arrays, special, phrases)

    def rows(self, side: Side, ids: Sequence[Ids]) -> list[Row]:
        """The rows of some texts, each given by its ids as the model reads them.

        Raises `MemoryError` when they are too much for the device.
        """
        given = [self._reading.given(own) for own in ids]
        spoken = np.array([self._reading.speaking(own.size) for own in ids], np.int64)
        lengths = np.array([own.size for own in given], np.int64)
        places = np.arange(max(1, lengths.max(initial=0)))
        mask = places < lengths[:, None]
        speaks = mask & (places >= (lengths - spoken)[:, None])
        padded = np.full(mask.shape, self._pad, np.int64)
        padded[mask] = np.concatenate([np.empty(0, np.uint32), *given])
        try:
            with self._computing, torch.inference_mode():
                masks = torch.from_numpy(mask).to(self.device)
                output = self._body(
                    input_ids=torch.from_numpy(padded).to(self.device), attention_mask=masks.long()
                )
                # A masked language model without its output layer gives them as logits.
                hidden = output.logits if "logits" in output else output.last_hidden_state
                hidden = hidden.float()
                speaking = torch.from_numpy(speaks).to(self.device)
                if self._reading.positions == "last":  # one position a text, empty texts too
                    ends = torch.from_numpy(np.maximum(lengths - 1, 0)).to(self.device)
                    hidden = hidden[torch.arange(len(given), device=self.device), ends][:, None]
                    speaking = speaking.any(1, keepdim=True)
                if self._head is None:
                    rows = self._pooled(side, ids, hidden, speaking)
                else:
                    states = hidden[speaking].cpu().numpy()
                last = None if self._residual is None else hidden[:, -1]
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        except RuntimeError as error:
            if "not enough memory" not in str(error):  # torch's own words, on a CPU
                raise
        else:
            if self._head is not None:
                heard = [own[own.size - count :] for own, count in zip(given, spoken, strict=True)]
                rows = self._head.rows(side, heard, states)
            if self._residual is None or last is None:
                return rows
            return self._residual.add(rows, ids, last)
        # Outside `except`, where the failed batch's memory is free again.
        raise MemoryError(f"the device {self.device} has not enough memory")

    def _pooled(
        self, side: Side, ids: Sequence[Ids], hidden: torch.Tensor, speaking: torch.Tensor
    ) -> list[Row]:
        """The rows of hidden states, on the device.

        Args:
            hidden: shape (texts, positions, width).
            speaking: bool, shape (texts, positions).
        """
        weight, bias = self._layers[0]
        if self._first:
            hidden, speaking = hidden[:, :1], speaking[:, :1]
        found = pool_logits(hidden, ~speaking, weight, bias, side.activation, side.pooling)
        if side.phrases is not None and self._phrases is not None:
            own = self._phrases.to(self.device)
            part = weight[own], None if bias is None else bias[own]
            found[:, own] = pool_logits(hidden, ~speaking, *part, side.activation, side.phrases)
        if not bool(found.isfinite().all()):
            raise not_finite(self.folder)
        text, term = (found > 0).nonzero(as_tuple=True)
        weights = found[text, term].cpu().numpy()
        cuts = np.cumsum(np.bincount(text.cpu().numpy(), minlength=len(found)))[:-1]
        terms = term.cpu().numpy().astype(np.uint32)
        return list(zip(np.split(terms, cuts), np.split(weights, cuts), strict=True))


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
    place, head = _device(device), side.head
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
    model = model.to(place).eval()
    if head == "embeddings":
        words = model.get_input_embeddings().weight.detach().clone()
        words[tokens.special[tokens.special < len(words)].astype(np.int64)] = 0
        layers = [(words, None)]
    elif head in OF_LOGITS:
        layers = [_take_out_head(model, folder)]
    layers = [(w.to(place), None if b is None else b.to(place)) for w, b in layers]
    residual = None
    if side.literal_residual:
        terms, width = layers[0][0].shape
        residual = LiteralResidual(folder, (terms, width), tokens.special, place)
    body = model.to(_TYPES[precision])
    if head == "epic":
        from lsr.encoders.models.epic import load_epic

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

"""BERT and its like without torch: a folder's weights for the kernels.

Covers the layers that BERT, RoBERTa and DistilBERT share as published: absolute positions, gelu,
weights in float32 or float16, or rounded.  What is otherwise is left to torch
(`lsr.encoders.models.torch_model`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lsr import kernels
from lsr.encoders.checkpoints.checkpoint import read_json
from lsr.encoders.checkpoints.stored import Array
from lsr.encoders.checkpoints.weights import (
    EPIC_DOCUMENTS,
    EPIC_QUERIES,
    MLM_HEAD,
    Tensors,
    token_layers,
)
from lsr.encoders.methods import Precision, Side
from lsr.encoders.models.heads import Head, Linear, TermHead, head_of
from lsr.encoders.rows import Ids, Row, joined, lengths_of

# The fields of `_Sizes`, and the activation; their names in config.json: of BERT and RoBERTa, of
# DistilBERT, which has no types of tokens.
_CONFIG = (
    ("terms", "vocab_size", "vocab_size"),
    ("positions", "max_position_embeddings", "max_position_embeddings"),
    ("types", "type_vocab_size", ""),
    ("width", "hidden_size", "dim"),
    ("inner", "intermediate_size", "hidden_dim"),
    ("layers", "num_hidden_layers", "n_layers"),
    ("heads", "num_attention_heads", "n_heads"),
    ("activation", "hidden_act", "activation"),
)
# The parts of a layer; their tensors: of BERT and RoBERTa, of DistilBERT.
_LAYER = (
    ("query", "attention.self.query", "attention.q_lin"),
    ("key", "attention.self.key", "attention.k_lin"),
    ("value", "attention.self.value", "attention.v_lin"),
    ("output", "attention.output.dense", "attention.out_lin"),
    ("output_norm", "attention.output.LayerNorm", "sa_layer_norm"),
    ("up", "intermediate.dense", "ffn.lin1"),
    ("down", "output.dense", "ffn.lin2"),
    ("down_norm", "output.LayerNorm", "output_layer_norm"),
)


@dataclass(frozen=True)
class _Family:
    """Where a family of models keeps its numbers.

    Attributes:
        prefix: of the tensors of a body that was saved with a head.
        layer: of the tensors of a layer, before its number.
        transform, transform_norm, terms, bias: the last step of the masked language model.
        column: of the tables above.
        has_epsilon: whether config.json has the epsilon of the norms.
        positions_follow_padding: whether positions are counted from the id after padding.
    """

    prefix: str
    layer: str
    transform: str
    transform_norm: str
    terms: str
    bias: str
    column: int = 1
    has_epsilon: bool = True
    positions_follow_padding: bool = False

    @property
    def config(self) -> dict[str, str]:
        """The names in config.json of the fields of `_Sizes` that there are."""
        return {row[0]: row[self.column] for row in _CONFIG if row[self.column]}

    def tensors(self, layer: int) -> dict[str, str]:
        """The names of the tensors of a layer by its parts."""
        return {row[0]: f"{self.layer}.{layer}.{row[self.column]}" for row in _LAYER}


_ROBERTA = _Family(
    "roberta.",
    "encoder.layer",
    "lm_head.dense",
    "lm_head.layer_norm",
    "lm_head.decoder",
    "lm_head.bias",
    positions_follow_padding=True,
)
_FAMILIES = {
    "bert": _Family(
        "bert.",
        "encoder.layer",
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.decoder",
        "cls.predictions.bias",
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": _Family(
        "distilbert.",
        "transformer.layer",
        "vocab_transform",
        "vocab_layer_norm",
        "vocab_projector",
        "vocab_projector.bias",
        column=2,
        has_epsilon=False,
    ),
}
# Tensors of what a published model was trained with besides.
_OTHER_TASKS = re.compile(rf"{MLM_HEAD.pattern}|classifier\..*")


@dataclass(frozen=True)
class _Sizes:
    """The numbers of a config.json; `first` is the position of a text's first token."""

    terms: int
    positions: int
    width: int
    inner: int
    layers: int
    heads: int
    epsilon: float
    first: int
    types: int = 0


class BertBody:
    """A model of one of the families, up to the hidden states; may run in several threads at once.

    Attributes:
        terms: the vocabulary's size.
        positions: the longest input, in tokens.
        position_bytes: working memory that a position takes.
        width: of a hidden state.
        layers: how many there are.
    """

    def __init__(self, folder: Path, kernel: kernels.encoders.Bert, sizes: _Sizes) -> None:
        self.folder, self.terms, self.width = folder, sizes.terms, sizes.width
        self.layers = sizes.layers
        self.positions = float(sizes.positions - sizes.first)
        self.position_bytes = 4 * (4 * sizes.width + max(3 * sizes.width, sizes.inner))
        self._kernel = kernel

    def hidden(self, ids: Sequence[Ids]) -> Array:
        """The hidden states of the positions of all texts, float32, (positions, width)."""
        return self._kernel.hidden(joined(ids), lengths_of(ids))

    def hidden_after(self, ids: Sequence[Ids], layers: Sequence[int]) -> Array:
        """The same after each of some layers, ascending from 1: (layers, positions, width)."""
        states = self._kernel.hidden(joined(ids), lengths_of(ids), layers)
        return states.reshape(len(layers), -1, self.width)


class BertModel(BertBody):
    """A body with a head, which makes rows."""

    def __init__(
        self, folder: Path, kernel: kernels.encoders.Bert, head: Head, sizes: _Sizes
    ) -> None:
        super().__init__(folder, kernel, sizes)
        self._head = head

    def rows(self, side: Side, ids: Sequence[Ids]) -> list[Row]:
        """The rows of some texts, each given by its ids as the model reads them."""
        if isinstance(self._head, TermHead):
            return self._head.rows_of(side, ids, self._kernel)
        return self._head.rows(side, ids, self.hidden(ids))


def load_bert(
    folder: Path, head: str, precision: Precision, special: Ids, phrases: Ids | None = None
) -> BertModel | None:
    """The model of a folder that `lsr.encoders.checkpoints.layouts.check_model` accepts.

    None when the model is left to torch.

    Args:
        head: one of a `lsr.encoders.methods.Side` that needs a model.
        precision: of the products of the body; the head is computed in float32.
        special: uint32, ascending: token ids that are no terms of a text.
        phrases: uint32, ascending: the terms of "mlm" that are pooled their own way; or None.

    Raises `EncoderError` when a weight is missing, left over, of another shape or not finite.
    """
    files = _open(folder) if head != "epic" else None
    if files is None:
        return None
    family, sizes, config, opened = files
    with opened as tensors:
        arrays = _body(tensors, family, sizes)
        if head == "mlp":
            layers = _token_layers(tensors, sizes.width)
        elif head == "embeddings":
            words = arrays["words"].copy()
            words[special[special < sizes.terms]] = 0
            layers = [(words, np.zeros(sizes.terms, np.float32))]
        else:
            arrays |= _transform(tensors, family, sizes)
            tied = config.get("tie_word_embeddings") is not False
            layers = [_terms(tensors, family, sizes, arrays["words"] if tied else None)]
        if not layers:
            return None
        tensors.check()
    weigher = head_of(head, folder, layers, special, phrases)
    return BertModel(folder, _kernel(arrays, sizes, precision), weigher, sizes)


def load_body(folder: Path, precision: Precision = "fp32") -> BertBody | None:
    """As `load_bert`, without a head; heads of other tasks are passed over."""
    files = _open(folder)
    if files is None:
        return None
    family, sizes, _, opened = files
    with opened as tensors:
        arrays = _body(tensors, family, sizes)
        tensors.pass_over(match[0] for match in tensors.matches(_OTHER_TASKS))
        tensors.check()
    return BertBody(folder, _kernel(arrays, sizes, precision), sizes)


def _open(folder: Path) -> tuple[_Family, _Sizes, Mapping[str, Any], Tensors] | None:
    """A folder's configuration and tensors; None when the model is left to torch."""
    config = read_json(folder / "config.json")
    family = _FAMILIES.get(str(config.get("model_type")))
    sizes = _sizes(config, family) if family is not None else None
    if family is None or sizes is None:
        return None
    tensors = Tensors(
        folder, " ".join(map(str, config.get("architectures") or [config["model_type"]]))
    )
    if not tensors.plain:
        tensors.close()
        return None
    return family, sizes, config, tensors


def _kernel(arrays: dict[str, Array], sizes: _Sizes, precision: Precision) -> kernels.encoders.Bert:
    number = get_args(Precision).index(precision)
    isa = kernels.instruction_set("encoders")
    return kernels.encoders.Bert(isa, number, sizes.layers, sizes.heads, sizes.epsilon, arrays)


def _sizes(config: Mapping[str, Any], family: _Family) -> _Sizes | None:
    """The sizes in a config.json; None where it asks for what the kernels do not do."""
    usual = {"position_embedding_type": "absolute", "is_decoder": False}
    if any(config.get(name, value) != value for name, value in usual.items()):
        return None
    names = family.config
    if config.get(names.pop("activation")) != "gelu":
        return None
    numbers = {
        name: number
        for name, theirs in names.items()
        if isinstance(number := config.get(theirs), int) and number > 0
    }
    if numbers.keys() != names.keys():
        return None
    epsilon = config.get("layer_norm_eps", 1e-12) if family.has_epsilon else 1e-12
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        return None
    first = 0
    if family.positions_follow_padding:
        padding = config.get("pad_token_id", 1)
        if not isinstance(padding, int) or not 0 <= padding < numbers["positions"] - 1:
            return None
        first = padding + 1
    sizes = _Sizes(**numbers, epsilon=epsilon, first=first)
    return sizes if sizes.width % sizes.heads == 0 else None


def _body(tensors: Tensors, family: _Family, sizes: _Sizes) -> dict[str, Array]:
    """The body's arrays by the names that the kernels know."""
    # A model saved with a head has its body's tensors under a name of their own.
    prefix = family.prefix
    if f"{prefix}embeddings.word_embeddings.weight" not in tensors:
        prefix = ""
    width, embeddings = sizes.width, f"{prefix}embeddings."
    arrays = {
        "words": tensors.take(f"{embeddings}word_embeddings.weight", sizes.terms, width),
        "positions": tensors.take(
            f"{embeddings}position_embeddings.weight", sizes.positions, width
        ),
        **_norm(tensors, "embedding_norm", f"{embeddings}LayerNorm", width),
    }
    if sizes.types:
        # All tokens are of the first type, so its vector may as well be the positions'.
        kinds = tensors.take(f"{embeddings}token_type_embeddings.weight", sizes.types, width)
        arrays["positions"] = arrays["positions"] + kinds[0]
    arrays["positions"] = arrays["positions"][sizes.first :]
    for number in range(sizes.layers):
        theirs = {part: prefix + name for part, name in family.tensors(number).items()}
        parts = [
            _linear(tensors, "", theirs[name], width, width) for name in ("query", "key", "value")
        ]
        layer = {
            f"query_key_value{kind}": np.concatenate([part[kind] for part in parts])
            for kind in parts[0]
        }
        layer |= _linear(tensors, "output", theirs["output"], width, width)
        layer |= _norm(tensors, "output_norm", theirs["output_norm"], width)
        layer |= _linear(tensors, "up", theirs["up"], sizes.inner, width)
        layer |= _linear(tensors, "down", theirs["down"], width, sizes.inner)
        layer |= _norm(tensors, "down_norm", theirs["down_norm"], width)
        arrays |= {f"layers.{number}.{name}": array for name, array in layer.items()}
    return arrays


def _transform(tensors: Tensors, family: _Family, sizes: _Sizes) -> dict[str, Array]:
    width = sizes.width
    return {
        **_linear(tensors, "transform", family.transform, width, width),
        **_norm(tensors, "transform_norm", family.transform_norm, width),
    }


def _terms(tensors: Tensors, family: _Family, sizes: _Sizes, words: Array | None) -> Linear:
    """The output layer: the embeddings of words, unless a checkpoint has one of its own."""
    name = f"{family.terms}.weight"
    # Both names of the bias are in use, and some files have it under both: the layer's own counts.
    biases = [f"{family.terms}.bias", family.bias]
    bias = next((name for name in biases if name in tensors), biases[-1])
    tensors.pass_over(biases)
    if words is None or name in tensors:
        words = tensors.take(name, sizes.terms, sizes.width)
    return words, tensors.take(bias, sizes.terms)


def _token_layers(tensors: Tensors, width: int) -> list[Linear]:
    """The network that gives a token its weight, layer by layer; none when it is elsewhere."""
    names = token_layers(tensors.names)
    if any(f"{name}.bias" not in tensors for name in names):
        return []
    if names == [EPIC_QUERIES]:
        tensors.pass_over(match[0] for match in tensors.matches(EPIC_DOCUMENTS))
    layers = []
    for name in names:
        columns = tensors.rows(f"{name}.weight")
        layer = _linear(tensors, "", name, columns, width)
        layers.append((layer[".weight"], layer[".bias"]))
        width = columns
    return layers if width == 1 else []


def _linear(tensors: Tensors, ours: str, theirs: str, columns: int, width: int) -> dict[str, Array]:
    return {
        f"{ours}.weight": tensors.take(f"{theirs}.weight", columns, width),
        f"{ours}.bias": tensors.take(f"{theirs}.bias", columns),
    }


def _norm(tensors: Tensors, ours: str, theirs: str, width: int) -> dict[str, Array]:
    return {
        f"{ours}.gamma": tensors.take(f"{theirs}.weight", width),
        f"{ours}.beta": tensors.take(f"{theirs}.bias", width),
    }

"""Methods of learned sparse retrieval as declarations.

A method is two `Side`s, one for queries and one for documents.  A side is head x activation x
pooling x term filter, the view of T. Nguyen et al., "A unified framework for learned sparse
retrieval" (ECIR 2023).  A new method is a new entry of `METHODS`; new code is only needed for
a part that is not here yet.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from lsr.errors import EncoderError

Head = Literal["mlm", "mlp", "binary", "table", "cls-mlm", "embeddings", "epic"]
# The kernels know the first three, by their numbers.
Activation = Literal["relu", "log1p", "double-log1p", "identity", "log1p-softplus"]
Pooling = Literal["max", "sum"]
Positions = Literal["all", "last", "echo"]
Precision = Literal["fp32", "bf16", "int8"]

_OF_NETWORKS: tuple[Activation, ...] = ("identity", "log1p-softplus")
_CHOICES: dict[str, tuple[str, ...]] = {
    "head": get_args(Head),
    "activation": get_args(Activation),
    "pooling": get_args(Pooling),
    "positions": get_args(Positions),
    "phrases": get_args(Pooling),
}
# Heads on the logits of a language model.
OF_LOGITS: tuple[Head, ...] = ("mlm", "cls-mlm", "epic")


@dataclass(frozen=True)
class Side:
    """The computation of the vectors of queries, or of documents.

    Attributes:
        head: where weights come from.  "mlm": the logits of a language model, masked or
            causal, of every position for every term of the vocabulary.  "cls-mlm": those of a
            masked one's first position, [CLS].  "embeddings": products of hidden states with the
            input embeddings of all terms but the special ones.  "mlp": one number a token, from a
            small network on its hidden state, for the token's own term.  "epic": activated "mlm"
            times log(1 + softplus(y)) of the position and sigmoid(y) of the text, y being linear
            in the hidden state of the position and of [CLS]; special positions do not count.
            "binary": 1 for each of the text's tokens.  "table": a stored weight for each of
            them.  The last two need no model when a text comes.
        activation: of a model's numbers: "relu" max(0, x), "log1p" log(1 + relu(x)),
            "double-log1p" log(1 + log(1 + relu(x))), and of "mlp" and "epic" also "identity" x
            and "log1p-softplus" log(1 + log(1 + exp x)), which is above 0 for every x.
        pooling: over the positions of the same term.
        positions: which are pooled, of "mlm".  "all"; "last": the last alone; "echo": the text is
            read twice, and those of its second copy are pooled: each has seen the whole text.
        phrases: of "mlm", the pooling of terms that are phrases, which stand in the tokenizer as
            ordinary added tokens; None pools them as all.
        literal_residual: add to the text's own terms what a network on the last hidden state
            says they lack (`lsr.encoders.models.residual`).
        own_terms: keep only terms of the text itself.
        ratio: drop weights of at most this part of the text's largest.
        top: keep so many of the largest weights; None keeps all.
        unit: then divide the weights by the length of their vector.

    What is not above 0 after pooling is no term of the vector: "identity" may give such numbers.
    Special tokens count as positions of "mlm", and never as terms of the text itself.
    """

    head: Head
    activation: Activation = "log1p"
    pooling: Pooling = "max"
    positions: Positions = "all"
    phrases: Pooling | None = None
    literal_residual: bool = False
    own_terms: bool = False
    ratio: float = 0.0
    top: int | None = None
    unit: bool = False

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices and not (field == "phrases" and value is None):
                raise EncoderError(f"{field} must be one of {', '.join(choices)}, not {value!r}")
        for field in ("own_terms", "literal_residual", "unit"):
            if not isinstance(getattr(self, field), bool):
                raise EncoderError(f"{field} must be true or false, not {getattr(self, field)!r}")
        if self.literal_residual and (self.head, self.positions) != ("mlm", "last"):
            raise EncoderError('literal_residual goes with the head "mlm" and positions "last"')
        if self.head != "mlm" and (self.positions != "all" or self.phrases is not None):
            raise EncoderError('positions and phrases are chosen for the head "mlm" alone')
        ratio: object = self.ratio
        if not isinstance(ratio, int | float) or not 0 <= ratio < 1 or math.isnan(ratio):
            raise EncoderError(f"a prune ratio must be at least 0 and below 1, not {ratio!r}")
        if self.top is not None and (type(self.top) is not int or self.top < 1):
            raise EncoderError(f"top must be a whole number of at least 1, not {self.top!r}")
        if self.activation in _OF_NETWORKS and self.head not in ("mlp", "epic"):
            raise EncoderError(f"the head {self.head} has no activation {self.activation}")

    @property
    def needs_model(self) -> bool:
        """Whether a model runs for each text."""
        return self.head not in ("binary", "table")

    @property
    def parts(self) -> tuple[object, ...]:
        """The parts of the model that are loaded; equal parts of a checkpoint are loaded once."""
        return self.head, self.positions, self.phrases is not None, self.literal_residual

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Side:
        """The side that `to_json` wrote; raises `EncoderError` when it is none."""
        if not isinstance(value, dict) or not {"head"} <= set(value) <= set(cls.__annotations__):
            raise EncoderError(f"{value!r} declares no side of an encoder")
        return cls(**value)


@dataclass(frozen=True)
class Method:
    """A published way to encode queries and documents; `catalogue.toml` has its paper.

    Attributes:
        pair: queries have a checkpoint of their own.
        expanded: the documents it was published for have predicted queries or terms appended.
    """

    query: Side
    document: Side
    pair: bool = False
    expanded: bool = False


_SPLADE = Side("mlm")
_SUM = Side("mlm", pooling="sum")
_IMPACT = Side("mlp", "relu")
_ECHO = Side("mlm", positions="echo")
_PHRASES = Side("mlm", phrases="sum")
_LAST = Side("mlm", positions="last", literal_residual=True)

METHODS = {
    "splade-max": Method(_SPLADE, _SPLADE),
    "splade-sum": Method(_SUM, _SUM),
    "splade-doc": Method(Side("binary"), _SPLADE),
    "splade-lexical": Method(Side("mlm", own_terms=True), _SPLADE),
    "efficient-splade": Method(_SPLADE, _SPLADE, pair=True),
    "inference-free": Method(Side("table"), _SPLADE),
    "inference-free-l0": Method(Side("table"), Side("mlm", "double-log1p")),
    "unicoil": Method(Side("mlp", "relu", "sum"), _IMPACT, expanded=True),
    "deepimpact": Method(Side("binary"), _IMPACT, expanded=True),
    "deepct": Method(Side("mlp", "identity", "sum"), Side("mlp", "identity")),
    "tilde": Method(Side("binary"), Side("cls-mlm")),
    "tildev2": Method(Side("binary"), _IMPACT, expanded=True),
    "sparta": Method(Side("binary"), Side("embeddings")),
    "epic": Method(Side("mlp", "log1p-softplus", "sum"), Side("epic", "log1p-softplus", top=1000)),
    "qmlp-dmlm": Method(Side("mlp", pooling="sum"), _SPLADE, pair=True),
    "bge-m3": Method(_IMPACT, _IMPACT),
    "echo-mistral-splade": Method(_ECHO, _ECHO),
    "prosper": Method(replace(_LAST, top=256, unit=True), replace(_LAST, top=512)),
    "casper": Method(_PHRASES, _PHRASES),
}

# Sides of the framework of T. Nguyen et al. by its own names, for queries and for documents.  "lex"
# is "mlm" without expansion, so that the parts of one trained model can be switched off one by one.
_PARTS = {
    "bin": (Side("binary"), Side("binary")),
    "mlp": (Side("mlp", pooling="sum"), Side("mlp")),
    "lex": (Side("mlm", own_terms=True), Side("mlm", own_terms=True)),
    "mlm": (_SPLADE, _SPLADE),
}
COMBINATIONS = {
    f"q{query}-d{document}": Method(_PARTS[query][0], _PARTS[document][1])
    for query in _PARTS
    for document in _PARTS
}


def find_method(name: str) -> Method | None:
    """The method of a name in `METHODS` or `COMBINATIONS`, "qlex-dmlm" for one, or None."""
    return METHODS.get(name) or COMBINATIONS.get(name)

"""Folders of sentence-transformers: a chain of modules from text to one vector, read and checked.

`modules.json` lists the modules in order.  A Transformer, then Pooling, then any of Dense and
Normalize is computed here (`lsr.encoders.dense.encoder`); other modules of that library, models and
settings are left to it, as long as nothing in the folder must be unpickled or executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lsr.encoders.base import Advance
from lsr.encoders.checkpoints.checkpoint import matching, read_json
from lsr.encoders.checkpoints.layouts import (
    check_model,
    check_tokenizer,
    inside,
    is_rounded,
    kind_of,
    optional,
)
from lsr.errors import EncoderError

Vectors = npt.NDArray[np.float32]
# Encodes texts, each after a prompt, and reports how many are done.
Encode = Callable[[str, Sequence[str], Advance | None], Vectors]
Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]

# Pooling in the folders of older releases: one flag each.
_FLAGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_OURS = ("Transformer", "Pooling", "Dense", "Normalize")
_THEIRS = ("StaticEmbedding", "LayerNorm", "Dropout", "WeightedLayerPooling")
_TOKENS = ("Transformer", "StaticEmbedding")  # those that read text
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
# What a Transformer may be told without its vectors being others than the kernels'.
_USUAL: Mapping[str, Any] = {
    "do_lower_case": False,
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
_SENTENCE = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
ABOUT = "config_sentence_transformers.json"
_NO_LIMIT = 10**9  # tokenizers without one say 10^30


@dataclass(frozen=True)
class Step:
    """A module after the pooling: a Dense layer with its folder, or Normalize."""

    kind: str
    folder: Path
    activation: str = ""


@dataclass(frozen=True)
class DenseLayout:
    """A chain of modules.

    Attributes:
        folder: of the whole.
        folders: of the modules, in order.
        modules: their kinds, in order.
        pooling: how the hidden states of a text become one, side by side if several.
        steps: what follows.
        query_prompt, document_prompt: what is put before a text.
        cosine: whether vectors are compared by their cosine, so that they must be of unit length.
        max_length: tokens of a text that are read; None where the folder does not say.
        plain: whether `lsr.encoders.dense.encoder` may compute it, if the model allows.
        rounded: whether the Transformer's weights are integers, and so are those of its products.
    """

    folder: Path
    folders: list[Path]
    modules: list[str]
    pooling: tuple[Pooling, ...]
    steps: list[Step]
    query_prompt: str
    document_prompt: str
    cosine: bool
    max_length: int | None
    plain: bool
    rounded: bool


def read_dense_layout(
    folder: Path, followed_by: str | None = None, about: Path | None = None
) -> DenseLayout:
    """The modules of a folder.

    Args:
        followed_by: the kind of a last module that takes dense vectors, and is not one of these.
        about: the file of its prompts and similarity; None takes the one beside modules.json.

    Raises `EncoderError` when it is not a dense model of sentence-transformers, or holds what is
    never loaded.
    """
    if not (folder / "modules.json").exists():
        raise EncoderError(
            f"{folder} is not a dense model: it has no modules.json; give a folder that "
            "sentence-transformers saved"
        )
    try:
        return _layout(folder, followed_by, about or folder / ABOUT)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EncoderError(
            f"{folder} has a modules.json or settings of modules that describe no model "
            f"({error}); get the published files again"
        ) from None


def _layout(folder: Path, followed_by: str | None, about_file: Path) -> DenseLayout:
    listed = [dict(module) for module in read_json(folder / "modules.json", list)]
    if followed_by is not None:
        if not listed or kind_of(listed[-1]["type"]) != followed_by:
            raise ValueError(f"its last module is not {followed_by}")
        del listed[-1]
    kinds = [kind_of(module["type"]) for module in listed]
    folders = [folder / inside(folder, str(module.get("path", ""))) for module in listed]
    for module, kind in zip(listed, kinds, strict=True):
        # A type of another package would be code that the folder brings.
        if not str(module["type"]).startswith("sentence_transformers.") or (
            kind not in _OURS + _THEIRS
        ):
            raise EncoderError(
                f"{folder} has the module {module['type']!r}, which is not supported; give a "
                f"dense model made of {', '.join(_OURS + _THEIRS)}"
            )
    if not kinds or kinds[0] not in _TOKENS:
        raise EncoderError(f"{folder} is not a dense model: its first module does not read text")
    for kind, path in zip(kinds, folders, strict=True):
        if kind == "Transformer":
            check_model(path, "")
            check_tokenizer(path)
        elif matching(path, ("*.bin", "*.pt")) and not matching(path, ("*.safetensors",)):
            raise EncoderError(
                f"{path} has no safetensors weights, and pickled ones (.bin, .pt) are never "
                "loaded; convert them: load the model where you trust it and save it again"
            )
    about = optional(about_file)
    similarity = about.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise EncoderError(
            f"{folder} compares vectors by {similarity!r}, which no inner product can; give a "
            "model of cosine or dot"
        )
    transformer = optional(folders[0] / "sentence_bert_config.json")
    poolings = [path for kind, path in zip(kinds, folders, strict=True) if kind == "Pooling"]
    pooling, plain = ((), False) if not poolings else _pooling(poolings[0])
    steps = [_step(kind, path) for kind, path in zip(kinds[2:], folders[2:], strict=True)]
    plain = (
        plain
        and kinds[:2] == ["Transformer", "Pooling"]
        and all(step is not None for step in steps)
        and all(_USUAL[key] == transformer[key] for key in _USUAL if key in transformer)
        and set(transformer) <= {*_USUAL, "max_seq_length"}
    )
    return DenseLayout(
        folder,
        folders,
        kinds,
        pooling,
        [step for step in steps if step is not None],
        *_prompts(about),
        # Where something follows, it is what that makes which is compared.
        similarity == "cosine" and kinds[-1] != "Normalize" and followed_by is None,
        _max_length(folders[0], transformer),
        plain,
        kinds[0] == "Transformer" and is_rounded(folders[0]),
    )


def _pooling(folder: Path) -> tuple[tuple[Pooling, ...], bool]:
    """The ways of pooling, and whether they are computed here."""
    config = read_json(folder / "config.json")
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    wrong = [mode for mode in modes if mode not in get_args(Pooling)]
    if wrong:
        raise ValueError(f"there is no pooling_mode {wrong[0]!r}")
    return tuple(modes), config.get("include_prompt", True) is True


def _step(kind: str, folder: Path) -> Step | None:
    """A module that is computed here, or None."""
    config = optional(folder / "config.json")
    if kind not in ("Dense", "Normalize") or any(
        config.get(key, value) != value for key, value in _SENTENCE.items()
    ):
        return None
    if kind == "Normalize":
        return Step(kind, folder)
    activation = kind_of(config.get("activation_function"))
    if activation not in ("Tanh", "Identity") or config.get("use_residual"):
        return None
    return Step(kind, folder, activation)


def _prompts(about: Mapping[str, Any]) -> tuple[str, str]:
    """The prompts before queries and before documents, as in sentence-transformers."""
    prompts = dict(about.get("prompts") or {})
    # That library writes "" for those that the folder does not have.
    query = prompts.get("query") or ""
    document = next((p for name in _DOCUMENT_PROMPTS if (p := prompts.get(name))), "")
    if not isinstance(query, str) or not isinstance(document, str):
        raise ValueError("a prompt is not text")
    return query, document


def _max_length(folder: Path, transformer: Mapping[str, Any]) -> int | None:
    length = transformer.get("max_seq_length")
    if length is None:
        length = optional(folder / "tokenizer_config.json").get("model_max_length")
    if length is None or length > _NO_LIMIT:
        return None
    return int(length)

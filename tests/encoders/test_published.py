"""Checkpoints as they are published: the kernels take what they know, and agree with torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lsr.encoders import load_encoder
from lsr.encoders.models.bert import BertModel, load_bert
from lsr.errors import EncoderError
from support.changed import (
    ABSENT,
    WEIGHTS,
    change_config,
    change_weights,
    rename_weights,
    split_weights,
)

from .conftest import IN_TORCH

MakeCheckpoint = Callable[..., Path]
Dense = npt.NDArray[np.float32]
Change = Callable[[Path], Any]
ROWS, WIDTH = 40, 16
FAMILIES = ["bert", "roberta", "xlm-roberta", "distilbert"]
TEXTS = ["red", "the reddish planet, saturns rings. " * 8, "", "mars is known", "venus " * 20, "a"]
NO_SPECIAL = np.empty(0, np.uint32)


def some(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def unprefixed(folder: Path) -> None:
    rename_weights(folder, lambda name: name.removeprefix("bert.").removeprefix("distilbert."))


def old_norms(folder: Path) -> None:
    change_weights(
        folder,
        lambda weights: weights.update(
            {name: some(WIDTH) for name in weights if "LayerNorm" in name}
        ),
    )
    rename_weights(
        folder,
        lambda name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"),
    )


def adding(**tensors: Any) -> Change:
    return lambda folder: change_weights(
        folder,
        lambda weights: weights.update({n.replace("__", "."): t for n, t in tensors.items()}),
    )


def own_decoder(folder: Path) -> None:
    adding(
        cls__predictions__decoder__weight=some(ROWS, WIDTH),
        cls__predictions__decoder__bias=some(ROWS),
    )(folder)
    change_config(folder, tie_word_embeddings=False)


def tied_decoder(folder: Path) -> None:
    def write(weights: dict[str, Any]) -> None:
        weights["cls.predictions.decoder.weight"] = weights[
            "bert.embeddings.word_embeddings.weight"
        ]
        weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"]

    change_weights(folder, write)


def in_half(folder: Path) -> None:
    change_weights(
        folder, lambda w: w.update({name: array.astype(np.float16) for name, array in w.items()})
    )
    change_config(folder, dtype="float16", torch_dtype="float16")


def in_bfloat16(folder: Path) -> None:
    import torch
    from safetensors import torch as tensors

    weights = {n: t.to(torch.bfloat16) for n, t in tensors.load_file(folder / WEIGHTS).items()}
    tensors.save_file(weights, folder / WEIGHTS, {"format": "pt"})


def renaming(old: str, new: str) -> Change:
    return lambda folder: rename_weights(folder, lambda name: new if name == old else name)


def config(**changes: Any) -> Change:
    return lambda folder: change_config(folder, **changes)


TAKEN: dict[str, tuple[str, str, Change]] = {
    "half precision": ("bert", "mlm", in_half),
    "old names of norms": ("bert", "mlm", old_norms),
    "decoder tied and written": ("bert", "mlm", tied_decoder),
    "decoder of its own": ("bert", "mlm", own_decoder),
    "decoder of its own, RoBERTa": (
        "roberta",
        "mlm",
        adding(lm_head__decoder__weight=some(40, 16)),
    ),
    "decoder of its own, DistilBERT": (
        "distilbert",
        "mlm",
        adding(vocab_projector__weight=some(40, 16)),
    ),
    "the layer's own bias counts": (
        "bert",
        "mlm",
        adding(cls__predictions__decoder__bias=some(ROWS)),
    ),
    "only the layer's bias": (
        "bert",
        "mlm",
        renaming("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ),
    "only the layer's bias, RoBERTa": (
        "roberta",
        "mlm",
        renaming("lm_head.bias", "lm_head.decoder.bias"),
    ),
    "several files": ("roberta", "mlm", split_weights),
    "several files, uniCOIL": ("bert", "unicoil", split_weights),
    "no prefix": ("bert", "mlm", unprefixed),
    "no prefix, uniCOIL": ("bert", "unicoil", unprefixed),
    "no prefix, DeepImpact": ("distilbert", "deepimpact", unprefixed),
    "epsilon": ("bert", "mlm", config(layer_norm_eps=0.1)),
    "no epsilon": ("bert", "mlm", config(layer_norm_eps=ABSENT)),
    "an epsilon that DistilBERT ignores": ("distilbert", "mlm", config(layer_norm_eps=0.1)),
    "no padding, RoBERTa": ("roberta", "mlm", config(pad_token_id=ABSENT)),
    "a head a dimension": ("bert", "mlm", config(num_attention_heads=WIDTH)),
    "a token head that is not asked for": (
        "bert",
        "mlm",
        adding(tok_proj__weight=some(1, WIDTH), tok_proj__bias=some(1)),
    ),
    "architectures that are no words": (
        "bert",
        "mlm",
        config(architectures=[1, "BertForMaskedLM"]),
    ),
} | {
    f"{family}, {head}": (family, head, lambda folder: None)
    for family in FAMILIES
    for head in ("mlm", "unicoil", "deepimpact")
}

LEFT: dict[str, tuple[str, str, Change]] = {
    "ModernBERT": ("modernbert", "mlm", lambda folder: None),
    "bfloat16": ("bert", "mlm", in_bfloat16),
    "another gelu": ("bert", "mlm", config(hidden_act="gelu_new")),
    "another gelu, DistilBERT": ("distilbert", "mlm", config(activation="relu")),
    "no activation named": ("bert", "mlm", config(hidden_act=ABSENT)),
    "relative positions": ("bert", "mlm", config(position_embedding_type="relative_key")),
    "a decoder": ("bert", "mlm", config(is_decoder=True)),
    "a token head without bias": (
        "bert",
        "unicoil",
        lambda folder: change_weights(folder, lambda weights: weights.pop("tok_proj.bias")),
    ),
    "BGE-M3": ("xlm-roberta", "bge-m3", lambda folder: None),
}


def dense(folder: Path, **settings: Any) -> Dense:
    vectors = load_encoder(str(folder), max_length=24, **settings).encode_documents(TEXTS)
    matrix = np.zeros((len(vectors), ROWS), np.float32)
    for row, vector in zip(matrix, vectors, strict=True):
        row[vector.terms] = vector.weights
    return matrix


@pytest.mark.parametrize("name", TAKEN)
def test_the_kernels_agree_with_torch(make_checkpoint: MakeCheckpoint, name: str) -> None:
    kind, head, change = TAKEN[name]
    folder = make_checkpoint(kind, head=head)
    change(folder)
    made = load_bert(folder, "mlm" if head == "mlm" else "mlp", "fp32", NO_SPECIAL)
    assert isinstance(made, BertModel)
    found = dense(folder)
    expected = dense(folder, **IN_TORCH)
    assert 0.02 < (expected > 0).mean() < 0.95
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("name", LEFT)
def test_others_are_left_to_torch(make_checkpoint: MakeCheckpoint, name: str) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    kind, head, change = LEFT[name]
    folder = make_checkpoint(kind, head=head)
    before = dense(folder)
    change(folder)
    assert load_bert(folder, "mlm" if head == "mlm" else "mlp", "fp32", NO_SPECIAL) is None
    found = dense(folder)
    if head != "mlm":
        assert found.shape == before.shape
        return
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).float().eval()
    for text, row in zip(TEXTS, found, strict=True):
        ids = tokenizer(text, truncation=True, max_length=24)["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0]
        expected = torch.log1p(torch.relu(logits)).amax(0).numpy() * bool(text)
        assert np.abs(expected - row).max() < 1e-4


def test_what_the_kernels_take_imports_no_torch(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    names = [(family, head) for family in FAMILIES for head in ("mlm", "unicoil", "deepimpact")]
    folders = [make_checkpoint(family, f"{family}-{head}", head) for family, head in names]
    program = f"""
import sys
import numpy as np
from lsr.encoders import load_encoder
for folder in {[str(folder) for folder in folders]!r}:
    vectors = load_encoder(folder, max_length=24).encode_documents({TEXTS!r})
    np.savez(folder + "/found.npz", vectors.indptr, vectors.terms, vectors.weights)
heavy = {{"torch", "transformers"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    for folder in folders:
        there = np.load(folder / "found.npz")
        here = load_encoder(str(folder), max_length=24).encode_documents(TEXTS)
        assert (there["arr_2"] == here.weights).all()


JUNK: list[tuple[str, str, Change, str]] = [
    ("roberta", "mlm", config(pad_token_id=None), "cannot be loaded"),
    ("roberta", "mlm", config(pad_token_id="x"), "cannot be loaded"),
    ("roberta", "mlm", config(pad_token_id=500), "cannot be loaded"),
    ("roberta", "mlm", config(pad_token_id=-1), "max_length 24 is not possible"),
    ("bert", "mlm", config(layer_norm_eps="x"), "cannot be loaded"),
    ("bert", "mlm", config(layer_norm_eps=None), "cannot be loaded"),
    ("bert", "mlm", config(layer_norm_eps=float("nan")), "is not supported"),
    ("bert", "mlm", config(num_attention_heads=3), "cannot be loaded"),
    ("bert", "mlm", config(num_attention_heads="2"), "cannot be loaded"),
    ("bert", "mlm", config(num_hidden_layers=3), r"lacks .*layer\.2.* and 13 more"),
    ("bert", "mlm", config(num_hidden_layers=1), r"left over .*layer\.1"),
    ("bert", "mlm", config(model_type="none"), "cannot be loaded"),
    ("bert", "mlm", config(model_type=["bert"]), "cannot be loaded"),
    ("bert", "mlm", config(tie_word_embeddings=False), r"lacks .*decoder\.weight"),
    ("bert", "mlm", lambda f: change_weights(f, dict.clear), "lacks .* more"),
    ("bert", "mlm", renaming("cls.predictions.bias", "pooler"), r"lacks cls\.predictions\.bias"),
    ("bert", "unicoil", renaming("tok_proj.weight", "pooler"), "network .* cannot be loaded"),
    ("bert", "unicoil", adding(tok_proj__weight=np.array(1, np.float32)), "no network"),
    ("bert", "unicoil", adding(tok_proj__weight=some(1, 17)), "other shapes|no network"),
    ("bert", "unicoil", adding(tok_proj__weight=some(2, 16), tok_proj__bias=some(2)), "no network"),
    ("bert", "unicoil", adding(tok_proj__weight=some(1, 16) * np.inf), "not finite|no network"),
    ("bert", "unicoil", adding(cls__predictions__bias=some(40)), r"left over cls"),
    ("bert", "deepimpact", adding(impact_score_encoder__2__weight=some(1, 9)), "shapes|no network"),
    (
        "bert",
        "mlm",
        lambda f: [
            split_weights(f),
            (f / f"{WEIGHTS}.index.json").write_text("{}"),
        ],
        "cannot be loaded",
    ),
]


@pytest.mark.parametrize("where", [{}, IN_TORCH], ids=["kernels", "torch"])
@pytest.mark.parametrize(("kind", "head", "change", "said"), JUNK)
def test_what_makes_no_model_is_one_sentence(
    make_checkpoint: MakeCheckpoint,
    where: dict[str, Any],
    kind: str,
    head: str,
    change: Change,
    said: str,
) -> None:
    folder = make_checkpoint(kind, head=head)
    change(folder)
    with pytest.raises(EncoderError, match=said) as raised:
        load_encoder(str(folder), max_length=24, **where)
    assert "\n" not in str(raised.value)

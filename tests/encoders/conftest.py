"""Tiny random checkpoints of every architecture that is supported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WORDS = [
    "the",
    "red",
    "planet",
    "mars",
    "venus",
    "is",
    "known",
    "as",
    "a",
    "with",
    "rings",
    "often",
    "called",
    "saturn",
    "##s",
    "##ish",
    ",",
    ".",
]
ROWS = 40  # of the models: more than the tokenizer has, as in padded vocabularies
WIDTH = 16
IN_TORCH: dict[str, Any] = {"device": "cpu:0"}  # a CPU by the name that torch alone has for it


def make_tokenizer(folder: Path, specials: list[str]) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = {token: number for number, token in enumerate([*specials, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, tokens[name]) for name in ("[CLS]", "[SEP]")],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    return tokens["[PAD]"]


def make_model(kind: str, folder: Path, pad: int, unknown: int) -> Any:
    import torch
    import transformers

    sizes: dict[str, Any] = {"vocab_size": ROWS, "pad_token_id": pad, "initializer_range": 0.4}
    layers = {
        **sizes,
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    }
    config: Any
    torch.manual_seed(7)
    if kind == "bert":
        model: Any = transformers.BertForMaskedLM(transformers.BertConfig(**layers))
    elif kind == "roberta":
        model = transformers.RobertaForMaskedLM(transformers.RobertaConfig(**layers))
    elif kind == "xlm-roberta":
        model = transformers.XLMRobertaForMaskedLM(transformers.XLMRobertaConfig(**layers))
    elif kind == "distilbert":
        config = transformers.DistilBertConfig(
            **sizes, dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64
        )
        model = transformers.DistilBertForMaskedLM(config)
    else:
        config = transformers.ModernBertConfig(
            **layers, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3
        )
        model = transformers.ModernBertForMaskedLM(config)
    bias = model.get_output_embeddings().bias
    torch.nn.init.normal_(bias)
    with torch.no_grad():
        bias[unknown] = -1000  # lsr drops this term, and the formulas that it is held to do not
    model.save_pretrained(folder)
    return model


def add_token_head(folder: Path, head: str) -> None:
    """Turn a masked-language-model folder into a published form of a per-token method."""
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(11)

    def linear(name: str, rows: int, width: int) -> dict[str, torch.Tensor]:
        return {
            f"{name}.weight": torch.randn(rows, width, generator=generator),
            f"{name}.bias": torch.full((rows,), 4.0),  # some weights above zero, some below
        }

    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    if head == "epic":  # beside the output layer of the language model, which it needs
        for name in ("query_salience", "doc_salience", "doc_quality"):
            weights |= linear(name, 1, WIDTH)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    kept = ("bert.", "roberta.", "distilbert.", "model.")
    body = {key: value for key, value in weights.items() if key.startswith(kept)}
    if head == "bge-m3":
        layer = linear("x", 1, WIDTH)
        torch.save({key[2:]: value for key, value in layer.items()}, folder / "sparse_linear.pt")
        architecture = config["architectures"][0].replace("ForMaskedLM", "Model")
    elif head == "sparta":
        architecture = config["architectures"][0].replace("ForMaskedLM", "Model")
    elif head == "deepct":
        body |= linear("classifier", 1, WIDTH)
        architecture = config["architectures"][0].replace("MaskedLM", "TokenClassification")
    elif head == "unicoil":
        body |= linear("tok_proj", 1, WIDTH)
        architecture = "UniCoilEncoder"
    elif head == "tildev2":
        body |= linear("tok_proj", 1, WIDTH)
        architecture = "TILDEv2"
    else:
        body |= linear("impact_score_encoder.0", WIDTH, WIDTH)
        body |= linear("impact_score_encoder.2", 1, WIDTH)
        architecture = "DeepImpact"
    config["architectures"] = [architecture]
    (folder / "config.json").write_text(json.dumps(config))
    save_file(body, folder / "model.safetensors", {"format": "pt"})


def by_kernels(encoder: Any) -> bool:
    """Whether no module of torch runs when a text is encoded."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    ran: list[Any] = []
    hook = register_module_forward_pre_hook(lambda module, given: ran.append(module))
    try:
        encoder.encode_queries(["red"])
    finally:
        hook.remove()
    return not ran


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """make_checkpoint(kind="bert", name="tiny", head="mlm") -> a random model and its tokenizer."""

    def make(kind: str = "bert", name: str = "tiny", head: str = "mlm") -> Path:
        folder = tmp_path / name
        specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        if "roberta" in kind:  # its positions are counted from the padding id, 1 as in the wild
            specials[:2] = ["[UNK]", "[PAD]"]
        make_model(kind, folder, make_tokenizer(folder, specials), specials.index("[UNK]"))
        if head != "mlm":
            add_token_head(folder, head)
        return folder

    return make


@pytest.fixture
def before_each_batch() -> Iterator[Callable[[Callable[[Any, Any], None]], None]]:
    """before_each_batch(act) lets torch call act(embeddings, ids) before it embeds the token ids of
    a batch, (texts, positions)."""
    import torch

    hooks = []

    def start(act: Callable[[Any, Any], None]) -> None:
        def hook(module: Any, given: Any) -> None:
            if isinstance(module, torch.nn.Embedding) and module.num_embeddings == ROWS:
                act(module, *given)

        hooks.append(torch.nn.modules.module.register_module_forward_pre_hook(hook))

    yield start
    for hook in hooks:
        hook.remove()


@pytest.fixture
def pooled_by_torch(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Models loaded after pooled_by_torch() pool their logits as on a GPU, which tests have not."""
    return lambda: monkeypatch.setattr("lsr.encoders.models.torch_model.head_of", lambda *_: None)


@pytest.fixture(autouse=True)
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty hub cache, whatever the machine has."""
    cache = tmp_path / "hub"
    # The library reads its variable once, when it is imported.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return cache

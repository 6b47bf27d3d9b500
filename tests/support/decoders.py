"""Tiny random decoders, in the form in which people publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROWS = 320  # of the models: more than the tokenizer has, as in padded vocabularies
WIDTH = 16
BOS = "<s>"
TRAINED_ON = [
    "the red planet mars is often called the red planet",
    "saturn with rings, venus known as a reddish planet",
    "le thé rouge à mars, the tea is red",
] * 4


def make_tokenizer(folder: Path, frame: str) -> None:
    """A byte-level BPE, as Llama 3's and Qwen's; `frame` is a template such as "<s> $A"."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=310,
        special_tokens=[BOS, "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINED_ON, trainer)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=frame,
                special_tokens=[(name, tokenizer.token_to_id(name)) for name in (BOS, "</s>")],
            ),
        ]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token="</s>"
    ).save_pretrained(folder)


def make_decoder(
    folder: Path, kind: str = "mistral", tied: bool = False, frame: str = "<s> $A"
) -> Path:
    """A random decoder of 64 positions with its tokenizer."""
    import torch
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": ROWS,
        "hidden_size": WIDTH,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.4,
        "tie_word_embeddings": tied,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    if kind == "mistral":
        config: Any = transformers.MistralConfig(**sizes, sliding_window=None)
        made: Any = transformers.MistralForCausalLM
    elif kind == "llama":
        config, made = transformers.LlamaConfig(**sizes), transformers.LlamaForCausalLM
    else:
        config, made = transformers.Qwen2Config(**sizes), transformers.Qwen2ForCausalLM
    torch.manual_seed(5)
    made(config).save_pretrained(folder)
    make_tokenizer(folder, frame)
    return folder


def add_residual(folder: Path, bias: bool = True, rows: int = ROWS, width: int = WIDTH) -> None:
    """A random literal residual network beside a model."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(9)
    tensors = {"weight": torch.randn(rows, width, generator=generator) / 4}
    if bias:
        tensors["bias"] = torch.randn(rows, generator=generator) / 4
    save_file(tensors, folder / "literal_residual.safetensors")


def make_adapter(folder: Path, base: Path, **changes: Any) -> dict[str, Any]:
    """A random LoRA adapter of PEFT's form for a decoder; returns its tensors."""
    import shutil

    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(13)

    def pair(module: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
        name = f"base_model.model.{module}"
        return {
            f"{name}.lora_A.weight": torch.randn(3, columns, generator=generator) / 4,
            f"{name}.lora_B.weight": torch.randn(rows, 3, generator=generator) / 4,
        }

    tensors = {
        **pair("model.layers.0.self_attn.q_proj", WIDTH, WIDTH),
        **pair("model.layers.1.mlp.down_proj", WIDTH, 24),
        **pair("lm_head", ROWS, WIDTH),
        "base_model.model.model.embed_tokens.lora_embedding_A": torch.randn(
            3, ROWS, generator=generator
        )
        / 4,
        "base_model.model.model.embed_tokens.lora_embedding_B": torch.randn(
            WIDTH, 3, generator=generator
        )
        / 4,
        "base_model.model.model.norm.weight": torch.rand(WIDTH, generator=generator) + 0.5,
    }
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base),
        "r": 3,
        "lora_alpha": 6,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_dora": False,
        "init_lora_weights": True,
        "modules_to_save": ["norm"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, folder / name)
    return tensors

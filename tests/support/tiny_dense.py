"""A random dense model of 8 dimensions, written as sentence-transformers does, without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WIDTH, INNER, POSITIONS = 8, 16, 40


def write_tiny_dense(folder: Path, seed: int = 0, **settings: object) -> Path:
    """Write the folder; `settings` go to config_sentence_transformers.json."""
    random = np.random.default_rng(seed)
    letters = [chr(letter) for letter in range(33, 127)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{a}" for a in letters)]
    vocabulary = {word: number for number, word in enumerate(words)}

    def array(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": array(len(words), WIDTH),
        "embeddings.position_embeddings.weight": array(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": array(2, WIDTH),
    }
    layer = "encoder.layer.0"
    for name, shape in {
        f"{layer}.attention.self.query": (WIDTH, WIDTH),
        f"{layer}.attention.self.key": (WIDTH, WIDTH),
        f"{layer}.attention.self.value": (WIDTH, WIDTH),
        f"{layer}.attention.output.dense": (WIDTH, WIDTH),
        f"{layer}.intermediate.dense": (INNER, WIDTH),
        f"{layer}.output.dense": (WIDTH, INNER),
    }.items():
        tensors |= {f"{name}.weight": array(*shape), f"{name}.bias": array(shape[0])}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        tensors |= {
            f"{name}.LayerNorm.weight": array(WIDTH),
            f"{name}.LayerNorm.bias": array(WIDTH),
        }
    files = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": len(words),
            "max_position_embeddings": POSITIONS,
            "type_vocab_size": 2,
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "hidden_act": "gelu",
        },
        "modules.json": [
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": 32, "do_lower_case": False},
        "config_sentence_transformers.json": settings,
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "decoder": None,
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocabulary,
            },
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder

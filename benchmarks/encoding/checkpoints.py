"""The models that encoding is measured with, and the work a text costs each of them.

Encoders in use have six layers and more and are far larger than the built-in one.  No such weights
ship with lsr, but their values hardly change the speed: random ones in published shapes stand in.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr import LsrError
from lsr.data.builtin import MODELS, model_path

LENGTH = 256  # tokens read of a text, special ones included

# Standard deviation of the logits of splade-tiny, and the terms it gives a passage.
_SPREAD = 2.6
_TERMS = 120
_SAMPLE = 32  # texts that a random checkpoint is adjusted on

RANDOM = ("distilbert", "minilm")


def provide(name: str, texts: Sequence[str], scratch: Path) -> Path:
    """The folder of a built-in model, of a random checkpoint written to `scratch`, or `name`.

    Raises `LsrError` if there is no such model.
    """
    if name in MODELS:
        folder = model_path(name)
        assert folder is not None
        return folder
    if name in RANDOM:
        return _write(name, texts[:_SAMPLE], scratch / name)
    if not (Path(name) / "tokenizer.json").exists():
        known = ", ".join((*MODELS, *RANDOM))
        raise LsrError(f"{name} has no tokenizer.json; give a model folder or one of {known}")
    return Path(name)


def lengths(folder: Path, texts: Sequence[str], longest: int = LENGTH) -> npt.NDArray[np.int64]:
    """Number of tokens of each text, cut at `longest`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return np.array([len(e.ids) for e in tokenizer.encode_batch(list(texts))], np.int64)


def _write(name: str, texts: Sequence[str], folder: Path) -> Path:
    """Write a random checkpoint with the spread of logits and the terms a text of splade-tiny."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(7)
    model: Any
    if name == "distilbert":  # as splade-v3-distilbert: 6 layers of 768, 66 million weights
        model = transformers.DistilBertForMaskedLM(transformers.DistilBertConfig())
        norm = model.vocab_layer_norm
    else:  # as MiniLM-L6: 6 layers of 384, 23 million
        model = transformers.BertForMaskedLM(
            transformers.BertConfig(
                hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
            )
        )
        norm = model.cls.predictions.transform.LayerNorm
    model.eval()
    source = model_path(MODELS[0])
    assert source is not None
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=True)
    spreads, best = [], []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
            logits = model(input_ids=ids).logits[0]
            spreads.append(logits.std().item())
            best.append(logits.amax(0))
        # Biases of the head are 0 so far: scaling the norm before it scales the logits.
        scale = _SPREAD / float(np.mean(spreads))
        norm.weight *= scale
        # The largest logits exceed the threshold `_TERMS` times a text, on average.
        largest = (torch.stack(best) * scale).flatten()
        threshold = largest.kthvalue(largest.numel() - _TERMS * len(texts)).values
        model.get_output_embeddings().bias.fill_(-threshold.item())
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / file, folder)
    return folder

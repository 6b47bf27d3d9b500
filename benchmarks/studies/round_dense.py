"""Round a float BERT of sentence-transformers as data/models/minilm was rounded."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from benchmarks.commands import FOLDER, argument, command, option, progress
from lsr.encoders.checkpoints.stored import PACKED_BITS, packed, with_scale
from lsr.encoders.checkpoints.weights import UNUSED
from lsr.encoders.dense.encoder import load_dense

MOST = 64  # of the integers of layers: kMostWeight in encoders/kernels/loops.h
GROUP = 32  # columns of embeddings with one scale
_DAMPING = 0.01  # of the mean of a Hessian's diagonal, as in GPTQ
_BATCH = 16
_WORDS = "embeddings.word_embeddings.weight"
_COPIED = ("modules.json", "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json")
_POOLING = "1_Pooling/config.json"
_QUANTIZATION = {
    "quant_method": "compressed-tensors",
    "format": "mixed-precision",
    "quantization_status": "compressed",
    "config_groups": {
        "layers": {
            "targets": ["Linear"],
            "format": "int-quantized",
            "weights": {"type": "int", "num_bits": 8, "symmetric": True, "strategy": "channel"},
            "input_activations": {
                "type": "int",
                "num_bits": 7,
                "symmetric": False,
                "dynamic": True,
                "strategy": "token",
            },
        },
        "words": {
            "targets": ["re:.*word_embeddings"],
            "format": "pack-quantized",
            "weights": {
                "type": "int",
                "num_bits": PACKED_BITS,
                "symmetric": True,
                "strategy": "group",
                "group_size": GROUP,
            },
        },
    },
}

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Options:
    model: Path = argument(type=FOLDER)
    pairs: Path = argument()
    output: Path = argument(type=FOLDER)
    sources: tuple[str, ...] = option(
        "Sources of the texts.", ("products", "medquad", "nq", "scitldr", "arxiv", "pubmedqa")
    )
    count: int = option("Number of texts of each source.", 200)
    check: int = option("Number of texts of each source for the cosine.", 50)


@command(Options)
def main(options: Options) -> None:
    """Write the rounded model to OUTPUT, and print the mean cosine of its vectors to the floats'.

    MODEL is a folder of all-MiniLM-L6-v2, PAIRS a gzipped file of JSON lines with the fields
    "positive" and "source".  The weights of a layer become integers within 64, by a scale a row: E.
    Frantar et al., "GPTQ: Accurate post-training quantization for generative pre-trained
    transformers" (ICLR 2023), with the inputs that the texts give the float model.  Embeddings of
    words take 4 bits; other tensors keep their floats.

    \b
    python -m benchmarks.studies.round_dense all-MiniLM-L6-v2 pairs.jsonl.gz minilm
    """
    fitted, held = _texts(options)
    progress.print("Hessians of the layers' inputs")
    hessians = _hessians(options.model, fitted)
    tensors: dict[str, Any] = {}
    with safe_open(options.model / "model.safetensors", "np") as file:
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            if name == _WORDS:
                tensors |= with_scale(name, *_rounded_groups(file.get_tensor(name)))
            elif name.removesuffix(".weight") in hessians:
                progress.print(name)
                hessian = hessians[name.removesuffix(".weight")]
                tensors |= with_scale(name, *rounded_rows(file.get_tensor(name), hessian))
            elif "embeddings" in name and file.get_tensor(name).ndim == 2:
                tensors[name] = file.get_tensor(name).astype(np.float16)
            elif not UNUSED.search(name):
                tensors[name] = file.get_tensor(name).astype(np.float32)
    options.output.mkdir(parents=True, exist_ok=True)
    # safetensors writes the memory of an array, whatever its strides.
    tensors = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    save_file(tensors, options.output / "model.safetensors", {"format": "pt"})
    for name in _COPIED:
        shutil.copyfile(options.model / name, options.output / name)
    (options.output / _POOLING).parent.mkdir(exist_ok=True)
    shutil.copyfile(options.model / _POOLING, options.output / _POOLING)
    config = json.loads((options.model / "config.json").read_text("utf-8"))
    config["quantization_config"] = _QUANTIZATION
    (options.output / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    ours, theirs = (
        load_dense(str(folder), device="cpu").encode_documents(held)
        for folder in (options.output, options.model)
    )
    cosines = np.einsum("td,td->t", ours, theirs)
    click.echo(f"cosine of {len(held):,} texts: mean {cosines.mean():.4f}, min {cosines.min():.4f}")


def _texts(options: Options) -> tuple[list[str], list[str]]:
    """The texts to fit to, and others."""
    fitted: list[str] = []
    held: list[str] = []
    taken = dict.fromkeys(options.sources, 0)
    with gzip.open(options.pairs, "rt", encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            source = pair["source"]
            if source not in taken or taken[source] == options.count + options.check:
                continue
            taken[source] += 1
            (fitted if taken[source] <= options.count else held).append(pair["positive"])
    return fitted, held


def _hessians(folder: Path, texts: list[str]) -> dict[str, npt.NDArray[np.float64]]:
    """The sum of x x' over the inputs x of each linear layer of the float model, by its name."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    hessians: dict[str, npt.NDArray[np.float64]] = {}
    mask = torch.empty(0)

    def add(name: str, inputs: torch.Tensor) -> None:
        rows = inputs[mask.bool()].double().numpy()
        hessians[name] = hessians.get(name, 0) + rows.T @ rows

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and not UNUSED.search(name):
            layer.register_forward_pre_hook(lambda _, inputs, name=name: add(name, inputs[0]))
    for batch in _batches(sorted(texts, key=len)):
        encoded = tokenizer(
            batch, padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        mask = encoded["attention_mask"]
        with torch.no_grad():
            model(**encoded)
    return hessians


def _batches(texts: list[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def rounded_rows(weight: Floats, hessian: npt.NDArray[np.float64]) -> tuple[Integers, Floats]:
    """A layer's weights (columns, width) as integers within `MOST`, and the scale of each row.

    The largest integer of a row is `MOST`, so that the kernels pack them as they are.
    """
    largest = np.abs(weight).max(1, keepdims=True).astype(np.float64)
    scales = np.where(largest > 0, largest, 1) / MOST
    integers = np.zeros(weight.shape, np.int8)
    rows = np.arange(len(weight))
    while rows.size:
        integers[rows] = _gptq(weight[rows], scales[rows], hessian)
        most = np.abs(integers[rows]).max(1)
        # Where rounding errors of other columns made the largest smaller, steps may be finer.
        scales[rows] *= np.where(most > 0, most, MOST)[:, None] / MOST
        rows = rows[(most < MOST) & (most > 0)]  # a row of zeros stays one
    return integers, scales.astype(np.float32)


def _gptq(
    weight: Floats, scales: npt.NDArray[np.float64], hessian: npt.NDArray[np.float64]
) -> Integers:
    """Columns are rounded one by one; those that follow make up for the error."""
    order = np.argsort(-hessian.diagonal(), kind="stable")
    damped = hessian[np.ix_(order, order)]
    damped[np.diag_indices_from(damped)] += _DAMPING * hessian.diagonal().mean()
    inverse = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weight[:, order].astype(np.float64)
    integers = np.zeros(weight.shape, np.int8)
    for column, into in enumerate(order):
        rounded = np.clip(np.round(left[:, column] / scales[:, 0]), -MOST, MOST)
        integers[:, into] = rounded
        error = (left[:, column] - rounded * scales[:, 0]) / inverse[column, column]
        left[:, column + 1 :] -= np.outer(error, inverse[column, column + 1 :])
    return integers


def _rounded_groups(weight: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
    """Embeddings in 4 bits, packed, and the scale of each group: of those tried, the best."""
    groups = weight.reshape(-1, GROUP)
    most = 2 ** (PACKED_BITS - 1)
    largest = np.abs(groups).max(1, keepdims=True) / (most - 0.5)
    best = np.full(len(groups), np.inf)
    integers = np.zeros(groups.shape, np.int8)
    scales = np.ones((len(groups), 1), np.float16)
    for factor in np.linspace(0.7, 1.1, 17):
        tried = np.maximum(largest * factor, 1e-6).astype(np.float16)
        rounded = np.clip(np.round(groups / tried.astype(np.float32)), -most, most - 1)
        error = ((rounded * tried.astype(np.float32) - groups) ** 2).sum(1)
        better = error < best
        best[better] = error[better]
        integers[better], scales[better] = rounded[better], tried[better]
    whole = integers.reshape(weight.shape)
    return packed(whole), scales.reshape(len(weight), -1)


if __name__ == "__main__":
    main()

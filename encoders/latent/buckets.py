"""Buckets of winners: the latent terms of UHD.

A bucket is a linear layer from the hidden states after one layer of a transformer to very many
dimensions, the maximum over the text's positions, and of that the `winners` largest dimensions:

    z = max over positions i of (W h_i + b)        the bucket's terms = the winners largest of z

Of equal values the first dimension wins, so a text has exactly as many winners as are declared.
Terms are binary: each has the weight 1, and a score is the number of terms that two texts share.

K.-R. Jang et al., "Ultra-high dimensional sparse representations with binarization for efficient
text retrieval" (EMNLP 2021).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lsr import kernels
from lsr.encoders.checkpoints.checkpoint import read_json
from lsr.encoders.checkpoints.stored import Array
from lsr.encoders.checkpoints.weights import Tensors
from lsr.encoders.rows import Ids, Row
from lsr.errors import EncoderError

BUCKETS = "buckets.safetensors"
DECLARATION = "lsr.json"
METHOD = "uhd"

_NAME = re.compile(r"layer\.([1-9]\d{0,3})\.(weight|bias)")
_MOST_TERMS = 2**32  # that have ids


@dataclass(frozen=True)
class Bucket:
    """One linear layer.

    Attributes:
        layer: of the transformer, counted from 1, whose states it reads.
        weight: float32, shape (dimensions, width).
        bias: float32, shape (dimensions,).
    """

    layer: int
    weight: Array
    bias: Array


class BucketVocabulary:
    """The latent terms of buckets one after another; term d of a bucket is called "LAYER:d"."""

    def __init__(self, layers: Sequence[int], dimensions: Sequence[int]) -> None:
        self._layers, self._dimensions = list(layers), list(dimensions)
        self._starts = list(itertools.accumulate(dimensions, initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, term: int, /) -> str:
        for layer, start, count in zip(self._layers, self._starts, self._dimensions, strict=False):
            if start <= term < start + count:
                return f"{layer}:{term - start}"
        raise IndexError(f"there is no term {term}")

    def find(self, word: str) -> int | None:
        """The id of "LAYER:DIMENSION", or None."""
        layer, _, dimension = word.partition(":")
        for bucket, start, count in zip(self._layers, self._starts, self._dimensions, strict=False):
            if layer == str(bucket) and dimension.isdecimal() and int(dimension) < count:
                term = start + int(dimension)
                return term if self[term] == word else None
        return None


def has_buckets(folder: Path) -> bool:
    """Whether a folder is a checkpoint of UHD."""
    return (folder / BUCKETS).is_file()


def read_winners(folder: Path) -> int:
    """The number of winners of a bucket that a folder declares: {"method": "uhd", "winners": 64}.

    Raises `EncoderError` when it declares something else.
    """
    declared = read_json(folder / DECLARATION)
    winners = declared.get("winners")
    if declared.get("method") != METHOD or type(winners) is not int or winners < 1:
        raise EncoderError(
            f'{folder / DECLARATION} must declare the method "{METHOD}" and a number of winners of '
            "at least 1"
        )
    return winners


def read_sizes(folder: Path) -> dict[int, int]:
    """The layers of the buckets of a folder, ascending, with their dimensions.

    Raises `EncoderError` when the file holds something else.
    """
    with Tensors(folder, METHOD, BUCKETS) as tensors:
        return _sizes(folder, tensors)


def read_buckets(folder: Path, width: int, layers: int) -> list[Bucket]:
    """The buckets of a folder by their layers.

    Args:
        width, layers: of the transformer.

    Raises `EncoderError` when the file holds something else, is damaged, or is for another model.
    """
    with Tensors(folder, METHOD, BUCKETS) as tensors:
        sizes = _sizes(folder, tensors)
        if not tensors.plain:
            raise EncoderError(
                f"{folder / BUCKETS} has numbers of other types than float32 and float16; "
                "convert them"
            )
        if max(sizes) > layers:
            raise EncoderError(
                f"{folder / BUCKETS} has a bucket for layer {max(sizes)} and the model has "
                f"{layers} layers; give the buckets that belong to it"
            )
        buckets = [
            Bucket(
                layer,
                np.ascontiguousarray(tensors.take(f"layer.{layer}.weight", size, width)),
                tensors.take(f"layer.{layer}.bias", size),
            )
            for layer, size in sizes.items()
        ]
        tensors.check()
    return buckets


def winners_of(values: npt.NDArray[np.float32], winners: int) -> Ids:
    """The indices of the largest values, ascending; of equal ones the first win."""
    least = np.partition(values, values.size - winners)[values.size - winners]
    above = np.flatnonzero(values > least)
    equal = np.flatnonzero(values == least)[: winners - above.size]
    return np.sort(np.concatenate([above, equal])).astype(np.uint32)


def bucket_rows(
    buckets: Sequence[Bucket], winners: int, states: Array, lengths: Sequence[int]
) -> list[Row] | None:
    """The winners of several texts; None when numbers are not finite.

    Args:
        states: float32, (buckets, positions of all texts, width), after each bucket's layer.
        lengths: positions of each text; one without any has no winners.
    """
    isa = kernels.instruction_set("encoders")
    rows = []
    ends = np.cumsum(lengths).tolist()
    for length, end in zip(lengths, ends, strict=True):
        winning, first = [], 0
        for bucket, hidden in zip(buckets, states[:, end - length : end], strict=True):
            if length:
                # The bias is the same at every position, so it can wait until the maximum is taken.
                values = kernels.encoders.largest_products(isa, bucket.weight, hidden) + bucket.bias
                if not (np.isfinite(hidden).all() and np.isfinite(values).all()):
                    return None
                winning.append(winners_of(values, winners) + np.uint32(first))
            first += len(bucket.weight)
        terms = np.concatenate([np.empty(0, np.uint32), *winning])
        rows.append((terms, np.ones(terms.size, np.float32)))
    return rows


def _sizes(folder: Path, tensors: Tensors) -> dict[int, int]:
    matches = tensors.matches(_NAME)
    layers = sorted({int(match[1]) for match in matches})
    if not layers or len(matches) < len(tensors):
        raise EncoderError(
            f"{folder / BUCKETS} must hold tensors layer.N.weight and layer.N.bias, N being a "
            "layer of the transformer, and no others"
        )
    sizes = {layer: tensors.rows(f"layer.{layer}.weight") for layer in layers}
    if sum(sizes.values()) > _MOST_TERMS:
        raise EncoderError(f"{folder / BUCKETS} has more than {_MOST_TERMS:,} dimensions")
    return sizes

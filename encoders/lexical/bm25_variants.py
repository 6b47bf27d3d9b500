"""The BM25 variants and their constants.

Formulas: C. Kamphuis et al., "Which BM25 do you mean? A large-scale reproducibility study of
scoring variants" (ECIR 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.encoders.text.languages import ENGLISH, find_language
from lsr.errors import EncoderError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """One BM25.

    Attributes:
        idf: (document frequencies, documents) -> idf.
        tf: (counts, norm, k1, delta) -> tf part above that of a count of zero, with
            norm = 1 - b + b x length / average length.
        floor: (k1, delta) -> tf part of a count of zero, by default 0.
        delta: its default, or None for a variant without delta.
    """

    idf: Callable[[Floats, int], Floats]
    tf: Callable[[Floats, Floats, float, float], Floats]
    floor: Callable[[float, float], float] = lambda k1, delta: 0.0
    delta: float | None = None


def _bm25l_floor(k1: float, delta: float) -> float:
    return (k1 + 1) * delta / (k1 + delta) if delta else 0.0


def _bm25l_tf(count: Floats, norm: Floats, k1: float, delta: float) -> Floats:
    shifted = count / norm + delta
    return (k1 + 1) * shifted / (k1 + shifted) - _bm25l_floor(k1, delta)


# The defaults of delta are those of Y. Lv and C. Zhai, "When documents are very long, BM25
# fails!" (SIGIR 2011) and "Lower-bounding term frequency normalization" (CIKM 2011).
VARIANTS = {
    "robertson": Variant(
        idf=lambda df, n: np.log(np.maximum((n - df + 0.5) / (df + 0.5), 1)),
        tf=lambda count, norm, k1, _: count / (count + k1 * norm),
    ),
    "lucene": Variant(
        idf=lambda df, n: np.log1p((n - df + 0.5) / (df + 0.5)),
        tf=lambda count, norm, k1, _: count / (count + k1 * norm),
    ),
    "atire": Variant(
        idf=lambda df, n: np.log(n / df),
        tf=lambda count, norm, k1, _: (k1 + 1) * count / (count + k1 * norm),
    ),
    "bm25l": Variant(
        idf=lambda df, n: np.log((n + 1) / (df + 0.5)),
        tf=_bm25l_tf,
        floor=_bm25l_floor,
        delta=0.5,
    ),
    "bm25+": Variant(
        idf=lambda df, n: np.log((n + 1) / df),
        tf=lambda count, norm, k1, _: (k1 + 1) * count / (count + k1 * norm),
        floor=lambda k1, delta: delta,
        delta=1.0,
    ),
}


@dataclass(frozen=True)
class Parameters:
    """A variant, its constants, and the language of its words.

    Raises `EncoderError` when there is no such variant or language, or a constant is out of range.
    """

    variant: str = "lucene"
    k1: float = 0.9
    b: float = 0.4
    delta: float | None = None
    language: str = ENGLISH

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise EncoderError(
                f"there is no BM25 variant {self.variant!r}; give one of {', '.join(VARIANTS)}"
            )
        object.__setattr__(self, "language", find_language(self.language))
        default = VARIANTS[self.variant].delta
        if default is None and self.delta is not None:
            raise EncoderError(f"BM25 {self.variant} has no delta; leave it out")
        if default is not None and self.delta is None:
            object.__setattr__(self, "delta", default)
        for name, value, most in (
            ("k1", self.k1, math.inf),
            ("b", self.b, 1.0),
            ("delta", self.delta or 0.0, math.inf),
        ):
            if not (math.isfinite(value) and 0 <= value <= most):
                limit = "from 0 to 1" if most == 1 else "0 or more"
                raise EncoderError(f"BM25's {name} must be {limit}, not {value}")

    @property
    def name(self) -> str:
        """The name that loads these parameters, without the defaults."""
        default = Parameters(self.variant)
        parts = [self.variant] + [
            f"{key}={getattr(self, key)}"
            for key in ("language", "k1", "b", "delta")
            if getattr(self, key) != getattr(default, key)
        ]
        return "bm25" if parts == ["lucene"] else "bm25:" + ",".join(parts)


def parse(name: str) -> Parameters:
    """The parameters of `bm25` or `bm25:[VARIANT][,language=…][,k1=…][,b=…][,delta=…]`."""
    head, colon, rest = name.partition(":")
    first, *options = rest.split(",") if colon else ["lucene"]
    variant = first
    if "=" in first:
        variant, options = "lucene", [first, *options]
    values: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        try:
            if head != "bm25" or key not in ("language", "k1", "b", "delta") or key in values:
                raise ValueError
            values[key] = value if key == "language" else float(value)
        except ValueError:
            raise EncoderError(
                f"{option!r} in the encoder {name!r} is not a BM25 parameter; give "
                "bm25:VARIANT[,language=NAME][,k1=NUMBER][,b=NUMBER][,delta=NUMBER]"
            ) from None
    return Parameters(variant, **values)

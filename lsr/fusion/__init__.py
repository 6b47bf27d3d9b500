"""Fusion of several retrievers' lists for a query into one.

The names here are the choices of the API and the command line; they do not import NumPy.
"""

from typing import Literal, get_args

Method = Literal["minmax", "rrf", "zscore", "tmm", "none"]
Missing = Literal["zero", "lowest"]
METHODS: tuple[Method, ...] = get_args(Method)
MISSING: tuple[Missing, ...] = get_args(Missing)
DEFAULT_FUSION: Method = "minmax"
LEARNED = "learned"  # the fusion trained by `lsr tune`

"""Fusion: several retrievers' lists for one query become one.

The names here are the choices of the API and the command line, known without NumPy.
"""

from typing import Literal, get_args

Method = Literal["minmax", "rrf", "zscore", "tmm", "none"]
Missing = Literal["zero", "lowest"]
METHODS: tuple[Method, ...] = get_args(Method)
MISSING: tuple[Missing, ...] = get_args(Missing)
DEFAULT_FUSION: Method = "minmax"
LEARNED = "learned"  # the fusion that `lsr tune` trains, beside the methods

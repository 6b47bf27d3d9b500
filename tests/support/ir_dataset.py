"""Datasets that the package ir_datasets knows for the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def registered(datasets: dict[str, Any]) -> Iterator[None]:
    """Register datasets, as the arguments of `ir_datasets.Dataset`, by name."""
    import ir_datasets

    for name, parts in datasets.items():
        ir_datasets.registry.register(name, ir_datasets.Dataset(*parts))
    try:
        yield
    finally:
        for name in datasets:  # for which the package has no function
            del ir_datasets.registry._registered[name]

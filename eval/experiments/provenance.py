"""The provenance of figures: all that decides them, and the machine that made them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lsr import kernels
from lsr.data.datasets import entry_of
from lsr.eval.dataset import Dataset
from lsr.machine import processors
from lsr.retrieval.index import Index

_PACKAGES = ("lsr-engine", "numpy", "pyarrow", "torch", "transformers", "ir-measures")


def of_dataset(dataset: Dataset) -> dict[str, Any]:
    """Name, files with their MD5, and whether they are the published ones."""
    official = entry_of(dataset.name.partition("/")[0]).md5
    return {
        "name": dataset.name,
        "split": dataset.split,
        "md5": dict(dataset.checksums),
        "official": official is not None and official in dataset.checksums.values(),
        "counts": dict(dataset.counts),
    }


def of_index(index: Index) -> dict[str, Any]:
    """The index's settings, and the encoder's, which holds the digest of the model's folder."""
    manifest = index.manifest
    return {
        "documents": manifest.documents,
        "postings": manifest.postings,
        "bytes": sum(entry.size for entry in manifest.files.values()),
        "quantizer": {"bits": manifest.bits, "step": manifest.step, "error": manifest.error},
        "kept": list(manifest.kept),
        "created_by": manifest.created_by,
        "encoder": manifest.encoder,
    }


def circumstances() -> dict[str, Any]:
    """When and where something is measured: the time, `versions` and `machine`."""
    measured = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"measured": measured, "versions": versions(), "machine": machine()}


def versions() -> dict[str, str]:
    """Python's version, and those of the packages that have a part in the figures."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def machine() -> dict[str, Any]:
    """Processor, cores, instruction set of the kernels, bytes of memory, operating system.

    Raises `InstructionSetError` where LSR_ISA names an instruction set that this machine lacks.
    """
    return {
        "processor": _processor(),
        "cores": processors(),
        "instruction_set": kernels.instruction_set("index"),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
    }


def model_digests(*encoders: Mapping[str, Any] | None) -> dict[str, str]:
    """The digest of each model's folder by its name, from the identities of encoders."""
    digests: dict[str, str] = {}
    for encoder in filter(None, encoders):
        for part in encoder.get("parts", [{"encoder": encoder}]):
            identity = part["encoder"]
            if "content_hash" in identity:
                digests[str(identity["name"])] = str(identity["content_hash"])
    return digests


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()

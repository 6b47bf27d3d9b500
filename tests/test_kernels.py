"""The compiled kernels as one module: the instruction set they use, and what is said without it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from lsr.errors import InstructionSetError
from lsr.kernels import ISAS, instruction_set
from lsr.version import KERNELS

ARM_SETS = ["scalar", "neon", "neondotprod"]
X86_SETS = ["scalar", "avx2", "avxvnni", "avx512", "avx512bf16"]
LADDER = ARM_SETS if platform.machine() in ("aarch64", "arm64") else X86_SETS
Kernels = Literal["index", "encoders"]
each = pytest.mark.parametrize("kernels", ["index", "encoders"])


@each
def test_without_a_variable_the_best_is_taken(
    monkeypatch: pytest.MonkeyPatch, kernels: Kernels
) -> None:
    assert ISAS[kernels] == [isa for isa in LADDER if isa in ISAS[kernels]]
    assert ISAS[kernels][0] == "scalar"
    for name in ("LSR_ISA", "LSR_ENCODING_ISA"):
        monkeypatch.setenv(name, "")
    assert instruction_set(kernels) == ISAS[kernels][-1]
    for name in ("LSR_ISA", "LSR_ENCODING_ISA"):
        monkeypatch.delenv(name)
    assert instruction_set(kernels) == ISAS[kernels][-1]


@each
@pytest.mark.parametrize("limit", ISAS["encoders"])
def test_the_best_up_to_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, kernels: Kernels, limit: str
) -> None:
    monkeypatch.delenv("LSR_ENCODING_ISA", raising=False)
    monkeypatch.setenv("LSR_ISA", limit)
    allowed = LADDER[: LADDER.index(limit) + 1]
    assert instruction_set(kernels) == [isa for isa in allowed if isa in ISAS[kernels]][-1]


def test_the_sets_of_arm_are_a_ladder_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with dot products, which only the kernels of encoders use."""
    monkeypatch.setattr("lsr.kernels.ISAS", {"index": ARM_SETS[:2], "encoders": ARM_SETS})
    monkeypatch.delenv("LSR_ISA", raising=False)
    monkeypatch.delenv("LSR_ENCODING_ISA", raising=False)
    assert [instruction_set("index"), instruction_set("encoders")] == ["neon", "neondotprod"]
    for limit, index, encoders in (
        ("scalar", "scalar", "scalar"),
        ("neon", "neon", "neon"),
        ("neondotprod", "neon", "neondotprod"),
    ):
        monkeypatch.setenv("LSR_ISA", limit)
        assert [instruction_set("index"), instruction_set("encoders")] == [index, encoders]
    monkeypatch.setenv("LSR_ISA", "avx2")
    with pytest.raises(InstructionSetError, match=r"has scalar, neon, neondotprod$"):
        instruction_set("index")


def test_the_older_name_is_for_encoders_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSR_ISA", "mmx")
    monkeypatch.setenv("LSR_ENCODING_ISA", "scalar")
    assert instruction_set("encoders") == "scalar"
    with pytest.raises(InstructionSetError, match=r"^LSR_ISA=mmx cannot .* machine has scalar"):
        instruction_set("index")
    monkeypatch.setenv("LSR_ENCODING_ISA", "sse9")
    with pytest.raises(InstructionSetError, match=r"^LSR_ENCODING_ISA=sse9 cannot .* has scalar"):
        instruction_set("encoders")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("None", "cannot be loaded (import of _lsr halted"),
        ("types.SimpleNamespace(KERNELS=0)", f"are of version 0 and lsr needs {KERNELS}"),
    ],
)
def test_missing_and_stale_kernels_are_one_sentence(
    tmp_path: Path, module: str, reason: str
) -> None:
    code = f"import sys, types; sys.modules['_lsr'] = {module}; from lsr.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, "encode", "arxiv-cs", "-o", tmp_path / "v"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the compiled kernels " + reason)
    assert done.stderr.count("\n") == 1
    assert "`pip install .`" in done.stderr

"""The compiled kernels, `kernels.index` and `kernels.encoders`, and their instruction set.

They are a module of their own, `_lsr`, which is found beside an installed `lsr` as well as from a
checkout's folder.  Importing this raises `LsrError` when `_lsr` is missing or was built for other
sources.
"""

from __future__ import annotations

import os
from typing import Literal

from lsr.errors import InstructionSetError, LsrError
from lsr.version import KERNELS

_REMEDY = "run `pip install .` in the checkout, or `pip install -e .` where you change it"
try:
    import _lsr
except ImportError as error:
    raise LsrError(f"the compiled kernels cannot be loaded ({error}): {_REMEDY}") from None
if _lsr.KERNELS != KERNELS:
    raise LsrError(
        f"the compiled kernels are of version {_lsr.KERNELS} and lsr needs {KERNELS}: {_REMEDY}"
    )

index = _lsr.index
encoders = _lsr.encoders

# What this machine can use, worst first.
ISAS = {"index": index.available_isas(), "encoders": encoders.available_isas()}
# Those of x86-64, then those of ARM: no machine has both.
_LADDER = ("scalar", "avx2", "avxvnni", "avx512", "avx512bf16", "neon", "neondotprod")
_VARIABLES = {"index": ("LSR_ISA",), "encoders": ("LSR_ENCODING_ISA", "LSR_ISA")}


def instruction_set(kernels: Literal["index", "encoders"]) -> str:
    """The best set that these kernels have, up to the one that `LSR_ISA` names.

    `LSR_ENCODING_ISA` goes before it for the encoders.

    Raises `InstructionSetError` when the variable names a set that this machine lacks.
    """
    for variable in _VARIABLES[kernels]:
        if limit := os.environ.get(variable):
            usable = [isa for isa in _LADDER if isa in ISAS["index"] + ISAS["encoders"]]
            if limit not in usable:
                raise InstructionSetError(
                    f"{variable}={limit} cannot be used here: this machine has {', '.join(usable)}"
                )
            allowed = _LADDER[: _LADDER.index(limit) + 1]
            return [isa for isa in ISAS[kernels] if isa in allowed][-1]
    return ISAS[kernels][-1]

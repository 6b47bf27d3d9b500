"""The compiled module `_lsr`, built from here, index/kernels/ and encoders/kernels/."""

from . import encoders as encoders
from . import index as index

KERNELS: int

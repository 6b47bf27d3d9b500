"""The positions of a text that the head "mlm" pools: all, the last, or those of a second copy.

A causal model sees at each position only the tokens before it.  Either the last position alone
is pooled, or the text is read twice and its second copy is pooled: J. M. Springer et al.,
"Repetition improves language model embeddings" (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lsr.encoders.methods import Positions
from lsr.encoders.rows import Ids


@dataclass(frozen=True)
class Reading:
    """The tokens of a text that a model reads.

    Attributes:
        before, after: how many special tokens every text gets at its beginning and end.
    """

    positions: Positions = "all"
    before: int = 0
    after: int = 0

    def given(self, ids: Ids) -> Ids:
        """The ids that the model is given for a text's; special ones are not repeated."""
        if self.positions != "echo":
            return ids
        return np.concatenate([ids[: ids.size - self.after], ids[self.before :]])

    def pooled(self, length: int) -> int:
        """The number of pooled positions of a text of so many ids: the last ones of `given`."""
        if self.positions == "last":
            return min(length, 1)
        return length - self.before if self.positions == "echo" else length

    def longest(self, positions: float) -> float:
        """The longest text that fits into so many positions, in ids."""
        if self.positions != "echo":
            return positions
        return (positions + self.before + self.after) // 2

    @property
    def times(self) -> int:
        """The number of copies of a text."""
        return 2 if self.positions == "echo" else 1

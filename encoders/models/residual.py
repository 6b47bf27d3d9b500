"""The literal residual network: what a text's own terms lack is added to them.

    W = w + I * (max(w') - w'),   w' = F log(1 + relu(h)) + b

where w are the weights from the logits of the last position, h is its hidden state, (F, b) a
linear layer from hidden states to the vocabulary, and I is 1 for terms of the text itself
(special tokens are none) and 0 for others.  H. Song et al., "LLMs as sparse retrievers: A framework
for first-stage product search" (2025), section 3.1.

The paper published no weights.  Here the layer is a file `literal_residual.safetensors` beside
the model, with the tensors `weight` (terms, width) and, unless there is none, `bias` (terms,).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lsr.encoders.checkpoints.networks import residual_network
from lsr.encoders.models.heads import not_finite
from lsr.encoders.rows import Ids, Row, nonzero


class LiteralResidual:
    """The network of a folder.

    Args:
        shape: (terms, width) of the model.
        special: uint32, ascending: token ids that are no terms of a text.

    Raises `EncoderError` when the file is missing, of other shapes or not finite.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int], special: Ids, device: torch.device
    ) -> None:
        weight, bias = residual_network(folder, shape)
        self._weight = weight.to(device)
        self._bias = None if bias is None else bias.to(device)
        self._folder, self._special = folder, special

    def add(self, rows: Sequence[Row], ids: Sequence[Ids], hidden: torch.Tensor) -> list[Row]:
        """The rows with what their texts' own terms lack.

        Args:
            ids: of each text, as read.
            hidden: float32, (texts, width): of the last positions; those of texts without ids are
                passed over.
        """
        added: list[Row] = []
        strength = torch.nn.functional.linear(hidden.relu().log1p(), self._weight, self._bias)
        lacking = (strength.amax(1, keepdim=True) - strength).cpu().numpy()
        for (terms, weights), text_ids, lack in zip(rows, ids, lacking, strict=True):
            literal = np.setdiff1d(text_ids, self._special)
            union = np.union1d(terms, literal)
            summed = np.zeros(union.size, np.float32)
            summed[np.searchsorted(union, terms)] = weights
            summed[np.searchsorted(union, literal)] += lack[literal]
            if not np.isfinite(summed).all():
                raise not_finite(self._folder)
            added.append(nonzero(union, summed))
        return added

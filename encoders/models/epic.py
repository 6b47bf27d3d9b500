"""Documents of EPIC: expansion weighed by each position's importance and the text's quality.

S. MacAvaney et al., "Expansion via prediction of importance with contextualization" (SIGIR 2020).
With hidden states h_i, logits H_ij and g(x) = log(1 + softplus(x)), the weight of term j is
sigmoid(quality(h_CLS)) x max_i g(importance(h_i)) x g(H_ij), over the positions that are no special
tokens, as in the authors' own code.  Every term has one, so nothing is to be screened: torch
computes them all, on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, softplus

from lsr.encoders.checkpoints.networks import Linear, document_networks
from lsr.encoders.methods import Side
from lsr.encoders.models.heads import not_finite
from lsr.encoders.models.pooling import ACTIVATIONS
from lsr.encoders.models.reading import Reading
from lsr.encoders.models.torch_model import TorchModel
from lsr.encoders.rows import Ids, Row
from lsr.errors import EncoderError

_TILE = 1 << 13  # terms whose logits are held at a time

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **ACTIVATIONS,
    "identity": lambda x: x,
    "log1p-softplus": lambda x: softplus(x).log1p_(),
}


class EpicModel(TorchModel):
    """A masked language model with EPIC's two networks for documents.

    Args:
        body: the model without its output layer.
        layer: the output layer.
        importance, quality: from a hidden state to one number.
    """

    def __init__(
        self,
        folder: Path,
        body: Any,
        layer: Linear,
        importance: Linear,
        quality: Linear,
        special: Ids,
    ) -> None:
        super().__init__(folder, body, [layer], "epic", special, Reading())
        self._importance, self._quality = importance, quality
        self._special = special
        # The language model makes `hidden` of `rows` from these, layers further on.
        self._states: Tensor | None = None
        body.base_model.register_forward_hook(self._keep)

    def _keep(self, _model: Any, _given: Any, output: Any) -> None:
        self._states = output.last_hidden_state.float()

    def _pooled(self, side: Side, ids: Sequence[Ids], hidden: Tensor, pooled: Tensor) -> list[Row]:
        states, self._states = self._states, None
        assert states is not None
        return [self._row(side, text, states[n], hidden[n]) for n, text in enumerate(ids)]

    def _row(self, side: Side, ids: Ids, states: Tensor, hidden: Tensor) -> Row:
        kept = torch.from_numpy(np.flatnonzero(~np.isin(ids, self._special))).to(hidden.device)
        if not len(kept):
            return np.empty(0, np.uint32), np.empty(0, np.float32)
        importance = softplus(linear(states[kept], *self._importance)).log1p_()
        quality = linear(states[0], *self._quality).sigmoid()
        weight, bias = self._layers[0]
        tiles = []
        for start in range(0, len(weight), _TILE):
            part = slice(start, start + _TILE)
            logits = linear(hidden[kept], weight[part], None if bias is None else bias[part])
            weights = _ACTIVATIONS[side.activation](logits) * importance
            tiles.append(weights.amax(0) if side.pooling == "max" else weights.sum(0))
        pooled = torch.cat(tiles) * quality
        if not bool(pooled.isfinite().all()):
            raise not_finite(self.folder)
        wanted = pooled > 0
        if side.top is not None and side.top < len(pooled) and not side.own_terms:
            # Rows of all terms would take gigabytes until the encoder keeps the largest.
            wanted &= pooled >= pooled.topk(side.top).values[-1]
        (terms,) = wanted.nonzero(as_tuple=True)
        return terms.cpu().numpy().astype(np.uint32), pooled[terms].cpu().numpy()


def load_epic(folder: Path, body: Any, layer: Linear, special: Ids) -> EpicModel:
    """The model of a folder whose language model is loaded, its output layer taken out.

    Raises `EncoderError` when a network is not there, or is for another width.
    """
    place, width = layer[0].device, body.config.hidden_size
    networks = document_networks(folder)
    if any(weight.shape[1] != width for weight, _ in networks):
        raise EncoderError(
            f"the networks doc_salience and doc_quality in {folder} are not for hidden states of "
            f"{width} numbers; give a checkpoint of EPIC"
        )
    importance, quality = (
        (weight.to(place), None if bias is None else bias.to(place)) for weight, bias in networks
    )
    return EpicModel(folder, body, layer, importance, quality, special)

"""Heads: hidden states to pooled term weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# In place, on float32; each is monotone, and 0 for what is not positive.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": Tensor.relu_,
    "log1p": lambda x: x.relu_().log1p_(),
    "double-log1p": lambda x: x.relu_().log1p_().log1p_(),
}

# Logits held at a time.  On a CPU 4 MB of them stay in the cache between the product that
# writes them and the maximum that reads them; a GPU wants few large products instead.
_LOGITS_CPU = 1 << 20
_LOGITS_GPU = 1 << 26
_POSITIONS = 256  # of several short texts together in one product


def logits_buffer(positions: int, device: torch.device) -> Tensor:
    """Memory for `pool_logits` over texts of at most so many positions."""
    size = _LOGITS_CPU if device.type == "cpu" else _LOGITS_GPU
    return torch.empty(max(size, positions), dtype=torch.float32, device=device)


def pool_logits(
    hidden: Tensor,
    padding: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str,
    pooling: str,
    buffer: Tensor,
) -> Tensor:
    """Pool activation(hidden x weight' + bias) over each text's positions, logits never whole.

    Args:
        hidden: float32, shape (texts, positions, width).
        padding: bool, shape (texts, positions), true where there is no token.
        weight: float32, shape (terms, width).
        bias: float32, shape (terms,), or None.
        activation: one of `ACTIVATIONS`.
        pooling: "max" or "sum".
        buffer: from `logits_buffer`, for at least these positions.

    Returns float32, shape (terms, texts).
    """
    texts, positions, _ = hidden.shape
    activate = ACTIVATIONS[activation]
    pooled = torch.empty(len(weight), texts, dtype=torch.float32, device=hidden.device)
    together = max(1, _POSITIONS // positions)
    for first in range(0, texts, together):
        group = hidden[first : first + together]
        group_padding = padding[first : first + together]
        padded = bool(group_padding.any())
        columns = group.reshape(-1, hidden.shape[2]).T
        tile = buffer.numel() // columns.shape[1]
        for start in range(0, len(weight), tile):
            rows = weight[start : start + tile]
            memory = buffer[: len(rows) * columns.shape[1]]
            logits = torch.mm(rows, columns, out=memory.view(len(rows), -1))
            logits = logits.view(len(rows), len(group), positions)
            if padded:
                logits.masked_fill_(group_padding, float("-inf"))
            target = pooled[start : start + tile, first : first + together]
            if pooling == "max":
                # The bias is the same at every position and an activation never descends,
                # so both can wait until the maximum is taken.
                torch.amax(logits, 2, out=target)
            else:
                if bias is not None:
                    logits += bias[start : start + tile, None, None]
                torch.sum(activate(logits), 2, out=target)
    if pooling == "max":
        if bias is not None:
            pooled += bias[:, None]
        activate(pooled)
    return pooled


def token_weights(
    hidden: Tensor, layers: Sequence[tuple[Tensor, Tensor | None]], activation: str
) -> Tensor:
    """A weight for each token: activation(MLP(hidden)), with relu between the linear layers.

    Args:
        hidden: float32, shape (texts, positions, width).
        layers: (weight, bias) of each layer, the last one to one number.
        activation: one of `ACTIVATIONS`.

    Returns float32, shape (texts, positions).
    """
    for number, (weight, bias) in enumerate(layers):
        hidden = torch.nn.functional.linear(hidden.relu() if number else hidden, weight, bias)
    return ACTIVATIONS[activation](hidden.squeeze(2))

"""The head "mlm" in torch, for GPUs: hidden states to pooled term weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# In place, on float32; each is monotone, and 0 for what is not positive.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": Tensor.relu_,
    "log1p": lambda x: x.relu_().log1p_(),
    "double-log1p": lambda x: x.relu_().log1p_().log1p_(),
}


def pool_logits(
    hidden: Tensor,
    padding: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: str,
    pooling: str,
    *,
    held: int = 1 << 26,
    together: int = 256,
) -> Tensor:
    """Pool activation(hidden x weight' + bias) over each text's positions, logits never whole.

    Args:
        hidden: float32, shape (texts, positions, width).
        padding: bool, shape (texts, positions), true where there is no token.
        weight: float32, shape (terms, width).
        bias: float32, shape (terms,), or None.
        activation: one of `ACTIVATIONS`.
        pooling: "max" or "sum".
        held: logits at a time; a GPU wants few large products.
        together: positions of several short texts in one product.

    Returns float32, shape (texts, terms).
    """
    texts, positions, _ = hidden.shape
    activate = ACTIVATIONS[activation]
    pooled = torch.empty(len(weight), texts, dtype=torch.float32, device=hidden.device)
    group_size = max(1, together // positions)
    size = max(held, min(group_size, texts) * positions)
    buffer = torch.empty(size, dtype=torch.float32, device=hidden.device)
    for first in range(0, texts, group_size):
        group = hidden[first : first + group_size]
        group_padding = padding[first : first + group_size]
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
            target = pooled[start : start + tile, first : first + group_size]
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
    return pooled.T

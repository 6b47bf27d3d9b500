"""SPLADE's head: hidden states to pooled term weights, without all logits at once."""

from __future__ import annotations

import torch

# Logits held at a time.  On a CPU 4 MB of them stay in the cache between the product that
# writes them and the maximum that reads them; a GPU wants few large products instead.
_LOGITS_CPU = 1 << 20
_LOGITS_GPU = 1 << 26
_POSITIONS = 256  # of several short texts together in one product


def logits_buffer(positions: int, device: torch.device) -> torch.Tensor:
    """Memory for `pool_logits` over texts of at most so many positions."""
    size = _LOGITS_CPU if device.type == "cpu" else _LOGITS_GPU
    return torch.empty(max(size, positions), dtype=torch.float32, device=device)


def pool_logits(
    hidden: torch.Tensor,
    padding: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    pooling: str,
    buffer: torch.Tensor,
) -> torch.Tensor:
    """Pool log(1 + relu(hidden x weight' + bias)) over the positions of each text.

    Args:
        hidden: float32, shape (texts, positions, width).
        padding: bool, shape (texts, positions), true where there is no token.
        weight: float32, shape (terms, width).
        bias: float32, shape (terms,), or None.
        pooling: "max" or "sum".
        buffer: from `logits_buffer`, for at least these positions.

    Returns float32, shape (terms, texts).
    """
    texts, positions, width = hidden.shape
    pooled = torch.empty(len(weight), texts, dtype=torch.float32, device=hidden.device)
    together = max(1, _POSITIONS // positions)
    for first in range(0, texts, together):
        group = hidden[first : first + together]
        group_padding = padding[first : first + together]
        padded = bool(group_padding.any())
        columns = group.reshape(-1, width).T
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
                # The bias is the same at every position and log(1 + relu(x)) never
                # descends, so both can wait until the maximum is taken.
                torch.amax(logits, 2, out=target)
            else:
                if bias is not None:
                    logits += bias[start : start + tile, None, None]
                torch.sum(logits.relu_().log1p_(), 2, out=target)
    if pooling == "max":
        if bias is not None:
            pooled += bias[:, None]
        pooled.relu_().log1p_()
    return pooled

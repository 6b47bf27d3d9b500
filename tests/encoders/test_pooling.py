"""Pooling as GPUs do it, on tensors of a CPU, against the plain formula."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from lsr.encoders.methods import Side  # noqa: E402
from lsr.encoders.models import pooling  # noqa: E402

PLAIN: dict[str, Any] = {
    "relu": lambda x: x.clamp(min=0),
    "log1p": lambda x: x.clamp(min=0).log1p(),
    "double-log1p": lambda x: x.clamp(min=0).log1p().log1p(),
}


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=7),
    width=st.integers(1, 20),
    terms=st.integers(1, 90),
    biased=st.booleans(),
    activation=st.sampled_from(sorted(pooling.ACTIVATIONS)),
    pool=st.sampled_from(["max", "sum"]),
    tile=st.sampled_from([1, 64, 1000, 1 << 26]),
    together=st.sampled_from([1, 50, 256]),
    seed=st.integers(0, 1 << 32),
)
def test_equals_the_plain_formula(
    lengths: list[int],
    width: int,
    terms: int,
    biased: bool,
    activation: str,
    pool: Any,
    tile: int,
    together: int,
    seed: int,
) -> None:
    random = torch.Generator().manual_seed(seed)
    positions = max(1, *lengths, 1)
    hidden = torch.randn(len(lengths), positions, width, generator=random)
    weight = torch.randn(terms, width, generator=random)
    bias = torch.randn(terms, generator=random) if biased else None
    padding = torch.arange(positions)[None] >= torch.tensor(lengths)[:, None]
    hidden[padding] = 1e6  # what a model leaves there counts for nothing
    found = pooling.pool_logits(
        hidden, padding, weight, bias, activation, pool, held=tile, together=together
    )
    for row, own, length in zip(found, hidden, lengths, strict=True):
        logits = own[:length].double() @ weight.double().T + (0 if bias is None else bias.double())
        weights = torch.cat([PLAIN[activation](logits), torch.zeros(1, terms)])
        expected = weights.sum(0) if pool == "sum" else weights.amax(0)
        assert torch.allclose(row.double(), expected, rtol=1e-4, atol=1e-4)
    assert found.shape == (len(lengths), terms)
    assert found.dtype == torch.float32


def test_every_activation_is_there() -> None:
    for activation in pooling.ACTIVATIONS:
        assert Side("mlm", activation).activation == activation
    assert sorted(pooling.ACTIVATIONS) == sorted(PLAIN)


@pytest.mark.parametrize("pool", ["max", "sum"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(pool: str, bad: float) -> None:
    hidden = torch.zeros(2, 3, 4)
    hidden[1, 2, 3] = bad
    padding = torch.zeros(2, 3, dtype=torch.bool)
    found = pooling.pool_logits(hidden, padding, torch.ones(5, 4), None, "log1p", pool)
    assert not found[1].isfinite().any()
    assert (found[0] == 0).all()

"""Heads: what the kernels and the small networks give as rows, on any instruction set."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders.methods import Side
from lsr.encoders.models.heads import FirstHead, TermHead, TokenHead
from lsr.errors import EncoderError

FOLDER = Path("some") / "model"
ACTIVATIONS: dict[str, Any] = {
    "relu": lambda x: np.maximum(x, 0),
    "log1p": lambda x: np.log1p(np.maximum(x, 0)),
    "double-log1p": lambda x: np.log1p(np.log1p(np.maximum(x, 0))),
}
OF_NETWORKS: dict[str, Any] = {
    **ACTIVATIONS,
    "identity": lambda x: x,
    "log1p-softplus": lambda x: np.log(1 + np.log(1 + np.exp(x))),
}


def floats(random: np.random.Generator, *shape: int) -> Any:
    return random.normal(size=shape).astype(np.float32)


def some_ids(random: np.random.Generator, lengths: list[int], terms: int) -> list[Any]:
    return [random.integers(0, terms, length).astype(np.uint32) for length in lengths]


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_terms_of_all_positions(pooling: Any, activation: Any) -> None:
    random = np.random.default_rng(1)
    weight, bias = floats(random, 100, 24), floats(random, 100) - 2
    ids = some_ids(random, [5, 0, 40, 1], 100)
    hidden = floats(random, 46, 24)
    rows = TermHead(FOLDER, (weight, bias)).rows(Side("mlm", activation, pooling), ids, hidden)
    weights = ACTIVATIONS[activation](hidden @ weight.T + bias)
    assert len(rows) == 4
    for (terms, found), part in zip(rows, np.split(weights, [5, 5, 45]), strict=True):
        expected = part.sum(0) if pooling == "sum" else part.max(0, initial=0)
        assert terms.tolist() == np.flatnonzero(expected).tolist()
        assert found == pytest.approx(expected[terms], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bad", ["hidden", "weights"])
def test_terms_that_are_not_finite_are_one_error(bad: str) -> None:
    hidden = np.ones((3, 2), np.float32)
    if bad == "hidden":
        hidden[1, 0] = np.nan
    weight = np.full((70, 2), 3e38 if bad == "weights" else 1, np.float32)
    head = TermHead(FOLDER, (weight, np.zeros(70, np.float32)))
    with pytest.raises(EncoderError, match=r"the model in some.model gives weights that are not"):
        head.rows(Side("mlm", "relu"), [np.zeros(3, np.uint32)], hidden)


def plain_tokens(layers: Any, side: Side, own: Any, states: Any, special: Any) -> dict[int, float]:
    """A weight for each token by the definition, one at a time, in float64."""
    found: dict[int, float] = {}
    for token, state in zip(own.tolist(), states.astype(float), strict=True):
        for number, (weight, bias) in enumerate(layers):
            state = weight @ (np.maximum(state, 0) if number else state) + bias
        weight = float(OF_NETWORKS[side.activation](state.item()))
        if token not in special:
            before = found.get(token)
            if before is not None:
                weight = max(before, weight) if side.pooling == "max" else before + weight
            found[token] = weight
    return {token: weight for token, weight in found.items() if weight > 0}


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.sampled_from(["max", "sum"]),
    st.sampled_from(list(OF_NETWORKS)),
    st.integers(1, 3),
    st.integers(0, 1 << 32),
)
def test_a_weight_a_token(
    lengths: list[int], pooling: Any, activation: Any, depth: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    widths = [7, *random.integers(1, 9, depth - 1), 1]
    layers = [
        (floats(random, after, before), floats(random, after)) for before, after in pairwise(widths)
    ]
    special = np.array([0, 3], np.uint32)
    side = Side("mlp", activation, pooling)
    ids = some_ids(random, lengths, 12)
    hidden = floats(random, sum(lengths), 7)
    rows = TokenHead(FOLDER, layers, special).rows(side, ids, hidden)
    parts = np.split(hidden, np.cumsum(lengths)[:-1])
    for (terms, weights), own, states in zip(rows, ids, parts, strict=True):
        assert (terms.dtype, weights.dtype) == (np.uint32, np.float32)
        expected = plain_tokens(layers, side, own, states, special)
        certain = {token for token, weight in expected.items() if weight > 1e-5}
        assert certain <= set(terms.tolist()) <= set(own.tolist()) - {0, 3}
        assert (np.diff(terms.astype(np.int64)) > 0).all()
        for term, weight in zip(terms.tolist(), weights.tolist(), strict=True):
            assert weight == pytest.approx(expected.get(term, 0), rel=1e-4, abs=1e-5)


def test_numbers_below_zero_are_no_weights() -> None:
    """They count where a token's numbers are added up, and softplus leaves none."""
    layer = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    ids = [np.array([5, 6, 5, 7, 7], np.uint32)]
    hidden = np.array([[3], [-1], [-1], [-4], [2]], np.float32)

    def row(activation: Any, pooling: Any) -> dict[int, float]:
        head = TokenHead(FOLDER, [layer], np.empty(0, np.uint32))
        (found,) = head.rows(Side("mlp", activation, pooling), ids, hidden)
        return dict(zip(*(part.tolist() for part in found), strict=True))

    assert row("identity", "sum") == {5: 2}
    assert row("relu", "sum") == {5: 3, 7: 2}
    assert row("identity", "max") == row("relu", "max") == {5: 3, 7: 2}
    assert row("log1p-softplus", "max")[6] == pytest.approx(np.log(1 + np.log(1 + np.exp(-1))))
    hidden[:] = -200  # beyond the range of exp in float32
    assert row("log1p-softplus", "sum") == {}
    hidden[:] = 200
    assert row("log1p-softplus", "max")[6] == pytest.approx(np.log(201))


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_the_first_position_alone(pooling: Any) -> None:
    random = np.random.default_rng(3)
    layer = floats(random, 100, 24), floats(random, 100)
    ids = some_ids(random, [0, 5, 0, 3, 1, 0], 100)
    hidden = floats(random, 9, 24)
    term_head = TermHead(FOLDER, layer)
    found = FirstHead(term_head).rows(Side("cls-mlm", pooling=pooling), ids, hidden)
    lengths = [0, 1, 0, 1, 1, 0]
    expected = term_head.rows(
        Side("mlm"), [np.zeros(n, np.uint32) for n in lengths], hidden[[0, 5, 8]]
    )
    assert [row.tolist() for pair in found for row in pair] == [
        row.tolist() for pair in expected for row in pair
    ]
    assert [bool(terms.size) for terms, _ in found] == [bool(n) for n in lengths]


@pytest.mark.parametrize("bad", ["hidden", "weights", "between"])
def test_weights_that_are_not_finite_are_one_error(bad: str) -> None:
    hidden = np.full((3, 2), 1e30, np.float32)
    if bad == "hidden":
        hidden[2, 1] = np.inf
    first = np.full((4, 2), 1e30 if bad == "between" else 1, np.float32)
    last = np.full((1, 4), 1e30 if bad == "weights" else 1, np.float32)
    layers = [(first, np.zeros(4, np.float32)), (last, np.zeros(1, np.float32))]
    head = TokenHead(FOLDER, layers, np.empty(0, np.uint32))
    with pytest.raises(EncoderError, match="weights that are not finite"):
        head.rows(Side("mlp", "relu"), [np.arange(3, dtype=np.uint32)], hidden)

"""The kernels' head against the formula in float64, and screened against computing every term."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders.methods import Activation, Pooling
from lsr.encoders.models.screening import balanced
from lsr.kernels import ISAS
from lsr.kernels import encoders as kernels

MAX, SUM = range(2)
RELU, LOG1P, DOUBLE = range(3)
ACTIVATIONS: list[Callable[[Any], Any]] = [
    lambda x: x,
    np.log1p,
    lambda x: np.log1p(np.log1p(x)),
]
UNIT = 2.0**-24  # of rounding to float32

Floats = npt.NDArray[np.float32]
Case = tuple[Floats, npt.NDArray[np.int64], Floats, Floats]
Rows = list[tuple[npt.NDArray[np.uint32], Floats]]

pytestmark = pytest.mark.parametrize("isa", ISAS["encoders"])


def values(random: np.random.Generator, kind: str, rows: int, width: int) -> Any:
    normal = random.normal(size=(rows, width))
    if kind == "bytes":  # nothing is lost when they are rounded
        normal = random.integers(-127, 128, (rows, width)).astype(float)
        normal[:, 0] = 127
    elif kind == "halves":  # as much as can be
        normal = random.integers(-127, 127, (rows, width)) + random.choice([0.499, 0.5, 0.501])
        normal[:, 0] = 127
    elif kind == "outlier":
        normal[:, random.integers(width)] *= 1000
    elif kind == "equal":
        normal[:] = normal[:1]
    elif kind == "zero rows":
        normal[random.random(rows) < 0.5] = 0
    elif kind == "sparse":
        normal[random.random((rows, width)) < 0.9] = 0
    elif kind == "unlike":
        normal *= 10.0 ** random.uniform(-30, 5, (rows, 1))
    return normal


def floats(numbers: Any) -> Floats:
    most = np.finfo(np.float32).max
    return np.clip(numbers, -most, most).astype(np.float32)


KINDS = ["normal", "bytes", "halves", "outlier", "equal", "zero rows", "sparse", "unlike"]
BIASES = ["none", "edge", "few", "no term", "every term"]
LENGTHS = [0, 1, 2, 5, 31, 32, 33, 47, 48, 49, 70]


@st.composite
def cases(draw: st.DrawFn, powers: tuple[int, ...] = (0,)) -> Case:
    """Hidden states, lengths, weights and biases; magnitudes are among the powers of ten."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    terms, width = draw(st.integers(1, 300)), draw(st.integers(1, 200))
    lengths = np.array(draw(st.lists(st.sampled_from(LENGTHS), max_size=4)), np.int64)
    hidden, weight = (
        floats(
            values(random, draw(st.sampled_from(KINDS)), rows, width)
            * 10.0 ** draw(st.sampled_from(powers))
        )
        for rows in (int(lengths.sum()), terms)
    )
    bias, where = np.zeros(terms), draw(st.sampled_from(BIASES))
    if hidden.size:
        logits = hidden.astype(float) @ weight.T.astype(float)
        most = np.abs(logits).max()
        noise = most * random.normal(size=terms) / 100
        bias = {
            "none": np.zeros(terms),
            "edge": -logits.max(0),  # whatever rounding makes of them is above zero, or not
            "few": noise - np.quantile(logits, 0.99),
            "no term": -2 * most - abs(noise),
            "every term": 2 * most + abs(noise),
        }[where]
    return hidden, lengths, weight, floats(bias)


def pooled(head: Any, hidden: Any, lengths: Any, *how: Any) -> Rows:
    ends, terms, weights = head.pool(hidden, lengths, *how)
    assert (ends.dtype, terms.dtype, weights.dtype) == (np.int64, np.uint32, np.float32)
    assert len(ends) == len(lengths)
    assert terms.size == weights.size == (ends[-1] if len(ends) else 0)
    cuts = [0, *ends]
    return [(terms[a:b], weights[a:b]) for a, b in pairwise(cuts)]


def same(rows: Rows, others: Rows) -> bool:
    return len(rows) == len(others) and all(
        a.tobytes() == b.tobytes()
        for row, other in zip(rows, others, strict=True)
        for a, b in zip(row, other, strict=True)
    )


def test_codes_are_those_of_the_names(isa: str) -> None:
    assert get_args(Pooling).index("max") == MAX
    assert get_args(Pooling).index("sum") == SUM
    assert [get_args(Activation).index(a) for a in ("relu", "log1p", "double-log1p")] == [0, 1, 2]


@given(cases(powers=(-40, -30, -20, -10, 0, 0, 0, 10, 20, 30, 36)))
def test_screening_changes_no_bit(isa: str, case: Case) -> None:
    hidden, lengths, weight, bias = case
    head = kernels.Head(isa, weight, bias)
    for how in ((MAX, RELU), (MAX, DOUBLE), (SUM, LOG1P)):
        every = pooled(head, hidden, lengths, *how, False)
        assert same(pooled(head, hidden, lengths, *how), every)


@given(cases(powers=(-40, -30, -20, -10, 0, 0, 0, 10, 20, 30, 36)), st.sampled_from(KINDS))
def test_fitting_changes_no_bit(isa: str, case: Case, kind: str) -> None:
    """Fitted to what is pooled, or to something of the same size that is unlike it."""
    hidden, lengths, weight, bias = case
    if not hidden.size:
        return
    random = np.random.default_rng(lengths.sum())
    other = floats(values(random, kind, 40, weight.shape[1]) * np.abs(hidden).max())
    head = kernels.Head(isa, weight, bias)
    ways = (MAX, LOG1P), (SUM, RELU)
    every = [pooled(head, hidden, lengths, *how, False) for how in ways]
    for sample, own in ((hidden, lengths), (other, np.array([30, 0, 10]))):
        head.fit(*balanced(weight, sample), sample, own)
        for how, expected in zip(ways, every, strict=True):
            assert same(pooled(head, hidden, lengths, *how), expected)
            assert same(pooled(head, hidden, lengths, *how, False), expected)


@given(st.integers(0, 1 << 32))
def test_fitted_depths_lose_no_term(isa: str, seed: int) -> None:
    """Coordinates and texts where few dimensions are enough for most terms, and not for some."""
    random = np.random.default_rng(seed)
    width, terms = int(random.integers(30, 150)), 400
    mixed = random.normal(size=(width, width)) * np.geomspace(1, 0.01, width)[:, None]
    lengths = random.integers(1, 160, 6)
    hidden = floats(random.normal(size=(lengths.sum(), width)) @ mixed + random.normal(size=width))
    weight = floats(random.normal(size=(terms, width)) @ mixed)
    logits = hidden.astype(float) @ weight.T.astype(float)
    bias = floats(-np.quantile(logits, random.uniform(0.9, 1, terms), axis=0).diagonal())
    head = kernels.Head(isa, weight, bias)
    head.fit(*balanced(weight, hidden), hidden, lengths)
    for how in ((MAX, RELU), (SUM, LOG1P)):
        every = pooled(head, hidden, lengths, *how, False)
        assert 0 < sum(own.size for own, _ in every) < 6 * terms
        assert same(pooled(head, hidden, lengths, *how), every)


def test_a_basis_that_undoes_itself_only_nearly_loses_no_term(isa: str) -> None:
    """Bytes are exact here, and every product in the basis is a hundredth too small."""
    random = np.random.default_rng(5)
    width, terms = 64, 100
    hidden, weight = (floats(values(random, "bytes", rows, width)) for rows in (7, terms))
    products = hidden.astype(np.int64) @ weight.T.astype(np.int64)
    bias = floats(1 - products.max(0))
    weight[products.max(0) <= 0] *= -1  # whose products are negative, and so become too large
    head = kernels.Head(isa, weight, bias)
    every = pooled(head, hidden, np.array([7]), MAX, RELU, False)
    assert every[0][0].size > terms / 2
    one = floats(np.eye(width))
    head.fit(one, floats(0.99 * one), np.zeros(width, np.float32), hidden, np.array([7]))
    assert same(pooled(head, hidden, np.array([7]), MAX, RELU), every)


@pytest.mark.parametrize("positions", [1, 6, 20, 100])
def test_one_position_that_is_unlike_the_sample_is_found(isa: str, positions: int) -> None:
    """What the sample has nothing of lies beyond every depth, and makes a logit all by itself."""
    width, terms = 64, 70
    weight = np.full((terms, width), 0.01, np.float32)
    weight[::7, -1] = 1
    head = kernels.Head(isa, weight, np.full(terms, -1, np.float32))
    one, sample = np.eye(width, dtype=np.float32), np.zeros((5, width), np.float32)
    sample[:, 0] = 1
    head.fit(one, one, np.zeros(width, np.float32), sample, np.array([5]))
    for place in range(0, positions, 5):
        hidden = np.zeros((positions, width), np.float32)
        hidden[:, 0] = 1
        hidden[place, -1] = 5
        ((found, _),) = pooled(head, hidden, np.array([positions]), MAX, RELU)
        assert found.tolist() == list(range(0, terms, 7))


@pytest.mark.parametrize(("state", "size", "turn"), [(1e-30, 8e-16, None), (1e-30, 8e-16, 1)])
def test_logits_where_floats_lose_bits_are_found(
    isa: str, state: float, size: float, turn: float | None
) -> None:
    """A logit below .57 of the least float is rounded up to it, the products of a bound to zero."""
    hidden, weight = floats([[state, -0.4 * state]]), floats([[size, size]])
    head = kernels.Head(isa, weight, np.zeros(1, np.float32))
    if turn is not None:
        one = np.eye(2, dtype=np.float32)
        head.fit(floats(one * turn), floats(one / turn), hidden[0], hidden, np.array([1]))
    ((terms, weights),) = pooled(head, hidden, np.array([1]), MAX, RELU)
    assert (terms.tolist(), weights.tolist()) == ([0], [2.0**-149])


def test_what_a_screen_cannot_be_fitted_to_is_refused(isa: str) -> None:
    weight, hidden = np.ones((3, 5), np.float32), np.ones((7, 5), np.float32)
    head = kernels.Head(isa, weight, np.zeros(3, np.float32))
    good = {
        "basis": np.eye(5, dtype=np.float32),
        "inverse": np.eye(5, dtype=np.float32),
        "mean": np.zeros(5, np.float32),
        "hidden": hidden,
        "lengths": np.array([7]),
    }
    head.fit(**good)
    for name, value, what in (
        ("basis", np.eye(4, dtype=np.float32), "another width"),
        ("inverse", np.eye(5, 4, dtype=np.float32), "another width"),
        ("mean", np.zeros(4, np.float32), "another width"),
        ("hidden", np.ones((7, 4), np.float32), "another width"),
        ("hidden", np.ones((0, 5), np.float32), "no positions"),
        ("lengths", np.array([6]), "lengths"),
        ("inverse", 1.1 * np.eye(5, dtype=np.float32), "does not undo itself"),
        ("basis", np.full((5, 5), np.nan, np.float32), "does not undo itself"),
    ):
        with pytest.raises(ValueError, match=what):
            head.fit(**good | {name: value})


@given(cases(powers=(-10, 0, 5)), st.sampled_from([MAX, SUM]), st.sampled_from(range(3)))
def test_equals_the_formula(isa: str, case: Case, pooling: int, activation: int) -> None:
    """Within what float32 sums of so many products can be off; activations add no error of
    their own beyond a rounding or two, as none is steeper than 1."""
    hidden, lengths, weight, bias = case
    activate = ACTIVATIONS[activation]
    rows = pooled(kernels.Head(isa, weight, bias), hidden, lengths, pooling, activation)
    start = 0
    for length, (terms, weights) in zip(lengths, rows, strict=True):
        states = hidden[start : start + length].astype(float)
        start += length
        logits = states @ weight.T.astype(float) + bias
        sizes = np.abs(states) @ np.abs(weight.T.astype(float)) + np.abs(bias)
        errors = (weight.shape[1] + 4) * UNIT * sizes
        expected = activate(np.maximum(logits, 0))
        if pooling == MAX:
            expected, error = expected.max(0, initial=0), errors.max(0, initial=0)
        else:
            expected, error = expected.sum(0), errors.sum(0)
        error = error + (length + 4) * UNIT * expected
        found = np.zeros(len(weight))
        found[terms] = weights
        assert (np.diff(terms.astype(np.int64)) > 0).all()
        assert (weights > 0).all()
        assert (np.abs(found - expected) <= error + 1e-40).all()  # denormals have no relative error


@given(cases(powers=(-10, 0, 10)), st.sampled_from([MAX, SUM]))
def test_a_row_does_not_depend_on_its_neighbours(isa: str, case: Case, pooling: int) -> None:
    hidden, lengths, weight, bias = case
    head = kernels.Head(isa, weight, bias)
    parts = np.split(hidden, np.cumsum(lengths)[:-1]) if len(lengths) else []
    alone = [
        row
        for part, length in zip(parts, lengths, strict=True)
        for row in pooled(head, part, np.array([length]), pooling, LOG1P)
    ]
    assert same(pooled(head, hidden, lengths, pooling, LOG1P), alone)


def test_more_texts_than_are_screened_together(isa: str) -> None:
    random = np.random.default_rng(1)
    terms, texts = 1 << 17, 650  # 512 groups are
    weight = random.normal(size=(terms, 1)).astype(np.float32)
    head = kernels.Head(isa, weight, np.full(terms, -4, np.float32))
    lengths = random.integers(1, 4, texts)
    lengths[1::7] = 0
    hidden = random.normal(size=(lengths.sum(), 1)).astype(np.float32)
    rows = pooled(head, hidden, lengths, MAX, RELU)
    assert sum(terms.size for terms, _ in rows) > texts
    assert same(rows, pooled(head, hidden, lengths, MAX, RELU, False))
    last = hidden[lengths[:-50].sum() :]
    assert same(rows[-50:], pooled(head, last, lengths[-50:], MAX, RELU))


def test_threads_do_not_disturb_each_other(isa: str) -> None:
    random = np.random.default_rng(2)
    heads = [
        kernels.Head(isa, *(random.normal(size=s).astype(np.float32) for s in ((terms, 40), terms)))
        for terms in (70, 500)
    ]
    work = [
        (
            heads[n % 2],
            random.normal(size=(n, 40)).astype(np.float32),
            np.array([n - n // 3, n // 3]),
        )
        for n in range(1, 60)
    ]
    expected = [pooled(*each, MAX, LOG1P) for each in work]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            found = threads.map(lambda each: pooled(*each, MAX, LOG1P), work)
            assert all(same(a, b) for a, b in zip(found, expected, strict=True))


def rounded(row: Any) -> Any:
    """What a row is rounded to: bytes by the scale that makes the largest 127."""
    scale = np.abs(row).max() / 127
    return np.round(row / scale) * scale


@pytest.mark.parametrize("lost", ["hidden", "weight", "both"])
@pytest.mark.parametrize("width", [64, 300, 768])
def test_logits_that_rounding_brings_furthest_down_are_found(
    isa: str, lost: str, width: int
) -> None:
    """All that is lost points the way of the other side, where Cauchy-Schwarz is an equality."""
    random = np.random.default_rng(width)
    signs = random.choice([-1.0, 1.0], width)
    worst, exact = np.full(width, 126.49), np.full(width, 127.0)
    worst[random.integers(width)] = 127
    hidden = ((worst if lost != "weight" else exact) * signs / 50).astype(np.float32)
    weight = ((worst if lost != "hidden" else exact) * signs / 1000).astype(np.float32)
    wide, narrow = hidden.astype(float), weight.astype(float)
    near, close = rounded(wide), rounded(narrow)
    bound = np.linalg.norm(wide - near) * np.linalg.norm(narrow)
    bound += np.linalg.norm(near) * np.linalg.norm(narrow - close)
    true, seen = wide @ narrow, near @ close
    assert 0.98 * bound < true - seen <= bound
    above = 1e-4 * true  # zero, by more than float32 is off and far less than the bound
    assert 20 * above < bound
    terms = 130
    weights = np.full((terms, width), -weight)
    weights[[0, 64, 129]] = weight
    bias = np.full(terms, above - true, np.float32)
    # The text's other positions are smaller, or point elsewhere.
    others = np.stack([hidden / 100, hidden * random.choice([-0.5, 0.5], width)])
    for states in (hidden[None], np.vstack([others, hidden]), np.vstack([hidden, others])):
        rows = pooled(kernels.Head(isa, weights, bias), states, np.array([len(states)]), MAX, RELU)
        assert rows[0][0].tolist() == [0, 64, 129]
        assert rows[0][1] == pytest.approx(above, rel=0.5)


def test_logits_above_zero_only_by_their_own_rounding_are_found(isa: str) -> None:
    """Rounding to bytes loses nothing here, but sums beyond 2^24 are rounded: upwards, by luck."""
    random = np.random.default_rng(3)
    width, terms = 9000, 100
    hidden = random.integers(64, 128, width).astype(np.float32)
    weight = np.sort(random.integers(64, 128, (terms, width)).astype(np.float32))
    weight[:, width // 2 :] *= -1
    hidden[0] = weight[:, -1] = 127
    products = (weight * hidden).astype(np.int64)
    exact = products.sum(1)
    floats = np.cumsum(products, axis=1, dtype=np.float32)[:, -1]
    assert (np.abs(exact) < 1 << 24).all()
    found = np.flatnonzero(floats > exact)
    assert 10 < found.size < 90
    head = kernels.Head(isa, weight, -exact.astype(np.float32))
    ((terms_, weights),) = pooled(head, hidden[None], np.array([1]), MAX, RELU)
    assert terms_.tolist() == found.tolist()
    assert (weights == (floats - exact)[found]).all()


@pytest.mark.parametrize("width", [1, 4, 5, 8, 12, 63, 64, 65, 300])
def test_bytes_at_their_ends_add_up(isa: str, width: int) -> None:
    """Rounding loses nothing here, so a logit is lost by the least that a sum comes out too low."""
    random = np.random.default_rng(width)
    hidden, weight = (floats(random.choice([-1, 1], (rows, width))) for rows in (70, 130))
    weight[:70], weight[70:75], hidden[0] = hidden, -hidden[:5], 1
    bias = floats(0.5 - (hidden @ weight.T).max(0))
    weight[-5:], bias[-5:] = 1, 0.5 - width
    weight[::9], bias[::9] = -1, 0.5 - (-hidden).sum(1).max()
    head = kernels.Head(isa, weight, bias)
    ((terms, weights),) = pooled(head, hidden, np.array([70]), MAX, RELU)
    assert terms.tolist() == list(range(130))
    assert (weights == 0.5).all()


def test_one_position_of_many_makes_a_term(isa: str) -> None:
    """Wherever among the groups it comes to be, and no other position adds to that term."""
    random = np.random.default_rng(8)
    width = 100
    for sizes in (np.ones(width), random.permutation(np.geomspace(1, 100, width))):
        hidden = floats(np.eye(width) * sizes)
        both = np.vstack([hidden, hidden[:40]])
        head = kernels.Head(isa, floats(2 * np.eye(width) - 1), np.full(width, 0.5, np.float32))
        expected = floats(sizes) + np.float32(0.5)
        one = floats(np.eye(width))
        for fitted in (False, True):
            if fitted:
                head.fit(one, one, np.zeros(width, np.float32), hidden, np.array([width]))
            for pooling in (MAX, SUM):
                rows = pooled(head, both, np.array([100, 40]), pooling, RELU)
                for (terms, weights), length in zip(rows, (100, 40), strict=True):
                    assert terms.tolist() == list(range(length))
                    assert (weights == expected[:length]).all()


def test_the_widest_sums_of_bytes_stay_exact(isa: str) -> None:
    """At the limit of the width; one byte more in a sum would not fit 32 bits."""
    width = 1 << 16
    ones = np.ones((1, width), np.float32)
    weight = np.vstack([ones, -ones, ones])
    weight[2, width // 2 :] *= -1
    head = kernels.Head(isa, weight, np.array([1 - width, 1 - width, 1], np.float32))
    for sign, expected in ((1, [0, 2]), (-1, [1, 2])):
        ((terms, weights),) = pooled(head, sign * ones, np.array([1]), MAX, RELU)
        assert (terms.tolist(), weights.tolist()) == ([expected[0], 2], [1, 1])
    with pytest.raises(ValueError, match="shapes"):
        kernels.Head(isa, np.ones((1, width + 1), np.float32), np.ones(1, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_hidden_states_that_are_not_finite_are_refused(isa: str, bad: float) -> None:
    head = kernels.Head(isa, np.ones((3, 5), np.float32), np.zeros(3, np.float32))
    for place in ((0, 0), (6, 4)):
        hidden = np.ones((7, 5), np.float32)
        hidden[place] = bad
        for screened in (True, False):
            with pytest.raises(kernels.NotFinite, match="not finite"):
                head.pool(hidden, np.array([7]), MAX, RELU, screened)


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        (np.ones((3, 5)), np.ones(2)),
        (np.ones((3, 5)), np.ones((3, 1))),
        (np.ones((0, 5)), np.ones(0)),
        (np.ones((3, 0)), np.ones(3)),
        (np.ones(3), np.ones(3)),
        (np.ones((3, 5), complex), np.ones(3)),
        (None, np.ones(3)),
        (np.full((3, 5), "x"), np.ones(3)),
    ],
)
def test_heads_that_cannot_be_are_refused(isa: str, weight: Any, bias: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        kernels.Head(isa, weight, bias)


@pytest.mark.parametrize(
    ("shape", "lengths"),
    [
        ((4, 5), [3]),
        ((4, 5), [4, 1]),
        ((4, 5), [-1, 5]),
        ((4, 5), [5, -1]),
        ((4, 5), [(1 << 62), 4 - (1 << 62)]),
        ((4, 5), []),
        ((0, 5), [1]),
        ((4, 6), [4]),
        ((20,), [4]),
        ((2, 2, 5), [4]),
    ],
)
def test_hidden_states_of_other_shapes_are_refused(
    isa: str, shape: tuple[int, ...], lengths: list[int]
) -> None:
    head = kernels.Head(isa, np.ones((3, 5), np.float32), np.zeros(3, np.float32))
    with pytest.raises((ValueError, TypeError)):
        head.pool(np.ones(shape, np.float32), np.array(lengths, np.int64), MAX, RELU)


def test_other_arrays_are_taken_as_numpy_casts_them(isa: str) -> None:
    random = np.random.default_rng(4)
    weight, hidden = random.normal(size=(90, 22)), random.normal(size=(14, 22))
    bias, lengths = random.normal(size=180), np.array([9, 0, 5, 0], np.int32)
    head = kernels.Head(isa, np.asfortranarray(weight, np.float32), bias[::2])
    plain = kernels.Head(isa, weight.astype(np.float32), bias[::2].astype(np.float32))
    expected = pooled(plain, hidden.astype(np.float32), lengths.astype(np.int64), SUM, RELU)
    assert same(pooled(head, np.asfortranarray(hidden), lengths, SUM, RELU), expected)
    del weight, bias
    assert same(pooled(head, hidden.astype(np.float32), lengths, SUM, RELU), expected)


def test_unknown_instruction_sets_are_refused(isa: str) -> None:
    for name in ("", isa + "x", isa.upper()):
        with pytest.raises(ValueError, match=f"no such instruction set here: {name}"):
            kernels.Head(name, np.ones((1, 1), np.float32), np.ones(1, np.float32))

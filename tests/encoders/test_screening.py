"""The coordinates of the screen, and when it is fitted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr import kernels
from lsr.encoders.methods import Side
from lsr.encoders.models import screening
from lsr.encoders.models.heads import TermHead
from lsr.encoders.models.screening import Fitting, balanced


def spread(random: np.random.Generator, rows: int, width: int, least: float = 0.05) -> Any:
    """Vectors that are far from alike in all directions, around a point that is not the origin."""
    mixed = np.linalg.qr(random.normal(size=(width, width)))[0] * np.geomspace(1, least, width)
    points = random.normal(size=(rows, width)) @ mixed + random.normal(size=width)
    return points.astype(np.float32)


def test_products_are_kept() -> None:
    random = np.random.default_rng(1)
    hidden, weight = spread(random, 500, 40), spread(random, 300, 40)
    turn, back, centre = balanced(weight, hidden)
    expected = (hidden - centre).astype(float) @ weight.T
    found = (hidden - centre) @ turn.T.astype(float) @ (weight @ back.T.astype(float)).T
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.allclose(centre, hidden.mean(0), atol=1e-5)


def test_both_sides_are_spread_alike_and_most_in_the_first_dimensions() -> None:
    random = np.random.default_rng(2)
    hidden, weight = spread(random, 2000, 24, 0.3), spread(random, 300, 24, 0.3)
    turn, back, centre = balanced(weight, hidden)
    states = (hidden - centre).astype(float) @ turn.T
    terms = weight.astype(float) @ back.T
    one, other = (values.T @ values / len(values) for values in (states, terms))
    for moments in (one, other):
        diagonal = np.diag(moments)
        assert (np.diff(diagonal) < 0).all()
        assert np.abs(moments - np.diag(diagonal)).max() < 1e-3 * diagonal[0]
    ratio = np.diag(one) / np.diag(other)
    assert np.allclose(ratio, ratio[0], rtol=0.02)


@pytest.mark.parametrize(
    "hidden",
    [
        np.zeros((5, 3), np.float32),
        np.ones((1, 3), np.float32),
        np.array([[3e38, -3e38, 0], [1, 2, 3]], np.float32),
        np.full((4, 3), 1e-40, np.float32),
    ],
    ids=["zero", "one position", "huge", "tiny"],
)
@pytest.mark.parametrize("size", [0, 1e-38, 1, 3e38])
def test_any_sample_gives_a_basis_that_undoes_itself(hidden: Any, size: float) -> None:
    weight = np.full((4, 3), size, np.float32)
    turn, back, centre = balanced(weight, hidden)
    assert np.abs(turn.T.astype(float) @ back - np.eye(3)).max() < 1e-4
    head = kernels.encoders.Head("scalar", weight, np.zeros(4, np.float32))
    head.fit(turn, back, centre, hidden, np.array([len(hidden)], np.int64))


class Watched:
    """A kernel that is only asked to fit."""

    def __init__(self) -> None:
        self.fits: list[tuple[Any, ...]] = []

    def fit(self, *arguments: Any) -> None:
        self.fits.append(arguments)


def states(positions: int, width: int) -> Any:
    return np.random.default_rng(positions).normal(size=(positions, width)).astype(np.float32)


@pytest.mark.parametrize(("width", "sample"), [(4, 2048), (700, 2800)])
def test_fits_once_when_many_positions_were_seen(width: int, sample: int) -> None:
    watched, positions = Watched(), 500
    fitting = Fitting(watched, states(10, width))  # type: ignore[arg-type]  # all it calls is fit
    asked = 0

    def hidden() -> Any:
        nonlocal asked
        asked += 1
        return states(positions, width)

    def see() -> None:
        fitting.see(np.array([200, 0, 300]), hidden)

    for _ in range(65_536 // positions):
        see()
    assert (asked, watched.fits) == (0, [])
    see()
    assert asked == 1
    while asked * positions < sample:
        assert watched.fits == []
        see()
    ((*_, together, lengths),) = watched.fits
    assert together.tobytes() == np.concatenate([states(positions, width)] * asked).tobytes()
    assert lengths.tolist() == [200, 0, 300] * asked
    before = asked
    see()
    assert (asked, len(watched.fits)) == (before, 1)


def test_lone_texts_are_never_waited_for() -> None:
    watched = Watched()
    fitting = Fitting(watched, states(10, 4))  # type: ignore[arg-type]  # all it calls is fit

    def hidden() -> Any:
        raise AssertionError("asked for hidden states")

    for _ in range(1000):
        fitting.see(np.array([100]), hidden)
    assert watched.fits == []


def test_a_head_that_was_fitted_meanwhile_gives_the_same_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(3)
    weight, bias = spread(random, 900, 20), random.normal(size=900).astype(np.float32) - 4
    side, ids = Side("mlm", "log1p", "max"), [np.zeros(n, np.uint32) for n in (90, 1, 200)]
    texts = [spread(random, 291, 20) for _ in range(240)]  # more than are seen before it is fitted
    plain = kernels.encoders.Head(kernels.instruction_set("encoders"), weight, bias)
    head = TermHead(Path("model"), (weight, bias))
    fits = 0

    def counting(*arguments: Any) -> Any:
        nonlocal fits
        fits += 1
        return balanced(*arguments)

    # A fit changes how long rows take and nothing else that could be seen.
    monkeypatch.setattr(screening, "balanced", counting)
    expected = [plain.pool(hidden, np.array([90, 1, 200]), 0, 1, False) for hidden in texts]
    with ThreadPoolExecutor(4) as threads:
        rows = list(threads.map(lambda hidden: head.rows(side, ids, hidden), texts))
    assert fits == 1
    assert sum(terms.size for of in rows for terms, _ in of) > 1000
    for found, (_, terms, weights) in zip(rows, expected, strict=True):
        assert np.concatenate([own for own, _ in found]).tobytes() == terms.tobytes()
        assert np.concatenate([own for _, own in found]).tobytes() == weights.tobytes()

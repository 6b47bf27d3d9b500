"""Fitting: the loss by an independent formula, what it leads to, and what cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lsr.encoders.latent.autoencoder import Autoencoder, Floats
from lsr.encoders.training.autoencoder_fit import Fitting, fit
from lsr.errors import EncoderError
from lsr.progress import Progress, Silent


def mixtures(documents: int = 150, seed: int = 0) -> Floats:
    """Vectors of unit length, each of two of 12 directions."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((12, 16))
    made = np.stack(
        [directions[random.choice(12, 2, replace=False)].sum(axis=0) for _ in range(documents)]
    )
    made += 0.05 * random.standard_normal(made.shape)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def decoded(made: Autoencoder, vectors: Floats) -> np.ndarray:
    rows = made.rows(vectors, unit=False)
    return np.stack([weights @ made.weight[terms] + made.pre_bias for terms, weights in rows])


def left(made: Autoencoder, vectors: Floats) -> float:
    """The squared error of the reconstruction over the variance."""
    error = ((decoded(made, vectors) - vectors) ** 2).mean()
    return float(error / ((vectors - vectors.mean(axis=0)) ** 2).mean())


def state(vectors: Floats, latents: int = 40, active: int = 3) -> Fitting:
    own = torch.from_numpy(vectors)
    return Fitting(own, float(((own - own.mean(0)) ** 2).mean()), latents, active, 0)


@pytest.mark.parametrize("dead", [[], [0], [3, 7, 30], range(40)])
def test_the_loss_is_the_formulas(dead: list[int]) -> None:
    """L_k + L_4k / 8 + NMSE_aux / 32 + .1 InfoNCE, text by text and latent by latent."""
    vectors = mixtures()
    fitting = state(vectors)
    with torch.no_grad():
        fitting.latent_bias += 0.01 * torch.arange(40)
        fitting.pre_bias += 0.02
    fitting.idle[:] = 29  # one step more, and still not dead
    fitting.idle[list(dead)] = 30
    x = vectors[:20].astype(np.float64)
    weight, pre, bias = (
        own.detach().numpy().astype(np.float64)
        for own in (fitting.weight, fitting.pre_bias, fitting.latent_bias)
    )

    def encode(row: np.ndarray, k: int, among: list[int]) -> np.ndarray:
        a = {i: weight[i] @ (row - pre) + bias[i] for i in among}
        z = np.zeros(40)
        for i in sorted(a, key=lambda i: -a[i])[:k]:
            z[i] = max(a[i], 0)
        return z

    every = list(range(40))
    z3, z12 = (np.stack([encode(row, k, every) for row in x]) for k in (3, 12))
    variance = vectors.var(axis=0, dtype=np.float64).mean()
    rest = x - (z3 @ weight + pre)
    expected = (rest**2).mean() / variance
    expected += ((x - (z12 @ weight + pre)) ** 2).mean() / variance / 8
    unit = z3 / np.linalg.norm(z3, axis=1, keepdims=True)
    similar = np.exp(unit @ unit.T / 0.2)
    expected += 0.1 * -np.log(np.diag(similar) / similar.sum(axis=1)).mean()
    # Latents that were active in this batch are not dead any more.
    still = [i for i in dead if not z3[:, i].any()]
    if still:
        aux = np.stack([encode(row, 8, still) for row in x]) @ weight
        expected += ((aux - rest) ** 2).mean() / rest.var(axis=0).mean() / 32
    found = fitting.loss(torch.from_numpy(vectors[:20])).item()
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(dead) < 2 or still


def test_dead_latents_get_gradients_by_the_auxiliary_term_alone() -> None:
    vectors = mixtures()
    fitting = state(vectors)
    with torch.no_grad():
        fitting.latent_bias[5] = -100.0
        fitting.latent_bias[6] = 100.0
    fitting.idle[5] = 31
    batch = torch.from_numpy(vectors[:20])
    fitting.loss(batch).backward()
    assert fitting.weight.grad is not None
    assert not fitting.weight.grad[5].any()  # its rectified latent is 0 here too
    with torch.no_grad():
        fitting.latent_bias[5] = 0.0
        fitting.latent_bias[7:] = 100.0
    fitting.weight.grad = None
    fitting.loss(batch).backward()
    assert fitting.idle[5] == 33
    assert fitting.idle[7] == 0 or fitting.idle[8] == 0
    assert fitting.weight.grad is not None
    assert fitting.weight.grad[5].any()


def test_the_auxiliary_term_moves_dead_latents_alone() -> None:
    """What the others leave is given to it."""
    vectors = torch.from_numpy(mixtures()[:20])
    gradients = []
    for idle in (0, 30):
        fitting = state(mixtures())
        with torch.no_grad():
            fitting.latent_bias[:5] -= 9.0  # active never, but in the auxiliary term
            fitting.latent_bias[:5] += torch.where(torch.arange(5) < 3, 8.9, 0.0)
        fitting.idle[:5] = idle
        fitting.loss(vectors).backward()
        assert fitting.weight.grad is not None
        gradients.append(fitting.weight.grad.numpy())
    before, after = gradients
    live = np.arange(40) >= 5
    assert np.allclose(before[live], after[live], atol=1e-7)
    assert not np.allclose(before[:5], after[:5], atol=1e-7)


def test_what_is_fitted_reconstructs() -> None:
    vectors = mixtures()
    before = state(vectors)
    start = Autoencoder(
        before.weight.detach().numpy(),
        before.pre_bias.detach().numpy(),
        np.zeros(40, np.float32),
        3,
    )
    made = fit(vectors, 40, 3)
    assert made.weight.shape == (40, 16)
    assert made.active == 3
    assert left(made, vectors) < 0.75 * left(start, vectors)


def test_the_first_reconstruction_has_the_right_size() -> None:
    """The best scale of what W gives is what it is given: scaling it further only harms."""
    vectors = mixtures()
    fitting = state(vectors, active=8)
    centred = vectors - vectors.mean(axis=0)
    weight = fitting.weight.detach().numpy()
    a = centred @ weight.T
    kept = np.where(a >= np.sort(a, axis=1)[:, [-8]], np.maximum(a, 0), 0)
    made = kept @ weight
    assert (centred * made).sum() / (made * made).sum() == pytest.approx(1, rel=1e-3)


@pytest.mark.usefixtures("short_fits")
def test_the_same_seed_gives_the_same_and_another_another() -> None:
    vectors = mixtures()
    first, second, other = (fit(vectors, 40, 3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.weight, second.weight)
    assert np.array_equal(first.pre_bias, second.pre_bias)
    assert np.array_equal(first.latent_bias, second.latent_bias)
    assert not np.array_equal(first.weight, other.weight)


@pytest.mark.usefixtures("short_fits")
def test_what_is_global_stays_as_it_was() -> None:
    before, generator = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        fit(mixtures(), 40, 3)
        assert torch.get_num_threads() == 2
        with pytest.raises(EncoderError):
            fit(np.ones((3, 4), np.float32), 8, 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.usefixtures("short_fits")
@pytest.mark.parametrize("documents", [2, 5, 63, 65, 255, 257])
def test_fewer_documents_than_a_batch_or_than_latents(documents: int) -> None:
    vectors = mixtures(documents)
    made = fit(vectors, 64, 2)
    assert left(made, vectors) < 0.5


def test_as_many_steps_as_the_collection_needs() -> None:
    seen: list[tuple[str, int | None]] = []
    moved: list[int] = []

    class Seen(Silent):
        def __init__(self, what: str, unit: str, total: int | None = None) -> None:
            super().__init__()
            seen.append((what, total))

        def advance(self, count: int, *, free: bool = False) -> None:
            moved.append(count)

    watched: type[Progress] = Seen
    fit(mixtures(8000), 40, 3, progress=watched)
    assert seen == [("Fitting", 312)]  # 10 passes of 8,000 documents by 256
    assert sum(moved) == 312


@pytest.mark.parametrize(
    ("vectors", "latents", "active", "message"),
    [
        (np.ones((5, 4), np.float32), 8, 2, "two different documents"),
        (np.ones((1, 4), np.float32), 8, 2, "two different documents"),
        (np.ones((0, 4), np.float32), 8, 2, "two different documents"),
        (mixtures(9), 8, 9, "9 of 8 latents cannot be active"),
        (mixtures(9), 8, 0, "0 of 8 latents cannot be active"),
    ],
)
def test_what_cannot_be_fitted(vectors: Floats, latents: int, active: int, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        fit(vectors, latents, active)

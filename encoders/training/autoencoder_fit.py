"""Fitting a top-k autoencoder to dense vectors, without judgments.

The loss is CSR's (T. Wen et al., "Beyond Matryoshka: Revisiting sparse coding for adaptive
representation", ICML 2025):

    L_k + L_4k / 8 + NMSE_aux / 32 + .1 InfoNCE

L_k and L_4k are the squared errors of the reconstruction from the k and the 4k largest latents,
here over the variance of the vectors: so the terms weigh the same whatever the vectors' length
and dimensions, where the paper's depends on them.  NMSE_aux is how well latents that have not been
active for `_DEAD` steps reconstruct the rest that k leave.  InfoNCE, at temperature .2, parts the
latents of different vectors, each its own positive, as in the authors' code where there are no
pairs.

Also ours: b_pre starts as the mean, and the rows of W as vectors of the collection less the mean,
scaled so that the first reconstruction has the right size; the step size (Adam) is larger, because
there are fewer steps.  Those were chosen on Cranfield and Vaswani.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from lsr.encoders.latent.autoencoder import Autoencoder, Floats
from lsr.errors import EncoderError
from lsr.progress import Progress, Silent

BATCH = 256
LEAST_STEPS = 300
PASSES = 10  # over the collection, at least

_STEP = 1e-3
_DECAY = 0.2  # of the steps, at the end, in which the step size goes to 0
_MORE = 4  # times k
_MORE_WEIGHT = 1 / 8
_AUX_WEIGHT = 1 / 32
_CONTRAST_WEIGHT = 0.1
_TEMPERATURE = 0.2
_DEAD = 30


def fit(
    vectors: Floats,
    latents: int,
    active: int,
    *,
    seed: int = 0,
    progress: type[Progress] = Silent,
) -> Autoencoder:
    """An autoencoder of vectors, (documents, dimensions), with so many latents.

    Args:
        active: latents of a vector, k.
        seed: the same one gives the same result on the same machine.

    Raises `EncoderError` when there are not two different vectors, or fewer latents than `active`.
    """
    if not 1 <= active <= latents:
        raise EncoderError(
            f"{active} of {latents} latents cannot be active; give a number from 1 to {latents}"
        )
    tensor = torch.from_numpy(vectors)
    variance = ((tensor - tensor.mean(0)) ** 2).mean() if len(tensor) else torch.tensor(0.0)
    if not variance > 0:
        raise EncoderError("an autoencoder needs two different documents at least; give more")
    before = torch.get_num_threads()
    # Products this small gain little by more threads, lose much by busy neighbours, and would
    # depend on how many there are.
    torch.set_num_threads(1)
    try:
        return Fitting(tensor, float(variance), latents, active, seed).run(progress)
    finally:
        torch.set_num_threads(before)


class Fitting:
    """The parameters on their way.

    Attributes:
        weight, pre_bias, latent_bias: as of the `Autoencoder`; they get gradients.
        idle: int64, (latents,): steps since each was active.
    """

    def __init__(
        self, vectors: torch.Tensor, variance: float, latents: int, active: int, seed: int
    ) -> None:
        self._vectors, self._variance = vectors, variance
        self._latents, self._active = latents, active
        self._random = torch.Generator().manual_seed(seed)
        self.weight, self.pre_bias = self._start()
        self.latent_bias = torch.zeros(latents, requires_grad=True)
        self.idle = torch.zeros(latents, dtype=torch.int64)

    def _start(self) -> tuple[torch.Tensor, torch.Tensor]:
        vectors, random = self._vectors, self._random
        mean = vectors.mean(0)
        drawn = torch.cat([self._shuffled() for _ in range(-(-self._latents // len(vectors)))])[
            : self._latents
        ]
        weight = vectors[drawn] - mean
        # A little noise parts the rows that are of one vector.
        weight += 0.01 * weight.std() * torch.randn(weight.shape, generator=random)
        weight /= weight.norm(dim=1, keepdim=True).clamp(min=1e-12)
        sample = vectors[self._shuffled()[:1024]] - mean
        values, indices = torch.topk(sample @ weight.T, self._active, dim=1)
        first = _spread(values.relu(), indices, self._latents) @ weight
        scale = (sample * first).sum() / (first * first).sum().clamp(min=1e-12)
        return (weight * scale.clamp(min=1e-3).sqrt()).requires_grad_(), mean.requires_grad_()

    def _shuffled(self) -> torch.Tensor:
        return torch.randperm(len(self._vectors), generator=self._random)

    def run(self, progress: type[Progress]) -> Autoencoder:
        batch = min(BATCH, len(self._vectors))
        steps = max(LEAST_STEPS, PASSES * len(self._vectors) // batch)
        parameters = [self.weight, self.pre_bias, self.latent_bias]
        optimizer = torch.optim.Adam(parameters, _STEP, eps=6.25e-10)
        order, at = self._shuffled(), 0
        with progress("Fitting", "steps", steps) as bar:
            for step in range(steps):
                optimizer.param_groups[0]["lr"] = _STEP * min(1, (steps - step) / (steps * _DECAY))
                if at + batch > len(order):
                    order, at = self._shuffled(), 0
                loss = self.loss(self._vectors[order[at : at + batch]])
                at += batch
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
                optimizer.step()
                bar.advance(1)
        weight, pre_bias, latent_bias = (parameter.detach().numpy() for parameter in parameters)
        return Autoencoder(weight, pre_bias, latent_bias, self._active)

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        """The loss of some vectors, (texts, dimensions), as one step counts it."""
        k, weight, pre_bias = self._active, self.weight, self.pre_bias
        activations = batch @ weight.T + (self.latent_bias - weight @ pre_bias)
        values, indices = torch.topk(activations, min(_MORE * k, self._latents), dim=1)
        values = values.relu()
        latents = _spread(values[:, :k], indices[:, :k], self._latents)
        rest = batch - latents @ weight - pre_bias
        more = batch - _spread(values, indices, self._latents) @ weight - pre_bias
        unit = latents / latents.norm(dim=1, keepdim=True).clamp(min=1e-8)
        loss = (
            (rest**2).mean() / self._variance
            + _MORE_WEIGHT * (more**2).mean() / self._variance
            + _CONTRAST_WEIGHT
            * cross_entropy(unit @ unit.T / _TEMPERATURE, torch.arange(len(batch)))
        )
        self.idle = torch.where((latents > 0).any(0), 0, self.idle + 1)
        dead = (self.idle > _DEAD).nonzero()[:, 0]
        if len(dead):
            loss = loss + _AUX_WEIGHT * self._auxiliary(
                activations[:, dead], weight[dead], rest.detach()
            )
        return loss

    def _auxiliary(
        self, activations: torch.Tensor, weight: torch.Tensor, rest: torch.Tensor
    ) -> torch.Tensor:
        """The error of dead latents at reconstructing the residual, over its variance."""
        most = min(self._vectors.shape[1] // 2, activations.shape[1])
        values, indices = torch.topk(activations, max(most, 1), dim=1)
        reconstruction = _spread(values.relu(), indices, activations.shape[1]) @ weight
        return ((reconstruction - rest) ** 2).mean() / ((rest - rest.mean(0)) ** 2).mean().clamp(
            min=1e-12
        )


def _spread(values: torch.Tensor, indices: torch.Tensor, columns: int) -> torch.Tensor:
    """Rows of so many columns with values at their indices, else 0."""
    return torch.zeros(len(values), columns).scatter(1, indices, values)

"""The prior over weights for other methods: with latents to be sampled, or with the codes of all units given.

    nuts.fit(net, Train(x, y, likelihood, prior=hierarchical()), {"scope": "all", ...})
    hmc.fit(net, Train(x, y, likelihood, prior=GivenCodes()), {"scope": "all", ...})

Weights are those of the global model of `metagp` at the start of a fit: N(0, s^2 K / fan_in) given the codes, where
fan_in counts the constant unit. Inputs are taken as they are; `metagp` divides them by their root mean square.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import log, pi
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from bnnbench.bayes.gp_weights.kernels import rbf
from bnnbench.bayes.gp_weights.units import Wiring
from bnnbench.bayes.noise import normal
from bnnbench.bayes.prior import NumpyroPrior, Shapes

if TYPE_CHECKING:
    import jax

EPSILON = 1e-6  # added to the diagonal of K


def wiring_of(shapes: Shapes) -> Wiring:
    """The units of a net of linear layers, from its parameters' shapes by name.

    `ValueError` where layers do not follow each other.
    """
    weights = {name.removesuffix("weight"): shape for name, shape in shapes.items() if name.endswith("weight")}
    biases = tuple(f"{name}bias" in shapes for name in weights)
    sizes = list(weights.values())
    chained = all(after[1] == before[0] for before, after in pairwise(sizes) if len(after) == 2)
    if not sizes or any(len(size) != 2 for size in sizes) or not chained or len(shapes) != len(sizes) + sum(biases):
        raise ValueError(f"prior: a process over codes of units needs linear layers, and the net has {dict(shapes)}")
    return Wiring((sizes[0][1], *(size[0] for size in sizes)), biases, ((),) * (len(sizes) + 1))


def order(wiring: Wiring) -> Tensor:
    """For each parameter in the order of a net [P], its place among the codes of weights."""
    places = torch.arange(wiring.n_weights)
    return wiring.flattened(wiring.matrices(places[None]))[0]


def factors(wiring: Wiring) -> Tensor:
    """1 / sqrt(fan_in) of each parameter in the order of a net [P]."""
    shapes = zip(wiring.widths[1:], wiring.n_senders, wiring.factors, strict=True)
    parts = [torch.full((1, out, senders), factor, dtype=torch.float64) for out, senders, factor in shapes]
    return wiring.flattened(parts)[0]


@dataclass(frozen=True)
class GivenCodes:
    """N(0, s^2 K / fan_in) over all weights, with latents of units that are drawn once from the prior by `seed`.

    K is dense, so this is for nets of a few thousand weights.
    """

    latent: int = 2
    variance: float = 2.0
    length: float = 1.0
    seed: int = 0

    def on(self, shapes: Shapes, like: Tensor) -> "DenseNormal":
        """The density of parameters with these shapes."""
        wiring = wiring_of(shapes)
        stream = Generator().manual_seed(self.seed)
        latents = torch.randn(1, sum(wiring.n_units), self.latent, generator=stream, dtype=torch.float64)
        codes = wiring.codes(latents)[0][order(wiring)]
        length = torch.full((codes.shape[1],), self.length, dtype=torch.float64)
        scales = self.variance**0.5 * factors(wiring)
        kernel = rbf(codes, codes, length) + EPSILON * torch.eye(len(codes), dtype=torch.float64)
        return DenseNormal((scales[:, None] * torch.linalg.cholesky(kernel)).to(like))


@dataclass(frozen=True)
class DenseNormal:
    """N(0, L L^T) with the lower triangular `root` L [P, P]."""

    root: Tensor

    def log_prob(self, theta: Tensor) -> Tensor:
        """-|L^-1 theta|^2 / 2 - log det L - P / 2 log 2 pi for theta [S, P]: [S]."""
        white = torch.linalg.solve_triangular(self.root.to(theta), theta.mT, upper=False)
        log_det = self.root.diagonal().log().sum()
        values: Tensor = -0.5 * white.square().sum(0) - log_det - 0.5 * len(self.root) * log(2 * pi)
        return values

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        draws: Tensor = normal((n_draws, len(self.root)), generator, self.root) @ self.root.mT
        return draws

    def log_prob_jax(self, theta: "jax.Array") -> "jax.Array":
        """The log density without its constant."""
        from jax.scipy.linalg import solve_triangular

        return -0.5 * (solve_triangular(self.root.cpu().numpy(), theta, lower=True) ** 2).sum()


def hierarchical(latent: int = 2, variance: float = 2.0, length: float = 1.0) -> NumpyroPrior:
    """The whole prior: latents of units z ~ N(0, I), and weights from the process given their codes.

    Sites "latents" [U, D] and "raw" [P], both standard normal a priori, are kept with the draws of weights.
    """

    def weights(shapes: Shapes) -> Mapping[str, Any]:
        import jax.numpy as jnp
        import numpyro
        from numpyro import distributions as dist

        wiring = wiring_of(shapes)
        n_units, n_weights = sum(wiring.n_units), wiring.n_weights
        z = numpyro.sample("latents", dist.Normal(0.0, 1.0).expand([n_units, latent]).to_event(2))
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([n_weights]).to_event(1))
        senders, receivers = ends(wiring)
        codes = jnp.concatenate([z[senders.numpy()], z[receivers.numpy()]], axis=1) / length
        squares = ((codes[:, None] - codes[None]) ** 2).sum(-1)
        root = jnp.linalg.cholesky(jnp.exp(-0.5 * squares) + EPSILON * jnp.eye(n_weights))
        flat = variance**0.5 * factors(wiring).numpy() * (root @ raw)
        ends_at = torch.tensor([shape.numel() for shape in shapes.values()]).cumsum(0).tolist()
        parts = jnp.split(flat, ends_at[:-1])
        return {name: part.reshape(tuple(shape)) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    return NumpyroPrior(weights, name=f"gp_weights.hierarchical({latent}, {variance}, {length})")


def ends(wiring: Wiring) -> tuple[Tensor, Tensor]:
    """The units that each parameter connects: numbers of its sender and of its receiver among all units, both [P]."""
    units = torch.arange(sum(wiring.n_units), dtype=torch.float64)[None, :, None]
    codes = wiring.codes(units)[0][order(wiring)].long()
    return codes[:, 0], codes[:, 1]

"""Kernel implicit variational inference (Shi, Sun, Zhu 2018): the divergence from the prior by a density ratio.

The ratio r = p / q of prior and approximation is fitted by the function in the space of a kernel k that minimises

    1/2 E_q[(r - p / q)^2] + l / 2 |r|^2,

which has a closed form where draws stand for p and q. The divergence of q from p is -E_q[log r]; its gradient takes
the fitted function as given, since the derivative of log q in its own parameters is 0 on average.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.batch_norms import RecalibratedPosterior
from bnnbench.bayes.implicit.family import Family, ImplicitParams, family
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import Train, method
from bnnbench.bayes.training import descend
from bnnbench.bayes.weights import NetPosterior

SMALLEST = 1e-8  # a ratio below it is set to it, since a fitted one may be negative


class KIVIParams(ImplicitParams):
    """Parameters of kernel implicit variational inference."""

    kl_weight: NonNegativeFloat = Field(1.0, description="factor of the divergence from the prior; 1 is the bound")
    ridge: PositiveFloat = Field(0.001, description="l, the weight of the norm")
    compared: PositiveInt = Field(50, ge=2, description="draws of q and of the prior by which a step fits the ratio")


@dataclass(frozen=True)
class DensityRatio:
    """The fitted ratio p / q: theta -> (mean of k(theta, p_m) - mean of k(theta, q_n) r_n) / l.

    p_m [M, P] and q_n [N, P] are draws, r_n [N] the ratio at q_n, and k(a, b) = exp(-|a - b|^2 / 2 h^2) with h^2 half
    the median of the squared distances of all draws. With kernel matrices K of the q_n and C between both,
    r = (K / N + l I)^-1 C 1 / M. All is in double precision, since the ratio is a difference divided by the small l.
    """

    of: Tensor
    over: Tensor
    at_over: Tensor
    width: Tensor
    ridge: float

    def __call__(self, theta: Tensor) -> Tensor:
        """The ratio at theta [S, P], at least `SMALLEST`: [S]."""
        theta = theta.double()
        near_of, near_over = (_kernel(theta, draws, self.width) for draws in (self.of, self.over))
        ratio: Tensor = (near_of.mean(1) - near_over @ self.at_over / len(self.over)) / self.ridge
        return ratio.clamp_min(SMALLEST)


@torch.no_grad()
def density_ratio(of: Tensor, over: Tensor, ridge: float) -> DensityRatio:
    """The ratio of the densities of draws `of` [M, P] and draws `over` [N, P]."""
    of, over = of.double(), over.double()
    squares = torch.pdist(torch.cat([over, of])).square()
    width = squares.median().clamp_min(torch.finfo(squares.dtype).tiny) / 2
    inside, across = _kernel(over, over, width), _kernel(over, of, width)
    shifted = inside / len(over) + ridge * torch.eye(len(over), dtype=over.dtype, device=over.device)
    return DensityRatio(of, over, torch.linalg.solve(shifted, across.mean(1)), width, ridge)


def _kernel(a: Tensor, b: Tensor, width: Tensor) -> Tensor:
    return torch.exp(-torch.cdist(a, b).square() / (2 * width))


@method("kivi", KIVIParams)
def kivi(
    model: nn.Module, train: Train, params: KIVIParams, generator: Generator, journal: Journal
) -> NetPosterior | RecalibratedPosterior:
    """Maximises the bound whose divergence is that of the fitted ratio."""
    own = family(model, train, params, "kivi")
    descend(own.implicit, _bound(own, params, generator), len(train), params.training, generator, journal)
    return own.posterior()


def _bound(own: Family, params: KIVIParams, stream: Generator) -> Callable[[Tensor, float], dict[str, Tensor]]:
    n_points = len(own.train)

    def terms(rows: Tensor, _: float) -> dict[str, Tensor]:
        theta = own.implicit.draw(max(params.samples, params.compared), stream).theta
        prior = own.prior.sample(params.compared, stream)
        made = theta[: params.compared]
        ratio = density_ratio(prior, made.detach(), params.ridge)
        return {
            "data": own.nll(theta[: params.samples], rows, stream),
            "kl": -params.kl_weight / n_points * ratio(made).log().mean().to(theta),
        }

    return terms

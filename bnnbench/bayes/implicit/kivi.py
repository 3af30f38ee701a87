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
        return _ratio(near_of, near_over, self.at_over, self.ridge)


@torch.no_grad()
def density_ratio(of: Tensor, over: Tensor, ridge: float) -> DensityRatio:
    """The ratio of the densities of draws `of` [M, P] and draws `over` [N, P]."""
    of, over = of.double(), over.double()
    width = _width(of, over)
    at_over = _at_over(_kernel(over, of, width), _kernel(over, over, width), ridge)
    return DensityRatio(of, over, at_over, width, ridge)


def ratio_at_draws(of: Tensor, over: Tensor, ridge: float) -> Tensor:
    """`density_ratio(of, over.detach(), ridge)(over)` [N]: fit and values take the same kernels, computed once."""
    of, over = of.double(), over.double()
    fixed = over.detach()
    width = _width(of, fixed)
    near_of, near_over = (_kernel(over, draws, width) for draws in (of, fixed))
    return _ratio(near_of, near_over, _at_over(near_of.detach(), near_over.detach(), ridge), ridge)


def _width(of: Tensor, over: Tensor) -> Tensor:
    squares = torch.pdist(torch.cat([over, of])).square()
    return squares.median().clamp_min(torch.finfo(squares.dtype).tiny) / 2


def _at_over(across: Tensor, inside: Tensor, ridge: float) -> Tensor:
    """r [N] of the kernel matrices C [N, M] and K [N, N]."""
    shifted = inside / len(inside) + ridge * torch.eye(len(inside), dtype=inside.dtype, device=inside.device)
    at_over: Tensor = torch.linalg.solve(shifted, across.mean(1))
    return at_over


def _ratio(near_of: Tensor, near_over: Tensor, at_over: Tensor, ridge: float) -> Tensor:
    """The ratio [S] of the kernels [S, M] and [S, N] between its places and the draws."""
    return ((near_of.mean(1) - near_over @ at_over / len(at_over)) / ridge).clamp_min(SMALLEST)


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
        ratio = ratio_at_draws(prior, made, params.ridge)
        return {
            "data": own.nll(theta[: params.samples], rows, stream),
            "kl": -params.kl_weight / n_points * ratio.log().mean().to(theta),
        }

    return terms

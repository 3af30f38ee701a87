"""The prior precision of a Laplace approximation: by marginal likelihood, by validation, or given."""

from collections.abc import Callable, Sequence
from math import exp, isfinite, log

import torch
from scipy.optimize import brentq
from torch import Tensor

BOUNDS = (1e-8, 1e12)


def log_evidence(log_likelihood: float, mean: Tensor, eigenvalues: Tensor, precision: float) -> float:
    """Laplace's log marginal likelihood for the prior N(0, I / precision).

    `log_likelihood` is that of the data at `mean` [P]; `eigenvalues` [P] are those of the curvature there:
    log p(D | mean) - precision / 2 |mean|^2 + P / 2 log precision - 1/2 sum_i log(e_i + precision).
    """
    eigenvalues, squares = eigenvalues.double(), mean.double().square().sum().item()
    volume = 0.5 * (len(eigenvalues) * log(precision) - torch.log(eigenvalues + precision).sum().item())
    return log_likelihood - 0.5 * precision * squares + volume


def evidence_optimum(mean: Tensor, eigenvalues: Tensor) -> float:
    """The precision that maximises `log_evidence`, within `BOUNDS`.

    Its derivative in log precision is (sum_i e_i / (e_i + tau) - tau |mean|^2) / 2: the first term falls with tau (the
    effective number of parameters) and the second rises, so there is one root, and bisection cannot miss it.
    """
    eigenvalues, squares = eigenvalues.double(), mean.double().square().sum().item()

    def slope(log_precision: float) -> float:
        tau = exp(log_precision)
        return (eigenvalues / (eigenvalues + tau)).sum().item() - tau * squares

    low, high = log(BOUNDS[0]), log(BOUNDS[1])
    if slope(low) <= 0:
        return BOUNDS[0]
    if slope(high) >= 0:
        return BOUNDS[1]
    return exp(brentq(slope, low, high, xtol=1e-10))


def evidence_adam(mean: Tensor, eigenvalues: Tensor, steps: int = 100, rate: float = 0.1) -> float:
    """As published: Adam on log precision from 0 (precision 1), which need not have arrived when it stops."""
    eigenvalues, squares = eigenvalues.double(), mean.double().square().sum()
    log_precision = torch.zeros((), dtype=torch.float64, device=mean.device, requires_grad=True)
    optimizer = torch.optim.Adam([log_precision], lr=rate)
    for _ in range(steps):
        tau = log_precision.detach().exp()
        log_precision.grad = 0.5 * (tau * squares - (eigenvalues / (eigenvalues + tau)).sum())
        optimizer.step()
    return exp(log_precision.item())


def by_validation(loss: Callable[[float], float], grid: Sequence[float]) -> float:
    """The precision of `grid` with the lowest validation loss; the first of them where several are equal.

    A loss that is not finite is worse than any other; `ValueError` where all are so.
    """
    losses = {precision: loss(precision) for precision in grid}
    finite = [precision for precision in grid if isfinite(losses[precision])]
    if not finite:
        raise ValueError(
            f"no precision from {min(grid):g} to {max(grid):g} has a finite validation loss; widen the grid"
        )
    return min(finite, key=losses.__getitem__)

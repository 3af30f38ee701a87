"""The prior precision of a Laplace approximation: by marginal likelihood, by validation, or given."""

import warnings
from collections.abc import Callable, Sequence
from math import exp, isfinite, log

import torch
from scipy.optimize import brentq
from torch import Tensor

from bnnbench.errors import ResultWarning

BOUNDS = (1e-8, 1e12)
ARRIVED = 0.05  # distance from the optimum in log precision within which Adam counts as converged


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

    Its derivative with respect to log precision is (sum_i e_i / (e_i + tau) - tau |mean|^2) / 2. The first term, the
    effective number of parameters, falls with tau, and the second rises, so there is one root, which bracketing finds.
    Where it lies beyond `BOUNDS`, the bound is returned with a `ResultWarning`.
    """
    optimum = _evidence_root(mean, eigenvalues)
    if optimum in BOUNDS:
        side, way = ("lower", "falls") if optimum == BOUNDS[0] else ("upper", "rises")
        warnings.warn(
            f"prior precision: {optimum:g} is the {side} bound of the search, not an optimum: the marginal likelihood "
            f"still rises where the precision {way} further",
            ResultWarning,
            stacklevel=2,
        )
    return optimum


def _evidence_root(mean: Tensor, eigenvalues: Tensor) -> float:
    """The precision at which the derivative of `log_evidence` is zero, or the bound beyond which it lies."""
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
    """The precision found by Adam on log precision from 0 (precision 1), as published.

    A `ResultWarning` where it stops further than `ARRIVED` in log precision from the optimum, or where the optimum is
    beyond `BOUNDS`.
    """
    eigenvalues, squares = eigenvalues.double(), mean.double().square().sum()
    log_precision = torch.zeros((), dtype=torch.float64, device=mean.device, requires_grad=True)
    optimizer = torch.optim.Adam([log_precision], lr=rate)
    for _ in range(steps):
        tau = log_precision.detach().exp()
        log_precision.grad = 0.5 * (tau * squares - (eigenvalues / (eigenvalues + tau)).sum())
        optimizer.step()
    precision, optimum = exp(log_precision.item()), _evidence_root(mean, eigenvalues)
    if optimum in BOUNDS or abs(log(precision / optimum)) > ARRIVED:
        beyond = "beyond " if optimum in BOUNDS else "at "
        warnings.warn(
            f"prior precision: {steps} steps of Adam ended at {precision:.3g}, and the optimum of the marginal "
            f"likelihood is {beyond}{optimum:.3g}",
            ResultWarning,
            stacklevel=2,
        )
    return precision


def by_validation(loss: Callable[[float], float], grid: Sequence[float]) -> float:
    """The precision of `grid` with the lowest validation loss; the first one where several are equal.

    A loss that is not finite is worse than any other; `ValueError` where no loss is finite. A `ResultWarning` where the
    best precision is at an edge of the grid, beyond which there may be a better one.
    """
    losses = {precision: loss(precision) for precision in grid}
    finite = [precision for precision in grid if isfinite(losses[precision])]
    if not finite:
        raise ValueError(
            f"no precision from {min(grid):g} to {max(grid):g} has a finite validation loss; widen the grid"
        )
    best = min(finite, key=losses.__getitem__)
    if len(set(grid)) > 1 and best in (min(grid), max(grid)):
        side = "smallest" if best == min(grid) else "largest"
        warnings.warn(
            f"prior precision: {best:g} is the {side} of the grid that was tried on validation data, so that a better "
            "one may lie beyond",
            ResultWarning,
            stacklevel=2,
        )
    return best

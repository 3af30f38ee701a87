"""Metrics of predicted numbers; points [N], draws of a predictive distribution [S, N], in the units of the targets.

torchmetrics is not used: its CRPS holds all pairs of draws in memory and refuses a single draw, and of the other
metrics it has only RMSE.
"""

from math import pi, sqrt

import torch
from torch import Tensor

from bnnbench.metrics._check import numbers, quantile, same_shape, share


def rmse(predictions: Tensor, targets: Tensor) -> float:
    """Root mean squared error of predictions [N], or of the mean of draws [S, N]; targets [N].

    Raises ValueError for NaN, infinity or wrong shapes.
    """
    points = numbers(predictions, "predictions", dims=(1, 2))
    points = points.mean(dim=0) if points.dim() == 2 else points
    return (points - _targets(targets, points)).square().mean().sqrt().item()


def crps_gaussian(means: Tensor, noise: Tensor, targets: Tensor) -> float:
    """Mean continuous ranked probability score of normals N(mean, noise^2), closed form.

    means [N], noise (standard deviations) of a shape that broadcasts to it, targets [N]. Raises ValueError for NaN,
    infinity, wrong shapes or a noise that is not positive. Gneiting & Raftery (2007), eq. 21 (with the sign of a loss).
    """
    centres = numbers(means, "means")
    spread = _spread(noise, "noise", centres)
    z = (_targets(targets, centres) - centres) / spread
    density = (-0.5 * z.square()).exp() / sqrt(2 * pi)
    return (spread * (z * torch.erf(z / sqrt(2)) + 2 * density - 1 / sqrt(pi))).mean().item()


def crps(draws: Tensor, targets: Tensor, *, fair: bool = False) -> float:
    """Mean over points of `crps_each`."""
    return crps_each(draws, targets, fair=fair).mean().item()


def crps_each(draws: Tensor, targets: Tensor, *, fair: bool = False) -> Tensor:
    """Continuous ranked probability score of each point from draws: mean |X - y| - mean |X - X'| / 2, float64 [N].

    draws [S, N] of the predictive distribution, noise included; targets [N]. The mean over all S^2 pairs is the score
    of the draws themselves as a distribution (an ensemble); `fair` takes the S (S - 1) pairs of different draws, which
    estimates the score of the distribution that they come from without bias. Sorted draws give sum |x - x'| = 2 sum_i
    (2 i - S - 1) x_(i). Raises ValueError for NaN, infinity, wrong shapes or `fair` with one draw. Gneiting & Raftery
    (2007), eq. 20; Ferro (2014).
    """
    values = numbers(draws, "draws", dims=2)
    s = len(values)
    if fair and s < 2:
        raise ValueError("draws: fair needs at least two")
    errors = (values - _targets(targets, values)).sort(dim=0).values
    ranks = torch.arange(1 - s, s, 2, dtype=torch.float64, device=errors.device)
    return errors.abs().mean(dim=0) - ranks @ errors / (s * (s - 1) if fair else s**2)


def central_interval(draws: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Lower and upper bound [N] that leave (1 - level) / 2 of the draws [S, N] on either side.

    Quantiles are linear between order statistics. Raises ValueError for NaN, infinity, wrong shapes or a level
    outside (0, 1).
    """
    share(level, "level")
    ordered = numbers(draws, "draws", dims=2).sort(dim=0).values
    return quantile(ordered, (1.0 - level) / 2), quantile(ordered, (1.0 + level) / 2)


def coverage(low: Tensor, high: Tensor, targets: Tensor) -> float:
    """Share of targets [N] in [low, high], with the bounds [N]; ValueError for NaN, wrong shapes or high below low."""
    bottom, top = _bounds(low, high)
    values = _targets(targets, bottom)
    return ((bottom <= values) & (values <= top)).double().mean().item()


def width(low: Tensor, high: Tensor) -> float:
    """Mean of high - low, both [N]; ValueError for NaN, wrong shapes or high below low."""
    bottom, top = _bounds(low, high)
    return (top - bottom).mean().item()


def _targets(targets: Tensor, predictions: Tensor) -> Tensor:
    values = numbers(targets, "targets")
    if len(values) != predictions.shape[-1]:
        raise ValueError(f"targets: {len(values)} for {predictions.shape[-1]} predictions")
    return values.to(predictions.device)


def _spread(noise: Tensor, name: str, centres: Tensor) -> Tensor:
    spread = numbers(noise, name, dims=(0, 1, 2))
    if (spread <= 0).any():
        raise ValueError(f"{name}: not positive")
    try:
        return spread.to(centres.device).broadcast_to(centres.shape)
    except RuntimeError:
        raise ValueError(f"{name}: shape {tuple(noise.shape)} does not broadcast to {tuple(centres.shape)}") from None


def _bounds(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    bottom, top = numbers(low, "low"), numbers(high, "high")
    same_shape(top, "high", bottom, "low")
    if (top < bottom).any():
        raise ValueError("high: below low")
    return bottom, top

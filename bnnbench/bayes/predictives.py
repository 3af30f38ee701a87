"""Class probabilities from normally distributed logits (MacKay 1992; Gibbs 1997)."""

from math import pi

import torch
from torch import Generator, Tensor

from bnnbench.bayes.noise import normal


def binary_probit(mean: Tensor, variance: Tensor) -> Tensor:
    """Approximates the mean of sigmoid(f) under f ~ N(mean, variance), elementwise."""
    return torch.sigmoid(mean / torch.sqrt(1 + pi / 8 * variance))


def multiclass_probit(mean: Tensor, covariance: Tensor) -> Tensor:
    """Logits [N, C] whose softmax approximates the mean softmax under N(mean [N, C], covariance [N, C, C]).

    Every logit is shrunk by its own variance; covariances between logits are ignored (dissertation, eq. 1.42).
    """
    return mean / torch.sqrt(1 + pi / 8 * covariance.diagonal(dim1=-2, dim2=-1))


def normal_draws(mean: Tensor, covariance: Tensor, n_draws: int, generator: Generator | None = None) -> Tensor:
    """Draws [S, N, C] from N(mean [N, C], covariance [N, C, C]), independent between points.

    They use the symmetric root of the covariance, as it is continuous in the covariance (see `gaussian.LaplaceNormal`).
    """
    values, vectors = torch.linalg.eigh(covariance.double())
    root = ((vectors * values.clamp_min(0).sqrt().unsqueeze(-2)) @ vectors.mT).to(mean.dtype)
    noise = normal((n_draws, *mean.shape, 1), generator, mean)
    spread: Tensor = (root @ noise).squeeze(-1)
    return mean + spread

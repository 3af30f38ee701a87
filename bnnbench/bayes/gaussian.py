"""Normal distributions over parameters, as maps from standard normal noise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import log, pi
from typing import Protocol

import torch
from torch import Generator, Tensor

from bnnbench.bayes.curvature import Curvature
from bnnbench.bayes.noise import normal


class Affine(Protocol):
    """theta = mean + R e with e standard normal: a normal distribution with covariance R R^T."""

    @property
    def mean(self) -> Tensor:
        """Mean of the parameters [P]."""

    def push(self, e: Tensor) -> Tensor:
        """Maps noise [..., P] to parameters [..., P]."""

    def pull(self, theta: Tensor) -> Tensor:
        """Maps parameters back to noise."""

    def rows(self, positions: Tensor) -> Tensor:
        """Rows of R at `positions` [K]: [K, P]."""

    @property
    def log_det(self) -> Tensor:
        """log |det R|."""

    @property
    def marginal_variances(self) -> Tensor:
        """Diagonal [P] of the covariance."""


@dataclass(frozen=True)
class Standard:
    """N(0, I)."""

    mean: Tensor

    def push(self, e: Tensor) -> Tensor:
        """The noise itself."""
        return e

    def pull(self, theta: Tensor) -> Tensor:
        """The parameters themselves."""
        return theta

    def rows(self, positions: Tensor) -> Tensor:
        """Unit vectors."""
        return _units(positions, self.mean)

    @property
    def log_det(self) -> Tensor:
        """0."""
        return self.mean.new_zeros(())

    @property
    def marginal_variances(self) -> Tensor:
        """1."""
        return torch.ones_like(self.mean)


@dataclass(frozen=True)
class LaplaceNormal:
    """N(mean, (H + precision I)^-1) with H a curvature (MacKay 1992).

    R is the symmetric root Q diag(std) Q^T. Any R' = Q diag(std) V with orthogonal V gives the same distribution, but
    only the symmetric one is a continuous function of H. Eigenvectors of equal eigenvalues are determined only up to a
    rotation, and their signs are arbitrary, so that draws by Q diag(std) alone would jump with the last bit of H.
    """

    mean: Tensor
    curvature: Curvature
    precision: float

    @property
    def variances(self) -> Tensor:
        """Variances of the rotated parameters [P]."""
        return 1 / (self.curvature.eigenvalues + self.precision)

    @property
    def log_det(self) -> Tensor:
        """Half the log determinant of the covariance."""
        return 0.5 * self.variances.log().sum()

    def push(self, e: Tensor) -> Tensor:
        """mean + Q diag(std) Q^T e."""
        return self.mean + self._root(e)

    @cached_property
    def _root(self) -> Callable[[Tensor], Tensor]:
        return self.curvature.scaling(self.variances.sqrt())

    def pull(self, theta: Tensor) -> Tensor:
        """Q diag(1 / std) Q^T (theta - mean)."""
        return self.curvature.scaled(self.variances.rsqrt(), theta - self.mean)

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]; unlike `push`, this does not build and keep a matrix, which pays only for many draws."""
        e = normal((n_draws, len(self.mean)), generator, self.mean)
        return self.mean + self.curvature.scaled(self.variances.sqrt(), e)

    def log_prob(self, theta: Tensor) -> Tensor:
        """Log density at theta [..., P]."""
        return standard_log_prob(self.pull(theta)) - self.log_det

    def rows(self, positions: Tensor) -> Tensor:
        """Rows of Q diag(std) Q^T."""
        return self.curvature.scaled(self.variances.sqrt(), _units(positions, self.mean))

    @property
    def marginal_variances(self) -> Tensor:
        """Diagonal of the covariance [P]."""
        return self.curvature.marginal(self.variances)


def _units(positions: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(len(positions), len(like), dtype=like.dtype, device=like.device).scatter(
        1, positions[:, None], 1
    )


def standard_log_prob(e: Tensor) -> Tensor:
    """Log density of N(0, I) at e [..., P]."""
    return -0.5 * e.square().sum(-1) - 0.5 * e.shape[-1] * log(2 * pi)

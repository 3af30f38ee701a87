"""How targets depend on what a net puts out."""

from dataclasses import dataclass
from math import log, pi
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from bnnbench.bayes.posterior import ClassPredictive, Predictive, RealPredictive
from bnnbench.bayes.targets import check_labels, check_reals, check_shape

NOISES = 1e-15, 1e15  # a precision of 1 / noise^2 is still a number in float32


@runtime_checkable
class Likelihood(Protocol):
    """The distribution of targets y [N] given outputs [..., N, C]."""

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """Raises `ValueError` unless y are targets [N] of `n_points` points and of a net of `n_outputs` outputs."""

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """-log p(y | outputs) for each point [..., N], in nats; `ValueError` for targets that `check` refuses."""

    def hessian(self, outputs: Tensor) -> Tensor:
        """Second derivative of the negative log-likelihood in the outputs of a point: [N, C] to [N, C, C]."""

    def root(self, outputs: Tensor) -> Tensor:
        """A matrix R of each point with R R^T = `hessian`: [N, C] to [N, C, C]."""

    def predictive(self, outputs: Tensor) -> Predictive:
        """Draws of outputs [S, N, C] as predictions."""


class Categorical:
    """Classes from logits by softmax; y holds class indices."""

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """One of the classes 0 to `n_outputs` - 1 for each point, of any integer type."""
        check_labels(y, n_points, n_outputs, name)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """-log softmax(outputs)_y."""
        _check(self, outputs, y)
        labels = y.long().expand(outputs.shape[:-1])
        flat = functional.cross_entropy(outputs.flatten(0, -2), labels.reshape(-1), reduction="none")
        return flat.view(labels.shape)

    def hessian(self, outputs: Tensor) -> Tensor:
        """diag(p) - p p^T (refinement, section 2.3)."""
        p = outputs.softmax(-1)
        return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)

    def root(self, outputs: Tensor) -> Tensor:
        """Column k is sqrt(p_k) (e_k - p)."""
        p = outputs.softmax(-1)
        eye = torch.eye(p.shape[-1], dtype=p.dtype, device=p.device)
        return p.sqrt().unsqueeze(-2) * (eye - p.unsqueeze(-1))

    def predictive(self, outputs: Tensor) -> ClassPredictive:
        """The logits themselves."""
        return ClassPredictive(outputs)


@dataclass(frozen=True)
class Gaussian:
    """Real targets around one output, with a known standard deviation `noise` in the unit of the targets.

    `ValueError` for a noise that is not a number within `NOISES`.
    """

    noise: float

    def __post_init__(self) -> None:
        try:
            noise = float(self.noise)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            raise ValueError(f"noise: {self.noise!r} is no number") from None
        if not NOISES[0] <= noise <= NOISES[1]:
            raise ValueError(f"noise: {noise} is no standard deviation from {NOISES[0]:g} to {NOISES[1]:g}")
        object.__setattr__(self, "noise", noise)

    def check(self, y: Tensor, n_points: int, n_outputs: int, name: str = "y") -> None:
        """A finite number for each point, and one output."""
        _check_one(n_outputs)
        check_reals(y, n_points, name)

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Negative log density of N(outputs, noise^2) at y."""
        _check_one(outputs.shape[-1])
        _check(self, outputs, y)
        z = (y - outputs.squeeze(-1)) / self.noise
        return 0.5 * z.square() + (log(self.noise) + 0.5 * log(2 * pi))

    def hessian(self, outputs: Tensor) -> Tensor:
        """1 / noise^2."""
        return torch.full_like(outputs, self.noise**-2).unsqueeze(-1)

    def root(self, outputs: Tensor) -> Tensor:
        """1 / noise."""
        return torch.full_like(outputs, 1 / self.noise).unsqueeze(-1)

    def predictive(self, outputs: Tensor) -> RealPredictive:
        """Every draw with the same noise."""
        _check_one(outputs.shape[-1])
        mean = outputs.squeeze(-1)
        return RealPredictive(mean, torch.full_like(mean, self.noise))


def _check(likelihood: Likelihood, outputs: Tensor, y: Tensor) -> None:
    """As `check`; on a GPU by shape alone, since every step of a training would wait there for the values."""
    if y.is_cuda:
        check_shape(y, outputs.shape[-2])
    else:
        likelihood.check(y, *outputs.shape[-2:])


def _check_one(n_outputs: int) -> None:
    if n_outputs != 1:
        raise ValueError(f"model: {n_outputs} outputs, where real targets are of one output")

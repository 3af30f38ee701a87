"""How targets depend on what a net puts out."""

from dataclasses import dataclass
from math import log, pi
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from bnnbench.bayes.posterior import ClassPredictive, Predictive, RealPredictive


class Likelihood(Protocol):
    """The distribution of targets y [N] given outputs [..., N, C]."""

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """-log p(y | outputs) for each point [..., N], in nats."""

    def hessian(self, outputs: Tensor) -> Tensor:
        """Second derivative of the negative log-likelihood in the outputs of a point: [N, C] to [N, C, C]."""

    def root(self, outputs: Tensor) -> Tensor:
        """A matrix R of each point with R R^T = `hessian`: [N, C] to [N, C, C]."""

    def predictive(self, outputs: Tensor) -> Predictive:
        """Draws of outputs [S, N, C] as predictions."""


class Categorical:
    """Classes from logits by softmax; y holds class indices."""

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """-log softmax(outputs)_y."""
        labels = y.expand(outputs.shape[:-1])
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
    """Real targets around one output, with a known standard deviation `noise` in the unit of the targets."""

    noise: float

    def nll(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Negative log density of N(outputs, noise^2) at y."""
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
        mean = outputs.squeeze(-1)
        return RealPredictive(mean, torch.full_like(mean, self.noise))

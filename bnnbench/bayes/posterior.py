"""Posteriors, which every method returns, and their predictions."""

from dataclasses import dataclass
from math import log, pi
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from bnnbench.bayes.targets import check_labels, check_reals

ENTRIES = 2**22  # numbers that are processed at once: ten thousand draws at all test points would fill the memory


@dataclass(frozen=True)
class ClassPredictive:
    """Draws of class logits [S, N, C]; a closed-form prediction is a single draw (S = 1)."""

    logits: Tensor

    @property
    def n_draws(self) -> int:
        """S."""
        return self.logits.shape[0]

    @property
    def log_probs(self) -> Tensor:
        """Logarithm of the mean softmax over draws [N, C]."""
        points = max(1, ENTRIES // (self.n_draws * self.logits.shape[2]))
        parts = [torch.logsumexp(part.log_softmax(-1), dim=0) for part in self.logits.split(points, dim=1)]
        return torch.cat(parts) - log(self.n_draws)

    @property
    def probs(self) -> Tensor:
        """Mean softmax over draws [N, C]."""
        return self.log_probs.exp()

    def log_density(self, y: Tensor) -> Tensor:
        """Logarithm of the probability of labels y [N], in nats; `ValueError` for labels that are not classes."""
        labels = check_labels(y, *self.logits.shape[1:]).to(self.logits.device)
        return self.log_probs.gather(1, labels[:, None]).squeeze(1)


@dataclass(frozen=True)
class RealPredictive:
    """An equal mixture of normals per point: draws of mean and of noise (standard deviation), both [S, N].

    For D targets at each point both are [S, N, D], and the targets are independent given a draw.
    """

    mean: Tensor
    noise: Tensor

    @property
    def n_draws(self) -> int:
        """S."""
        return self.mean.shape[0]

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the mixture, both [N] or [N, D]."""
        variance = self.mean.var(dim=0, correction=0) + self.noise.square().mean(dim=0)
        return self.mean.mean(dim=0), variance.sqrt()

    def log_density(self, y: Tensor) -> Tensor:
        """Log density of the mixture at targets y, [N] or jointly [N, D], in nats: [N].

        `ValueError` for another shape, NaN or infinity, or a noise that is not positive.
        """
        if not (self.noise > 0).all():
            raise ValueError("noise: a standard deviation of the prediction is not positive")
        n_targets = self.mean.shape[2] if self.mean.dim() == 3 else 1
        z = (check_reals(y, self.mean.shape[1], "y", n_targets) - self.mean) / self.noise
        values = -0.5 * z.square() - self.noise.log()
        if self.mean.dim() == 3:
            values = values.sum(-1)
        return torch.logsumexp(values, 0) - 0.5 * n_targets * log(2 * pi) - log(self.n_draws)

    def sample(self, generator: Generator | None = None) -> Tensor:
        """One target for each draw [S, N], or [S, N, D]."""
        from bnnbench.bayes.noise import normal

        return self.mean + self.noise * normal(self.mean.shape, generator, self.mean)


Predictive = ClassPredictive | RealPredictive


def asked(n_draws: int | None, default: int) -> int:
    """The number of draws of a prediction: `n_draws`, or the default for `None`; `ValueError` for fewer than one."""
    if n_draws is not None and n_draws < 1:
        raise ValueError(f"n_draws: {n_draws} draws predict nothing; ask for 1 or more")
    return default if n_draws is None else n_draws


class Posterior(Protocol):
    """A distribution over functions, which makes predictions at inputs.

    Where `coherent` is true, draw s of a prediction is one function at all inputs (a draw of weights), so differences
    between inputs are meaningful. Where it is false, each input has its own draw (a closed form of marginals).
    """

    @property
    def coherent(self) -> bool:
        """Whether a draw is one function over all inputs."""

    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> Predictive:
        """Predictions at x [N, ...] from `n_draws` draws; for `None`, from all stored draws or a default number.

        A method with fewer draws than requested (a point estimate, an ensemble) uses those it has.
        """


@runtime_checkable
class WeightPosterior(Posterior, Protocol):
    """A posterior over a flat vector of P parameters."""

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws of the parameters [n_draws, P]."""

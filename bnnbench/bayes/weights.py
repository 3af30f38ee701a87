"""Posteriors over flat parameter vectors, which predict by running the net at draws."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.network import Net, evaluate
from bnnbench.bayes.posterior import Predictive, asked

DRAWS = 20  # the number of draws that Kristiadi et al. 2022 average over


class Sampler(Protocol):
    """A distribution that can be drawn from."""

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""


@dataclass(frozen=True)
class NetPosterior:
    """A net whose parameters follow `distribution`."""

    net: Net
    distribution: Sampler
    likelihood: Likelihood

    @property
    def coherent(self) -> bool:
        """A draw of weights is one function."""
        return True

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws of the parameters [n_draws, P]."""
        return self.distribution.sample(n_draws, generator)

    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> Predictive:
        """Monte Carlo over weights: with 20 draws by default, or with every stored draw."""
        usual = len(self.distribution.draws) if isinstance(self.distribution, Stored) else DRAWS
        theta = self.sample(asked(n_draws, usual), generator)
        return self.likelihood.predictive(evaluate(self.net, theta, x))


@dataclass(frozen=True)
class Stored:
    """Stored draws [S, P]; a request for fewer than S gives evenly spaced ones, and one for more gives all S."""

    draws: Tensor

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """`n_draws` of the stored draws in order, without replacement."""
        size = len(self.draws)
        if n_draws >= size:
            return self.draws
        return self.draws[torch.arange(n_draws, device=self.draws.device) * size // n_draws]

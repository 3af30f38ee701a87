"""Batch norms where weights are random: the statistics that a draw of weights is used with are its own."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import WholeNet, call, evaluate
from bnnbench.bayes.posterior import Predictive, asked
from bnnbench.bayes.weights import DRAWS, NetPosterior, Sampler


@dataclass(frozen=True)
class RecalibratedPosterior:
    """Draws of weights; for every draw, batch norms take new statistics from the training inputs."""

    net: WholeNet
    distribution: Sampler
    likelihood: Likelihood
    x_train: Tensor

    @property
    def coherent(self) -> bool:
        """A draw of weights is one function."""
        return True

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws of the parameters [n_draws, P]."""
        return self.distribution.sample(n_draws, generator)

    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> Predictive:
        """Monte Carlo over weights, with 20 draws by default."""
        draws = self.sample(asked(n_draws, DRAWS), generator)
        outputs = [evaluate(recalibrated(self.net, draw, self.x_train), draw[None], x) for draw in draws]
        return self.likelihood.predictive(torch.cat(outputs))


def posterior_of(net: WholeNet, train: Train, distribution: Sampler) -> NetPosterior | RecalibratedPosterior:
    """The posterior of a net whose parameters follow `distribution`, recalibrated where the net has batch norms."""
    if batch_norms(net.module):
        return RecalibratedPosterior(net, distribution, train.likelihood, train.x)
    return NetPosterior(net, distribution, train.likelihood)


@torch.no_grad()
def recalibrated(net: WholeNet, theta: Tensor, x: Tensor, batch: int = 500) -> WholeNet:
    """A copy of `net` whose batch norms hold the average statistics of x under parameters theta [P].

    Inputs x [N, ...] pass through the net in batches of nearly equal size, at most `batch`, each weighted by its size.
    """
    module = deepcopy(net.module).eval()
    norms = batch_norms(module)
    for norm in norms:
        norm.reset_running_stats()
        norm.train()  # only the norms: dropout in training mode would draw
    seen = 0
    for rows in x.tensor_split(-(-len(x) // batch)):
        seen += len(rows)
        for norm in norms:
            norm.momentum = len(rows) / seen
        call(module, net.named(theta), rows)
    return WholeNet(module.eval())


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch norms of a net."""
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]

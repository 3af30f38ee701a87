"""MetaPrior (Karaletsos, Dayan and Ghahramani 2018): weights from the codes of units by a net, in place of a process.

    z ~ N(0, I),   W[l, i, j] ~ N(mu(c[l, i, j]), sigma(c[l, i, j])^2) / sqrt(fan_in)

One perceptron gives mu and log sigma for all weights; it is a parameter, learned with q(z) by the evidence bound, in
which the conditional of the weights cancels as for `metagp`. This is the forerunner that the process replaces; that the
conditional is normal is ours, as are the settings.
"""

from copy import deepcopy
from dataclasses import dataclass
from math import log

import torch
from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.gp_weights.bound import BoundParams, check_without_prior, maximise, noise_of
from bnnbench.bayes.gp_weights.units import Units, Wiring, wiring
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import Train, method
from bnnbench.bayes.network import WholeNet
from bnnbench.bayes.noise import normal
from bnnbench.bayes.weights import NetPosterior


class MetaPriorParams(BoundParams):
    """Parameters of MetaPrior."""

    hidden: PositiveInt = Field(64, description="ReLU units of the net from codes to weights")


class MetaNet(nn.Module):
    """q(z) and the net that makes weights; `noise` holds a learned log noise, which is a point estimate, or nothing."""

    def __init__(self, own: Wiring, params: MetaPriorParams, noise: nn.Module, stream: Generator) -> None:
        super().__init__()
        self.wiring = own
        self.units = Units(own, params.latent, params.initial_std, stream)
        last = nn.Linear(params.hidden, 2)
        with torch.no_grad():
            last.bias[1] = log(params.initial_std)
        self.weights = nn.Sequential(nn.Linear(2 * params.latent, params.hidden), nn.ReLU(), last).double()
        self.noise = noise

    def kl(self) -> Tensor:
        """KL(q(z) || p(z)) in nats."""
        return self.units.kl()

    def draw(self, n_draws: int, stream: Generator | None) -> Tensor:
        """Vectors of all weights [S, P] in the order of the net, with their gradient."""
        codes = self.wiring.codes(self.units.draw(n_draws, stream))
        mean, log_std = self.weights(codes).unbind(-1)
        made = self.wiring.matrices(mean + log_std.exp() * normal(mean.shape, stream, mean.detach()))
        scaled = [factor * part for factor, part in zip(self.wiring.factors, made, strict=True)]
        return self.wiring.flattened(scaled, self.noise)


@dataclass(frozen=True)
class MetaWeights:
    """Draws of all weights of a net."""

    net: MetaNet
    like: Tensor

    @torch.no_grad()
    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        return self.net.draw(n_draws, generator).to(self.like)


@method("metaprior", MetaPriorParams)
def metaprior(
    model: nn.Module, train: Train, params: MetaPriorParams, generator: Generator, journal: Journal
) -> NetPosterior:
    """Fits the codes of units and the net from codes to weights; of `model` only the wiring is used."""
    check_without_prior(train, "metaprior")
    whole, like = WholeNet(deepcopy(model).eval()), next(model.parameters()).detach()
    net = MetaNet(wiring(model), params, noise_of(model), generator).to(train.x.device)

    def outputs(x: Tensor) -> Tensor:
        return whole.outputs(net.draw(params.samples, generator).to(like), x)

    maximise(net, outputs, train, params, generator, journal)
    return NetPosterior(whole, MetaWeights(net.requires_grad_(False).eval(), like), train.likelihood)

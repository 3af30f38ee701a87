"""MetaPrior (Karaletsos, Dayan and Ghahramani 2018): weights from the codes of units by a net, in place of a process.

    z ~ N(0, I),   W[l, i, j] ~ N(mu(c[l, i, j]), sigma(c[l, i, j])^2) / sqrt(fan_in)

One perceptron gives mu and log sigma for all weights; it is a parameter, learned with q(z) by the evidence bound, in
which the conditional of the weights cancels as for `metagp`. This is the forerunner that the process replaces; that the
conditional is normal is ours, as are the settings.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.chosen_prior import noise_prior
from bnnbench.bayes.gp_weights.units import Units, Wiring, wiring
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import LOG_NOISE, WholeNet
from bnnbench.bayes.noise import normal
from bnnbench.bayes.training import Training, batch_inputs, descend
from bnnbench.bayes.weights import NetPosterior


class MetaPriorParams(MethodParams):
    """Parameters of MetaPrior."""

    latent: PositiveInt = Field(2, description="dimensions D of a unit's latent")
    hidden: PositiveInt = Field(64, description="ReLU units of the net from codes to weights")
    initial_std: PositiveFloat = Field(0.1, description="of latents, and of weights given their codes")
    warmup: NonNegativeFloat = Field(0.4, le=1, description="share of the steps over which the KL grows to its weight")
    samples: PositiveInt = Field(2, description="draws of all weights in a step")
    training: Training = Field(Training(steps=2000, learning_rate=1e-2, clip=10.0), description="of the bound")


class MetaNet(nn.Module):
    """q(z) and the net that makes weights; a learned log noise [D] is a point estimate."""

    def __init__(self, own: Wiring, params: MetaPriorParams, log_noise: Tensor | None, stream: Generator) -> None:
        super().__init__()
        self.wiring = own
        self.units = Units(own, params.latent, params.initial_std, stream)
        self.weights = nn.Sequential(
            nn.Linear(2 * params.latent, params.hidden), nn.ReLU(), nn.Linear(params.hidden, 2)
        )
        self.weights.double()
        with torch.no_grad():
            last: nn.Linear = self.weights[-1]  # type: ignore[assignment]
            last.bias[1] = torch.tensor(params.initial_std).log()
        self.log_noise = None if log_noise is None else nn.Parameter(log_noise)

    def draw(self, n_draws: int, stream: Generator | None) -> Tensor:
        """Vectors of all weights [S, P] in the order of the net, with their gradient."""
        codes = self.wiring.codes(self.units.draw(n_draws, stream))
        mean, log_std = self.weights(codes).unbind(-1)
        made = self.wiring.matrices(mean + log_std.exp() * normal(mean.shape, stream, mean.detach()))
        scaled = [factor * part for factor, part in zip(self.wiring.factors, made, strict=True)]
        return self.wiring.flattened(scaled, self.log_noise)


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
    if train.prior is not None:
        raise ValueError("prior: metaprior has a prior of its own; leave Train.prior out")
    whole, like = WholeNet(deepcopy(model).eval()), next(model.parameters()).detach()
    log_noise = dict(model.named_parameters()).get(LOG_NOISE)
    noise = None if log_noise is None else log_noise.detach().double().clone()
    net = MetaNet(wiring(model), params, noise, generator).to(train.x.device)
    prior = noise_prior(train, noise) if noise is not None else None

    def bound(rows: Tensor, progress: float) -> dict[str, Tensor]:
        outputs = whole.outputs(net.draw(params.samples, generator).to(like), batch_inputs(train, rows, generator))
        weight = min(1.0, progress / params.warmup) if params.warmup else 1.0
        terms = {
            "data": train.likelihood.nll(outputs, train.y[rows]).mean(),
            "kl": weight / len(train) * net.units.kl(),
        }
        if prior is not None:
            terms["prior"] = -prior.log_prob(net.log_noise) / len(train)  # type: ignore[arg-type]
        return terms

    descend(net, bound, len(train), params.training, generator, journal)
    return NetPosterior(whole, MetaWeights(net.requires_grad_(False).eval(), like), train.likelihood)

"""Posterior refinement: a short normalizing flow after a Gaussian approximation (Kristiadi et al. 2022)."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from math import log, pi
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.chosen_prior import chosen_precision
from bnnbench.bayes.flows import Kind, RadialFlow, flow
from bnnbench.bayes.gaussian import Affine, Standard, standard_log_prob
from bnnbench.bayes.journal import Journal, Stages, State
from bnnbench.bayes.laplace import Approximation, approximate
from bnnbench.bayes.likelihood import learns_noise
from bnnbench.bayes.map import trained
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import inferred_part
from bnnbench.bayes.noise import normal
from bnnbench.bayes.subspace import Subspace, subspace
from bnnbench.bayes.target import Target
from bnnbench.bayes.training import Training, descend, n_batches
from bnnbench.bayes.weights import NetPosterior

ENTRIES = 2**24  # numbers of base noise that are drawn at once
PUBLISHED = Training(optimizer="adam", learning_rate=1e-3, schedule="cosine", epochs=20, batch_size=128)


class RefineParams(MethodParams):
    """Parameters of refinement; defaults as Kristiadi et al. 2022 publish for the last layer."""

    training: Training | None = Field(Training(), description="of the net; none where the model comes trained")
    base: Literal["laplace", "standard"] = Field("laplace", description="the Laplace approximation, or N(0, I)")
    laplace: Approximation = Field(Approximation(precision="evidence-adam"), description="the base; its scope is ours")
    precision: PositiveFloat = Field(510.0, description="of the prior of the posterior that the flow is fitted to")
    flow: Kind = "radial"
    length: PositiveInt = Field(5, description="layers of the flow")
    whitened: bool = Field(False, description="theta = mean + R F(e) instead of F(mean + R e)")
    identity: bool = Field(False, description="start exactly at the identity instead of near it")
    optimisation: Training = Field(PUBLISHED, description="of the flow")
    samples: PositiveInt = Field(1, description="reparameterised draws a step")
    subspace: PositiveInt | None = Field(None, description="refine only so many coordinates, those of largest variance")
    zero_rest: bool = Field(False, description="as published: weights outside the subspace are 0, not their MAP")


@dataclass(frozen=True)
class Refined:
    """The distribution of noise that is pushed through the base and the flow."""

    flow: nn.Module
    base: Affine
    whitened: bool = False

    def push(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters [S, P] from noise [S, P], and log |det| of the flow alone [S]."""
        if self.whitened:
            z, log_det = self.flow(e)
            return self.base.push(z), log_det
        theta, log_det = self.flow(self.base.push(e))
        return theta, log_det

    @torch.no_grad()
    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        return self.push(normal((n_draws, len(self.base.mean)), generator, self.base.mean))[0]

    @torch.no_grad()
    def log_prob(self, theta: Tensor) -> Tensor:
        """Log density at theta [S, P], through the closed-form inverse; radial flows only (`TypeError` otherwise)."""
        if not isinstance(self.flow, RadialFlow):
            raise TypeError(f"{type(self.flow).__name__} has no inverse in closed form")
        z = self.flow.inverse(self.base.pull(theta) if self.whitened else theta)
        e = z if self.whitened else self.base.pull(z)
        log_det: Tensor = self.flow(z)[1]
        return standard_log_prob(e) - self.base.log_det - log_det


def fit_flow(
    refined: Refined, target: Target, training: Training, samples: int, generator: Generator | None, journal: Journal
) -> None:
    """Maximises the evidence bound over the flow's parameters; the base is not changed.

    The log-likelihood of a batch is scaled by N / B. The noise of many steps is drawn at once and, for a flow that is
    not whitened, pushed through the base at once, so a step computes only what depends on the flow's parameters. The
    curve "loss" is the negative bound.
    """
    n_points = len(target.x)
    constant = refined.base.log_det.item() + 0.5 * len(refined.base.mean) * (1 + log(2 * pi))
    starts = _endless(refined, samples, n_batches(n_points, training.batch_size), generator)

    def negative_bound(rows: Tensor, progress: float) -> Tensor:
        theta, log_det = refined.flow(next(starts))
        if refined.whitened:
            theta = refined.base.push(theta)
        nll = target.likelihood.nll(target.net.outputs(theta, target.x[rows]), target.y[rows]).sum(-1)
        bound: Tensor = (log_det + target.log_prior(theta) - nll * (n_points / len(rows))).mean()
        return -bound - constant

    descend(refined.flow, negative_bound, n_points, training, generator, journal)


def _endless(refined: Refined, samples: int, steps: int, generator: Generator | None) -> Iterator[Tensor]:
    """`_starts`, epoch after epoch; the noise is drawn only when it is needed."""
    while True:
        yield from _starts(refined, samples, steps, generator)


def _starts(refined: Refined, samples: int, steps: int, generator: Generator | None) -> Iterator[Tensor]:
    """The inputs of the flow at each step of an epoch [samples, P]."""
    mean = refined.base.mean
    block = max(1, ENTRIES // (samples * len(mean)))
    for first in range(0, steps, block):
        e = normal((min(block, steps - first), samples, len(mean)), generator, mean)
        yield from (e if refined.whitened else refined.base.push(e)).unbind()


@method("refine", RefineParams)
def refine(
    model: nn.Module, train: Train, params: RefineParams, generator: Generator, journal: Journal
) -> NetPosterior:
    """Trains the net, approximates its posterior, and fits a flow on top to the posterior under `params.precision`."""
    if learns_noise(train.likelihood):
        raise ValueError("likelihood: refine learns no noise; give a known one, or take 'map', 'hmc' or 'nuts'")
    precision = chosen_precision(train, params, "refine")
    stages = Stages(journal, generator)
    net = deepcopy(model)
    net.load_state_dict(
        stages.run("map", lambda journal: trained(model, train, params.training, generator, journal).state_dict())
    )
    part = inferred_part(net, params.laplace.scope, train.x)
    target = Target(part.inner, part.inputs, train.y, train.likelihood, precision)
    outer, base = part.net, _base(net, train, params, part.theta, generator)
    if params.subspace is not None:
        rest = torch.zeros_like(part.theta) if params.zero_rest else part.theta
        chosen, base = subspace(base, params.subspace)
        target = Target(Subspace(target.net, chosen, rest), target.x, target.y, target.likelihood, precision)
        outer = Subspace(outer, chosen, rest)
    layers = flow(params.flow, params.length, len(base.mean), generator, params.identity, base.mean)
    refined = Refined(layers, base, params.whitened)

    def fit(journal: Journal) -> State:
        fit_flow(refined, target, params.optimisation, params.samples, generator, journal)
        return layers.state_dict()

    layers.load_state_dict(stages.run("flow", fit))
    return NetPosterior(outer, refined, train.likelihood)


def _base(net: nn.Module, train: Train, params: RefineParams, theta: Tensor, generator: Generator) -> Affine:
    if params.base == "standard":
        return Standard(torch.zeros_like(theta))
    return approximate(net, replace(train, prior=None), params.laplace, generator)[1]  # the base has its own prior

"""Cyclical stochastic-gradient Hamiltonian Monte Carlo (Zhang et al. 2020)."""

import warnings
from copy import deepcopy
from math import cos, pi, sqrt

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from bnnbench.bayes.chosen_prior import penalty, weight_decay
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.members import Members, snapshot
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import LOG_NOISE, trainable
from bnnbench.bayes.noise import normal
from bnnbench.bayes.training import batch_loss, batches
from bnnbench.errors import ResultWarning


class CSGHMCParams(MethodParams):
    """Parameters of cSGHMC; defaults as in the baseline of Kristiadi et al. 2022: 12 draws."""

    learning_rate: PositiveFloat = Field(0.1, description="at the start of a cycle; falls to 0 by a cosine")
    cycles: PositiveInt = 4
    epochs_per_cycle: PositiveInt = 50
    draws_per_cycle: PositiveInt = Field(3, description="one at the end of each of the last epochs of a cycle")
    noisy_epochs: PositiveInt = Field(3, description="at the end of each cycle; before them it is plain SGD")
    friction: PositiveFloat = Field(0.9, le=1, description="share of the momentum that a step loses; 1 is Langevin")
    temperature: NonNegativeFloat = Field(1.0, description="of the posterior; 1 is Bayes")
    weight_decay: NonNegativeFloat = Field(5e-4, description="prior precision / number of points")
    batch_size: PositiveInt = 128

    @model_validator(mode="after")
    def _draws_fit_a_cycle(self) -> "CSGHMCParams":
        if max(self.draws_per_cycle, self.noisy_epochs) > self.epochs_per_cycle:
            raise ValueError("draws_per_cycle and noisy_epochs must not exceed epochs_per_cycle")
        return self


@method("csghmc", CSGHMCParams)
def csghmc(model: nn.Module, train: Train, params: CSGHMCParams, generator: Generator, journal: Journal) -> Members:
    """Draws from the end of every cycle, starting at the model's parameters."""
    net = deepcopy(model)
    momenta = [torch.zeros_like(parameter) for parameter in trainable(net)]
    draws: list[dict[str, Tensor]] = []
    first = 0
    if (restored := journal.restore()) is not None:
        first, state = restored
        net.load_state_dict(state["net"])
        momenta, draws = list(state["momenta"]), list(state["draws"])
    for epoch in journal.steps(params.cycles * params.epochs_per_cycle, first):
        journal.log(epoch + 1, loss=_epoch(net, momenta, train, params, epoch, generator))
        if epoch % params.epochs_per_cycle >= params.epochs_per_cycle - params.draws_per_cycle:
            draws.append(snapshot(net))
        journal.checkpoint(epoch + 1, lambda: {"net": net.state_dict(), "momenta": momenta, "draws": draws})
    members = Members(net.eval(), draws, train.likelihood)
    _check_draws(members.sample(len(draws)))
    return members


def _check_draws(draws: Tensor) -> None:
    """Emits a `ResultWarning` for draws [S, P] that are not finite, or that are all the same."""
    lost = int((~draws.isfinite().all(dim=1)).sum())
    if lost:
        text = f"csghmc: {lost} of {len(draws)} draws are not finite: the path diverged; lower the learning rate"
    elif len(draws) > 1 and (draws == draws[0]).all():
        text = f"csghmc: all {len(draws)} draws are the same; raise the learning rate"
    else:
        return
    warnings.warn(text, ResultWarning, stacklevel=3)


def _epoch(
    net: nn.Module, momenta: list[Tensor], train: Train, params: CSGHMCParams, epoch: int, generator: Generator
) -> float:
    """One pass over the data; returns the mean loss."""
    net.train()
    parameters, prior = trainable(net), penalty(net, train, "csghmc")
    decay = weight_decay(train, params)
    decays = [0.0 if name.endswith(LOG_NOISE) else decay for name, part in net.named_parameters() if part.requires_grad]
    position = epoch % params.epochs_per_cycle
    noisy = position >= params.epochs_per_cycle - params.noisy_epochs
    parts = batches(len(train), params.batch_size, generator, train.x.device)
    total = torch.zeros((), device=train.x.device)
    for k, rows in enumerate(parts):
        rate = params.learning_rate * 0.5 * (1 + cos(pi * (position + k / len(parts)) / params.epochs_per_cycle))
        loss = batch_loss(net, train, rows, generator)
        if prior is not None:
            loss = loss + prior()
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        noise = sqrt(2 * rate * params.friction * params.temperature / len(train)) if noisy else 0.0
        _step(parameters, momenta, gradients, rate, noise, params.friction, decays, generator)
        total += loss.detach()
    return total.item() / len(parts)


@torch.no_grad()
def _step(
    parameters: list[nn.Parameter],
    momenta: list[Tensor],
    gradients: tuple[Tensor, ...],
    rate: float,
    noise: float,
    friction: float,
    decays: list[float],
    generator: Generator,
) -> None:
    """v <- (1 - friction) v - rate (gradient + decay theta) + noise; theta <- theta + v."""
    for parameter, momentum, gradient, decay in zip(parameters, momenta, gradients, decays, strict=True):
        momentum.mul_(1 - friction).add_(gradient + decay * parameter, alpha=-rate)
        if noise:
            momentum.add_(normal(parameter.shape, generator, parameter), alpha=noise)
        parameter.add_(momentum)

"""The evidence bound of a net whose weights are made from latents of its units, and its maximisation."""

from collections.abc import Callable
from copy import deepcopy
from typing import Protocol

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.chosen_prior import noise_penalty
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.log_noise import LogNoise
from bnnbench.bayes.method import MethodParams, Train
from bnnbench.bayes.training import Training, batch_inputs, descend, with_penalty


class BoundParams(MethodParams):
    """Parameters that all methods with latents of units have."""

    latent: PositiveInt = Field(2, description="dimensions D of a unit's latent")
    initial_std: PositiveFloat = Field(0.1, description="of latents and of what else is drawn, at the start")
    warmup: NonNegativeFloat = Field(0.4, le=1, description="share of the steps over which the KL grows to its weight")
    samples: PositiveInt = Field(2, description="draws of latents in a step")
    training: Training = Field(Training(steps=2000, learning_rate=1e-2, clip=10.0), description="of the bound")


class Bounded(Protocol):
    """What is trained: a module with the KL divergence of its q from the prior, in nats."""

    def kl(self) -> Tensor:
        """KL(q || p)."""


def maximise(
    net: Bounded,
    outputs: Callable[[Tensor], Tensor],
    train: Train,
    params: BoundParams,
    generator: Generator,
    journal: Journal,
) -> None:
    """Maximises E_q[log p(y | x)] - KL over those parameters of `net` that are not frozen.

    `outputs` gives draws [S, N, C] at a batch of inputs. The KL grows linearly to its weight over the share `warmup` of
    the steps; a learned noise has the prior that the likelihood states.
    """
    assert isinstance(net, nn.Module)
    n_points = len(train)

    def bound(rows: Tensor, progress: float) -> dict[str, Tensor]:
        data = train.likelihood.nll(outputs(batch_inputs(train, rows, generator)), train.y[rows]).mean()
        weight = min(1.0, progress / params.warmup) if params.warmup else 1.0
        return {"data": data, "kl": weight / n_points * net.kl()}

    descend(net, with_penalty(bound, noise_penalty(net, train)), n_points, params.training, generator, journal)


def check_without_prior(train: Train, name: str) -> None:
    """Raises `ValueError` where a prior is given with the data, as the method `name` has its own."""
    if train.prior is not None:
        raise ValueError(f"prior: {name} has a prior of its own; leave Train.prior out")


def noise_of(model: nn.Module) -> nn.Module:
    """What follows the outputs: a copy of the model's learned noise in double precision, or nothing."""
    learned = [part for part in model.modules() if isinstance(part, LogNoise)]
    return deepcopy(learned[0]).double() if learned else nn.Identity()

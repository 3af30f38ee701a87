"""Adversarial variational Bayes (Mescheder, Nowozin, Geiger 2017): a classifier in place of a density.

A net T is trained to tell weights that q made from draws of the prior. At its optimum T = log q - log p, so that

    E[log p(y | theta)] - w E[T(theta)]

is the evidence bound for w = 1. Both are trained at once, and the bound is only as good as T.
"""

from collections.abc import Callable
from itertools import pairwise
from math import sqrt

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from bnnbench.bayes.batch_norms import RecalibratedPosterior
from bnnbench.bayes.implicit.family import Family, ImplicitParams, family
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import Train, method
from bnnbench.bayes.prior import typical_precision
from bnnbench.bayes.training import descend
from bnnbench.bayes.weights import NetPosterior


class AVBParams(ImplicitParams):
    """Parameters of adversarial variational Bayes."""

    kl_weight: NonNegativeFloat = Field(1.0, description="factor of the divergence from the prior; 1 is the bound")
    discriminator: tuple[PositiveInt, ...] = Field((128, 128), description="widths of the classifier's hidden layers")
    contrasted: PositiveInt = Field(64, description="draws of q and of the prior that train the classifier in a step")
    discriminator_rate: PositiveFloat = Field(5.0, description="the classifier's learning rate over the generator's")


class Opponents(nn.Module):
    """The generator and the classifier, which one optimizer trains."""

    def __init__(self, own: Family, params: AVBParams) -> None:
        super().__init__()
        self.implicit = own.implicit
        like = own.implicit.centre
        sizes = (len(like) + len(own.implicit.point), *params.discriminator, 1)
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ELU())]
        self.discriminator = nn.Sequential(*layers[:-1]).to(like)
        self.unit = sqrt(typical_precision(own.prior))

    def log_ratio(self, theta: Tensor) -> Tensor:
        """T of weights [S, P]: [S], without gradient in the classifier's parameters."""
        fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        ratio: Tensor = functional_call(self.discriminator, fixed, (self.unit * theta,))
        return ratio.squeeze(1)

    def error(self, made: Tensor, prior: Tensor) -> Tensor:
        """The classifier's loss: -log s(T) of weights that q made, and -log(1 - s(T)) of draws of the prior."""
        guesses = (self.discriminator(self.unit * draws.detach()).squeeze(1) for draws in (made, prior))
        of_made, of_prior = guesses
        return functional.softplus(-of_made).mean() + functional.softplus(of_prior).mean()


@method("avb", AVBParams)
def avb(
    model: nn.Module, train: Train, params: AVBParams, generator: Generator, journal: Journal
) -> NetPosterior | RecalibratedPosterior:
    """Trains the generator by the bound and the classifier by its loss, in the same steps."""
    own = family(model, train, params, "avb")
    opponents = Opponents(own, params)
    rates = {**params.training.rates, "discriminator": params.discriminator_rate}
    training = params.training.model_copy(update={"rates": rates})
    descend(opponents, _losses(own, opponents, params, generator), len(train), training, generator, journal)
    return own.posterior()


def _losses(
    own: Family, opponents: Opponents, params: AVBParams, stream: Generator
) -> Callable[[Tensor, float], dict[str, Tensor]]:
    n_points = len(own.train)

    def terms(rows: Tensor, _: float) -> dict[str, Tensor]:
        theta = own.implicit.draw(max(params.samples, params.contrasted), stream).theta
        return {
            "data": own.nll(theta[: params.samples], rows, stream),
            "kl": params.kl_weight / n_points * opponents.log_ratio(theta).mean(),
            "discriminator": opponents.error(theta, own.prior.sample(len(theta), stream)),
        }

    return terms

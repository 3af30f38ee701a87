"""Implicit variational inference with a linearised generator: LIVI (Uppal et al. 2023).

q(theta) is the law of g(z) + sigma e with normal noise z and e, and the net g is what is learned. The bound

    E[log p(y | theta)] + w_p E[log p(theta)] + w_H E[entropy]

is maximised by gradients through its draws. The entropy is that of the generator linearised at the drawn z
(`entropy.py`). With both weights 1 this is the approximate evidence bound; the released code gives the prior less.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.chosen_prior import chosen_prior, density_of
from bnnbench.bayes.implicit import entropy
from bnnbench.bayes.implicit.generators import (
    Correlated,
    Independent,
    Linearised,
    Shape,
    WeightGenerator,
    matrix_generator,
    perceptron,
    shares,
)
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import WholeNet, flat, trainable
from bnnbench.bayes.noise import normal
from bnnbench.bayes.training import Training, batch_inputs, descend
from bnnbench.bayes.weights import NetPosterior

AT_ONCE = 64  # weight vectors that are generated at once in predictions
Entropy = Literal["log-det", "smallest-value", "released-log-det", "released-smallest-value", "none"]


class DenseParams(MethodParams):
    """A perceptron with ELU, for nets of at most some 50,000 weights."""

    kind: Literal["dense"] = "dense"
    noise: PositiveInt = Field(60, description="length d of z")
    hidden: tuple[PositiveInt, ...] = Field((105,), description="widths of hidden layers")

    def made(self, n_weights: int) -> WeightGenerator:
        """The generator of `n_weights`."""
        return perceptron(self.noise, self.hidden, n_weights)


class MatricesParams(MethodParams):
    """Matrix products with ELU between them."""

    kind: Literal["matrices"] = "matrices"
    shapes: tuple[Shape, ...] = Field(description="of the noise, of hidden matrices, and of one that holds all weights")

    def made(self, n_weights: int) -> WeightGenerator:
        """The generator of `n_weights`."""
        return matrix_generator(self.shapes, n_weights)


class BranchesParams(MethodParams):
    """Matrix products whose common trunk feeds a branch for each part of the weights."""

    kind: Literal["branches"] = "branches"
    trunk: tuple[Shape, ...]
    branches: tuple[tuple[Shape, ...], ...]

    def made(self, n_weights: int) -> WeightGenerator:
        """The generator of `n_weights`."""
        return Correlated(self.trunk, self.branches, n_weights)


class SeparateParams(MethodParams):
    """Matrix products with noise of their own for consecutive parts of the weights, which are then independent.

    The entropy by the smallest singular value takes that of all parts, which bounds more loosely than a sum over parts.
    """

    kind: Literal["separate"] = "separate"
    parts: tuple[tuple[Shape, ...], ...]

    def made(self, n_weights: int) -> WeightGenerator:
        """The generator of `n_weights`; the last part may hold more than are left."""
        kept = shares(self.parts, n_weights, "parts")
        return Independent([matrix_generator(shapes, size) for shapes, size in zip(self.parts, kept, strict=True)])


GeneratorParams = DenseParams | MatricesParams | BranchesParams | SeparateParams


class LIVIParams(MethodParams):
    """Parameters of linearised implicit variational inference.

    The default generator has the sizes of the released code's first toy example for a net of 105 weights.
    """

    generator: Annotated[GeneratorParams, Field(discriminator="kind")] = DenseParams()
    start: Literal["net", "zero"] = Field(
        "net", description="what is added to outputs of the generator, and is not learned"
    )
    precision: PositiveFloat = Field(1.0, description="of the normal prior, 1 / variance")
    prior_weight: NonNegativeFloat = Field(1.0, description="factor of the log prior; 1 is the evidence bound")
    entropy_weight: NonNegativeFloat = Field(1.0, description="factor of the entropy; 1 is the evidence bound")
    entropy: Entropy = Field(
        "log-det",
        description="by J^T J + sigma^2 I, which needs all of J, or by the smallest singular value, which does not; in "
        "exact form or in that of the released code",
    )
    sigma: PositiveFloat = Field(0.01, description="standard deviation of the noise that is added to every weight")
    samples: PositiveInt = Field(3, description="weight vectors of a step")
    iterations: PositiveInt = Field(5, description="towards the smallest singular value, in every step")
    warm_start: bool = Field(False, description="begin them where those of the last step ended, not at random")
    training: Training = Training(amsgrad=True)


@dataclass(frozen=True)
class Implicit:
    """The law of centre + g(z) + sigma e."""

    generator: WeightGenerator
    centre: Tensor
    sigma: float

    @torch.no_grad()
    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        z = normal((n_draws, self.generator.n_noise), generator, self.centre)
        noise = normal((n_draws, len(self.centre)), generator, self.centre)
        parts = [self.generator.linearised(part).theta for part in z.split(AT_ONCE)]
        return self.centre + torch.cat(parts) + self.sigma * noise


class Sampler(nn.Module):
    """What is trained: a generator, with the directions from which a warm iteration begins."""

    v: Tensor
    p: Tensor

    def __init__(self, generator: WeightGenerator, params: LIVIParams, stream: Generator, like: Tensor) -> None:
        super().__init__()
        self.generator, self.params = generator.to(like), params
        start = entropy.random_directions(params.samples, generator.n_noise, stream, like)
        self.register_buffer("v", start.v)
        self.register_buffer("p", start.p)

    def entropy_at(self, at: Linearised, stream: Generator) -> Tensor:
        """The entropy of each draw [S], up to a constant, as the parameters name it."""
        sigma, n_noise = self.params.sigma, self.generator.n_noise
        if self.params.entropy == "log-det":
            return entropy.log_det(at.jacobian(), sigma)
        if self.params.entropy == "released-log-det":
            return entropy.log_det_released(at.jacobian())
        smallest = entropy.smallest_singular_value(at, self._directions(at, stream))
        if self.params.entropy == "smallest-value":
            return entropy.smallest_value_bound(smallest, n_noise, sigma)
        return entropy.smallest_value_bound_released(smallest, n_noise, sigma)

    def _directions(self, at: Linearised, stream: Generator) -> entropy.Directions:
        start = entropy.Directions(self.v, self.p)
        if not self.params.warm_start:
            start = entropy.random_directions(len(self.v), self.generator.n_noise, stream, self.v)
        found = entropy.towards_smallest(at, start, self.params.iterations)
        self.v.copy_(found.v)
        self.p.copy_(found.p)
        return found


@method("livi", LIVIParams)
def livi(model: nn.Module, train: Train, params: LIVIParams, generator: Generator, journal: Journal) -> NetPosterior:
    """Maximises the bound; a learned noise is one of the weights. `ValueError` for a net with batch norms."""
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules()):
        raise ValueError("model: livi does not know batch norms, whose statistics belong to one vector of weights")
    net = WholeNet(deepcopy(model))
    weights = flat(trainable(model))
    centre = weights if params.start == "net" else torch.zeros_like(weights)
    sampler = Sampler(params.generator.made(len(weights)), params, generator, weights)
    bound = _bound(net, sampler, centre, train, params, generator)
    descend(sampler, bound, len(train), params.training, generator, journal)
    return NetPosterior(net, Implicit(sampler.generator.eval(), centre, params.sigma), train.likelihood)


def _bound(
    net: WholeNet, sampler: Sampler, centre: Tensor, train: Train, params: LIVIParams, stream: Generator
) -> Callable[[Tensor, float], dict[str, Tensor]]:
    """The negative bound for a point, as terms of the loss of a batch."""
    density = density_of(chosen_prior(train, params, "livi"), net, train, centre)
    shape = params.samples, sampler.generator.n_noise

    def terms(rows: Tensor, _: float) -> dict[str, Tensor]:
        at = sampler.generator.linearised(normal(shape, stream, centre))
        theta = centre + at.theta + params.sigma * normal(at.theta.shape, stream, centre)
        x = batch_inputs(train, rows, stream)
        found = {
            "data": train.likelihood.nll(net.outputs(theta, x), train.y[rows]).mean(),
            "prior": -params.prior_weight / len(train) * density.log_prob(theta).mean(),
        }
        if params.entropy != "none":
            found["entropy"] = -params.entropy_weight / len(train) * sampler.entropy_at(at, stream).mean()
        return found

    return terms

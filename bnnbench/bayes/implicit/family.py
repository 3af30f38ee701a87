"""Implicit distributions of a net's weights: generators as parameters of a method, draws, and the start of a fit.

q(theta) is the law of centre + g(z) + sigma e with normal noise z and e, where the net g is what is learned. It can be
drawn from and has no density, so methods differ in how they estimate its divergence from the prior.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from bnnbench.bayes.batch_norms import RecalibratedPosterior, batch_norms, posterior_of
from bnnbench.bayes.chosen_prior import chosen_prior, density_of
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
from bnnbench.bayes.method import MethodParams, Train
from bnnbench.bayes.network import LOG_NOISE, WholeNet, flat, trainable
from bnnbench.bayes.noise import normal
from bnnbench.bayes.prior import Density
from bnnbench.bayes.training import Training, batch_inputs
from bnnbench.bayes.weights import NetPosterior

AT_ONCE = 64  # weight vectors that are generated at once in predictions


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

    Their entropies are summed.
    """

    kind: Literal["separate"] = "separate"
    parts: tuple[tuple[Shape, ...], ...]

    def made(self, n_weights: int) -> WeightGenerator:
        """The generator of `n_weights`; the last part may hold more than are left."""
        kept = shares(self.parts, n_weights, "parts")
        return Independent([matrix_generator(shapes, size) for shapes, size in zip(self.parts, kept, strict=True)])


GeneratorParams = DenseParams | MatricesParams | BranchesParams | SeparateParams


class ImplicitParams(MethodParams):
    """Parameters that all methods with an implicit distribution have.

    The default generator has the sizes of LIVI's released code, first toy example, for a net of 105 weights.
    """

    generator: Annotated[GeneratorParams, Field(discriminator="kind")] = DenseParams()
    start: Literal["net", "zero"] = Field(
        "net",
        description="what is added to outputs of the generator, and is not learned; a learned noise always starts at "
        "its own value",
    )
    noise: Literal["drawn", "point"] = Field(
        "drawn", description="a learned noise: made by the generator like a weight, or a point estimate"
    )
    precision: PositiveFloat = Field(1.0, description="of the normal prior, 1 / variance")
    sigma: PositiveFloat = Field(0.01, description="standard deviation of the noise that is added to every weight")
    samples: PositiveInt = Field(3, description="weight vectors of a step")
    training: Training = Training(amsgrad=True)


class Draw(NamedTuple):
    """A generator, linearised at the noise of a step, and the weights theta [S, P] of that noise."""

    at: Linearised
    theta: Tensor


class Implicit(nn.Module):
    """The law of centre + g(z) + sigma e; the last `point` [D] weights are the same in all draws, and learned."""

    centre: Tensor

    def __init__(self, generator: WeightGenerator, centre: Tensor, sigma: float, point: Tensor) -> None:
        super().__init__()
        self.generator, self.sigma = generator.to(centre), sigma
        self.register_buffer("centre", centre, persistent=False)
        self.point = nn.Parameter(point)

    def draw(self, n_draws: int, stream: Generator | None) -> Draw:
        """`n_draws` vectors, with their gradient in what is learned."""
        z = normal((n_draws, self.generator.n_noise), stream, self.centre)
        noise = normal((n_draws, len(self.centre)), stream, self.centre)
        at = self.generator.linearised(z)
        made = self.centre + at.theta + self.sigma * noise
        return Draw(at, torch.cat([made, self.point.expand(n_draws, -1)], dim=1) if len(self.point) else made)

    @torch.no_grad()
    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        sizes = [min(AT_ONCE, n_draws - start) for start in range(0, n_draws, AT_ONCE)]
        return torch.cat([self.draw(size, generator).theta for size in sizes])


@dataclass(frozen=True)
class Family:
    """An implicit distribution of the weights of one net, while it is fitted to data."""

    net: WholeNet
    train: Train
    implicit: Implicit
    prior: Density

    def nll(self, theta: Tensor, rows: Tensor, stream: Generator) -> Tensor:
        """Mean negative log-likelihood of the points `rows` over weights [S, P].

        Batch norms normalise by the statistics of the batch.
        """
        x = batch_inputs(self.train, rows, stream)
        return self.train.likelihood.nll(self.net.outputs(theta, x), self.train.y[rows]).mean()

    def posterior(self) -> NetPosterior | RecalibratedPosterior:
        """The fitted distribution as a posterior."""
        return posterior_of(WholeNet(self.net.module), self.train, self.implicit.eval())


def family(model: nn.Module, train: Train, params: ImplicitParams, name: str) -> Family:
    """The distribution of `model`'s weights at the start of a fit; a learned noise is one of them, or a point.

    The generator starts from torch's global stream, which a fit sets. `ValueError` for a prior without a density, which
    the method `name` needs.
    """
    net = WholeNet(deepcopy(model), batch_statistics=bool(batch_norms(model)))
    theta = flat(trainable(model))
    n_noises = net.shapes[LOG_NOISE].numel() if LOG_NOISE in net.shapes else 0
    weights, noises = theta.split([len(theta) - n_noises, n_noises])
    start = weights if params.start == "net" else torch.zeros_like(weights)
    centre, point = (start, noises) if params.noise == "point" else (torch.cat([start, noises]), noises[:0])
    implicit = Implicit(params.generator.made(len(centre)), centre, params.sigma, point.clone())
    return Family(net, train, implicit, density_of(chosen_prior(train, params, name), net, train, theta))

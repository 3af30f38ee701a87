"""MetaGP: hierarchical Gaussian-process priors over weights (Karaletsos and Bui 2020), by variational inference.

    z ~ N(0, I),   w(c, t) ~ GP(0, s^2 k(c, c') k_aux(t, t')),   W[l, i, j] = w((z[l-1, j], z[l, i]), t) / sqrt(fan_in)

Without a kernel over contexts t the weights are those of one net (the global model); with one, each point has weights
of its own, which are similar where inputs are (the local model). The bound

    E_{q(z) q(V) p(w | V, z)}[log p(y | x, w)] - KL(q(z) || N(0, I)) - KL(q(V) || N(0, I))

is maximised by gradients through draws. The distribution of weights given the inducing variables V is the exact
conditional of the process, so it cancels in the bound: nothing is inferred in the space of weights.
"""

from copy import deepcopy
from dataclasses import dataclass
from math import isqrt
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from bnnbench.bayes.gp_weights import layers
from bnnbench.bayes.gp_weights.bound import BoundParams, check_without_prior, maximise, noise_of
from bnnbench.bayes.gp_weights.functions import functions
from bnnbench.bayes.gp_weights.kernels import Auxiliary
from bnnbench.bayes.gp_weights.layers import Conditional
from bnnbench.bayes.gp_weights.net import GPNet
from bnnbench.bayes.gp_weights.process import InducingValues, WeightProcess
from bnnbench.bayes.gp_weights.units import Units, Wiring, pixel_grid, wiring
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.likelihood import Likelihood
from bnnbench.bayes.method import Train, method
from bnnbench.bayes.network import EVALUATION_BATCH, WholeNet
from bnnbench.bayes.noise import normal, permutation
from bnnbench.bayes.posterior import Predictive, asked
from bnnbench.bayes.weights import NetPosterior

DRAWS = 100
AT_ONCE = 2**24  # numbers of the largest array that a prediction holds
MOST_WEIGHTS = 2000  # of the joint conditional, whose matrix has their square as many entries

Local = Literal["all", "last"]


class MetaGPParams(BoundParams):
    """Parameters of MetaGP; the paper's own settings are not known, and the defaults are ours."""

    inducing: PositiveInt = Field(30, description="inducing codes M")
    auxiliary: Auxiliary | None = Field(None, description="kernel over contexts; null: weights do not depend on inputs")
    local: Local = Field("all", description="layers whose weights depend on the input, where there is such a kernel")
    constant: bool = Field(False, description="feed the net with 1: inputs enter only through the weights")
    conditional: Conditional = Field(
        "diag", description="of weights given inducing variables: with all correlations, without, or its mean alone"
    )
    covariance: Literal["diagonal", "full"] = Field("diagonal", description="of the inducing variables")
    variance: PositiveFloat = Field(
        2.0, description="s^2 of the process, at the start; bands of functions scale with s"
    )
    length: PositiveFloat = Field(1.0, description="of the kernel over codes, at the start")
    initial_mean: NonNegativeFloat = Field(
        1.0, description="standard deviation of the means of inducing variables; small ones suit many variables"
    )
    inputs: Literal["prior", "pixels"] = Field(
        "prior", description="where latents of inputs start: at draws of the prior, or, for square images, on a grid"
    )

    @model_validator(mode="after")
    def _sees_inputs(self) -> "MetaGPParams":
        if self.auxiliary is None and (self.constant or self.local != "all"):
            raise ValueError("constant and local are for weights that depend on the input; give auxiliary")
        return self


@dataclass(frozen=True)
class GlobalWeights:
    """Draws of all weights of a net, where they do not depend on the input."""

    net: GPNet
    like: Tensor

    @torch.no_grad()
    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P] in the order of the net's parameters."""
        return torch.cat([self._drawn(size, generator) for size in self.net.sizes(n_draws, 1, AT_ONCE)])

    def _drawn(self, n_draws: int, generator: Generator | None) -> Tensor:
        net, wiring = self.net, self.net.wiring
        draw = net.draw(n_draws, generator)
        at = net.process.at(None, draw.values, draw.grid)
        kernels = draw.kernels(wiring)
        if net.conditional == "full":
            joint = layers.joint(wiring.codes(draw.latents), at, draw.grid, generator)
            weights = wiring.matrices(joint[:, 0])
        else:
            weights = [layers.expected(kernel, at) for kernel in kernels]
        if net.conditional == "diag":
            spread = [layers.deviations(kernel, at, draw.grid) for kernel in kernels]
            weights = [w + s * normal(w.shape, generator, w) for w, s in zip(weights, spread, strict=True)]
        scaled = [draw.grid.scale * factor * weight for factor, weight in zip(wiring.factors, weights, strict=True)]
        scaled[0] = torch.cat(
            [scaled[0][..., : wiring.widths[0]] / net.unit, scaled[0][..., wiring.widths[0] :]], dim=-1
        )
        return wiring.flattened(scaled, net.noise).to(self.like)


@dataclass(frozen=True)
class LocalPosterior:
    """Predictions of a net whose weights depend on the input."""

    net: GPNet
    likelihood: Likelihood
    like: Tensor

    @property
    def coherent(self) -> bool:
        """False: noise of the conditional is drawn for each point; `functions` has the same marginals."""
        return False

    @torch.no_grad()
    def predict(self, x: Tensor, n_draws: int | None = None, generator: Generator | None = None) -> Predictive:
        """Monte Carlo over latents, inducing variables and weights: with 100 draws by default."""
        batch = max(1, min(EVALUATION_BATCH, AT_ONCE // self.net.numbers_per_draw(1)))
        outputs = []
        for size in self.net.sizes(asked(n_draws, DRAWS), min(len(x), batch), AT_ONCE):
            draw = self.net.draw(size, generator)
            outputs.append(torch.cat([self.net.outputs(part, draw, generator) for part in x.split(batch)], dim=1))
        return self.likelihood.predictive(torch.cat(outputs).to(self.like))

    def functions(self, x: Tensor, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws of whole functions [S, N, C] at inputs x [N, ...] (`functions.py`)."""
        return functions(self.net, x, asked(n_draws, n_draws), generator).to(self.like)


def made(model: nn.Module, train: Train, params: MetaGPParams, generator: Generator | None) -> GPNet:
    """The net with its prior and q at the start of a fit."""
    check_without_prior(train, "metagp")
    own = wiring(model)
    x = own.flat(train.x)
    if x.dim() != 2:
        raise ValueError(f"x: a point has shape {tuple(train.x.shape[1:])}; flatten it before the first linear layer")
    auxiliary = None if params.auxiliary is None else params.auxiliary.made(x, generator)
    local = [auxiliary is not None and (params.local == "all" or k == own.n_layers - 1) for k in range(own.n_layers)]
    if params.conditional == "full" and (len(set(local)) > 1 or own.n_weights > MOST_WEIGHTS):
        raise ValueError(
            f"conditional: 'full' is for at most {MOST_WEIGHTS} weights that all depend on the input or all do not; "
            f"these are {own.n_weights}; take 'diag' or 'det'"
        )
    start = _input_latents(own, params)
    units = Units(own, params.latent, params.initial_std, generator, start)
    n_contexts = 1 if auxiliary is None else len(auxiliary.inducing)
    start_of = params.initial_mean, params.initial_std
    values = InducingValues(n_contexts, params.inducing, *start_of, params.covariance == "full", generator)
    codes = _inducing_codes(own, units, params.inducing, generator)
    process = WeightProcess(codes, values, params.length, params.variance, auxiliary)
    unit = x.square().mean().sqrt()
    unit = torch.where(unit > 0, unit, 1.0)
    net = GPNet(own, units, process, params.conditional, local, params.constant, unit, noise_of(model))
    return net.to(train.x.device)


def _input_latents(own: Wiring, params: MetaGPParams) -> Tensor | None:
    if params.inputs == "prior":
        return None
    side = isqrt(own.widths[0])
    if side * side != own.widths[0] or params.latent != 2:
        raise ValueError(f"inputs: 'pixels' needs square images and latents of 2; these have {own.widths[0]} inputs")
    return pixel_grid(side, side)


@torch.no_grad()
def _inducing_codes(own: Wiring, units: Units, count: int, generator: Generator | None) -> Tensor:
    """Codes of weights drawn at random [M, 2 D], one layer as likely as another, slightly moved."""
    by_layer = own.by_layer(torch.cat(list(units.means)))
    chosen = []
    for k in range(count):
        pair = by_layer[k % own.n_layers]
        chosen.append(torch.cat([part[permutation(len(part), generator, part.device)[0]] for part in pair]))
    picked = torch.stack(chosen)
    return picked + 0.1 * normal(picked.shape, generator, picked)


def fit(net: GPNet, train: Train, params: MetaGPParams, generator: Generator, journal: Journal) -> None:
    """Maximises the bound for those parameters of the net that are not frozen."""

    def outputs(x: Tensor) -> Tensor:
        return net.outputs(x, net.draw(params.samples, generator), generator)

    maximise(net, outputs, train, params, generator, journal)


@torch.no_grad()
def evidence_bound(net: GPNet, train: Train, n_draws: int, generator: Generator | None) -> float:
    """The bound on log p(y), in nats, estimated by `n_draws` draws; a learned noise counts as known."""
    outputs = net.outputs(train.x, net.draw(n_draws, generator), generator)
    likelihood = -train.likelihood.nll(outputs, train.y).sum(-1).mean()
    return (likelihood - net.kl()).item()


def posterior_of(net: GPNet, model: nn.Module, train: Train) -> NetPosterior | LocalPosterior:
    """The fitted distribution as a posterior: over weights, or over functions where weights depend on the input."""
    like = next(model.parameters()).detach()
    frozen = net.requires_grad_(False).eval()
    if any(net.local):
        return LocalPosterior(frozen, train.likelihood, like)
    return NetPosterior(WholeNet(deepcopy(model).eval()), GlobalWeights(frozen, like), train.likelihood)


@method("metagp", MetaGPParams)
def metagp(
    model: nn.Module, train: Train, params: MetaGPParams, generator: Generator, journal: Journal
) -> NetPosterior | LocalPosterior:
    """Fits the codes of units and the process; of `model` only the wiring is used, not its weights."""
    net = made(model, train, params, generator)
    fit(net, train, params, generator, journal)
    return posterior_of(net, model, train)

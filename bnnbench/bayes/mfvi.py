"""Mean-field variational inference: independent normal weights, trained by Flipout."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import log

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Generator, Tensor, nn
from torch.nn import functional

from bnnbench.bayes.chosen_prior import chosen_prior, noise_penalty
from bnnbench.bayes.flipout import FlipoutLayer, flipout
from bnnbench.bayes.journal import Journal
from bnnbench.bayes.method import MethodParams, Train, method
from bnnbench.bayes.network import WholeNet, flat, trainable, weight_shapes
from bnnbench.bayes.noise import normal
from bnnbench.bayes.prior import IndependentNormal, IsotropicNormal
from bnnbench.bayes.training import Training, batch_loss, descend, with_penalty
from bnnbench.bayes.weights import NetPosterior

Value = float | Tensor


class MFVIParams(MethodParams):
    """Parameters of mean-field variational inference; defaults as in the refinement paper's baseline."""

    precision: PositiveFloat = Field(30.0, description="of the normal prior, 1 / variance")
    kl_weight: NonNegativeFloat = Field(0.1, description="factor of the KL divergence; 1 is the evidence bound")
    initial_std: PositiveFloat = Field(0.02, description="of every weight")
    training: Training = Field(Training(), description="leave its weight decay at 0: the KL does that work")


@dataclass(frozen=True)
class Independent:
    """Independent normals: mean [P], std [P]."""

    mean: Tensor
    std: Tensor

    def sample(self, n_draws: int, generator: Generator | None = None) -> Tensor:
        """Draws [n_draws, P]."""
        return self.mean + self.std * normal((n_draws, len(self.mean)), generator, self.mean)


def kl(layers: list[FlipoutLayer], precisions: Sequence[Value], centres: Sequence[Value]) -> Tensor:
    """KL divergence of the normals of all layers from N(centre, 1 / precision), in nats.

    Precisions and centres are numbers or tensors, one for each parameter in the order of layers.
    """
    gaussians = [gaussian for layer in layers for gaussian in layer.gaussians()]
    terms = [
        (0.5 * precision * ((mean - centre).square() + std.square()) - 0.5 - std.log() - 0.5 * _log(precision)).sum()
        for (mean, std), precision, centre in zip(gaussians, precisions, centres, strict=True)
    ]
    return torch.stack(terms).sum()


def _log(value: Value) -> Value:
    return value.log() if isinstance(value, Tensor) else log(value)


def _prior_of_layers(
    net: nn.Module, model: nn.Module, train: Train, params: MFVIParams
) -> tuple[list[Value], list[Value]]:
    """Precisions and centres of the prior of each parameter that has a standard deviation.

    `ValueError` where the prior is not normal.
    """
    prior = chosen_prior(train, params, "mfvi")
    means = [mean for part in net.modules() if isinstance(part, FlipoutLayer) for mean, _ in part.gaussians()]
    if isinstance(prior, IsotropicNormal):
        return [prior.precision] * len(means), [0.0] * len(means)
    if not isinstance(prior, IndependentNormal):
        raise ValueError(f"prior: mfvi needs a normal one, and {type(prior).__name__} was given")
    whole = WholeNet(model)
    shapes = weight_shapes(whole)
    density = prior.on(shapes, means[0].detach())
    sizes = [shape.numel() for shape in shapes.values()]
    parts = zip(whole.shapes, shapes.values(), density.mean.split(sizes), density.scale.split(sizes), strict=False)
    by_name = {name: (scale.view(shape) ** -2, mean.view(shape)) for name, shape, mean, scale in parts}
    own = {parameter: name for name, parameter in net.named_parameters()}
    priors = [by_name[own[mean]] for mean in means]
    return [precision for precision, _ in priors], [centre for _, centre in priors]


@method("mfvi", MFVIParams)
def mean_field(
    model: nn.Module, train: Train, params: MFVIParams, generator: Generator, journal: Journal
) -> NetPosterior:
    """Maximises the evidence bound with a tempered KL, starting at the model's parameters."""
    net = flipout(model, params.initial_std, generator)
    layers = [layer for layer in net.modules() if isinstance(layer, FlipoutLayer)]
    if not layers:
        raise ValueError("model: no plain linear or 2-D convolution layer that is not frozen, so nothing to infer")

    prior = _prior_of_layers(net, model, train, params)

    def bound(rows: Tensor, progress: float) -> dict[str, Tensor]:
        data = batch_loss(net, train, rows, generator)
        return {"data": data, "kl": params.kl_weight / len(train) * kl(layers, *prior)}

    objective = with_penalty(bound, noise_penalty(net, train))
    descend(net, objective, len(train), params.training, generator, journal)
    plain, std = _plain(model, net)
    return NetPosterior(WholeNet(plain), Independent(flat(trainable(plain)), std), train.likelihood)


def _plain(model: nn.Module, net: nn.Module) -> tuple[nn.Module, Tensor]:
    """`model` at the means, and the standard deviations [P] of its parameters, without frozen ones.

    The standard deviation is 0 for parameters that stayed point estimates.
    """
    state = net.state_dict()
    plain = deepcopy(model)
    plain.load_state_dict({name: value for name, value in state.items() if not name.endswith("_rho")})
    stds = [
        functional.softplus(state[f"{name}_rho"]) if f"{name}_rho" in state else torch.zeros_like(parameter)
        for name, parameter in plain.named_parameters()
        if parameter.requires_grad
    ]
    return plain.eval(), torch.cat([std.detach().reshape(-1) for std in stds])

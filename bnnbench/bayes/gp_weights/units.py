"""Latent codes of a net's units, from which the codes of its weights are made.

A unit u of layer l has a latent z[l, u] in R^D with prior N(0, I), and the weight from unit j of layer l - 1 to unit i
of layer l has the code c[l, i, j] = (z[l - 1, j], z[l, i]) in R^(2 D) (Karaletsos and Bui 2020; Karaletsos, Dayan and
Ghahramani 2018). A bias is the weight of one more unit, which is constantly 1 and has a latent of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from torch import Generator, Tensor, nn

from bnnbench.bayes.log_noise import LogNoise
from bnnbench.bayes.noise import normal
from bnnbench.bayes.stacked import is_stackable, layers_in_order


def _pairs(senders: Tensor, receivers: Tensor) -> Tensor:
    """Latents of senders [S, n, D] and receivers [S, m, D] as codes [S, m n, 2 D]."""
    n, m = senders.shape[1], receivers.shape[1]
    both = senders[:, None].expand(-1, m, -1, -1), receivers[:, :, None].expand(-1, -1, n, -1)
    return torch.cat(both, dim=-1).flatten(1, 2)


@dataclass(frozen=True)
class Wiring:
    """The units of a perceptron: `widths` V_0, ..., V_L, and whether layer l (from 0) has a bias.

    `between` holds what is applied before layer 0, before layer 1, ..., and after the last one; it has no parameters.
    """

    widths: tuple[int, ...]
    biases: tuple[bool, ...]
    between: tuple[tuple[nn.Module, ...], ...]

    @property
    def n_layers(self) -> int:
        """L."""
        return len(self.biases)

    @property
    def n_senders(self) -> tuple[int, ...]:
        """The number of units that send into each layer, with the constant one where there is a bias."""
        return tuple(width + bias for width, bias in zip(self.widths, self.biases, strict=False))

    @property
    def n_units(self) -> tuple[int, ...]:
        """The number of units of each layer from the inputs to the outputs, with constant ones."""
        return (*self.n_senders, self.widths[-1])

    def by_layer(self, of_units: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Rows of all units [..., U, K] as (senders, receivers) of each layer; a constant unit receives nothing."""
        parts = of_units.split(self.n_units, dim=-2)
        return [(parts[k], parts[k + 1][..., : self.widths[k + 1], :]) for k in range(self.n_layers)]

    def codes(self, latents: Tensor) -> Tensor:
        """Codes [S, W, 2 D] of all weights from latents [S, U, D]: by layer, and in it by receiver, then by sender."""
        return torch.cat([_pairs(*layer) for layer in self.by_layer(latents)], dim=1)

    def flat(self, x: Tensor) -> Tensor:
        """Inputs [N, ...] as the first layer takes them, [N, V_0] in double precision."""
        x = x.double()
        for module in self.between[0]:
            x = module(x)
        return x

    def flattened(self, matrices: Sequence[Tensor], noise: nn.Module | None = None) -> Tensor:
        """Vectors [S, P] in the order of a net's parameters, from weights [S, V_out, V_in] by layer, the bias last.

        The parameters of a learned `noise` are put at their end.
        """
        parts = []
        for weight, width, bias in zip(matrices, self.widths, self.biases, strict=False):
            parts.append(weight[..., :width].flatten(1))
            parts += [weight[..., width]] if bias else []
        learned = [] if noise is None else [part.expand(len(matrices[0]), -1) for part in noise.parameters()]
        return torch.cat([*parts, *learned], dim=1)

    def matrices(self, weights: Tensor) -> list[Tensor]:
        """Numbers of all weights [..., W] in the order of `codes`, as matrices [..., V_out, V_in] by layer."""
        shapes = list(zip(self.widths[1:], self.n_senders, strict=True))
        parts = weights.split([out * senders for out, senders in shapes], dim=-1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]

    @property
    def factors(self) -> tuple[float, ...]:
        """1 / sqrt(number of senders) of each layer, by which its weights are scaled.

        Without it, one variance of the process would not suit layers of different widths.
        """
        return tuple(1 / sqrt(n) for n in self.n_senders)

    @property
    def n_weights(self) -> int:
        """The number W of weights, with biases."""
        return sum(out * senders for out, senders in zip(self.widths[1:], self.n_senders, strict=True))


def wiring(model: nn.Module) -> Wiring:
    """The units of a net of linear layers and elementwise activations; a log noise at its end is left out.

    `ValueError` for other layers, for frozen parameters, and for layers that share a parameter.
    """
    if not is_stackable(model):
        kinds = {
            type(part).__name__ for part in model.modules() if not list(part.children()) and not is_stackable(part)
        }
        raise ValueError(
            f"model: a prior over the codes of units needs linear layers and elementwise activations, "
            f"and the net has {', '.join(sorted(kinds)) or type(model).__name__}"
        )
    layers = [layer for layer in layers_in_order(model) if not isinstance(layer, LogNoise)]
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if any(not parameter.requires_grad for layer in linear for parameter in layer.parameters()):
        raise ValueError("model: a layer is frozen (requires_grad=False), and the codes of units make all weights")
    if len({id(parameter) for layer in linear for parameter in layer.parameters()}) < sum(
        1 + (layer.bias is not None) for layer in linear
    ):
        raise ValueError("model: layers share a parameter, and the codes of units give each weight its own")
    if not linear:
        raise ValueError("model: no linear layer, so there are no weights")
    places = [k for k, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    between = tuple(tuple(layers[start + 1 : end]) for start, end in pairwise([-1, *places, len(layers)]))
    widths = (linear[0].in_features, *(layer.out_features for layer in linear))
    return Wiring(widths, tuple(layer.bias is not None for layer in linear), between)


class Units(nn.Module):
    """q(z): independent normals of the latents of all units, by layer, with the constant unit last in its layer.

    Latents start at draws of the prior with standard deviation `std`; those of the inputs start at `inputs` [V_0, D]
    where it is given.
    """

    def __init__(
        self, wiring: Wiring, n_dims: int, std: float, stream: Generator | None, inputs: Tensor | None = None
    ) -> None:
        super().__init__()
        self.wiring, self.n_dims = wiring, n_dims
        like = torch.zeros(1, dtype=torch.float64)
        means = [normal((size, n_dims), stream, like) for size in wiring.n_units]
        if inputs is not None:
            means[0][: wiring.widths[0]] = inputs
        self.means = nn.ParameterList(means)
        self.log_stds = nn.ParameterList([torch.full_like(mean, std).log() for mean in means])

    def draw(self, n_draws: int, stream: Generator | None) -> Tensor:
        """Latents of all units [S, U, D], with their gradient."""
        mean, std = torch.cat(list(self.means)), torch.cat(list(self.log_stds)).exp()
        return mean + std * normal((n_draws, *mean.shape), stream, mean.detach())

    def kl(self) -> Tensor:
        """KL(q(z) || N(0, I)) in nats: the sum of (s^2 + m^2 - 1) / 2 - log s."""
        mean, log_std = torch.cat(list(self.means)), torch.cat(list(self.log_stds))
        return 0.5 * ((2 * log_std).exp().sum() + mean.square().sum() - mean.numel()) - log_std.sum()


def pixel_grid(height: int, width: int) -> Tensor:
    """Places of pixels [height width, 2] between -1.5 and 1.5, row by row: latents of inputs that are neighbours."""
    rows, columns = torch.linspace(-1.5, 1.5, height), torch.linspace(-1.5, 1.5, width)
    return torch.cartesian_prod(rows, columns).double()

"""Linear and convolution layers with independent normal weights, whose noise Flipout decorrelates within a batch.

Wen et al. 2018: the sampled perturbation of the weights is shared by the batch, and every example flips the signs of
its rows and columns. Each example still sees weights from N(mean, std^2).
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from bnnbench.bayes.noise import normal, signs


class FlipoutLayer(nn.Module):
    """The layer that it was made from, with a mean and a standard deviation (by softplus) for every parameter."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, initial_std: float) -> None:
        super().__init__()
        rho = torch.tensor(initial_std).expm1().log().item()
        self.generator: Generator | None = None
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.weight_rho = nn.Parameter(torch.full_like(layer.weight, rho))
        self.bias: nn.Parameter | None = None
        self.bias_rho: nn.Parameter | None = None
        if layer.bias is not None:
            self.bias = nn.Parameter(layer.bias.detach().clone())
            self.bias_rho = nn.Parameter(torch.full_like(layer.bias, rho))

    def gaussians(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Mean and standard deviation of each parameter, in the layer's own order (weight, bias)."""
        yield self.weight, functional.softplus(self.weight_rho)
        if self.bias is not None and self.bias_rho is not None:
            yield self.bias, functional.softplus(self.bias_rho)

    def apply_layer(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's linear map."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Mean output plus s_out * (perturbation applied to s_in * x), signs drawn for each example and channel."""
        perturbed = [std * normal(std.shape, self.generator, std) for _, std in self.gaussians()]
        mean = self.apply_layer(x, self.weight, self.bias)
        s_in = self._signs(x)
        flipped = self.apply_layer(x * s_in, perturbed[0], perturbed[1] if len(perturbed) > 1 else None)
        return mean + flipped * self._signs(mean)

    def _signs(self, x: Tensor) -> Tensor:
        return signs((*x.shape[:2], *[1] * (x.dim() - 2)), self.generator, x)


class FlipoutLinear(FlipoutLayer):
    """Inputs [N, d]."""

    def apply_layer(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b."""
        return functional.linear(x, weight, bias)


class FlipoutConv2d(FlipoutLayer):
    """Inputs [N, C, H, W]; padding with zeros."""

    def __init__(self, layer: nn.Conv2d, initial_std: float) -> None:
        super().__init__(layer, initial_std)
        if layer.padding_mode != "zeros":
            raise ValueError(f"padding mode {layer.padding_mode!r}: Flipout convolutions pad with zeros")
        self.stride, self.padding, self.dilation, self.groups = (
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        )

    def apply_layer(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution."""
        return functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


M = TypeVar("M", bound=nn.Module)


def flipout(model: M, initial_std: float, generator: Generator | None) -> nn.Module:
    """A copy of `model` with every linear and 2-D convolution layer replaced; other parameters stay points."""
    if isinstance(model, nn.Linear | nn.Conv2d):
        layer = FlipoutLinear(model, initial_std) if isinstance(model, nn.Linear) else FlipoutConv2d(model, initial_std)
        layer.generator = generator
        return layer
    net = deepcopy(model)
    for name, child in net.named_children():
        setattr(net, name, flipout(child, initial_std, generator))
    return net

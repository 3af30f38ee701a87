"""Linear and convolution layers with independent normal weights; Flipout decorrelates their noise within a batch.

Wen et al. 2018: the sampled perturbation of the weights is shared by the batch, and every example flips the signs of
its rows and columns. Each example still sees weights from N(mean, std^2).
"""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from bnnbench.bayes.noise import normal, signs


class FlipoutLayer(nn.Module):
    """The layer that it was made from, with a mean and a standard deviation (by softplus) for every parameter.

    Frozen parameters stay frozen and have no standard deviation.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, initial_std: float) -> None:
        super().__init__()
        rho = torch.tensor(initial_std).expm1().log().item()
        self.generator: Generator | None = None
        self.weight, self.weight_rho = _gaussian(layer.weight, rho)
        self.bias: nn.Parameter | None = None
        self.bias_rho: nn.Parameter | None = None
        if layer.bias is not None:
            self.bias, self.bias_rho = _gaussian(layer.bias, rho)

    def gaussians(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Mean and standard deviation of each parameter that is not frozen, in the layer's own order (weight, bias)."""
        if self.weight_rho is not None:
            yield self.weight, functional.softplus(self.weight_rho)
        if self.bias is not None and self.bias_rho is not None:
            yield self.bias, functional.softplus(self.bias_rho)

    def apply_layer(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's linear map."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Mean output plus s_out * (perturbation applied to s_in * x); signs are drawn for each example and channel."""
        drawn = {mean: std * normal(std.shape, self.generator, std) for mean, std in self.gaussians()}
        mean = self.apply_layer(x, self.weight, self.bias)
        s_in = self._signs(x)
        weight = drawn[self.weight] if self.weight in drawn else torch.zeros_like(self.weight)
        flipped = self.apply_layer(x * s_in, weight, None if self.bias is None else drawn.get(self.bias))
        return mean + flipped * self._signs(mean)

    def _signs(self, x: Tensor) -> Tensor:
        return signs((*x.shape[:2], *[1] * (x.dim() - 2)), self.generator, x)


def _gaussian(parameter: Tensor, rho: float) -> tuple[nn.Parameter, nn.Parameter | None]:
    """Mean and untransformed standard deviation; a frozen parameter has none."""
    mean = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
    return mean, nn.Parameter(torch.full_like(mean, rho)) if mean.requires_grad else None


class FlipoutLinear(FlipoutLayer):
    """A linear layer on inputs [N, d]."""

    def apply_layer(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b."""
        return functional.linear(x, weight, bias)


class FlipoutConv2d(FlipoutLayer):
    """A 2-D convolution on inputs [N, C, H, W], padded with zeros."""

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


def flipout(model: nn.Module, initial_std: float, generator: Generator | None) -> nn.Module:
    """A copy of `model` with its linear and 2-D convolution layers replaced; other parameters stay point estimates.

    Layers that are frozen or that override `forward` are not replaced. A layer that is registered under several names
    stays one layer. `ValueError` where two layers share a parameter.
    """
    net = deepcopy(model)
    owned = [parameter for part in net.modules() for parameter in part.parameters(recurse=False)]
    if len(owned) > len(set(owned)):
        raise ValueError("model: two layers share a parameter, which Flipout would train twice; use one in both places")
    made = {part: _noisy(part, initial_std, generator) for part in net.modules() if _is_replaced(part)}
    for name, part in list(net.named_modules(remove_duplicate=False)):
        if name and part in made:
            net.set_submodule(name, made[part])
    return made.get(net, net)


def _is_replaced(part: nn.Module) -> bool:
    plain = type(part).forward in (nn.Linear.forward, nn.Conv2d.forward)
    return plain and any(parameter.requires_grad for parameter in part.parameters())


def _noisy(layer: nn.Module, initial_std: float, generator: Generator | None) -> nn.Module:
    noisy: FlipoutLayer
    if isinstance(layer, nn.Linear):
        noisy = FlipoutLinear(layer, initial_std)
    else:
        assert isinstance(layer, nn.Conv2d)
        noisy = FlipoutConv2d(layer, initial_std)
    noisy.generator = generator
    return noisy

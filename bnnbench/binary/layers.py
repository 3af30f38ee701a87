"""Layers whose weights or activations are +1 and -1 in every forward pass."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnnbench.binary.sign import binarize


class BinaryLayer(nn.Module):
    """A layer with weights sign(W); the latent W stays real and starts uniform in [-1, 1].

    The gradient with respect to the binary weight goes to the latent weight unchanged. There is no bias: the batch
    normalisation that follows would cancel it.

    With a `generator`, weights are drawn stochastically while training (equation 2) and are signs in evaluation.
    """

    def __init__(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.weight = nn.Parameter(torch.empty(shape))

    @property
    def fans(self) -> tuple[int, int]:
        """Inputs and outputs that a weight connects: of a convolution, those of its whole kernel."""
        taps = self.weight[0, 0].numel()
        return self.weight.shape[1] * taps, self.weight.shape[0] * taps

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draws the latent weights uniformly from [-1, 1]."""
        nn.init.uniform_(self.weight, -1, 1, generator=generator)

    def binary_weight(self) -> Tensor:
        """The weights of the forward pass, in the shape of `weight`, in {-1, +1}."""
        return binarize(self.weight, self.generator if self.training else None, mask=False)


class BinaryLinear(BinaryLayer):
    """Dense layer with binary weights [fan_out, fan_in]."""

    def __init__(self, fan_in: int, fan_out: int, generator: torch.Generator | None = None) -> None:
        super().__init__((fan_out, fan_in), generator)

    def forward(self, x: Tensor) -> Tensor:
        """[N, fan_in] -> [N, fan_out]."""
        return functional.linear(x, self.binary_weight())


class BinaryConv2d(BinaryLayer):
    """Convolution with binary weights [out, in, kernel, kernel]; padding is with zeros."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((channels_out, channels_in, kernel, kernel), generator)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H', W']."""
        return functional.conv2d(x, self.binary_weight(), stride=self.stride, padding=self.padding)


class BinaryActivation(nn.Module):
    """sign(x) with the straight-through gradient.

    With a `generator`, activations are stochastic while training; evaluation is always deterministic. `mask=False`
    lets gradients through where |x| > 1 (an ablation: the paper cancels them).
    """

    def __init__(self, generator: torch.Generator | None = None, mask: bool = True) -> None:
        super().__init__()
        self.generator = generator
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to {-1, +1}."""
        return binarize(x, self.generator if self.training else None, self.mask)

"""The parts that nets are built from: layers and activations by name, real or binarized.

This is the one place where another kind of weight or activation plugs in: `Parts.conv`, `dense` and `activate`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from bnnbench.binary.batch_norm import BatchNorm
from bnnbench.binary.layers import BinaryActivation, BinaryConv2d, BinaryLayer, BinaryLinear
from bnnbench.binary.quantize import QuantizedActivation, QuantizedConv2d, QuantizedGradient, QuantizedLinear


@dataclass(frozen=True)
class Parts:
    """The kinds of weights, activations and normalisation of a net, and the stream that draws its weights."""

    weights: str
    """"float", "binary" or "quantized"."""
    activation: str
    """"relu", "hardtanh", "sign" or "quantized"."""
    generator: torch.Generator
    weight_bits: int = 1
    activation_bits: int = 1
    gradient_bits: int | None = None
    """Bits of the gradient that comes back through an activation; with `None` it is not rounded."""
    glorot: bool = False
    """Draw latent weights as real ones are drawn, and not from [-1, 1]."""
    norm: Callable[[int], nn.Module] = BatchNorm

    def conv(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Module:
        """A convolution without bias, [N, channels_in, H, W] -> [N, channels_out, H', W']."""
        if self.weights == "float":
            return self._drawn(nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False))
        if self.weights == "quantized":
            bits = self.weight_bits
            return self._drawn(QuantizedConv2d(channels_in, channels_out, kernel, stride, padding, bits=bits))
        return self._drawn(BinaryConv2d(channels_in, channels_out, kernel, stride, padding))

    def dense(self, fan_in: int, fan_out: int) -> nn.Module:
        """A dense layer without bias, [N, fan_in] -> [N, fan_out]."""
        if self.weights == "float":
            return self._drawn(nn.Linear(fan_in, fan_out, bias=False))
        if self.weights == "quantized":
            return self._drawn(QuantizedLinear(fan_in, fan_out, self.weight_bits))
        return self._drawn(BinaryLinear(fan_in, fan_out))

    def activate(self) -> nn.Module:
        """The activation of hidden layers."""
        kinds: dict[str, Callable[[], nn.Module]] = {
            "relu": nn.ReLU,
            "hardtanh": nn.Hardtanh,
            "sign": BinaryActivation,
            "quantized": partial(QuantizedActivation, self.activation_bits),
        }
        activation = kinds[self.activation]()
        if self.gradient_bits is None:
            return activation
        return nn.Sequential(activation, QuantizedGradient(self.gradient_bits, self.generator))

    def conv_block(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, padding: int = 0, pool: bool = False
    ) -> list[nn.Module]:
        """Convolution - (max-pool 3, stride 2) - BatchNorm - activation: pooling comes first, as in the authors' code.

        Pooling after the sign would turn nearly everything into +1.
        """
        pooling = [nn.MaxPool2d(3, 2)] if pool else []
        conv = self.conv(channels_in, channels_out, kernel, stride, padding)
        return [conv, *pooling, self.norm(channels_out), self.activate()]

    def dense_block(self, fan_in: int, fan_out: int) -> list[nn.Module]:
        """Dense layer - BatchNorm - activation."""
        return [*self.classifier(fan_in, fan_out), self.activate()]

    def classifier(self, fan_in: int, n_classes: int) -> list[nn.Module]:
        """The last layer and its BatchNorm, whose output the loss sees."""
        return [self.dense(fan_in, n_classes), self.norm(n_classes)]

    def _drawn(self, layer: nn.Conv2d | nn.Linear | BinaryLayer) -> nn.Module:
        if isinstance(layer, BinaryLayer) and not self.glorot:
            layer.reset_parameters(self.generator)
        else:
            nn.init.xavier_uniform_(layer.weight, generator=self.generator)
        return layer


def pooled(size: int) -> int:
    """Side of an image of side `size` after the max-pool of `conv_block`."""
    return (size - 3) // 2 + 1


def convolved(size: int, kernel: int, stride: int, padding: int) -> int:
    """Side of an image of side `size` after a convolution."""
    return (size + 2 * padding - kernel) // stride + 1

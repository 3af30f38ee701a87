"""The paper's two nets, binarized, partly binarized or real."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from bnnbench.binary.layers import BinaryActivation, BinaryConv2d, BinaryLinear
from bnnbench.binary.shift_norm import ShiftBatchNorm
from bnnbench.papers.binarized.settings import MLP, ConvNet, Training

Generators = Callable[[str], torch.Generator]  # the random stream of an axis, as `Run.generator`


@dataclass(frozen=True)
class Blocks:
    """Makes the layers of a net with these settings.

    BatchNorm averages with weight 0.1 for the new batch and eps 1e-4, as the authors' Theano code does.
    """

    params: Training
    generator: Generators

    def dense(self, fan_in: int, fan_out: int) -> nn.Module:
        """A dense layer without bias, which the BatchNorm that follows would cancel."""
        if self.params.weights == "float":
            return self._glorot(nn.Linear(fan_in, fan_out, bias=False))
        return self._uniform(BinaryLinear(fan_in, fan_out, self._noise()))

    def conv(self, maps_in: int, maps_out: int) -> nn.Module:
        """A convolution of 3 x 3, padded with zeros."""
        if self.params.weights == "float":
            return self._glorot(nn.Conv2d(maps_in, maps_out, 3, padding=1, bias=False))
        return self._uniform(BinaryConv2d(maps_in, maps_out, 3, padding=1, generator=self._noise()))

    def norm(self, features: int, spatial: bool = False, last: bool = False) -> nn.Module:
        """The BatchNorm of the settings; the last one is standard also in the authors' shift-based nets."""
        if self.params.norm == "standard" or last:
            return (nn.BatchNorm2d if spatial else nn.BatchNorm1d)(features, eps=1e-4, momentum=0.1)
        return ShiftBatchNorm(features, spatial, variant="paper" if self.params.norm == "shift-paper" else "code")

    def activation(self) -> nn.Module:
        """The activation of hidden layers."""
        if self.params.activation == "relu":
            return nn.ReLU()
        if self.params.activation == "hardtanh":
            return nn.Hardtanh()
        noise = self.generator("activation-noise") if self.params.activation == "stochastic-sign" else None
        return BinaryActivation(noise, self.params.gradient_mask)

    def _noise(self) -> torch.Generator | None:
        return self.generator("weight-noise") if self.params.weights == "stochastic" else None

    def _glorot(self, layer: nn.Linear | nn.Conv2d) -> nn.Module:
        nn.init.xavier_uniform_(layer.weight, generator=self.generator("init"))
        return layer

    def _uniform(self, layer: BinaryLinear | BinaryConv2d) -> nn.Module:
        layer.reset_parameters(self.generator("init"))
        return layer


def mlp(fan_in: int, n_classes: int, params: MLP, generator: Generators) -> nn.Sequential:
    """[N, fan_in] -> [N, n_classes]: `depth` x {dense - BatchNorm - activation - dropout}, dense - BatchNorm.

    The last layer is binarized like the others, and the loss sees its BatchNorm (the authors' `mnist.py`).
    """
    blocks = Blocks(params, generator)
    layers: list[nn.Module] = [nn.Dropout(params.dropout_input)] if params.dropout_input else []
    sizes = [fan_in, *[params.width] * params.depth]
    for inputs, outputs in pairwise(sizes):
        layers += [blocks.dense(inputs, outputs), blocks.norm(outputs), blocks.activation()]
        layers += [nn.Dropout(params.dropout_hidden)] if params.dropout_hidden else []
    return nn.Sequential(*layers, blocks.dense(sizes[-1], n_classes), blocks.norm(n_classes, last=True))


def convnet(shape: tuple[int, int, int], n_classes: int, params: ConvNet, generator: Generators) -> nn.Sequential:
    """[N, C, H, W] -> [N, n_classes]: 2 x C3 - P2 at `maps`, twice and four times as many, two dense layers, output.

    Pooling comes before BatchNorm and activation. `shape` is that of an image; H and W are at least 8.
    """
    blocks = Blocks(params, generator)
    maps_in, height, width = shape
    layers: list[nn.Module] = []
    for maps in (params.maps, 2 * params.maps, 4 * params.maps):
        layers += [blocks.conv(maps_in, maps), blocks.norm(maps, spatial=True), blocks.activation()]
        layers += [blocks.conv(maps, maps), nn.MaxPool2d(2), blocks.norm(maps, spatial=True), blocks.activation()]
        maps_in, height, width = maps, height // 2, width // 2
    layers += [nn.Flatten()]
    sizes = [maps_in * height * width, params.width, params.width]
    for inputs, outputs in pairwise(sizes):
        layers += [blocks.dense(inputs, outputs), blocks.norm(outputs), blocks.activation()]
    return nn.Sequential(*layers, blocks.dense(params.width, n_classes), blocks.norm(n_classes, last=True))

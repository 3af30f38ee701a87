"""What keeps latent weights trainable: a learning-rate scale per layer, and clipping after the step."""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import torch
from torch import nn

from bnnbench.binary.layers import BinaryLayer
from bnnbench.binary.shift import power_of_two as nearest_power_of_two
from bnnbench.binary.shift_norm import ShiftBatchNorm

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, ShiftBatchNorm)


def binary_layers(net: nn.Module) -> Iterator[BinaryLayer]:
    """The layers of `net` that hold latent weights."""
    return (module for module in net.modules() if isinstance(module, BinaryLayer))


def learning_rate_scale(layer: BinaryLayer) -> float:
    """1 / sqrt(1.5 / (fan_in + fan_out)): the inverse of Glorot's coefficient (Algorithm 1's gamma)."""
    fan_in, fan_out = layer.fans
    return 1.0 / sqrt(1.5 / (fan_in + fan_out))


def parameter_groups(
    net: nn.Module, scale_learning_rate: bool, power_of_two: bool = False, scale_gammas: bool = False
) -> list[dict[str, Any]]:
    """Parameter groups with a `scale` each: one for each binary layer, and a last one with scale 1 for the rest.

    The update of Adam is proportional to its learning rate, so a group's rate scales the update, as Algorithm 1 asks;
    scaling the gradient would do nothing.

    `power_of_two` rounds every scale to the nearest power of two, as in the authors' Torch7 files for CIFAR-10 and
    SVHN. `scale_gammas` gives the gamma of every batch normalisation of n features a group of its own with scale
    1 / sqrt(1.5 / n), as in the Torch7 file for MNIST.
    """
    scales = {layer.weight: learning_rate_scale(layer) if scale_learning_rate else 1.0 for layer in binary_layers(net)}
    if scale_gammas:
        norms = (module for module in net.modules() if isinstance(module, NORMS))
        scales |= {norm.weight: 1.0 / sqrt(1.5 / len(norm.weight)) for norm in norms if norm.weight is not None}
    groups: list[dict[str, Any]] = [
        {"params": [parameter], "scale": nearest_power_of_two(scale) if power_of_two else scale}
        for parameter, scale in scales.items()
    ]
    rest = [parameter for parameter in net.parameters() if parameter not in scales]
    return [*groups, {"params": rest, "scale": 1.0}]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Gives every group `learning_rate` times its scale; a rate that is a tensor is changed in place."""
    for group in optimizer.param_groups:
        rate = learning_rate * group["scale"]
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


@torch.no_grad()
def clip_latent_weights(net: nn.Module) -> None:
    """W <- clip(W, -1, 1) for latent weights only; call it after the optimizer's step (Algorithm 1)."""
    for layer in binary_layers(net):
        layer.weight.clamp_(-1, 1)

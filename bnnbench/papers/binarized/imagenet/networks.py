"""The net that an experiment's parameters ask for, and its size."""

from functools import partial

import torch
from torch import nn

from bnnbench.binary.batch_norm import BatchNorm
from bnnbench.binary.models.alexnet import alexnet, larq_alexnet
from bnnbench.binary.models.googlenet import GoogLeNet
from bnnbench.binary.models.parts import Parts
from bnnbench.binary.optimize import binary_layers
from bnnbench.harness.run import Run
from bnnbench.papers.binarized.imagenet.settings import ImageNet

KERAS_NORM = partial(BatchNorm, eps=1e-3, scale=False)  # as Larq Zoo's net has it


def build(params: ImageNet, n_classes: int, run: Run) -> nn.Module:
    """[N, 3, crop, crop] -> [N, n_classes] (GoogLeNet: a tuple of these), in float32 or float64 on the run's device."""
    larq = params.net == "larq-alexnet"
    parts = Parts(
        weights=params.weights,
        activation=params.activation,
        weight_bits=params.weight_bits,
        activation_bits=params.activation_bits,
        gradient_bits=params.gradient_bits,
        generator=run.generator("init"),
        glorot=params.latent_init == "glorot",
        norm=KERAS_NORM if larq else BatchNorm,
    )
    net: nn.Module
    if larq:
        net = larq_alexnet(parts, n_classes, params.crop)
    elif params.net == "googlenet":
        net = GoogLeNet(parts, n_classes, params.crop, width=params.width, auxiliary=params.auxiliary)
    else:
        net = alexnet(
            parts,
            n_classes,
            params.crop,
            inflation=params.inflation,
            width=params.width,
            stride=params.first_stride,
        )
    dtype = torch.float64 if params.precision == "float64" else torch.float32
    return net.to(torch.device(run.device), dtype)


def size(net: nn.Module) -> tuple[int, float]:
    """How many numbers evaluation needs, running statistics included, and their MiB with one bit per binary weight."""
    numbers = sum(value.numel() for value in net.state_dict().values() if value.is_floating_point())
    latent = {layer: layer.weight.numel() for layer in binary_layers(net)}
    bits = sum(getattr(layer, "bits", 1) * count for layer, count in latent.items())
    return numbers, (bits / 8 + 4 * (numbers - sum(latent.values()))) / 2**20

"""The paper's MLP, binarized, partly binarized or real."""

from itertools import pairwise

import torch
from torch import nn

from bnnbench.binary.layers import BinaryActivation, BinaryLinear
from bnnbench.harness.run import Run


def binary_mlp(
    fan_in: int,
    n_classes: int,
    *,
    width: int,
    depth: int,
    weights: str,
    activation: str,
    gradient_mask: bool,
    dropout: tuple[float, float],
    run: Run,
) -> nn.Sequential:
    """[N, fan_in] -> [N, n_classes]: `depth` x {dense - BatchNorm - activation - dropout}, dense - BatchNorm.

    `weights`: float, binary, stochastic. `activation`: relu, hardtanh, sign, stochastic-sign. The last layer is
    binarized like the others and the loss sees its BatchNorm (the authors' `mnist.py`). BatchNorm averages with weight
    0.1 for the new batch and eps 1e-4, as there.
    """

    def dense(inputs: int, outputs: int) -> nn.Module:
        if weights == "float":
            layer = nn.Linear(inputs, outputs, bias=False)
            nn.init.xavier_uniform_(layer.weight, generator=run.generator("init"))
            return layer
        binary = BinaryLinear(inputs, outputs, run.generator("weight-noise") if weights == "stochastic" else None)
        binary.reset_parameters(run.generator("init"))
        return binary

    def activate() -> nn.Module:
        if activation == "relu":
            return nn.ReLU()
        if activation == "hardtanh":
            return nn.Hardtanh()
        noise = run.generator("activation-noise") if activation == "stochastic-sign" else None
        return BinaryActivation(noise, gradient_mask)

    layers: list[nn.Module] = [nn.Dropout(dropout[0])] if dropout[0] else []
    sizes = [fan_in, *[width] * depth]
    for inputs, outputs in pairwise(sizes):
        layers += [dense(inputs, outputs), _batch_norm(outputs), activate()]
        layers += [nn.Dropout(dropout[1])] if dropout[1] else []
    layers += [dense(sizes[-1], n_classes), _batch_norm(n_classes)]
    return nn.Sequential(*layers).to(torch.device(run.device))


def _batch_norm(features: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(features, eps=1e-4, momentum=0.1)

"""A learned noise as part of the net: one logarithm of a standard deviation for each target, appended to its outputs.

The noise is thereby a parameter like others: it is in theta, in every draw and in checkpoints, and whatever trains or
samples a whole net learns it.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn


class LogNoise(nn.Module):
    """Appends log noise [D] to outputs [N, D]: [N, 2 D]."""

    def __init__(self, n_targets: int, initial: float, like: Tensor) -> None:
        super().__init__()
        self.initial = initial
        self.log_noise = nn.Parameter(torch.full((n_targets,), initial, dtype=like.dtype, device=like.device))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Back to the initial value."""
        self.log_noise.fill_(self.initial)

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs [..., D] and the same log noise for all points."""
        return torch.cat([outputs, self.log_noise.expand(*outputs.shape[:-1], -1)], dim=-1)


def with_log_noise(model: nn.Module, n_targets: int, initial: float) -> nn.Module:
    """`model` followed by its log noise, as the parameter "noise.log_noise" behind those of "net"; once only."""
    if has_log_noise(model):
        return model
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.zeros(()))
    return nn.Sequential(OrderedDict(net=model, noise=LogNoise(n_targets, initial, like)))


def has_log_noise(model: nn.Module) -> bool:
    """Whether a net ends with a log noise."""
    return isinstance(model, nn.Sequential) and len(model) > 0 and isinstance(model[-1], LogNoise)

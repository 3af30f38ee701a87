"""A learned noise as part of the net: the log standard deviation of each target, appended to the net's outputs.

The noise is thereby a parameter like any other: it is in theta, in every draw and in checkpoints, and every method that
trains or samples a whole net learns it.
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
        """Sets the log noise back to its initial value."""
        self.log_noise.fill_(self.initial)

    def forward(self, outputs: Tensor) -> Tensor:
        """Outputs [..., D] followed by the log noise, which is the same for all points."""
        return torch.cat([outputs, self.log_noise.expand(*outputs.shape[:-1], -1)], dim=-1)


def with_log_noise(model: nn.Module, n_targets: int, initial: float) -> nn.Module:
    """`model` followed by its log noise, as the parameter "noise.log_noise" after those of "net".

    A model that already ends with a log noise is returned as it is.
    """
    if has_log_noise(model):
        return model
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.zeros(()))
    return nn.Sequential(OrderedDict(net=model, noise=LogNoise(n_targets, initial, like)))


def has_log_noise(model: nn.Module) -> bool:
    """Whether a net ends with a log noise."""
    return isinstance(model, nn.Sequential) and len(model) > 0 and isinstance(model[-1], LogNoise)

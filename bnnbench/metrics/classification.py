"""Metrics of class predictions."""

import torch
from torch import Tensor


def error_rate(outputs: Tensor, labels: Tensor) -> float:
    """Share of wrong classes in percent; outputs [N, C] (largest wins), labels [N]."""
    return 100.0 * (outputs.argmax(dim=1) != labels).double().mean().item()


def confusion(outputs: Tensor, labels: Tensor) -> Tensor:
    """Counts [C, C]: row = true class, column = predicted class."""
    n_classes = outputs.shape[1]
    return torch.bincount(labels * n_classes + outputs.argmax(dim=1), minlength=n_classes**2).view(n_classes, n_classes)


def hits(outputs: Tensor, labels: Tensor, k: int) -> Tensor:
    """How many labels [N] are among the `k` largest outputs [N, C] of their row: int64, on the device of `outputs`."""
    best = outputs.topk(min(k, outputs.shape[1]), dim=1).indices
    return (best == labels[:, None]).sum()

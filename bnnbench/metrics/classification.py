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

"""Calibration of the top label: binned confidence against accuracy.

torchmetrics is not used: it gives a confidence of exactly 1 a bin of its own, and it has no table for plots.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnbench.metrics._check import classes, predictive


@dataclass(frozen=True)
class Reliability:
    """Bins of equal width over [0, 1]: `edges` [n + 1]; `count`, mean `confidence` and `accuracy` [n], NaN where empty.

    A bin includes its lower edge, and the last bin also 1. All are float64 except `count`, on the CPU.
    """

    edges: Tensor
    count: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def gap(self) -> Tensor:
        """Distance between confidence and accuracy [n], zero where a bin is empty."""
        return (self.confidence - self.accuracy).abs().nan_to_num(0.0)


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """Confidence and accuracy of the top label by bin; probabilities [N, C] or draws [S, N, C] (averaged), labels [N].

    Raises ValueError for values that are no probabilities, no classes or no number of bins.
    """
    if bins < 1:
        raise ValueError(f"bins: {bins} is less than 1")
    mean = predictive(probabilities)
    largest, guesses = mean.max(dim=1)
    # weighted counts are not deterministic on CUDA
    confidences, right = largest.cpu(), (guesses == classes(labels, mean)).double().cpu()
    edges = torch.arange(bins + 1, dtype=torch.float64) / bins
    # sums of probabilities may exceed 1 by rounding
    where = (torch.bucketize(confidences, edges, right=True) - 1).clamp(max=bins - 1)
    count = torch.bincount(where, minlength=bins)
    return Reliability(
        edges,
        count,
        torch.bincount(where, confidences, minlength=bins) / count,
        torch.bincount(where, right, minlength=bins) / count,
    )


def ece(probabilities: Tensor, labels: Tensor, bins: int = 15, *, as_published: bool = False) -> float:
    """Expected calibration error of the top label, 0 to 1: the gap of each bin weighted by its count.

    Probabilities [N, C] or draws [S, N, C] (averaged), labels [N]. `as_published` is what the code of Kristiadi et al.
    (2022), and of LIVI (2023) after it, computes with 100 bins: the last bin (confidence of 1 - 1/bins and more) is
    left out and the weights of the others are renormalised; it is NaN if nothing is left. Raises ValueError as
    `reliability` does.
    Naeini et al. (2015); Guo et al. (2017), whose bins hold their upper instead of their lower edge.
    """
    table = reliability(probabilities, labels, bins)
    count, gap = (table.count[:-1], table.gap[:-1]) if as_published else (table.count, table.gap)
    return ((count * gap).sum() / count.sum()).item()


def mce(probabilities: Tensor, labels: Tensor, bins: int = 15, *, as_published: bool = False) -> float:
    """Maximum calibration error of the top label, 0 to 1: the largest gap of a bin that holds a point.

    Arguments, `as_published` (the last bin left out; 0 if nothing is left) and errors as in `ece`.
    """
    gap = reliability(probabilities, labels, bins).gap
    gap = gap[:-1] if as_published else gap
    return gap.amax().item() if len(gap) else 0.0

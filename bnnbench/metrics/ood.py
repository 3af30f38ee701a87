"""Detection of out-of-distribution inputs from scores: the higher, the more a point looks in-distribution.

Scores may be confidences, negative entropies or log-densities [N]. torchmetrics is not used: it
maps scores outside [0, 1] through a sigmoid, which makes large ones equal.
"""

import torch
from torch import Tensor

from bnnbench.metrics._check import numbers, quantile, share


def auroc(scores_in: Tensor, scores_out: Tensor) -> float:
    """Probability that an in-distribution point scores above an out-of-distribution one, a tie counting half.

    Scores [N] and [M]. Raises ValueError for scores that are empty, NaN or infinite. Hendrycks & Gimpel (2017).
    """
    inside, outside = numbers(scores_in, "scores_in"), numbers(scores_out, "scores_out").sort().values
    below = torch.searchsorted(outside, inside, right=False).sum()
    upto = torch.searchsorted(outside, inside, right=True).sum()
    return (below + upto).item() / (2.0 * len(inside) * len(outside))


def aupr_in(scores_in: Tensor, scores_out: Tensor) -> float:
    """Average precision with in-distribution points as positives; scores [N] and [M], errors as in `auroc`.

    The sum of precisions weighted by the steps of recall, without interpolation; equal scores make one step.
    """
    return _average_precision(numbers(scores_in, "scores_in"), numbers(scores_out, "scores_out"))


def aupr_out(scores_in: Tensor, scores_out: Tensor) -> float:
    """Average precision with out-of-distribution points as positives, lowest scores first; otherwise as `aupr_in`."""
    return _average_precision(-numbers(scores_out, "scores_out"), -numbers(scores_in, "scores_in"))


def fpr_at_tpr(scores_in: Tensor, scores_out: Tensor, tpr: float = 0.95) -> float:
    """Share of out-of-distribution points that pass the threshold which the share `tpr` of in-distribution ones passes.

    Scores [N] and [M]. The threshold is the (1 - tpr) quantile of `scores_in`, linear between order statistics, and a
    score equal to it passes: FPR95 of Kristiadi et al. (2022), released code, on confidences. Raises ValueError for
    scores that are empty, NaN or infinite, or for a `tpr` outside (0, 1).
    """
    share(tpr, "tpr")
    inside, outside = numbers(scores_in, "scores_in"), numbers(scores_out, "scores_out")
    threshold = quantile(inside.sort().values, 1.0 - tpr)
    return (outside >= threshold).double().mean().item()


def _average_precision(positives: Tensor, negatives: Tensor) -> float:
    thresholds, hits = positives.unique(return_counts=True)
    ordered_positives, ordered_negatives = positives.sort().values, negatives.sort().values
    true = len(positives) - torch.searchsorted(ordered_positives, thresholds)
    false = len(negatives) - torch.searchsorted(ordered_negatives, thresholds)
    precisions = true.double() / (true + false)
    return float((hits * precisions).sum().item()) / len(positives)

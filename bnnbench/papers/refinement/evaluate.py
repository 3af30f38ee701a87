"""What is measured of a prediction, and of draws beside those of HMC."""

from math import isfinite

import torch
from torch import Tensor

from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.metrics import calibration, classification, mmd, ood


def predictive_metrics(found: ClassPredictive, labels: Tensor) -> dict[str, float]:
    """Accuracy, likelihood and calibration at test points."""
    probs = found.probs.double()
    metrics = {
        "accuracy": classification.accuracy(probs, labels),
        "nll": nll(found, labels),
        "brier": classification.brier(probs, labels),
        "ece_published": 100 * calibration.ece(probs, labels, 100, as_published=True),
        "ece_100": 100 * calibration.ece(probs, labels, 100),
        "ece_15": 100 * calibration.ece(probs, labels, 15),
        "mmc": 100 * classification.mean_confidence(probs),
    }
    # the published calibration error is undefined where every confidence lies in the bin that it leaves out
    return {name: value for name, value in metrics.items() if isfinite(value)}


def nll(found: ClassPredictive, labels: Tensor) -> float:
    """Mean negative log-likelihood, from logarithms: a probability that rounds to 0 is no infinite loss."""
    return -found.log_density(labels).double().mean().item()


def detection_metrics(inside: ClassPredictive, outside: ClassPredictive, name: str) -> dict[str, float]:
    """How well the largest probability tells test points from those of other data."""
    within, without = (classification.confidence(part.probs.double()) for part in (inside, outside))
    return {
        f"fpr95_{name}": 100 * ood.fpr_at_tpr(within, without),
        f"auroc_{name}": 100 * ood.auroc(within, without),
    }


def distance_metrics(draws: Tensor, reference: Tensor) -> dict[str, float]:
    """Squared MMD between draws [S, P] and those of HMC [T, P]; as many of both as there are of either.

    The unbiased one takes its width from the reference alone, so that methods can be compared; so does the floor, which
    is what the published one has in expectation for two samples of the reference's distribution.
    """
    count = min(len(draws), len(reference))
    spread = torch.arange(count) * len(reference) // count
    mine, other = draws[:count].double().cpu(), reference[spread].double().cpu()
    gamma = mmd.median_gamma(other, first=100)
    return {
        "mmd_published": mmd.mmd2_published(mine, other),
        "mmd": mmd.mmd2_unbiased(mine, other, gamma),
        "mmd_floor": mmd.mmd2_floor(count, count, mmd.kernel_mean(other, gamma)),
    }

"""The measures that `measures` declares, computed from predictions and from draws of weights."""

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Generator, Tensor

from bnnbench.bayes.posterior import ClassPredictive, Predictive, RealPredictive
from bnnbench.metrics import calibration, classification, mmd, ood, regression


def scores(predictive: Predictive, targets: Tensor, generator: Generator | None = None) -> dict[str, float]:
    """All measures of a prediction at points with targets [N]: those for classes or those for real targets."""
    if isinstance(predictive, ClassPredictive):
        return class_scores(predictive, targets)
    return real_scores(predictive, targets, generator)


def class_scores(predictive: ClassPredictive, labels: Tensor) -> dict[str, float]:
    """`measures.CLASSES` at labels [N]."""
    probs = predictive.probs.double()
    return _finite(
        {
            "accuracy": classification.accuracy(probs, labels),
            "nll": nll(predictive, labels),
            "brier": classification.brier(probs, labels),
            "ece_published": 100 * calibration.ece(probs, labels, 100, as_published=True),
            "ece_100": 100 * calibration.ece(probs, labels, 100),
            "ece_15": 100 * calibration.ece(probs, labels, 15),
            "mmc": 100 * classification.mean_confidence(probs),
        }
    )


def real_scores(predictive: RealPredictive, targets: Tensor, generator: Generator | None = None) -> dict[str, float]:
    """`measures.REALS` at targets [N].

    The mixture over draws is exact in mean and density. Its quantiles and CRPS come from draws of targets, one for each
    draw of the prediction and at least `TARGETS` for each point, made with `generator`.
    """
    draws = target_draws(predictive, generator)
    low, high = regression.central_interval(draws, 0.95)
    return {
        "rmse": regression.rmse(predictive.moments[0], targets),
        "nll": nll(predictive, targets),
        "crps": regression.crps(draws, targets, fair=True),
        "coverage_50": 100 * regression.coverage(*regression.central_interval(draws, 0.5), targets),
        "coverage_95": 100 * regression.coverage(low, high, targets),
        "width_95": regression.width(low, high),
    }


TARGETS = 1000  # draws of a target from which quantiles are taken: the 2.5 % quantile has 25 below it


def target_draws(predictive: RealPredictive, generator: Generator | None) -> Tensor:
    """Draws of targets [M, N] from the mixture, as many from each draw of the prediction, M >= `TARGETS`."""
    rounds = -(-TARGETS // predictive.n_draws)
    stream = Generator().manual_seed(0) if generator is None else generator
    return torch.cat([predictive.sample(stream) for _ in range(rounds)])


def nll(predictive: Predictive, targets: Tensor) -> float:
    """Mean negative log density of targets [N], from logarithms: probabilities that round to 0 have a finite loss."""
    return -predictive.log_density(targets).double().mean().item()


def detection_scores(inside: ClassPredictive, outside: ClassPredictive, name: str) -> dict[str, float]:
    """How well the largest probability separates test points from points of the other data `name`."""
    within, without = (classification.confidence(part.probs.double()) for part in (inside, outside))
    return {
        f"fpr95_{name}": 100 * ood.fpr_at_tpr(within, without),
        f"auroc_{name}": 100 * ood.auroc(within, without),
        f"mmc_{name}": 100 * without.mean().item(),
    }


def distance_scores(draws: Tensor, reference: Tensor) -> dict[str, float]:
    """`measures.REFERENCE` between draws [S, P] and reference draws [T, P], using min(S, T) of each.

    The unbiased squared MMD takes its kernel width from the reference alone, so that methods can be compared. So does
    the floor, which is the expectation of the published one for two samples of the reference's distribution.
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


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """The finite numbers: the published calibration error is not, if all confidences lie in the bin that it omits."""
    return {name: value for name, value in numbers.items() if isfinite(value)}

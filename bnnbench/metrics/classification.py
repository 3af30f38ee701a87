"""Metrics of class predictions."""

import torch
from torch import Tensor

from bnnbench.metrics._check import classes, numbers, predictive


def error_rate(outputs: Tensor, labels: Tensor) -> float:
    """Share of wrong classes in percent; outputs [N, C], of which the largest is the prediction; labels [N].

    Raises ValueError for NaN, infinity, wrong shapes or labels that are no class.
    """
    guesses, known = _guesses(outputs, labels)
    return 100.0 * (guesses != known).double().mean().item()


def confusion(outputs: Tensor, labels: Tensor) -> Tensor:
    """Counts [C, C]: row = true class, column = predicted class; arguments and errors as in `error_rate`."""
    guesses, known = _guesses(outputs, labels)
    n_classes = outputs.shape[1]
    return torch.bincount(known * n_classes + guesses, minlength=n_classes**2).view(n_classes, n_classes)


def hits(outputs: Tensor, labels: Tensor, k: int) -> Tensor:
    """How many labels [N] are among the `k` largest outputs [N, C] of their row: int64, on the device of `outputs`.

    Raises ValueError as `error_rate` does, or for a `k` below 1.
    """
    if k < 1:
        raise ValueError(f"k: {k} is less than 1")
    known = classes(labels, numbers(outputs, "outputs", dims=2))
    best = outputs.topk(min(k, outputs.shape[1]), dim=1).indices
    return (best == known[:, None]).sum()


def _guesses(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true classes [N] of outputs [N, C]."""
    checked = numbers(outputs, "outputs", dims=2)
    return checked.argmax(dim=1), classes(labels, checked)


def accuracy(probabilities: Tensor, labels: Tensor) -> float:
    """Share of right classes in percent; the prediction is the first class of the largest (mean) probability.

    Probabilities [N, C] or draws [S, N, C], labels [N]. Raises ValueError for values that are no probabilities or no
    classes.
    """
    mean = predictive(probabilities)
    return 100.0 * (mean.argmax(dim=1) == classes(labels, mean)).double().mean().item()


def entropy(probabilities: Tensor) -> Tensor:
    """-sum_c p_c log p_c in nats: [..., C] to [...]; a class of probability 0 counts nothing."""
    values: Tensor = -torch.special.xlogy(probabilities, probabilities).sum(-1)
    return values


def brier(probabilities: Tensor, labels: Tensor) -> float:
    """Mean over points of the squared distance to the one-hot label, summed over classes: 0 (best) to 2.

    Probabilities [N, C] or draws [S, N, C], averaged first; labels [N]. Raises ValueError for values that are no
    probabilities or no classes. Brier (1950); Kristiadi et al. (2022), released code.
    """
    mean = predictive(probabilities)
    one_hot = torch.nn.functional.one_hot(classes(labels, mean), mean.shape[1])
    return (mean - one_hot).square().sum(dim=1).mean().item()


def confidence(probabilities: Tensor) -> Tensor:
    """Largest (mean) probability of each point, float64 [N]; probabilities [N, C] or draws [S, N, C].

    Raises ValueError for values that are no probabilities.
    """
    return predictive(probabilities).amax(dim=1)


def mean_confidence(probabilities: Tensor) -> float:
    """Mean of the largest probability (MMC), 1/C to 1; probabilities [N, C] or draws [S, N, C].

    Raises ValueError for values that are no probabilities. Hein et al. (2019).
    """
    return confidence(probabilities).mean().item()

"""Predictions away from the training data: on other data sets, and on rotated and corrupted test images."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.data.cifar_c import KINDS
from bnnbench.data.corruptions import STRENGTHS
from bnnbench.errors import DataUnavailable
from bnnbench.evaluation import scores
from bnnbench.evaluation.image_params import ANGLES, ImagePosterior
from bnnbench.evaluation.images import Splits, corrupted, officially_corrupted, others, rotated
from bnnbench.harness.experiment import Outcome
from bnnbench.harness.run import Run
from bnnbench.metrics.classification import entropy

Predict = Callable[[Tensor], ClassPredictive]


def other_data(predict: Predict, test: ClassPredictive, params: ImagePosterior, run: Run) -> Outcome:
    """How well each other data set is told from the test images; their mean where all of `params.averaged` exist."""
    metrics: dict[str, float] = {}
    images, absent = others(params, run)
    entropies = _entropies("test", test)
    for name, x in images.items():
        outside = predict(x)
        metrics |= scores.detection_scores(test, outside, name)
        for column, values in _entropies(name, outside).items():
            entropies[column] += values
    averaged = [f"fpr95_{name}" for name in params.averaged]
    if averaged and metrics.keys() >= set(averaged):
        metrics["fpr95_mean"] = sum(metrics[name] for name in averaged) / len(averaged)
    return Outcome(metrics, {"entropy": entropies} if params.others else {}, absent)


def _entropies(name: str, predictive: ClassPredictive) -> dict[str, list[Any]]:
    """Quantiles of the entropy of predictions, in nats: columns of a table."""
    shares = torch.linspace(0, 1, 41, dtype=torch.float64)
    values = entropy(predictive.log_probs.double().exp()).cpu().quantile(shares)
    return {"data": [name] * len(shares), "share": shares.tolist(), "entropy": values.tolist()}


def rotations(predict: Predict, data: Splits, params: ImagePosterior) -> Outcome:
    """NLL of the first test images by the angle by which they are rotated."""
    table: dict[str, list[Any]] = {"angle": [], "nll": []}
    x, y = data.x_test[: params.n_rotated], data.y_test[: params.n_rotated]
    for angle in params.angles:
        table["angle"].append(angle)
        table["nll"].append(scores.nll(predict(rotated(x, angle)), y))
    rows = zip(table["angle"], table["nll"], strict=True)
    metrics = {f"nll_rotated_{angle}": nll for angle, nll in rows if angle in ANGLES}
    return Outcome(metrics, {"rotation": table} if params.angles else {})


def corruptions(predict: Predict, data: Splits, params: ImagePosterior, run: Run) -> Outcome:
    """NLL by kind and severity, for our own transforms and, where this machine has them, for CIFAR-10-C's files."""
    if not params.severities:
        return Outcome({})
    table: dict[str, list[Any]] = {"source": [], "kind": [], "severity": [], "nll": []}
    y, absent = data.y_test[: params.n_corrupted], []
    sources: dict[str, Iterator[tuple[str, int, Tensor]]] = {"corrupted": _own(data, params, run)}
    if params.dataset == "cifar10":
        try:
            sources["cifar10c"] = _official(run.data("cifar10-c"), data, params)
        except DataUnavailable as error:
            absent.append(f"only our own transforms corrupt images: {str(error).partition(';')[0]}")
    for source, images in sources.items():
        for kind, severity, x in images:
            for name, value in (("source", source), ("kind", kind), ("severity", severity)):
                table[name].append(value)
            table["nll"].append(scores.nll(predict(x), y))
    metrics = _means(table)
    if "cifar10c" in sources:
        metrics["nll_cifar10c_0"] = scores.nll(predict(data.x_test[: params.n_corrupted]), y)
    return Outcome(metrics, {"corruption": table}, absent)


def _own(data: Splits, params: ImagePosterior, run: Run) -> Iterator[tuple[str, int, Tensor]]:
    for kind in STRENGTHS:
        for severity in params.severities:
            yield kind, severity, corrupted(data.x_test[: params.n_corrupted], kind, severity, run)


def _official(images: Any, data: Splits, params: ImagePosterior) -> Iterator[tuple[str, int, Tensor]]:
    rows = data.test_rows[: params.n_corrupted]
    for kind in KINDS:
        for severity in params.severities:
            yield kind, severity, officially_corrupted(images, rows, kind, severity, data.x_test)


def _means(table: dict[str, list[Any]]) -> dict[str, float]:
    """Means over the kinds of corruption, for each source and severity."""
    collected: dict[str, list[float]] = {}
    for source, severity, nll in zip(table["source"], table["severity"], table["nll"], strict=True):
        collected.setdefault(f"nll_{source}_{severity}", []).append(nll)
    return {name: sum(values) / len(values) for name, values in collected.items()}

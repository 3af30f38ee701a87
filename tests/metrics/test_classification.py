"""Class metrics against scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_makers import predictions, seeds
from sklearn.metrics import accuracy_score, confusion_matrix, mean_squared_error
from torch import Tensor

from bnnbench.metrics.classification import (
    accuracy,
    brier,
    confidence,
    confusion,
    error_rate,
    hits,
    mean_confidence,
)

Metric = Callable[[Tensor, Tensor], float]
METRICS = (accuracy, brier)


@given(st.integers(1, 40), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_against_scikit_learn(n: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    guesses = outputs.argmax(1)
    tensors = torch.from_numpy(outputs), torch.from_numpy(labels)
    assert error_rate(*tensors) == pytest.approx(100 * (1 - accuracy_score(labels, guesses)))
    expected = confusion_matrix(labels, guesses, labels=range(classes))
    assert np.array_equal(confusion(*tensors).numpy(), expected)


@given(st.integers(1, 40), st.integers(2, 8), seeds, st.sampled_from([torch.float32, torch.float64]))
def test_probabilities_against_scikit_learn(n: int, classes: int, seed: int, dtype: torch.dtype) -> None:
    probabilities, labels = predictions(n, classes, seed, dtype)
    p, y = probabilities.double().numpy(), labels.numpy()
    assert accuracy(probabilities, labels) == pytest.approx(100 * accuracy_score(y, p.argmax(1)))
    assert accuracy(probabilities, labels) + error_rate(probabilities, labels) == pytest.approx(100)
    expected = classes * mean_squared_error(np.eye(classes)[y], p)
    assert brier(probabilities, labels) == pytest.approx(expected, abs=1e-6)
    assert 0 <= brier(probabilities, labels) <= 2 + 1e-6
    assert mean_confidence(probabilities) == pytest.approx(p.max(1).mean())


@pytest.mark.parametrize("metric", METRICS)
def test_draws_are_averaged_before_the_metric(metric: Metric) -> None:
    draws = torch.stack([predictions(30, 4, seed)[0] for seed in range(5)])
    labels = predictions(30, 4, 9)[1]
    assert metric(draws, labels) == pytest.approx(metric(draws.mean(dim=0), labels), rel=1e-12)
    assert metric(draws.float(), labels) == pytest.approx(metric(draws, labels), rel=1e-6)


def test_a_wrong_certainty_costs_two_and_a_right_one_nothing() -> None:
    certain = torch.eye(3)
    assert brier(certain, torch.tensor([1, 2, 0])) == 2.0
    assert brier(certain, torch.tensor([0, 1, 2])) == 0.0


def test_a_single_class_is_certain() -> None:
    one, labels = torch.ones(4, 1), torch.zeros(4, dtype=torch.int64)
    assert (accuracy(one, labels), brier(one, labels)) == (100.0, 0.0)


def test_confidence_of_draws_is_that_of_their_mean() -> None:
    draws = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert confidence(draws).tolist() == [0.5]


GOOD, LABELS = predictions(6, 3, 0)
BAD = {
    "NaN": GOOD.clone().index_fill_(0, torch.tensor([2]), torch.nan),
    "infinite": GOOD.clone().index_fill_(0, torch.tensor([2]), torch.inf),
    "log-probabilities": (GOOD + 0.1).log(),
    "logits": GOOD * 5,
    "negative in one draw": torch.stack([GOOD + torch.tensor([0.5, -0.5, 0.0]) * 4, GOOD, GOOD]),
    "no probabilities in two draws": torch.stack([GOOD * 1.5, GOOD * 0.5]),
    "NaN in one draw": torch.stack([GOOD, GOOD * torch.nan]),
    "one dimension": GOOD[0],
    "empty": GOOD[:0],
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_probability_is_named(metric: Metric, kind: str) -> None:
    with pytest.raises(ValueError, match=r"^probabilities: "):
        metric(BAD[kind], LABELS)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("labels", [LABELS[:-1], LABELS.new_full((6,), 3), LABELS.new_full((6,), -1), LABELS.double()])
def test_what_is_no_class_is_named(metric: Metric, labels: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^labels: "):
        metric(GOOD, labels)


@given(st.integers(1, 40), st.integers(2, 60), st.integers(0, 2**32 - 1), st.sampled_from(["uint8", "int8", "int64"]))
def test_labels_of_any_integer_type_are_counted_alike(n: int, n_classes: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    outputs, labels = torch.from_numpy(rng.normal(size=(n, n_classes))), rng.integers(0, n_classes, n)
    typed = torch.from_numpy(labels.astype(kind))
    expected = confusion_matrix(labels, outputs.argmax(1).numpy(), labels=range(n_classes))
    assert np.array_equal(confusion(outputs, typed).numpy(), expected)
    assert error_rate(outputs, typed) == pytest.approx(100 * (1 - np.trace(expected) / n))
    assert hits(outputs, typed, 1).item() == np.trace(expected)


def test_two_classes_may_be_named_by_truth_values() -> None:
    outputs, labels = torch.tensor([[1.0, 2.0], [3.0, 2.0]]), torch.tensor([True, True])
    assert confusion(outputs, labels).tolist() == [[0, 0], [1, 1]]
    assert error_rate(outputs, labels) == 50.0


OF_OUTPUTS = (error_rate, confusion, lambda outputs, labels: hits(outputs, labels, 2))


@pytest.mark.parametrize("metric", OF_OUTPUTS)
@pytest.mark.parametrize("kind", ["NaN", "infinite", "one dimension", "empty"])
def test_outputs_that_are_no_numbers_are_named(metric: Metric, kind: str) -> None:
    with pytest.raises(ValueError, match=r"^outputs: "):
        metric(BAD[kind], LABELS)


@pytest.mark.parametrize("metric", OF_OUTPUTS)
@pytest.mark.parametrize("labels", [LABELS[:-1], LABELS[:, None], LABELS + 3, LABELS - 100, LABELS.float()])
def test_outputs_have_labels_of_their_own_classes(metric: Metric, labels: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^labels: "):
        metric(GOOD, labels)

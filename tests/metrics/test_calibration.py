"""Calibration errors against loops over bins, the published code's arithmetic among them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_makers import predictions, seeds
from sklearn.calibration import calibration_curve

from bnnbench.metrics.calibration import ece, mce, reliability

Array = np.ndarray


def bins_of(p: Array, y: Array, bins: int) -> list[tuple[int, float]]:
    """Count and gap of each bin, point by point; numpy's histogram has the same edges."""
    confidences, right = p.max(1), p.argmax(1) == y
    found = []
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        here = (confidences >= low) & ((confidences < high) | (i == bins - 1))
        found.append((int(here.sum()), abs(confidences[here].mean() - right[here].mean()) if here.any() else 0.0))
    return found


@given(st.integers(1, 60), st.integers(2, 6), seeds, st.sampled_from([1, 2, 15, 100]), st.booleans())
def test_against_a_loop_over_bins(n: int, classes: int, seed: int, bins: int, single: bool) -> None:
    probabilities, labels = predictions(n, classes, seed, torch.float32 if single else torch.float64)
    expected = bins_of(probabilities.double().numpy(), labels.numpy(), bins)
    assert reliability(probabilities, labels, bins).count.tolist() == [count for count, _ in expected]
    assert ece(probabilities, labels, bins) == pytest.approx(sum(c * g for c, g in expected) / n, abs=1e-12)
    assert mce(probabilities, labels, bins) == pytest.approx(max(g for _, g in expected), abs=1e-12)
    kept, left = expected[:-1], sum(c for c, _ in expected[:-1])
    published = ece(probabilities, labels, bins, as_published=True)
    if left:
        assert published == pytest.approx(sum(c * g for c, g in kept) / left, abs=1e-12)
    else:
        assert np.isnan(published)
    assert mce(probabilities, labels, bins, as_published=True) == pytest.approx(max([0.0, *(g for _, g in kept)]))


@given(st.integers(1, 60), seeds)
def test_published_variant_is_the_true_one_of_the_points_below_99_percent(n: int, seed: int) -> None:
    probabilities, labels = predictions(n, 4, seed)
    low = probabilities.amax(dim=1) < 0.99
    if low.any():
        expected = ece(probabilities[low], labels[low], 100)
        assert ece(probabilities, labels, 100, as_published=True) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_confidence_of_99_percent_is_dropped_as_published(dtype: torch.dtype) -> None:
    probabilities = torch.tensor([[0.99, 0.01], [0.6, 0.4]], dtype=dtype)
    labels = torch.tensor([1, 0])
    assert ece(probabilities, labels, 100, as_published=True) == pytest.approx(0.4)
    assert ece(probabilities, labels, 100) == pytest.approx((0.99 + 0.4) / 2)


@given(seeds)
def test_table_against_scikit_learn(seed: int) -> None:
    probabilities, labels = predictions(200, 3, seed)
    p, guesses = probabilities.max(dim=1)
    inside = torch.from_numpy(~np.isin(p.numpy(), np.linspace(0, 1, 16)))  # its bins hold the upper edge
    accuracy, confidence = calibration_curve((guesses == labels)[inside], p[inside], n_bins=15)
    table = reliability(probabilities[inside], labels[inside], 15)
    filled = table.count > 0
    assert table.accuracy[filled].numpy() == pytest.approx(accuracy)
    assert table.confidence[filled].numpy() == pytest.approx(confidence)
    assert table.confidence[~filled].isnan().all()
    assert table.accuracy[~filled].isnan().all()
    assert (table.gap[~filled] == 0).all()
    assert table.edges.numpy() == pytest.approx(np.linspace(0, 1, 16))


def test_certainty_shares_the_last_bin() -> None:
    probabilities, labels = torch.tensor([[1.0, 0.0], [0.95, 0.05]]), torch.tensor([1, 0])
    assert ece(probabilities, labels, 15) == pytest.approx(0.975 - 0.5)  # 0.525 with a bin of its own


def test_a_calibrated_forecast_has_no_gap() -> None:
    probabilities, labels = torch.full((4, 2), 0.25), torch.tensor([0, 1, 1, 1])
    probabilities[:, 1] = 0.75
    assert ece(probabilities, labels) == 0.0
    assert ece(probabilities.expand(3, 4, 2), labels) == 0.0


def test_arguments_are_named() -> None:
    probabilities, labels = predictions(5, 3, 0)
    with pytest.raises(ValueError, match=r"^bins: "):
        ece(probabilities, labels, 0)
    with pytest.raises(ValueError, match=r"^probabilities: "):
        ece(probabilities * torch.nan, labels)
    with pytest.raises(ValueError, match=r"^labels: "):
        reliability(probabilities, labels + 3)

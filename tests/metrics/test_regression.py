"""Regression metrics against scikit-learn, scipy's normals, numerical integration and loops over pairs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_makers import seeds
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import root_mean_squared_error
from torch import Tensor

from bnnbench.metrics.regression import (
    central_interval,
    coverage,
    crps,
    crps_each,
    crps_gaussian,
    rmse,
    width,
)

dtypes = st.sampled_from([torch.float32, torch.float64])


def regression(s: int, n: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Means [S, N] rounded so that some are equal, noise [S, N], targets [N]."""
    rng = np.random.default_rng(seed)
    made = rng.normal(0, 2, (s, n)).round(1), rng.uniform(0.1, 2, (s, n)), rng.normal(0, 3, n).round(1)
    means, noise, targets = (torch.from_numpy(part).to(dtype) for part in made)
    return means, noise, targets


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.double().numpy() for tensor in tensors]


@given(st.integers(1, 6), st.integers(1, 20), seeds, dtypes)
def test_rmse_against_scikit_learn(s: int, n: int, seed: int, dtype: torch.dtype) -> None:
    tensors = regression(s, n, seed, dtype)
    means, _, targets = arrays(*tensors)
    assert rmse(tensors[0], tensors[2]) == pytest.approx(root_mean_squared_error(targets, means.mean(0)), abs=1e-12)
    assert rmse(tensors[0][0], tensors[2]) == pytest.approx(root_mean_squared_error(targets, means[0]), abs=1e-12)


@given(st.floats(-3, 3), st.floats(0.1, 3), st.floats(-6, 6))
def test_gaussian_crps_against_its_integral(mean: float, noise: float, target: float) -> None:
    normal = norm(mean, noise)
    ends = min(mean, target) - 10 * noise, max(mean, target) + 10 * noise
    expected = quad(lambda t: normal.cdf(t) ** 2, ends[0], target, points=[min(mean, target)])[0]
    expected += quad(lambda t: normal.sf(t) ** 2, target, ends[1], points=[max(mean, target)])[0]
    tensors = (torch.tensor([value], dtype=torch.float64) for value in (mean, noise, target))
    assert crps_gaussian(*tensors) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@given(st.integers(1, 8), st.integers(1, 10), seeds, dtypes)
def test_crps_against_all_pairs(s: int, n: int, seed: int, dtype: torch.dtype) -> None:
    draws, _, targets = regression(s, n, seed, dtype)
    x, y = arrays(draws, targets)
    pairs = np.abs(x[:, None] - x[None, :]).sum(axis=(0, 1))
    misses = np.abs(x - y).mean(axis=0)
    assert crps_each(draws, targets).numpy() == pytest.approx(misses - pairs / (2 * s**2), abs=1e-12)
    assert crps(draws, targets) == pytest.approx((misses - pairs / (2 * s**2)).mean(), abs=1e-12)
    if s > 1:
        expected = misses - pairs / (2 * s * (s - 1))
        assert crps_each(draws, targets, fair=True).numpy() == pytest.approx(expected, abs=1e-12)


def test_one_draw_scores_its_absolute_error() -> None:
    assert crps(torch.tensor([[1.0, 5.0]]), torch.tensor([3.0, 5.0])) == 1.0
    with pytest.raises(ValueError, match=r"^draws: "):
        crps(torch.ones(1, 2), torch.ones(2), fair=True)


def test_fair_crps_of_few_draws_is_that_of_their_normal() -> None:
    rng = np.random.default_rng(0)
    targets = torch.full((40_000,), 0.7, dtype=torch.float64)
    draws = torch.from_numpy(rng.normal(0, 1, (3, len(targets))))
    exact = crps_gaussian(torch.zeros(1), torch.ones(1), targets[:1])
    each = crps_each(draws, targets, fair=True)
    error = each.std().item() / len(targets) ** 0.5
    assert each.mean().item() == pytest.approx(exact, abs=4.5 * error)
    # the ensemble's own score exceeds it by E|X - X'| / (2 S) = 1 / (S sqrt(pi))
    assert crps(draws, targets) == pytest.approx(exact + 1 / (3 * np.sqrt(np.pi)), abs=4.5 * error)


def test_a_common_offset_costs_no_digits() -> None:
    draws, _, targets = regression(7, 5, 0)
    assert crps(draws + 1e8, targets + 1e8) == pytest.approx(crps(draws, targets), rel=1e-6)


@given(st.integers(1, 50), st.integers(1, 5), seeds, st.sampled_from([0.05, 0.5, 0.9, 0.95]))
def test_intervals_against_numpy(s: int, n: int, seed: int, level: float) -> None:
    draws, _, targets = regression(s, n, seed)
    low, high = central_interval(draws, level)
    expected = np.quantile(draws.numpy(), [(1 - level) / 2, (1 + level) / 2], axis=0)
    assert np.stack([low.numpy(), high.numpy()]) == pytest.approx(expected, abs=1e-9)
    assert width(low, high) == pytest.approx((expected[1] - expected[0]).mean(), abs=1e-9)
    inside = (low.numpy() <= targets.numpy()) & (targets.numpy() <= high.numpy())
    assert coverage(low, high, targets) == pytest.approx(inside.mean())


def test_bounds_belong_to_the_interval() -> None:
    low, high = torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 1.0, 1.0])
    assert coverage(low, high, torch.tensor([0.0, 1.0, 1.5, 1.0])) == 0.75


def test_normal_intervals_cover_at_their_level() -> None:
    rng = np.random.default_rng(0)
    draws, targets = torch.from_numpy(rng.normal(size=(400, 5000))), torch.from_numpy(rng.normal(size=5000))
    low, high = central_interval(draws, 0.9)
    # 0.9 within four standard errors, and the half per cent that interpolation between 400 draws may cost
    assert coverage(low, high, targets) == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 5000) + 0.005)
    assert width(low, high) == pytest.approx(2 * norm.ppf(0.95), rel=0.01)


MEANS, NOISE, TARGETS = regression(3, 4, 0)
LOW, HIGH = central_interval(MEANS)
NOT_FINITE: dict[str, Callable[[float], object]] = {
    "predictions": lambda bad: rmse(MEANS * bad, TARGETS),
    "means": lambda bad: crps_gaussian(MEANS[0] * bad, NOISE[0], TARGETS),
    "noise": lambda bad: crps_gaussian(MEANS[0], NOISE[0] * bad, TARGETS),
    "targets": lambda bad: crps(MEANS, TARGETS * bad),
    "draws": lambda bad: crps(MEANS * bad, TARGETS),
    "low": lambda bad: coverage(LOW * bad, HIGH, TARGETS),
    "high": lambda bad: width(LOW, HIGH * bad),
}
WRONG: dict[str, Callable[[], object]] = {
    "targets": lambda: rmse(MEANS, TARGETS[:-1]),
    "noise": lambda: crps_gaussian(MEANS[0], NOISE[0] * 0, TARGETS),
    "noise: shape": lambda: crps_gaussian(MEANS[0], NOISE[0, :2], TARGETS),
    "means": lambda: crps_gaussian(MEANS, NOISE, TARGETS),
    "high": lambda: width(HIGH + 1, LOW),
    "high: shape": lambda: width(LOW, HIGH[:2]),
    "level": lambda: central_interval(MEANS, 95),
    "draws": lambda: central_interval(MEANS[0]),
}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", NOT_FINITE)
def test_what_is_not_finite_is_named(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: "):
        NOT_FINITE[name](bad)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}"):
        WRONG[name]()

"""Kernel distances against scikit-learn's kernel, closed forms of normals and all divisions of small pools."""

from collections.abc import Callable
from itertools import combinations
from math import exp, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_makers import seeds
from scipy.spatial.distance import pdist
from scipy.stats import chi2
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor

from bnnbench.metrics import mmd
from bnnbench.metrics.mmd import (
    kernel_mean,
    median_gamma,
    mmd2_biased,
    mmd2_floor,
    mmd2_published,
    mmd2_unbiased,
    permutation_test,
)

Pair = Callable[[Tensor, Tensor, float], float]


def normals(n: int, d: int, seed: int, shift: float = 0.0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1, (n, d))).to(dtype)


def off_diagonal(kernel: np.ndarray) -> float:
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))


@given(
    st.integers(2, 12), st.integers(2, 12), st.integers(1, 9), seeds, st.sampled_from([torch.float32, torch.float64])
)
def test_against_scikit_learns_kernel(m: int, n: int, d: int, seed: int, dtype: torch.dtype) -> None:
    x, y = normals(m, d, seed, dtype=dtype), normals(n, d, seed + 1, 0.5, dtype)
    a, b = x.double().numpy(), y.double().numpy()
    gamma = 1 / np.median(pdist(np.vstack([a, b]))) ** 2
    assert median_gamma(x, y) == pytest.approx(gamma)
    xx, yy, xy = rbf_kernel(a, a, gamma), rbf_kernel(b, b, gamma), rbf_kernel(a, b, gamma)
    biased = xx.mean() + yy.mean() - 2 * xy.mean()
    assert mmd2_biased(x, y, gamma) == pytest.approx(biased, abs=1e-12)
    assert mmd2_published(x, y) == pytest.approx(biased, abs=1e-12)
    unbiased = off_diagonal(xx) + off_diagonal(yy) - 2 * xy.mean()
    assert mmd2_unbiased(x, y, gamma) == pytest.approx(unbiased, abs=1e-12)
    assert kernel_mean(x, gamma) == pytest.approx(off_diagonal(xx), abs=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normals(23, 31, 0), normals(17, 31, 1, 0.2)
    whole = [f(x, y, 0.01) for f in (mmd2_biased, mmd2_unbiased)]
    generator = torch.Generator().manual_seed(3)
    test = permutation_test(x, y, 0.01, 50, generator=generator)
    monkeypatch.setattr(mmd, "ROWS", 5)
    monkeypatch.setattr(mmd, "COLUMNS", 7)
    assert [f(x, y, 0.01) for f in (mmd2_biased, mmd2_unbiased)] == pytest.approx(whole, rel=1e-12)
    blocked = permutation_test(x, y, 0.01, 50, generator=generator.manual_seed(3))
    assert blocked.statistic == pytest.approx(test.statistic, rel=1e-12)
    assert blocked.expected == pytest.approx(test.expected, rel=1e-12)


def test_width_uses_the_first_fifty_of_each() -> None:
    x, y = normals(70, 3, 0), normals(60, 3, 1, 2.0)
    pool = np.vstack([x[:50].numpy(), y[:50].numpy()])
    assert median_gamma(x, y) == pytest.approx(np.median(pdist(pool)) ** -2)
    assert median_gamma(y) == pytest.approx(np.median(pdist(y[:50].numpy())) ** -2)
    assert median_gamma(y, first=60) == pytest.approx(np.median(pdist(y.numpy())) ** -2)


def test_a_common_offset_costs_no_digits() -> None:
    x, y = normals(9, 40, 0), normals(8, 40, 1, 0.5)
    near = mmd2_biased(x, y, 0.01)
    assert mmd2_biased(x + 1e6, y + 1e6, 0.01) == pytest.approx(near, rel=1e-7)


def test_rows_far_from_all_others_still_meet_themselves() -> None:
    x, y = 1e9 * normals(5, 7, 0), 1e9 * normals(4, 7, 1)
    assert mmd2_biased(x, y, 1.0) == pytest.approx(1 / 5 + 1 / 4)
    assert kernel_mean(x, 1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("distance", [mmd2_biased, mmd2_unbiased])
def test_symmetric_and_zero_or_floor_at_equality(distance: Pair) -> None:
    x, y = normals(9, 4, 0), normals(7, 4, 1, 1.0)
    assert distance(x, y, 0.1) == pytest.approx(distance(y, x, 0.1), abs=1e-14)
    assert mmd2_biased(x, x.clone(), 0.1) == pytest.approx(0.0, abs=1e-14)
    # of a set against itself the U-statistic is below zero by exactly 2 (1 - mean kernel) / m
    assert mmd2_unbiased(x, x.clone(), 0.1) == pytest.approx(-2 * (1 - kernel_mean(x, 0.1)) / 9)


def test_rounding_does_not_take_the_biased_distance_below_zero() -> None:
    for seed in range(50):
        x = normals(9, 4, seed)
        assert 0.0 <= mmd2_biased(x, x.flip(0), 0.1) < 1e-14


def test_copies_of_a_point_against_a_far_cloud() -> None:
    copies, cloud = torch.zeros(30, 6), 1e3 + normals(40, 6, 0)
    assert mmd2_biased(copies, cloud, 0.1) == pytest.approx(1 + rbf_kernel(cloud.numpy(), gamma=0.1).mean())


@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize("d", [1, 5])
def test_expectations_of_normals(shift: float, d: int) -> None:
    """E k of N(0, 2 I) + shift is (1 + 4 g)^(-d/2) exp(-g |shift|^2 / (1 + 4 g)): U is unbiased, V off by the floor."""
    m, n, gamma, trials = 12, 8, 0.3, 1500
    same = (1 + 4 * gamma) ** (-d / 2)
    true = 2 * same * (1 - exp(-gamma * d * shift**2 / (1 + 4 * gamma)))
    draws = [(normals(m, d, 2 * i), normals(n, d, 2 * i + 1, shift)) for i in range(trials)]
    for distance, expected in ((mmd2_unbiased, true), (mmd2_biased, true + mmd2_floor(m, n, same))):
        found = np.array([distance(x, y, gamma) for x, y in draws])
        assert found.mean() == pytest.approx(expected, abs=4.5 * found.std(ddof=1) / sqrt(trials))


def test_floor_in_many_dimensions() -> None:
    """With the median width E k = (1 + 2 / median of chi^2_d)^(-d/2), which tends to 1/e: 0.43 at d = 1."""
    kernels = {d: (1 + 2 / chi2(d).median()) ** (-d / 2) for d in (1, 850, 25_700)}
    assert kernels[1] == pytest.approx(0.4305, abs=1e-4)
    assert mmd2_floor(600, 600, kernels[850]) == pytest.approx(2 * (1 - exp(-1)) / 600, rel=1e-3)
    assert mmd2_floor(600, 600) == pytest.approx(0.0021, abs=1e-5)
    assert mmd2_floor(120, 120) == pytest.approx(0.0106, abs=1e-4)
    x, y = normals(120, 850, 0), normals(120, 850, 1)
    assert mmd2_published(x, y) == pytest.approx(mmd2_floor(120, 120), rel=0.05)


@pytest.mark.parametrize("unbiased", [False, True])
def test_permutations_against_all_divisions(unbiased: bool) -> None:
    x, y, gamma = normals(4, 2, 0), normals(3, 2, 1, 1.0), 0.2
    distance = mmd2_unbiased if unbiased else mmd2_biased
    pool, everyone = torch.cat([x, y]), set(range(7))
    divisions = [
        distance(pool[list(chosen)], pool[sorted(everyone - set(chosen))], gamma)
        for chosen in combinations(range(7), 4)
    ]
    test = permutation_test(x, y, gamma, 20_000, unbiased=unbiased, generator=torch.Generator().manual_seed(0))
    assert test.statistic == pytest.approx(distance(x, y, gamma), abs=1e-14)
    assert test.expected == pytest.approx(np.mean(divisions), abs=1e-14)
    assert set(test.null.numpy().round(9)) == set(np.round(divisions, 9) + 0.0)
    assert test.null.mean().item() == pytest.approx(test.expected, abs=4.5 * test.null.std().item() / sqrt(20_000))
    exact = np.mean(np.array(divisions) >= test.statistic - 1e-12)
    assert test.p_value == pytest.approx(exact, abs=4.5 * sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_permutation_test_rejects_at_its_level() -> None:
    generator, trials = torch.Generator().manual_seed(0), 400
    values = [
        permutation_test(normals(10, 3, i), normals(14, 3, 10**6 + i), 0.2, 99, generator=generator).p_value
        for i in range(trials)
    ]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(values) <= level) == pytest.approx(level, abs=4.5 * sqrt(level * (1 - level) / trials))
    assert permutation_test(normals(20, 3, 0), normals(20, 3, 1, 2.0), 0.2, 99).p_value == 0.01


@pytest.mark.parametrize("distance", [mmd2_biased, mmd2_unbiased, permutation_test])
def test_arguments_are_named(distance: Pair) -> None:
    good = normals(5, 3, 0)
    for bad in (good * torch.nan, good * torch.inf, good[0], good[:0], good[:, :0]):
        with pytest.raises(ValueError, match=r"^x: "):
            distance(bad, good, 1.0)
        with pytest.raises(ValueError, match=r"^y: "):
            distance(good, bad, 1.0)
    with pytest.raises(ValueError, match=r"^y: 2 dimensions, x has 3"):
        distance(good, good[:, :2], 1.0)
    for gamma in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^gamma: "):
            distance(good, good, gamma)


def test_other_arguments_are_named() -> None:
    one, good = normals(1, 3, 0), normals(5, 3, 0)
    with pytest.raises(ValueError, match=r"^y: "):
        mmd2_unbiased(good, one, 1.0)
    with pytest.raises(ValueError, match=r"^permutations: "):
        permutation_test(good, good, 1.0, 0)
    with pytest.raises(ValueError, match=r"^samples\[1\]: .* NaN"):
        median_gamma(good, good * torch.nan)
    with pytest.raises(ValueError, match=r"median distance is zero"):
        median_gamma(torch.ones(5, 2))
    for samples in ((), (one,), (good, good[:, :2])):
        with pytest.raises(ValueError, match=r"^samples"):
            median_gamma(*samples)
    with pytest.raises(ValueError, match=r"^mean_kernel: "):
        mmd2_floor(5, 5, 1.5)
    with pytest.raises(ValueError, match=r"^m, n: "):
        mmd2_floor(0, 5)

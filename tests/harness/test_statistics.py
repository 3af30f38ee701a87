"""Intervals against scipy's own tests, and their coverage by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bnnbench.harness.statistics import mean_interval, welch_interval

numbers = st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=2, max_size=12).filter(lambda x: np.std(x) > 1e-6)


@given(numbers)
def test_mean_interval_is_the_one_sample_t_interval(values: list[float]) -> None:
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = mean_interval(values)
    assert found.low == pytest.approx(expected.low, rel=1e-9, abs=1e-9)
    assert found.high == pytest.approx(expected.high, rel=1e-9, abs=1e-9)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert found.n == len(values)


@given(numbers, numbers)
def test_welch_interval_is_scipys(a: list[float], b: list[float]) -> None:
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    found = welch_interval(a, b)
    assert found.low == pytest.approx(expected.low, rel=1e-8, abs=1e-8)
    assert found.high == pytest.approx(expected.high, rel=1e-8, abs=1e-8)


def test_one_value_has_no_interval() -> None:
    found = mean_interval([3.0])
    assert (found.mean, found.low, found.high) == (3.0, -np.inf, np.inf)
    assert welch_interval([3.0], [1.0, 2.0]).high == np.inf


def test_intervals_of_three_seeds_cover_the_mean() -> None:
    rng = np.random.default_rng(0)
    trials = 4000
    hits = sum(abs((i := mean_interval(list(row))).mean - 0.0) <= i.half_width for row in rng.normal(size=(trials, 3)))
    # 95 % within four standard errors of the simulation
    assert hits / trials == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / trials))

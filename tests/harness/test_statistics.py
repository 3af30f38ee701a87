"""Intervals against scipy's own tests, and their coverage by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bnnbench.harness.statistics import (
    LEVEL,
    deviation,
    discoveries,
    mean_interval,
    p_value,
    stein_interval,
    stein_seeds,
    welch_interval,
)

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


@given(numbers)
def test_the_deviation_and_the_p_value_are_those_of_the_values(values: list[float]) -> None:
    interval = mean_interval(values)
    assert deviation(interval) == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    assert p_value(interval) == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, rel=1e-6, abs=1e-12)


@given(numbers, numbers)
def test_the_p_value_of_welch_is_scipys(a: list[float], b: list[float]) -> None:
    expected = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert p_value(welch_interval(a, b)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_discoveries_are_those_of_scipy(p_values: list[float]) -> None:
    adjusted = stats.false_discovery_control(p_values)
    sure = np.abs(adjusted - 0.05) > 1e-12  # at the very rate, rounding decides
    assert np.array_equal(np.array(discoveries(p_values))[sure], (adjusted <= 0.05)[sure])


@given(st.integers(2, 10), st.floats(0.01, 10), st.floats(0.01, 10))
def test_the_second_stage_is_as_narrow_as_asked_and_no_seed_is_wasted(first: int, spread: float, half: float) -> None:
    count = stein_seeds(first, spread, half)
    width = stein_interval([0.0] * count, first, spread).half_width
    assert count >= first
    assert width <= half * (1 + 1e-9)
    assert count == first or stein_interval([0.0] * (count - 1), first, spread).half_width > half * (1 - 1e-9)


REPETITIONS = 10_000
TOLERANCE = 3 * np.sqrt(0.05 * 0.95 / REPETITIONS)  # three standard errors of the simulated rate, 0.0065
FIRST = 3


def two_stages(rng: np.random.Generator, mean: float, half: float) -> tuple[bool, bool]:
    """One run of unit variance: does the settled interval cover the mean, and is "more than 0" called reproduced?

    The claim is judged by the first stage, and settled where that is inconclusive. The mean of the second stage is
    drawn as one number, which stands for each of its values.
    """
    first = rng.normal(mean, 1.0, FIRST)
    look = mean_interval(list(first))
    more = stein_seeds(FIRST, deviation(look), half) - FIRST
    second = mean + rng.normal() / np.sqrt(max(more, 1))
    settled = stein_interval([*first, *[second] * more], FIRST, deviation(look))
    verdict = settled if look.low <= 0 < look.high else look
    return settled.low <= mean <= settled.high, verdict.low > 0


@pytest.mark.parametrize("half", [2.0, 1.0, 0.5])
@pytest.mark.parametrize("mean", [0.0, -0.2])
def test_two_stages_cover_the_mean_and_err_as_rarely_as_they_say(mean: float, half: float) -> None:
    """With the rule in the loop, at the bound of a false claim, where it errs most, and below it."""
    rng = np.random.default_rng(11)
    runs = np.array([two_stages(rng, mean, half) for _ in range(REPETITIONS)])
    covered, reproduced = runs.mean(axis=0)
    assert covered >= LEVEL - TOLERANCE
    assert reproduced <= 2 * 0.025 + TOLERANCE, "at each of both looks at most half of 5 %"


@pytest.mark.parametrize("half", [1.0, 0.5])
def test_adding_seeds_until_it_is_significant_would_not(half: float) -> None:
    """A seed at a time until the t interval leaves 0 out or is as narrow: what two stages are for."""
    most = 120
    values = np.random.default_rng(12).normal(size=(REPETITIONS, most))
    n = np.arange(1, most + 1)
    means = np.cumsum(values, axis=1) / n
    variances = (np.cumsum(values**2, axis=1) - n * means**2)[:, FIRST - 1 :] / (n[FIRST - 1 :] - 1)
    means, n = means[:, FIRST - 1 :], n[FIRST - 1 :]
    widths = stats.t.ppf(0.975, n - 1) * np.sqrt(variances / n)
    stops = (np.abs(means) > widths) | (widths <= half)
    stops[:, -1] = True
    at = stops.argmax(axis=1)
    covered = np.take_along_axis(np.abs(means) <= widths, at[:, None], axis=1).mean()
    assert covered < LEVEL - 5 * TOLERANCE

"""What the Dirichlet scale mixtures are by themselves: densities, dependence, effective parameters, ridgeless fits."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import hyp2f1

from bnnbench.harness.run import Run
from bnnbench.papers.dsm.experiments import dependence, double_descent, effective_parameters, shrinkage


def run(folder: Path, seed: int = 0) -> Run:
    return Run(seed, "cpu", folder, lambda name: None)


LAWS: dict[str, Any] = {
    "half-normal": lambda tail: stats.halfnorm(),
    "lognormal": lambda tail: stats.lognorm(tail),
    "gamma": stats.gamma,
    "inverse-gamma": stats.invgamma,
    "beta-prime": lambda tail: stats.betaprime(1, tail),
}


@pytest.mark.parametrize("family", [name for name in get_args(dependence.Family) if name != "half-t"])
@pytest.mark.parametrize("tail", [2.5, 4.0])
def test_ratios_are_those_of_scipys_moments(family: dependence.Family, tail: float) -> None:
    law = LAWS[family](tail)
    assert dependence.ratio(family, tail) == pytest.approx(law.var() / law.mean() ** 2, rel=1e-9)


@pytest.mark.parametrize("freedom", [2.5, 4.0, 30.0])
def test_the_ratio_of_half_t_is_that_of_an_integral(freedom: float) -> None:
    mean, square = (quad(lambda x, k=k: 2 * x**k * stats.t.pdf(x, freedom), 0, np.inf)[0] for k in (1, 2))
    assert dependence.ratio("half-t", freedom) == pytest.approx(square / mean**2 - 1, rel=1e-6)


@pytest.mark.parametrize("family", ["inverse-gamma", "beta-prime", "half-t"])
def test_a_tail_without_variance_is_refused(family: dependence.Family) -> None:
    with pytest.raises(ValueError, match="no finite variance"):
        dependence.ratio(family, 2.0)


def test_signs_of_covariances_turn_where_the_theory_says(tmp_path: Path) -> None:
    params = dependence.Dependence(family="lognormal", tails=(0.3, 1.1), draws=100_000)
    found = dependence.dependence(params, run(tmp_path))
    assert found.metrics["agreement"] == 100
    assert found.metrics["decided"] == 2
    low, high = found.tables["curve"]["covariance"]
    assert low < 0 < high
    rare = dependence.Dependence(family="lognormal", tails=(0.3, 1.1), draws=100_000, concentration=0.01)
    assert max(dependence.dependence(rare, run(tmp_path)).tables["curve"]["covariance"]) < 0  # the border is at r = 10


@pytest.mark.parametrize("shares", [True, False])
def test_densities_are_those_of_draws(tmp_path: Path, shares: bool) -> None:
    """The distribution function at 99 quantiles of 20,000 draws: five standard errors are 0.018."""
    found = shrinkage.shrinkage(shrinkage.Shrinkage(shares=shares, draws=20_000), run(tmp_path))
    assert found.metrics["mass_error"] < 1e-4
    assert found.metrics["cdf_error"] < 0.018
    wrong = shrinkage.Shrinkage(shares=shares, draws=20_000, known=(1.0,))
    draws = shrinkage._draws(wrong, 1.3, np.random.default_rng(0))
    assert shrinkage._errors(wrong, 1.0, draws)[1] > 0.04  # draws of another z are told apart


@pytest.mark.parametrize("local", ["weight", "unit"])
def test_the_mean_of_the_effective_parameters_does_not_depend_on_competition(tmp_path: Path, local: str) -> None:
    """It is p E[1 - kappa] of one share's marginal: E over Beta(a, b) of 1 / (1 + t phi) is 2F1(1, a; a + b; -t)."""
    alpha, inputs, draws = 0.1, 10, 100_000

    def left_alone(angle: float) -> float:  # lambda = tan(angle) is half-Cauchy for an angle uniform in (0, pi / 2)
        return float(1 - hyp2f1(1, alpha, inputs * alpha, -(np.tan(angle) ** 2)))

    expected = inputs * quad(left_alone, 0, np.pi / 2)[0] * 2 / np.pi
    for shares in ("dirichlet", "beta"):
        params = effective_parameters.EffectiveParameters.model_validate(
            {"shares": shares, "local": local, "draws": draws}
        )
        found = effective_parameters.effective_parameters(params, run(tmp_path)).metrics
        assert found["m_eff"] == pytest.approx(expected, abs=5 * found["m_eff_std"] / draws**0.5)


def test_ridgeless_risk_of_few_inputs_is_that_of_least_squares() -> None:
    params = double_descent.DoubleDescent(n_train=200, latent=4, ratios=(0.05,), n_test=500)
    x, y, x_test, y_test = double_descent._data(params, 10, np.random.default_rng(0))
    risk = double_descent._risk(x, y, x_test, y_test)
    coefficients = np.linalg.solve(x.T @ x, x.T @ y)
    assert risk == pytest.approx(np.mean((x_test @ coefficients - y_test) ** 2), rel=1e-9)


def test_of_more_inputs_than_points_the_smallest_solution_fits_all_points() -> None:
    params = double_descent.DoubleDescent(n_train=20, latent=4, n_test=50)
    x, y, _, _ = double_descent._data(params, 60, np.random.default_rng(0))
    assert double_descent._risk(x, y, x, y) < 1e-20
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.allclose(coefficients, x.T @ np.linalg.solve(x @ x.T, y))

"""The refinement paper: integrals and the exact posterior of its toy."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit

from bnnbench.evaluation import scores
from bnnbench.papers.refinement.experiments import mc_integration, toy


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (5.0, 10.0), (-60.0, 30.0), (3.0, 0.3)])
def test_the_trapezoidal_rule_is_the_integral(mean: float, deviation: float) -> None:
    def integrand(z: float) -> float:
        return float(expit(mean + deviation * z) * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))

    expected = quad(integrand, -8, 8, points=[-mean / deviation] if abs(mean / deviation) < 8 else None, limit=200)[0]
    found = mc_integration._trapezoid(torch.tensor(mean), torch.tensor([deviation], dtype=torch.float64), 20_000)
    assert found.item() == pytest.approx(expected, abs=1e-7)


def test_draws_from_the_grid_have_the_moments_of_the_posterior() -> None:
    """600,000 draws against sums over another, finer grid of our own: within five standard errors."""
    params = toy.Toy(n_points=20)
    x, y = toy._data(params, torch.Generator().manual_seed(3))
    target = toy._target(x, y, params.precision)
    n = 600_000
    draws = toy._exact_draws(target, n, torch.Generator().manual_seed(0)).numpy()
    base = toy._laplace(target)
    places = zip(base.marginal_variances.sqrt().tolist(), base.mean.tolist(), strict=True)
    axes = [np.linspace(-9, 9, 701) * s + m for s, m in places]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    signs = 2 * y.numpy() - 1
    log_density = -np.logaddexp(0, -(grid @ x.numpy().T) * signs).sum(1) - 0.5 * params.precision * (grid**2).sum(1)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mean = weights @ grid
    covariance = (grid - mean).T @ ((grid - mean) * weights[:, None])
    error = 5 * np.sqrt(np.diag(covariance) / n)
    assert np.all(np.abs(draws.mean(0) - mean) < error)
    assert np.allclose(np.cov(draws.T), covariance, rtol=0.03)


def test_the_floor_of_the_toy_is_the_published_distance_of_two_exact_samples() -> None:
    params = toy.Toy()
    target = toy._target(*toy._data(params, torch.Generator().manual_seed(1)), params.precision)
    samples = [toy._exact_draws(target, 200, torch.Generator().manual_seed(seed)) for seed in range(24)]
    found = [scores.distance_scores(a, b) for a, b in zip(samples[:12], samples[12:], strict=True)]
    published, floor = (np.array([one[name] for one in found]) for name in ("mmd_published", "mmd_floor"))
    error = (published - floor).std(ddof=1) / np.sqrt(len(found))
    assert abs((published - floor).mean()) < 4 * error
    assert floor.std() < 0.1 * floor.mean()

"""Measures of predictions and of draws, against closed forms and another library."""

import numpy as np
import pytest
import torch
from scipy import stats

from bnnbench.bayes.posterior import ClassPredictive, RealPredictive
from bnnbench.evaluation import measures, scores


def normals(n: int = 400) -> tuple[RealPredictive, torch.Tensor]:
    """One normal a point, and targets of another spread."""
    stream = torch.Generator().manual_seed(0)
    mean, noise = torch.randn(1, n, generator=stream), 0.5 + torch.rand(1, n, generator=stream)
    return RealPredictive(mean, noise), mean[0] + 1.5 * noise[0] * torch.randn(n, generator=stream)


def test_every_declared_measure_is_computed_and_no_other() -> None:
    found, y = normals()
    assert scores.scores(found, y).keys() == {metric.name for metric in measures.REALS}
    logits = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 4
    assert scores.scores(ClassPredictive(logits), labels).keys() == {metric.name for metric in measures.CLASSES}


def test_real_scores_are_those_of_the_normals() -> None:
    """Density in closed form; quantiles and CRPS of 1,000 draws a point within four standard errors."""
    found, y = normals()
    mean, noise, t = found.mean[0].double().numpy(), found.noise[0].double().numpy(), y.double().numpy()
    measured = scores.real_scores(found, y, torch.Generator().manual_seed(1))
    assert measured["nll"] == pytest.approx(-stats.norm.logpdf(t, mean, noise).mean(), rel=1e-5)
    assert measured["rmse"] == pytest.approx(np.sqrt(((t - mean) ** 2).mean()), rel=1e-5)
    z = (t - mean) / noise
    crps = noise * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert measured["crps"] == pytest.approx(crps.mean(), abs=4 * 2 / np.sqrt(1000 * len(t)))
    width = 2 * stats.norm.ppf(0.975) * noise.mean()
    assert measured["width_95"] == pytest.approx(width, rel=0.02)
    for level in (50, 95):
        inside = np.abs(z) < stats.norm.ppf(0.5 + level / 200)
        assert measured[f"coverage_{level}"] == pytest.approx(100 * inside.mean(), abs=2)


def test_the_density_of_a_mixture_is_the_mean_over_draws() -> None:
    stream = torch.Generator().manual_seed(2)
    found = RealPredictive(torch.randn(5, 30, generator=stream), 0.1 + torch.rand(5, 30, generator=stream))
    y = torch.randn(30, generator=stream)
    densities = stats.norm.pdf(y.double(), found.mean.double(), found.noise.double()).mean(0)
    assert scores.nll(found, y) == pytest.approx(-np.log(densities).mean(), rel=1e-5)


def test_a_sure_mistake_has_a_finite_loss() -> None:
    logits = torch.tensor([[[500.0, 0.0]]])
    assert scores.nll(ClassPredictive(logits), torch.tensor([1])) == pytest.approx(500)


def test_the_distance_of_draws_from_themselves_is_the_floor() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(200, 300, generator=generator)
    found = scores.distance_scores(draws[:100], draws[100:])
    assert found["mmd_published"] == pytest.approx(found["mmd_floor"], rel=0.05)
    assert abs(found["mmd"]) < 0.1 * found["mmd_floor"]
    far = scores.distance_scores(draws[:100] + 1, draws[100:])
    assert far["mmd"] > 10 * found["mmd_floor"]

"""Predictions against quadrature and simulation."""

from math import pi, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import stream
from scipy.integrate import quad
from scipy.stats import norm

from bnnbench.bayes.posterior import ClassPredictive, RealPredictive
from bnnbench.bayes.predictives import binary_probit, multiclass_probit, normal_draws


def sigmoid_mean(mean: float, std: float) -> float:
    def integrand(z: float) -> float:
        return float(norm.pdf(z) * 0.5 * (1 + np.tanh((mean + std * z) / 2)))

    return float(quad(integrand, -9, 9, points=[float(np.clip(-mean / std, -9, 9))], limit=200)[0])


@given(st.floats(-30, 30), st.floats(0.05, 30))
def test_binary_probit_is_within_its_known_error_of_the_integral(mean: float, std: float) -> None:
    found = binary_probit(torch.tensor(mean, dtype=torch.float64), torch.tensor(std**2, dtype=torch.float64)).item()
    assert abs(found - sigmoid_mean(mean, std)) < 0.0195  # the largest error printed in the paper is 0.018


def test_multiclass_probit_of_independent_two_logits() -> None:
    mean, covariance = torch.tensor([[1.0, -0.5]]), torch.diag(torch.tensor([2.0, 3.0]))[None]
    expected = torch.tensor([1 / sqrt(1 + pi / 8 * 2), -0.5 / sqrt(1 + pi / 8 * 3)])
    assert torch.allclose(multiclass_probit(mean, covariance)[0], expected)


def test_without_variance_probit_changes_nothing() -> None:
    mean = torch.randn(4, 3, generator=stream())
    assert torch.equal(multiclass_probit(mean, torch.zeros(4, 3, 3)), mean)


def test_normal_draws_have_the_moments_asked_for() -> None:
    root = torch.randn(2, 3, 3, generator=stream(), dtype=torch.float64)
    root[1, :, 2] = 0  # a singular covariance
    mean, covariance = torch.ones(2, 3, dtype=torch.float64), root @ root.transpose(1, 2)
    draws = normal_draws(mean, covariance, 200_000, stream(1))
    assert torch.allclose(draws.mean(0), mean, atol=0.05)
    for k in range(2):
        assert torch.allclose(torch.cov(draws[:, k].T), covariance[k], atol=0.1)


def test_class_probabilities_are_the_mean_softmax() -> None:
    logits = 30 * torch.randn(7, 5, 3, generator=stream())
    predictive = ClassPredictive(logits)
    assert torch.allclose(predictive.probs, logits.softmax(-1).mean(0), atol=1e-6)
    assert torch.isfinite(predictive.log_probs).all()


def test_mixture_of_normals() -> None:
    predictive = RealPredictive(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [0.5]]))
    y = torch.tensor([0.7])
    expected = np.log(0.5 * norm.pdf(0.7) + 0.5 * norm.pdf(0.7, 2, 0.5))
    assert predictive.log_density(y).item() == pytest.approx(expected, rel=1e-5)
    draws = RealPredictive(predictive.mean.repeat(50_000, 1), predictive.noise.repeat(50_000, 1)).sample(stream())
    mean, std = predictive.moments
    assert mean.item() == pytest.approx(draws.mean().item(), abs=0.02)
    assert std.item() == pytest.approx(draws.std().item(), abs=0.02)


def test_points_taken_in_parts_have_the_same_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(7, 11, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = logits.softmax(-1).mean(0)
    for entries in (1, 50, 2**22):
        monkeypatch.setattr("bnnbench.bayes.posterior.ENTRIES", entries)
        assert torch.allclose(ClassPredictive(logits).probs, expected, rtol=1e-12)
    assert ClassPredictive(logits[:, :0]).probs.shape == (0, 3)

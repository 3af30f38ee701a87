"""Gaussian-process regression against dense formulas, and what it refuses."""

import warnings
from collections.abc import Callable
from math import exp, pi
from typing import Any

import numpy as np
import pytest
import torch
from problems import stream
from pydantic import ValidationError
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from bnnbench.bayes.gp import GPPosterior, gp
from bnnbench.bayes.likelihood import Categorical, Gaussian, Heteroscedastic, LearnedNoise, Likelihood
from bnnbench.bayes.method import Train
from bnnbench.bayes.posterior import RealPredictive
from bnnbench.errors import ResultWarning

NOISE = 0.2
X = torch.randn(40, 2, generator=stream(), dtype=torch.float64)
Y = (2 * X[:, 0]).sin() + 0.3 * X[:, 1] + NOISE * torch.randn(40, generator=stream(1), dtype=torch.float64)
NEW = torch.randn(25, 2, generator=stream(2), dtype=torch.float64) * 1.5
FIXED: dict[str, Any] = {"optimise": False, "variance": 1.7, "length": 0.8}
Kernel = Callable[[Tensor, Tensor], Tensor]


def rbf(variance: float, *lengths: float) -> Kernel:
    """Written out: variance exp(-1/2 sum_d (a_d - b_d)^2 / length_d^2)."""
    scale = torch.tensor(lengths, dtype=torch.float64)
    return lambda a, b: variance * (-0.5 * ((a[:, None] - b[None]) / scale).square().sum(-1)).exp()


def periodic(variance: float, length: float, period: float) -> Kernel:
    return lambda a, b: variance * (-2 * (pi * (a - b.T) / period).sin().square() / length**2).exp()


def dense(kernel: Kernel, noise: float, x: Tensor, y: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [N] and covariance [N, N] of f at `new`, by an inverse."""
    inverse = (kernel(x, x) + noise**2 * torch.eye(len(x), dtype=torch.float64)).inverse()
    cross = kernel(new, x)
    return cross @ inverse @ y, kernel(new, new) - cross @ inverse @ cross.T


def evidence(kernel: Kernel, noise: float, x: Tensor, y: Tensor) -> float:
    covariance = kernel(x, x) + noise**2 * torch.eye(len(x), dtype=torch.float64)
    found: float = multivariate_normal(np.zeros(len(x)), covariance.numpy()).logpdf(y.numpy())
    return found


def fit(x: Tensor, y: Tensor, params: dict[str, Any], likelihood: Likelihood = Gaussian(NOISE)) -> GPPosterior:  # noqa: B008
    outputs = 2 if isinstance(likelihood, Heteroscedastic) and not isinstance(likelihood, LearnedNoise) else 1
    net = nn.Linear(x.shape[1], outputs, dtype=x.dtype)
    posterior = gp.fit(net, Train(x, y, likelihood), params, stream(3))
    assert isinstance(posterior, GPPosterior)
    return posterior


def check_closed_form(posterior: GPPosterior, kernel: Kernel, x: Tensor, y: Tensor, new: Tensor) -> None:
    mean, covariance = dense(kernel, posterior.noise, x, y, new)
    found = posterior.predict(new)
    assert isinstance(found, RealPredictive)
    assert found.mean.shape == found.noise.shape == (1, len(new))
    assert torch.allclose(found.mean[0], mean, atol=1e-9)
    assert torch.allclose(found.noise[0], (covariance.diagonal() + posterior.noise**2).sqrt(), atol=1e-9)
    assert posterior.log_evidence == pytest.approx(evidence(kernel, posterior.noise, x, y), abs=1e-8)


def test_the_posterior_of_given_hyperparameters_is_the_dense_formula() -> None:
    posterior = fit(X, Y, FIXED)
    assert (posterior.variance, posterior.length, posterior.period, posterior.noise) == pytest.approx(
        (1.7, 0.8, None, NOISE)
    )
    check_closed_form(posterior, rbf(1.7, 0.8, 0.8), X, Y, NEW)


def test_the_periodic_posterior_is_the_dense_formula() -> None:
    x, y = X[:, :1], Y
    posterior = fit(x, y, {**FIXED, "kernel": "periodic", "period": 1.3})
    assert posterior.period == pytest.approx(1.3)
    check_closed_form(posterior, periodic(1.7, 0.8, 1.3), x, y, NEW[:, :1])


def test_what_is_chosen_gives_the_dense_formula_too_and_is_a_maximum() -> None:
    posterior = fit(X, Y, {"ard": True})
    assert isinstance(posterior.length, tuple)
    assert posterior.noise == NOISE  # a known noise is not moved
    check_closed_form(posterior, rbf(posterior.variance, *posterior.length), X, Y, NEW)
    for factor in (0.98, 1.02):
        for k in range(3):
            moved = [
                value * (factor if k == j else 1) for j, value in enumerate((posterior.variance, *posterior.length))
            ]
            assert evidence(rbf(*moved), NOISE, X, Y) < posterior.log_evidence
    assert posterior.log_evidence > fit(X, Y, {}).log_evidence  # two lengths can do what one can


def test_a_learned_noise_is_found_and_is_a_maximum() -> None:
    x = torch.linspace(-3, 3, 200, dtype=torch.float64)[:, None]
    y = (2 * x[:, 0]).sin() + 0.3 * torch.randn(200, generator=stream(5), dtype=torch.float64)
    posterior = fit(x, y, {}, LearnedNoise(prior_mean=1.0))
    assert isinstance(posterior.length, float)
    assert posterior.noise == pytest.approx(0.3, rel=0.2)  # 4 standard errors: 1 / sqrt(400)
    kernel = rbf(posterior.variance, posterior.length)
    check_closed_form(posterior, kernel, x, y, x[::20] + 0.05)
    assert all(evidence(kernel, posterior.noise * c, x, y) < posterior.log_evidence for c in (0.98, 1.02))
    kept = fit(x[:20], y[:20], FIXED, LearnedNoise(prior_mean=-1.5))
    assert kept.noise == pytest.approx(exp(-1.5))


def test_a_period_is_found() -> None:
    x = 6 * torch.rand(80, 1, generator=stream(4), dtype=torch.float64)
    y = (2 * pi * x[:, 0] / 1.7).sin() + 0.05 * torch.randn(80, generator=stream(5), dtype=torch.float64)
    posterior = fit(x, y, {"kernel": "periodic", "period": 1.5}, Gaussian(0.05))
    assert posterior.period == pytest.approx(1.7, rel=5e-3)
    mean = posterior.predict(x + 10 * 1.7).mean[0]  # far from the data, ten periods on
    assert (mean - (2 * pi * x[:, 0] / 1.7).sin()).abs().max() < 0.2
    with pytest.warns(ResultWarning, match="it ended at length 1e-08, period 15"):
        alone = fit(x, y, {"kernel": "periodic", "period": 1.5, "restarts": 0}, Gaussian(0.05))
    assert alone.log_evidence < posterior.log_evidence - 1  # one start ends at a lesser optimum


def test_functions_have_the_joint_covariance_without_the_noise() -> None:
    posterior = fit(X, Y, FIXED)
    mean, covariance = dense(rbf(1.7, 0.8, 0.8), NOISE, X, Y, NEW)
    draws = posterior.functions(NEW, 20_000, stream(6))
    assert draws.shape == (20_000, 25)
    deviation = covariance.diagonal().sqrt()
    assert ((draws.mean(0) - mean).abs() < 5 * deviation / 20_000**0.5).all()
    error = (covariance.square() + deviation.square().outer(deviation.square())).div(20_000).sqrt()
    assert ((torch.cov(draws.T) - covariance).abs() < 5 * error).all()
    same = posterior.functions(torch.cat([NEW[:3], NEW[:3]]), 5, stream(7))  # a singular covariance
    assert torch.allclose(same[:, :3], same[:, 3:], atol=1e-6)


def test_far_from_the_data_is_the_prior() -> None:
    found = fit(X, Y, FIXED).predict(NEW + 100)
    assert torch.allclose(found.mean, torch.zeros(1, 25, dtype=torch.float64))
    assert torch.allclose(found.noise, torch.full((1, 25), (1.7 + NOISE**2) ** 0.5, dtype=torch.float64))


def test_predictions_have_the_type_of_the_inputs_and_repeat_themselves() -> None:
    first, again = (fit(X.float(), Y.float(), {"restarts": 2}) for _ in range(2))
    assert first.log_evidence == again.log_evidence
    assert first.predict(NEW.float()).mean.dtype == torch.float32
    assert first.functions(NEW.float(), 3).dtype == torch.float32
    assert first.predict(NEW.long()).mean.dtype == torch.float32
    assert torch.equal(first.functions(NEW, 3, stream()), again.functions(NEW, 3, stream()))
    many = torch.randn(2500, 2, generator=stream(8), dtype=torch.float64)  # several batches
    assert torch.allclose(first.predict(many).mean[:, 2400:], first.predict(many[2400:]).mean)


def test_the_net_does_not_matter() -> None:
    nets = nn.Linear(2, 1).double(), nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 1)).double()
    found = [gp.fit(net, Train(X, Y, Gaussian(NOISE)), {}, stream()).predict(NEW) for net in nets]
    assert isinstance(found[0], RealPredictive)
    assert isinstance(found[1], RealPredictive)
    assert torch.equal(found[0].mean, found[1].mean)


def test_a_search_that_ends_at_a_bound_says_so_in_one_line() -> None:
    x = torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    with pytest.warns(ResultWarning, match=r"^gp: .* it ended at .*noise 1e-08[^\n]*$") as told:
        fit(x, torch.zeros(30, dtype=torch.float64), {}, LearnedNoise())
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(X, Y, {})


@pytest.mark.parametrize(
    ("likelihood", "text"),
    [(Categorical(), "Categorical was given; give Gaussian"), (Heteroscedastic(), "Heteroscedastic was given; give")],
)
def test_other_likelihoods_are_refused(likelihood: Likelihood, text: str) -> None:
    net = nn.Linear(2, 2).double()
    y = (Y > 0).long() if isinstance(likelihood, Categorical) else Y
    with pytest.raises(ValueError, match=rf"^likelihood: [^\n]*{text}[^\n]*$"):
        gp.fit(net, Train(X, y, likelihood))


@pytest.mark.parametrize("likelihood", [Gaussian(NOISE), LearnedNoise(2)])
def test_several_targets_are_refused(likelihood: Likelihood) -> None:
    with pytest.raises(ValueError, match=r"^y: 2 targets a point[^\n]*$"):
        gp.fit(nn.Linear(2, 2).double(), Train(X, torch.stack([Y, Y], 1), likelihood))


def test_what_it_cannot_compute_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^x: 5001 points[^\n]*cubic[^\n]*$"):
        fit(torch.zeros(5001, 1), torch.zeros(5001), {})
    with pytest.raises(ValueError, match=r"^x: 2 inputs, where the kernel 'periodic' is of one[^\n]*$"):
        fit(X, Y, {"kernel": "periodic"})
    with pytest.raises(ValidationError, match="of the kernel 'rbf' alone"):
        fit(X, Y, {"kernel": "periodic", "ard": True})
    repeated = X[:1].expand(40, 2)
    for params in (FIXED, {"restarts": 1}):
        with pytest.raises(ValueError, match=r"^likelihood: with a noise of 1e-12[^\n]*singular[^\n]*$"):
            fit(repeated, Y, params, Gaussian(1e-12))
    with pytest.raises(ValueError, match="n_draws: 0 draws"):
        fit(X, Y, FIXED).predict(X, 0)
    with pytest.raises(ValueError, match="n_draws: 0 draws"):
        fit(X, Y, FIXED).functions(X, 0)

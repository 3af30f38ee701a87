"""The last layer integrated out: the marginal likelihood is a dense normal's, drawn weights are of the conditional."""

from typing import Any

import jax
import numpy as np
import pytest
import torch
from problems import stream
from scipy.stats import multivariate_normal
from test_checkpoints import Kept, Killed
from torch import Generator, nn

from bnnbench.bayes.likelihood import Categorical, Gaussian, LearnedNoise
from bnnbench.bayes.linear_output import draw_weights, inverse_and_log_det, log_marginal
from bnnbench.bayes.method import Train
from bnnbench.bayes.nuts import nuts
from bnnbench.bayes.prior import NumpyroPrior
from bnnbench.bayes.priors.mixture import mixture
from bnnbench.bayes.priors.scale_mixture import scale_mixture

RNG = np.random.default_rng(1)
PHI, Y = np.column_stack([np.tanh(RNG.normal(size=(30, 6))), np.ones(30)]), RNG.normal(size=30)
X = torch.rand(20, 3, generator=stream(), dtype=torch.float64)
TARGETS = (X.sum(1) - 1.5).sin() + 0.1 * torch.randn(20, generator=stream(1), dtype=torch.float64)
BRIEF: dict[str, Any] = {
    "training": None, "scope": "all", "chains": 2, "warmup": 20, "draws": 10, "max_tree_depth": 4,
    "chain_method": "sequential",
}  # fmt: skip


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()


@pytest.mark.parametrize(("scale", "log_noise"), [(1.0, -1.0), (0.3, 0.5), (2.0, -3.0)])
def test_the_marginal_likelihood_is_that_of_a_dense_normal(scale: float, log_noise: float) -> None:
    covariance = np.exp(2 * log_noise) * np.eye(30) + scale**2 * PHI @ PHI.T
    with jax.enable_x64(True):
        found = float(log_marginal(jax.numpy.asarray(PHI), jax.numpy.asarray(Y), scale, jax.numpy.asarray(log_noise)))
    assert found == pytest.approx(multivariate_normal(np.zeros(30), covariance).logpdf(Y), rel=1e-10)


def test_its_gradients_are_finite_differences() -> None:
    with jax.enable_x64(True):
        phi, y, log_noise = jax.numpy.asarray(PHI), jax.numpy.asarray(Y), jax.numpy.asarray(-0.7)
        in_phi, in_noise = jax.grad(log_marginal, argnums=(0, 3))(phi, y, 0.8, log_noise)
        step = 1e-5
        for place in ((0, 0), (7, 3), (29, 6)):
            up, down = (float(log_marginal(phi.at[place].add(s), y, 0.8, log_noise)) for s in (step, -step))
            assert float(in_phi[place]) == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-8)
        up, down = (float(log_marginal(phi, y, 0.8, log_noise + s)) for s in (step, -step))
    assert float(in_noise) == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_sweeps_invert_and_give_the_determinant() -> None:
    matrix = PHI.T @ PHI + 0.01 * np.eye(7)
    with jax.enable_x64(True):
        inverse, log_det = inverse_and_log_det(jax.numpy.asarray(matrix))
    assert np.allclose(inverse, np.linalg.inv(matrix), rtol=1e-9)
    assert float(log_det) == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-12)


def test_drawn_weights_have_the_moments_of_the_conditional() -> None:
    """40,000 draws: standard errors of means are 0.5 % of a deviation."""
    scale, noise, phi, y = 0.8, 0.4, torch.tensor(PHI), torch.tensor(Y)
    precision = PHI.T @ PHI / noise**2 + np.eye(7) / scale**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ PHI.T @ Y / noise**2
    many = phi.expand(40_000, -1, -1)
    found = draw_weights(many, y, scale, torch.full((40_000,), noise, dtype=torch.float64), stream()).numpy()
    deviation = np.sqrt(np.diag(covariance))
    assert (np.abs(found.mean(0) - mean) < 0.025 * deviation).all()
    assert np.allclose(np.cov(found.T), covariance, atol=0.04 * deviation.max() ** 2)


def fit(likelihood: Any = None, journal: Any = None, prior: Any = None, **options: Any) -> Any:
    prior = prior or scale_mixture(mixture("dirichlet-horseshoe", active=1.0), 2, 20, learns_noise=likelihood is None)
    train = Train(X, TARGETS, likelihood or LearnedNoise(), prior=prior)
    kept = () if journal is None else (journal,)
    return nuts.fit(small(), train, {**BRIEF, "integrate_output": True, **options}, Generator().manual_seed(2), *kept)


def test_whole_draws_are_the_nets_parameters() -> None:
    posterior = fit()
    assert posterior.chains.shape == (2, 10, 3 * 2 + 2 + 2 + 1 + 1)
    theta = posterior.chains.flatten(0, 1)
    assert torch.allclose(theta[:, -1].exp(), posterior.sites["noise"].flatten().double())
    scales = posterior.sites["0.scale"] * posterior.sites["0.raw"]
    assert torch.allclose(theta[:, :6], scales.flatten(0, 1).flatten(1).double())


@pytest.mark.slow
def test_the_posterior_is_that_of_sampling_all_layers() -> None:
    """Means and deviations of outputs by both, of some 2,000 effective draws: within 5 standard errors."""
    long = {"warmup": 500, "draws": 2000, "max_tree_depth": 8, "target_acceptance": 0.95}
    one, other = (
        p.net.outputs(p.chains.flatten(0, 1), X)[..., 0] for p in (fit(**long), fit(**long, integrate_output=False))
    )
    deviation = other.std(0)
    assert ((one.mean(0) - other.mean(0)).abs() < 0.15 * deviation).all()
    assert torch.allclose(one.std(0), deviation, rtol=0.15)


def test_a_known_noise_is_no_part_of_theta() -> None:
    assert fit(Gaussian(0.3)).chains.shape[2] == 3 * 2 + 2 + 2 + 1


def test_a_fit_killed_between_blocks_goes_on_to_the_same_bits() -> None:
    whole, journal = fit(block=5), Kept(3)
    with pytest.raises(Killed):
        fit(journal=journal, block=5)
    again = fit(journal=Kept(saved=journal.saved), block=5)
    assert torch.equal(whole.chains, again.chains)
    for name, values in whole.sites.items():
        assert torch.equal(values, again.sites[name]), name


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"prior": NumpyroPrior(lambda shapes: {})}, "the prior does not say that the last layer is normal"),
        ({"likelihood": Gaussian(0.3), "net": nn.Linear(3, 1)}, "the net is no nn.Sequential"),
        ({"likelihood": Categorical()}, "the likelihood is not that of one real target"),
    ],
)
def test_what_cannot_be_integrated_is_refused(changes: dict[str, Any], text: str) -> None:
    likelihood = changes.get("likelihood", LearnedNoise())
    prior = changes.get("prior", scale_mixture(mixture("gaussian"), 2, 20))
    net = changes.get("net", small()).double()
    y = TARGETS if not isinstance(likelihood, Categorical) else torch.zeros(20, dtype=torch.long)
    with pytest.raises(ValueError, match=f"^integrate_output: {text}"):
        nuts.fit(net, Train(X, y, likelihood, prior=prior), {**BRIEF, "integrate_output": True})

"""HMC and NUTS against grids, and convergence diagnostics against ArviZ."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from problems import Grid, classes, conjugate, grid, skewed, stream
from test_laplace import at_mode
from torch import Tensor, nn

from bnnbench.bayes import hmc, jax_density, jax_nets, nuts
from bnnbench.bayes.chains import ChainPosterior
from bnnbench.bayes.diagnostics import effective_size, split_rhat
from bnnbench.bayes.gaussian import Standard
from bnnbench.bayes.hmc import Sampling
from bnnbench.bayes.journal import SILENT
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import LinearNet, WholeNet
from bnnbench.bayes.nuts import NUTSParams
from bnnbench.bayes.target import Target


def check_moments(chains: Tensor, reference: Grid, sds: float = 5) -> None:
    """Means, variances and the third moment within `sds` Monte Carlo standard errors of the grid's."""
    assert (split_rhat(chains) < 1.01).all()
    centred = reference.points - reference.mean
    draws = chains - reference.mean
    std = reference.covariance.diagonal().sqrt()
    for power in (1, 2, 3):
        statistic, values = (draws / std) ** power, (centred / std) ** power
        exact = reference.probabilities @ values
        error = statistic.flatten(0, 1).std(0) / effective_size(statistic).sqrt()
        assert ((statistic.mean((0, 1)) - exact).abs() < sds * error).all(), f"moment {power}"
        assert (error < 0.2 * power**2).all()


def test_hmc_has_the_moments_of_the_grid() -> None:
    target = skewed()
    base = at_mode(target)
    std = base.marginal_variances.sqrt()
    chains, acceptance, *_ = hmc.sample(target, base, Sampling(chains=8, draws=800), stream(), SILENT)
    check_moments(chains, grid(target, base.mean + std, 12 * std))
    assert 0.6 < acceptance < 0.95


def test_trajectories_are_reversible_and_keep_their_energy() -> None:
    target = skewed()
    base = at_mode(target)
    start = hmc.point(target, base, torch.randn(20, 2, generator=stream(), dtype=torch.float64))
    momentum = torch.randn(20, 2, generator=stream(1), dtype=torch.float64)
    end, after = hmc.leapfrog(target, base, start, momentum, 0.2, 15)
    back, reversed_ = hmc.leapfrog(target, base, end, -after, 0.2, 15)
    assert torch.allclose(back.z, start.z, atol=1e-9)
    assert torch.allclose(reversed_, -momentum, atol=1e-9)
    errors = []
    for n_steps in (15, 30):  # over the same time: half the step, a quarter of the error
        end, after = hmc.leapfrog(target, base, start, momentum, 3 / n_steps, n_steps)
        change = end.value - start.value + 0.5 * (momentum.square() - after.square()).sum(1)
        errors.append(change.abs().mean().item())
    assert errors[1] == pytest.approx(errors[0] / 4, rel=0.3)


def test_hmc_draws_of_a_normal_posterior_are_nearly_independent() -> None:
    net, _, features, labels = classes(2000, 6, 4)
    target = Target(net, features, labels, Categorical(), 20.0)
    base = at_mode(target)
    chains = hmc.sample(target, base, Sampling(chains=4, draws=200), stream(), SILENT).draws
    assert (effective_size(chains) > 300).all()
    assert (split_rhat(chains) < 1.05).all()
    z = base.pull(chains.flatten(0, 1))
    assert torch.allclose(z.std(0), torch.ones(net.n_params, dtype=torch.float64), atol=0.15)


def two_logits() -> Target:
    """Few points of one feature, two logits without a bias: a skewed posterior of two weights."""
    x = torch.linspace(0.2, 3, 10, dtype=torch.float64).unsqueeze(1)
    return Target(LinearNet(1, 2, bias=False), x, torch.tensor([0, 1, 0, 1, 1, 1, 1, 1, 1, 1]), Categorical(), 0.5)


@pytest.mark.parametrize("whitened", [False, True])
def test_nuts_on_the_last_layer_has_the_moments_of_the_grid(whitened: bool) -> None:
    target = two_logits()
    base = at_mode(target)
    start = base.sample(4, stream())
    params = NUTSParams(chains=4, warmup=300, draws=1500)
    found = nuts.sample(target, start, params, stream(1), SILENT, base if whitened else None)
    std = base.marginal_variances.sqrt()
    check_moments(found.draws, grid(target, base.mean, 10 * std))
    assert 0.7 < found.acceptance < 0.99
    assert found.divergences == found.saturated == 0


@pytest.mark.parametrize("sampler", ["nuts", "hmc"])
def test_all_layers_have_the_moments_of_the_grid(sampler: str) -> None:
    """Two weights of a tanh net, whose posterior is a ridge through both signs and far from normal."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh(), nn.Linear(1, 1, bias=False)).double()
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).unsqueeze(1)
    target = Target(WholeNet(net), x, 0.3 * x[:, 0], Gaussian(0.8), 1.0)
    start = torch.randn(4, 2, generator=stream(), dtype=torch.float64)
    if sampler == "nuts":
        chains = nuts.sample(target, start, NUTSParams(chains=4, warmup=300, draws=1500), stream(), SILENT).draws
    else:
        base = Standard(torch.zeros(2, dtype=torch.float64))
        chains = hmc.sample(target, base, Sampling(chains=8, draws=1000), stream(), SILENT).draws
    with torch.no_grad():
        reference = grid(target, torch.zeros(2, dtype=torch.float64), torch.full((2,), 6, dtype=torch.float64), 100)
    check_moments(chains, reference)
    product = (reference.points.prod(1) @ reference.probabilities).item()
    assert chains.prod(-1).mean().item() == pytest.approx(product, abs=0.1)


def test_the_density_in_jax_is_that_in_torch() -> None:
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.ReLU(),
        nn.Sequential(nn.Linear(5, 4), nn.SiLU(), nn.Linear(4, 4), nn.ELU(0.3), nn.Linear(4, 3)),
    )
    x, y = torch.randn(7, 2, 3, generator=stream()), torch.arange(7) % 3
    target = Target(WholeNet(net), x, y, Categorical(), 2.0)
    theta = torch.randn(5, WholeNet(net).n_params, generator=stream(1))
    density = jax_density.log_density(target)
    found = torch.tensor([float(density(draw.numpy())) for draw in theta])
    expected = target(theta)
    assert torch.allclose(found - found[0], (expected - expected[0]).detach(), atol=1e-2)  # up to a constant


class Halved(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


def test_layers_that_jax_does_not_know_are_named() -> None:
    with pytest.raises(ValueError, match="Halved"):
        jax_nets.jax_outputs(WholeNet(nn.Sequential(Halved(2, 2))))
    with pytest.raises(ValueError, match="Dropout"):
        jax_nets.jax_outputs(WholeNet(nn.Sequential(nn.Linear(2, 2), nn.Dropout())))


def test_nets_whose_layers_jax_would_misread_are_refused() -> None:
    repeated = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="the layers use 24 parameters and the net has 12"):
        jax_nets.jax_outputs(WholeNet(nn.Sequential(repeated, nn.Tanh(), repeated)))
    with pytest.raises(ValueError, match=r"Flatten\(start_dim=1, end_dim=2\)"):
        jax_nets.jax_outputs(WholeNet(nn.Sequential(nn.Flatten(1, 2), nn.Linear(4, 5))))


def test_published_nuts_and_whitened_hmc_agree_on_a_last_layer() -> None:
    _, _, features, labels = classes(300, 4, 3, dtype=torch.float32)
    train, net = Train(features, labels), nn.Linear(4, 3)
    by_nuts = nuts.nuts.fit(net, train, {"training": None, "precision": 10.0, "draws": 300}, stream())
    sampling = {"chains": 4, "draws": 500}
    by_hmc = hmc.hmc.fit(net, train, {"training": None, "precision": 10.0, "sampling": sampling}, stream(1))
    assert isinstance(by_nuts, ChainPosterior)
    assert isinstance(by_hmc, ChainPosterior)
    assert by_nuts.rhat.max() < 1.05
    std = by_hmc.chains.flatten(0, 1).std(0)
    difference = by_nuts.chains.mean((0, 1)) - by_hmc.chains.mean((0, 1))
    error = std * (1 / by_nuts.effective_size + 1 / by_hmc.effective_size).sqrt()
    assert (difference.abs() < 5 * error).all()


def test_hmc_on_a_gaussian_model_is_exact() -> None:
    problem = conjugate()
    params = {"training": None, "precision": problem.precision, "sampling": {"chains": 4, "draws": 1000}}
    posterior = hmc.hmc.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, ChainPosterior)
    draws = posterior.chains.flatten(0, 1).double()
    std = problem.covariance.diagonal().sqrt()
    assert ((draws.mean(0) - problem.mean).abs() < 5 * std / 2000**0.5).all()
    assert torch.allclose(torch.cov(draws.T), problem.covariance, rtol=0.15, atol=2e-4)


@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.95, -0.3, -0.8])
def test_diagnostics_are_arvizs(correlation: float) -> None:
    arviz = pytest.importorskip("arviz")
    rng = np.random.default_rng(0)
    chains = np.zeros((4, 501, 3))
    for t in range(1, 501):
        chains[:, t] = correlation * chains[:, t - 1] + rng.standard_normal((4, 3))
    chains[0, :, 2] += 1.0  # a chain elsewhere
    found = torch.from_numpy(chains)
    for k in range(3):
        assert split_rhat(found)[k].item() == pytest.approx(float(arviz.rhat(chains[..., k], method="split")), rel=1e-6)
        ess = float(arviz.ess(chains[..., k], method="mean"))
        assert effective_size(found)[k].item() == pytest.approx(ess, rel=1e-6)


@given(st.integers(1, 4), st.integers(4, 60), st.floats(-0.9, 0.95), st.integers(0, 10**6))
@example(3, 25, 0.71875, 1)  # the last pair is positive and its first number is not
def test_the_effective_size_of_short_chains_is_arvizs(n_chains: int, n: int, correlation: float, seed: int) -> None:
    arviz = pytest.importorskip("arviz")
    chains = np.random.default_rng(seed).standard_normal((n_chains, n))
    for t in range(1, n):
        chains[:, t] += correlation * chains[:, t - 1]
    ess = float(arviz.ess(chains, method="mean"))
    assert effective_size(torch.from_numpy(chains)).item() == pytest.approx(ess, rel=1e-6)


def test_draws_are_spread_evenly_over_the_chains() -> None:
    problem = conjugate()
    params = {"training": None, "precision": 2.0, "sampling": {"chains": 2, "draws": 10, "warmup": 5}}
    posterior = hmc.hmc.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, ChainPosterior)
    assert torch.equal(posterior.sample(4), posterior.chains[:, [0, 5]].flatten(0, 1))
    assert posterior.predict(problem.train.x).n_draws == 20


def test_an_outside_package_adds_a_layer() -> None:
    import jax

    class Cubed(nn.Module):
        """a x^3 with one parameter."""

        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.a * x**3

    net = nn.Sequential(nn.Linear(2, 3), Cubed(), nn.Linear(3, 1))
    with pytest.raises(ValueError, match=r"does not know Cubed; declare it with jax_layer"):
        jax_nets.jax_outputs(WholeNet(net))

    @jax_nets.jax_layer(Cubed)
    def cubed(module: Cubed) -> jax_nets.JaxLayer:
        return jax_nets.JaxLayer(1, lambda theta, x: theta[0] * x**3)

    x, theta = torch.randn(5, 2, generator=stream()), torch.randn(14, generator=stream(1))
    expected = WholeNet(net).outputs(theta[None], x)[0].detach().numpy()
    found = jax_nets.jax_outputs(WholeNet(net))(jax.numpy.asarray(theta.numpy()), jax.numpy.asarray(x.numpy()))
    assert np.allclose(found, expected, atol=1e-5)

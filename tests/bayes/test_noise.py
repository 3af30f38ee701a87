"""The noise of real targets: known, learned or dependent on the input, of one target and of several."""

from typing import Any

import jax
import numpy as np
import pytest
import torch
from problems import stream
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

from bnnbench.bayes.jax_density import log_density
from bnnbench.bayes.likelihood import Gaussian, Heteroscedastic, LearnedNoise, Likelihood
from bnnbench.bayes.log_noise import has_log_noise
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import WholeNet
from bnnbench.bayes.posterior import RealPredictive
from bnnbench.bayes.prior import IsotropicNormal, NumpyroPrior
from bnnbench.bayes.target import Target
from bnnbench.harness import registry

N, TAU = 30, 2.0
X = torch.randn(N, 2, generator=stream(10))
CLEAN = torch.stack([X @ torch.tensor([1.0, -0.5]) + 0.3, X @ torch.tensor([0.2, 0.7])], dim=1)
Y = CLEAN + torch.tensor([0.3, 0.8]) * torch.randn(N, 2, generator=stream(11))
SAMPLERS: dict[str, dict[str, Any]] = {
    "nuts": {"scope": "all", "chains": 4, "warmup": 300, "draws": 600, "chain_method": "sequential"},
    "hmc": {"scope": "all", "training": {"epochs": 50}, "sampling": {"chains": 4, "draws": 600, "warmup": 100}},
}


def zeros(n_outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, n_outputs))


def design() -> Tensor:
    return torch.cat([X, torch.ones(N, 1)], dim=1).double()


def exact(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the log noise of a linear model under N(0, 1 / TAU) weights, by quadrature.

    Given the noise the targets are normal with covariance noise^2 I + design design^T / TAU.
    """
    s = torch.linspace(-4, 3, 1401, dtype=torch.float64)
    covariance = (2 * s).exp()[:, None, None] * torch.eye(N) + design() @ design().T / TAU
    marginal = MultivariateNormal(torch.zeros(N).double(), covariance).log_prob(y.double())
    density = (marginal + Normal(-1.0, 1.0).log_prob(s)).softmax(0)
    mean = density @ s
    return mean, (density @ (s - mean).square()).sqrt()


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_of_a_learned_noise_have_the_posterior_of_a_quadrature(name: str) -> None:
    train = Train(X, Y[:, 0], LearnedNoise(), prior=IsotropicNormal(TAU))
    posterior: Any = registry.method(name).fit(zeros(1), train, SAMPLERS[name], stream())
    draws = posterior.chains[..., -1].double()
    mean, std = exact(Y[:, 0])
    assert (draws.mean() - mean).abs() < 5 * std / posterior.effective_size[-1].sqrt()
    assert draws.std().item() == pytest.approx(std.item(), rel=0.12)
    predictive = posterior.predict(X, 50)
    assert torch.allclose(predictive.noise, posterior.sample(50)[:, -1:].exp().expand(50, N))


def test_noises_of_two_targets_are_learned_apart() -> None:
    train = Train(X, Y, LearnedNoise(2), prior=IsotropicNormal(TAU))
    posterior: Any = registry.method("nuts").fit(zeros(2), train, SAMPLERS["nuts"], stream())
    for target in range(2):
        draws = posterior.chains[..., -2 + target].double()
        mean, std = exact(Y[:, target])
        assert (draws.mean() - mean).abs() < 5 * std / posterior.effective_size[-2 + target].sqrt()
        assert draws.std().item() == pytest.approx(std.item(), rel=0.12)
    predictive = posterior.predict(X, 20)
    assert predictive.mean.shape == predictive.noise.shape == (20, N, 2)
    assert predictive.log_density(Y).shape == (N,)


def test_a_hierarchical_prior_leaves_the_noise_to_the_likelihood_or_samples_it() -> None:
    import numpyro
    import numpyro.distributions as dist

    def weights(shapes: Any) -> dict[str, Any]:
        normal = dist.Normal(0.0, TAU**-0.5)
        return {name: numpyro.sample(name, normal.expand(shape).to_event()) for name, shape in shapes.items()}

    def with_noise(shapes: Any) -> dict[str, Any]:
        tau = numpyro.sample("noise", dist.LogNormal(-1.0, 1.0).expand([1]).to_event(1))
        return {**weights(shapes), "log_noise": jax.numpy.log(tau)}

    mean, std = exact(Y[:, 0])
    for function, site in ((weights, "log_noise"), (with_noise, "noise")):  # the same prior in two forms
        train = Train(X, Y[:, 0], LearnedNoise(), prior=NumpyroPrior(function))
        posterior: Any = registry.method("nuts").fit(zeros(1), train, SAMPLERS["nuts"], stream())
        assert site in posterior.sites
        draws = posterior.chains[..., -1].double()
        assert (draws.mean() - mean).abs() < 5 * std / posterior.effective_size[-1].sqrt()
        kept = posterior.sites[site][..., 0]
        assert torch.allclose(draws, (kept if site == "log_noise" else kept.log()).double(), atol=1e-5)


def test_map_finds_the_joint_mode_of_weights_and_noise() -> None:
    theta = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        prior = Normal(0.0, TAU**-0.5).log_prob(theta[:3]).sum() + Normal(-1.0, 1.0).log_prob(theta[3])
        value: Tensor = -Normal(design() @ theta[:3], theta[3].exp()).log_prob(Y[:, 0].double()).sum() - prior
        value.backward()
        return value

    optimizer.step(loss)
    options = {"training": {"epochs": 1500, "learning_rate": 0.03, "batch_size": N}}
    train = Train(X, Y[:, 0], LearnedNoise(), prior=IsotropicNormal(TAU))
    by_prior: Any = registry.method("map").fit(zeros(1), train, options)
    assert torch.allclose(by_prior.sample(1)[0].double(), theta.detach(), atol=2e-3)
    decay = {"training": {**options["training"], "weight_decay": TAU / N}}  # of the weights, and of them alone
    by_decay: Any = registry.method("map").fit(zeros(1), Train(X, Y[:, 0], LearnedNoise()), decay)
    assert torch.allclose(by_decay.sample(1)[0].double(), theta.detach(), atol=2e-3)


QUICK: dict[str, dict[str, Any]] = {
    "ensemble": {"members": 2, "training": {"epochs": 300, "learning_rate": 0.02}},
    "dropout": {"training": {"epochs": 300, "learning_rate": 0.02}, "first": True, "rate": 0.01},
    "mfvi": {"training": {"epochs": 300, "learning_rate": 0.02}},
    "swag": {"training": {"epochs": 300, "learning_rate": 0.02}, "snapshots": 20},
    "csghmc": {"cycles": 1, "epochs_per_cycle": 200, "learning_rate": 0.01},
}


@pytest.mark.parametrize("name", QUICK)
def test_what_trains_a_whole_net_learns_the_noise(name: str) -> None:
    net = zeros(1)
    posterior: Any = registry.method(name).fit(net, Train(X, Y[:, 0], LearnedNoise()), QUICK[name], stream())
    mean, std = exact(Y[:, 0])
    noise = posterior.predict(X, 10, stream()).noise.log()
    assert (noise - mean).abs().max() < 4 * std
    assert not has_log_noise(net)  # the model that was given stays as it was


@pytest.mark.parametrize(
    ("name", "options"), [("laplace", {}), ("laplace", {"scope": "all"}), ("refine", {}), ("hmc", {}), ("nuts", {})]
)
def test_methods_that_learn_no_noise_say_so_before_they_train(name: str, options: dict[str, Any]) -> None:
    class Untrained(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            return super().forward(x)

    with pytest.raises(ValueError, match=rf"^likelihood: {name} learns no noise[^\n]*$"):
        registry.method(name).fit(Untrained(2, 1), Train(X, Y[:, 0], LearnedNoise()), options)


def test_a_net_trained_with_its_noise_is_not_given_another() -> None:
    train = Train(X, Y[:, 0], LearnedNoise())
    first: Any = registry.method("map").fit(zeros(1), train, {"training": {"epochs": 3}})
    second: Any = registry.method("map").fit(first.net.module, train, {"training": None})
    assert torch.equal(first.sample(1), second.sample(1))


LIKELIHOODS: dict[str, tuple[Likelihood, int, Tensor]] = {  # with the outputs of a net and targets
    "known": (Gaussian(0.7), 1, Y[:, 0]),
    "known of two": (Gaussian(0.7), 2, Y),
    "of the input": (Heteroscedastic(), 2, Y[:, 0]),
    "of the input of two": (Heteroscedastic(2), 4, Y),
}


def law(likelihood: Likelihood, outputs: Tensor) -> Normal:
    """What the likelihood means: a normal for each point and target [..., N, D]."""
    if isinstance(likelihood, Gaussian):
        return Normal(outputs, likelihood.noise)
    mean, log_noise = outputs.chunk(2, dim=-1)
    return Normal(mean, log_noise.exp())


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_likelihoods_are_torchs_normal_in_torch_and_jax(kind: str) -> None:
    likelihood, n_outputs, y = LIKELIHOODS[kind]
    net = nn.Sequential(nn.Linear(2, n_outputs)).double()
    target = Target(WholeNet(net), X.double(), y.double(), likelihood, 1.0)
    theta = torch.randn(5, 3 * n_outputs, generator=stream(), dtype=torch.float64)
    outputs = target.net.outputs(theta, target.x)
    columns = y.double().reshape(N, -1)
    expected = law(likelihood, outputs).log_prob(columns).sum(-1)
    assert torch.allclose(likelihood.nll(outputs, y.double()), -expected)
    with jax.enable_x64(True):
        in_jax = [float(log_density(target, True)(draw.numpy())) for draw in theta]
    assert np.allclose(np.diff(in_jax), target(theta).detach().diff().numpy())
    predictive = likelihood.predictive(outputs)
    mixture = expected.logsumexp(0) - np.log(5)
    assert torch.allclose(predictive.log_density(y.double()), mixture)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_curvature_in_outputs_is_the_mean_hessian(kind: str) -> None:
    """By Gauss-Hermite quadrature over targets that follow the likelihood itself, which is exact here."""
    likelihood, n_outputs, _ = LIKELIHOODS[kind]
    outputs = 0.5 * torch.randn(3, n_outputs, generator=stream(), dtype=torch.float64)
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(8))
    n_targets = law(likelihood, outputs).mean.shape[-1]
    grids = torch.cartesian_prod(*[torch.arange(8)] * n_targets).view(-1, n_targets)
    for point, found in zip(outputs, likelihood.hessian(outputs), strict=True):
        normal, total = law(likelihood, point), torch.zeros(n_outputs, n_outputs, dtype=torch.float64)
        for grid in grids:
            y = normal.mean + normal.stddev * nodes[grid]
            share = (weights[grid] / weights.sum()).prod()
            target = y[None] if len(y) > 1 else y
            hessian = torch.autograd.functional.hessian(lambda out, t=target: likelihood.nll(out[None], t).sum(), point)
            total += share * hessian
        assert torch.allclose(found, total, atol=1e-8)
    root = likelihood.root(outputs)
    assert torch.allclose(root @ root.mT, likelihood.hessian(outputs))


def test_laplace_of_two_outputs_is_that_of_each_by_itself() -> None:
    net = nn.Linear(2, 2)
    options = {"training": None, "precision": TAU, "centre": "mode"}
    both: Any = registry.method("laplace").fit(net, Train(X, Y, Gaussian(0.5)), options)
    precision = design().T @ design() / 0.25 + TAU * torch.eye(3).double()
    mean = torch.linalg.solve(precision, design().T @ Y.double() / 0.25)  # [3, 2]
    found = both.distribution.mean.double()
    assert torch.allclose(torch.cat([found[:4].view(2, 2).T, found[None, 4:]]), mean, atol=1e-5)
    _, covariance = both.linearised(X)
    expected = torch.einsum("nd,de,ne->n", design(), precision.inverse(), design())
    assert torch.allclose(covariance.double(), expected[:, None, None] * torch.eye(2), atol=1e-6)


def test_the_noise_of_a_heteroscedastic_net_follows_its_input() -> None:
    x = torch.linspace(-1, 1, 400)[:, None]
    noise = torch.exp(-1.5 + x[:, 0])
    y = x[:, 0] + noise * torch.randn(400, generator=stream())
    options = {"training": {"epochs": 300, "learning_rate": 0.02}}
    posterior: Any = registry.method("map").fit(nn.Linear(1, 2), Train(x, y, Heteroscedastic()), options)
    predictive = posterior.predict(x)
    assert isinstance(predictive, RealPredictive)
    assert (predictive.noise[0].log() - noise.log()).abs().max() < 0.25
    for name in ("laplace", "hmc"):
        other: Any = registry.method(name).fit(
            nn.Linear(1, 2), Train(x, y, Heteroscedastic()), {**options, "precision": 1.0}
        )
        assert (other.predict(x, 20, stream()).noise.log().mean(0) - noise.log()).abs().max() < 0.3


@pytest.mark.parametrize(
    ("likelihood", "n_outputs", "y", "text"),
    [
        (Gaussian(1.0), 2, Y[:, 0], "2 outputs, where real targets are of one output"),
        (Gaussian(1.0), 3, Y, "y: 2 targets a point, where the net has 3 outputs"),
        (Heteroscedastic(), 1, Y[:, 0], "1 outputs, where 1 targets of unknown noise need 2"),
        (Heteroscedastic(2), 2, Y, "2 outputs, where 2 targets of unknown noise need 4"),
        (LearnedNoise(), 2, Y[:, 0], "2 outputs, where targets of learned noise need 1"),
        (LearnedNoise(2), 2, Y[:, 0], r"y: shape \(30,\) where \[30, 2\] is needed"),
        (LearnedNoise(1), 1, Y, r"y: shape \(30, 2\) for 30 points"),
    ],
)
def test_nets_and_targets_that_do_not_fit_the_noise_are_refused(
    likelihood: Likelihood, n_outputs: int, y: Tensor, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        registry.method("map").fit(nn.Linear(2, n_outputs), Train(X, y, likelihood))


@pytest.mark.parametrize("n_targets", [0, -1])
def test_there_is_a_target(n_targets: int) -> None:
    with pytest.raises(ValueError, match="n_targets: "):
        LearnedNoise(n_targets)

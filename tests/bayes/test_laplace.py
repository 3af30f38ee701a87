"""Laplace approximations, their prior precision and their predictions, against closed forms and integrals."""

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from math import exp, log

import pytest
import torch
from problems import Logistic, classes, conjugate, grid, skewed, stream
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import weight_norm as legacy_weight_norm
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from bnnbench.bayes import last_layer
from bnnbench.bayes.curvature import Full
from bnnbench.bayes.gaussian import LaplaceNormal
from bnnbench.bayes.laplace import LaplaceParams, LaplacePosterior, laplace, output_covariance
from bnnbench.bayes.likelihood import Categorical, Gaussian
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import LinearNet, Net, WholeNet, inferred_part
from bnnbench.bayes.posterior import ClassPredictive, RealPredictive
from bnnbench.bayes.precision import by_validation, evidence_adam, evidence_optimum, log_evidence
from bnnbench.bayes.target import Target, mode
from bnnbench.errors import ResultWarning


def at_mode(target: Target) -> LaplaceNormal:
    """A Laplace approximation with autograd's Hessian."""
    centre = mode(target, torch.zeros(target.net.n_params, dtype=torch.float64), tolerance=1e-10)
    hessian = torch.autograd.functional.hessian(lambda t: -target.log_likelihood(t[None]).sum(), centre)
    return LaplaceNormal(centre, Full.of(hessian), target.precision)


@pytest.mark.parametrize("bias", [True, False])
def test_the_closed_gradient_is_that_of_autograd(bias: bool) -> None:
    _, _, features, labels = classes(60, 5, 4)
    target = Target(LinearNet(5, 4, bias), features, labels, Categorical(), 3.0)
    theta = torch.randn(3, target.net.n_params, generator=stream(5), dtype=torch.float64)
    value, gradient = target.gradient(theta)
    theta.requires_grad_()
    expected = target(theta)
    assert torch.allclose(value, expected, rtol=1e-12)
    assert torch.allclose(gradient, torch.autograd.grad(expected.sum(), theta)[0], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("likelihood", [Categorical(), Gaussian(0.3)])
@pytest.mark.parametrize("precision", [1.0, 510.0])
def test_the_mode_of_a_whole_net_is_found_in_float32_too(likelihood: Categorical | Gaussian, precision: float) -> None:
    x, real = torch.randn(100, 3, generator=stream()), isinstance(likelihood, Gaussian)
    y = x @ torch.tensor([1.0, -1.0, 0.5]) + 0.3 * torch.randn(100, generator=stream(1))
    net = nn.Sequential(nn.Linear(3, 1 if real else 3))
    target = Target(WholeNet(net), x, y if real else y.sign().long() + 1, likelihood, precision)
    start = torch.zeros(target.net.n_params)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResultWarning)
        found = mode(target, start)
    linear = replace(target, net=LinearNet(3, 1 if real else 3))  # the same net, whose mode is unique
    assert found.dtype == torch.float32
    assert torch.allclose(found, mode(linear, start), atol=1e-4)
    assert next(net.parameters()).dtype == torch.float32


def test_mode_has_no_gradient_and_no_better_neighbour() -> None:
    net, theta, features, labels = classes(200, 5, 4)
    target = Target(net, features, labels, Categorical(), 3.0)
    found = mode(target, theta)
    value, gradient = target.gradient(found[None])
    assert gradient.abs().max() < 1e-6 * 200 * 10
    neighbours = found + 0.1 * torch.randn(100, net.n_params, generator=stream(), dtype=torch.float64)
    assert (target(neighbours) < value).all()
    assert torch.allclose(mode(target, torch.zeros_like(theta)), found, atol=1e-4)  # convex: from anywhere


@pytest.mark.parametrize("far", [0.0, 3.0])
@pytest.mark.parametrize("bias", [True, False])
def test_the_mode_of_a_linear_layer_in_float32_is_exact_to_a_hundredth_of_a_deviation(bias: bool, far: float) -> None:
    net = LinearNet(20, 5, bias)
    x = 5 * torch.randn(5000, 20, generator=stream()).relu()
    weights = 0.08 * torch.randn(net.n_params, generator=stream(1))
    labels = torch.multinomial(net.outputs(weights[None], x)[0].softmax(-1), 1, generator=stream(2))[:, 0]
    target = Target(net, x, labels, Categorical(), 1.0)
    found = mode(target, weights + far * torch.randn(net.n_params, generator=stream(3)))
    assert found.dtype == torch.float32
    exact, wide = found.double(), replace(target, x=x.double())
    for _ in range(8):  # Newton's method
        hessian = last_layer.hessian(net, exact, wide.x, Categorical()) + torch.eye(net.n_params, dtype=torch.float64)
        exact = exact + torch.linalg.solve(hessian, wide.gradient(exact[None])[1][0])
    error = found.double() - exact
    assert (error @ hessian @ error).sqrt() < 0.01
    assert wide.gradient(found.double()[None])[1].abs().max() / 5000 < 1e-5


def test_mean_and_covariance_of_a_nearly_normal_posterior_are_those_of_the_grid() -> None:
    target = skewed(n=4000, precision=1.0)
    found = at_mode(target)
    reference = grid(target, found.mean, 6 * found.marginal_variances.sqrt(), size=60)
    std = reference.covariance.diagonal().sqrt()
    assert ((found.mean - reference.mean).abs() < 0.1 * std).all()
    covariance = found.push(torch.eye(2, dtype=torch.float64)) - found.mean
    assert torch.allclose(covariance.T @ covariance, reference.covariance, rtol=0.1, atol=1e-5)


def test_log_density_and_draws_belong_to_the_same_normal() -> None:
    found = at_mode(skewed())
    reference = grid(skewed(), found.mean, 8 * found.marginal_variances.sqrt())
    density = found.log_prob(reference.points).exp() * reference.cell.prod()
    assert density.sum().item() == pytest.approx(1, abs=1e-6)
    draws = found.sample(40_000, stream())
    assert torch.allclose(draws.var(dim=0), found.marginal_variances, rtol=0.05)
    assert torch.allclose(found.pull(found.push(draws)), draws, atol=1e-8)


def test_a_gaussian_model_is_inferred_exactly() -> None:
    problem = conjugate()
    params = {"training": None, "precision": problem.precision, "centre": "mode"}
    posterior = laplace.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, LaplacePosterior)
    assert torch.allclose(posterior.distribution.mean.double(), problem.mean, atol=1e-4)
    rows = posterior.distribution.push(torch.eye(3)) - posterior.distribution.mean
    assert torch.allclose((rows.T @ rows).double(), problem.covariance, rtol=1e-3, atol=1e-6)
    x = torch.randn(5, 2, generator=stream(3))
    mean, covariance = posterior.linearised(x)
    design = torch.cat([x, torch.ones(5, 1)], 1).double()
    assert torch.allclose(mean[:, 0].double(), design @ problem.mean, atol=1e-4)
    expected = ((design @ problem.covariance) * design).sum(1)
    assert torch.allclose(covariance[:, 0, 0].double(), expected, rtol=1e-3)
    predictive = posterior.predict(x, 20_000, stream())
    assert isinstance(predictive, RealPredictive)
    _, std = predictive.moments
    assert torch.allclose(std.double(), (expected + 0.25).sqrt(), rtol=0.02)


def test_evidence_of_a_gaussian_model_is_its_integral() -> None:
    x = torch.randn(12, 2, generator=stream(), dtype=torch.float64)
    y = x @ torch.tensor([1.0, -0.7], dtype=torch.float64) + 0.4 * torch.randn(12, generator=stream(1))
    target = Target(LinearNet(2, 1, bias=False), x, y, Gaussian(0.4), 0.8)
    found = at_mode(target)
    cells = grid(target, found.mean, 9 * found.marginal_variances.sqrt())
    integral = torch.logsumexp(target(cells.points), 0) + cells.cell.prod().log()
    fit = target.log_likelihood(found.mean[None]).item()
    assert log_evidence(fit, found.mean, found.curvature.eigenvalues, 0.8) == pytest.approx(integral.item(), abs=1e-6)


@pytest.mark.parametrize("n", [30, 400])
def test_evidence_of_a_logistic_model_is_close_to_its_integral(n: int) -> None:
    target = skewed(n, precision=1.0)
    found = at_mode(target)
    cells = grid(target, found.mean, 10 * found.marginal_variances.sqrt(), size=200)
    integral = (torch.logsumexp(target(cells.points), 0) + cells.cell.prod().log()).item()
    fit = target.log_likelihood(found.mean[None]).item()
    error = abs(log_evidence(fit, found.mean, found.curvature.eigenvalues, 1.0) - integral)
    assert error < 6 / n  # Laplace's error is of order 1 / n


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_the_optimal_precision_is_the_best_of_a_fine_grid(scale: float) -> None:
    mean = scale * torch.randn(50, generator=stream(), dtype=torch.float64)
    eigenvalues = torch.rand(50, generator=stream(1), dtype=torch.float64).pow(4) * 1000
    tau = evidence_optimum(mean, eigenvalues)
    tried = [exp(log(tau) + 0.01 * k) for k in range(-800, 801)]
    assert max(tried, key=lambda t: log_evidence(0.0, mean, eigenvalues, t)) == pytest.approx(tau)


def test_adam_approaches_the_optimum_where_it_is_within_reach() -> None:
    mean = torch.randn(50, generator=stream(), dtype=torch.float64)
    eigenvalues = 100 * torch.rand(50, generator=stream(1), dtype=torch.float64)
    assert evidence_adam(0.3 * mean, eigenvalues) == pytest.approx(evidence_optimum(0.3 * mean, eigenvalues), rel=0.05)
    # 100 steps of at most about 0.1 in log precision stop short of an optimum at 1e8.
    optimum = evidence_optimum(1e-4 * mean, 1e6 * eigenvalues)
    with pytest.warns(ResultWarning, match=re.escape(f"is at {optimum:.3g}")):
        assert evidence_adam(1e-4 * mean, 1e6 * eigenvalues) < 0.01 * optimum


def test_without_information_the_optimum_is_a_bound_and_says_so() -> None:
    zeros = torch.zeros(3)
    with pytest.warns(ResultWarning, match=r"1e-08 is the lower bound of the search, not an optimum"):
        assert evidence_optimum(torch.ones(3), zeros) == 1e-8
    with pytest.warns(ResultWarning, match=r"1e\+12 is the upper bound of the search, not an optimum"):
        assert evidence_optimum(zeros, torch.ones(3)) == 1e12


def test_a_saturated_net_has_no_optimal_precision() -> None:
    """Its probabilities are 0 and 1, so that the curvature vanishes and any wider prior is as good."""
    x = torch.randn(40, 2, generator=stream())
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1e4, 0.0], [-1e4, 0.0]]))
    with pytest.warns(ResultWarning, match="not an optimum"):
        posterior = laplace.fit(net, Train(x, (x[:, 0] < 0).long()), {"training": None}, stream())
    assert isinstance(posterior, LaplacePosterior)
    assert posterior.distribution.precision == 1e-8


def test_searches_with_an_optimum_say_nothing() -> None:
    mean = 0.3 * torch.randn(50, generator=stream(), dtype=torch.float64)
    eigenvalues = 100 * torch.rand(50, generator=stream(1), dtype=torch.float64)
    net, theta, features, labels = classes(200, 5, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evidence_optimum(mean, eigenvalues)
        evidence_adam(mean, eigenvalues)
        by_validation(lambda precision: abs(precision - 1), (0.1, 1.0, 10.0))
        by_validation(lambda precision: 3.0, (0.1,))  # one is no search
        mode(Target(net, features, labels, Categorical(), 3.0), theta)


@pytest.mark.parametrize(("best", "side"), [(0.1, "smallest"), (10.0, "largest")])
def test_the_edge_of_a_grid_is_named(best: float, side: str) -> None:
    with pytest.warns(ResultWarning, match=f"{best:g} is the {side} of the grid"):
        assert by_validation(lambda precision: abs(precision - best), (10.0, 1.0, 0.1)) == best


@pytest.mark.parametrize("linear", [True, False])
def test_a_mode_that_was_not_reached_says_how_steep_it_is_there(linear: bool) -> None:
    net, theta, features, labels = classes(200, 5, 4)
    whole: Net = net if linear else WholeNet(nn.Linear(5, 4).double())
    target = Target(whole, features, labels, Categorical(), 3.0)
    with pytest.warns(ResultWarning, match=r"ended with a gradient of (\S+) per point") as caught:
        found = mode(target, theta, max_steps=2)
    if not linear:  # whose gradient is in the coordinates of the parameters themselves
        left = target.gradient(found[None])[1].abs().max().item() / 200
        assert f"a gradient of {left:.2g} per point" in str(caught[0].message)


def test_a_mode_is_not_sought_from_where_there_is_no_density() -> None:
    _, theta, features, labels = classes(200, 5, 4)
    whole = WholeNet(nn.Linear(5, 4).double())
    with pytest.raises(ValueError, match=r"^mode: "):
        mode(Target(whole, features, labels, Categorical(), 3.0), theta * torch.inf)


@pytest.mark.parametrize("structure", ["full", "kronecker", "diagonal"])
def test_logit_covariance_is_that_of_the_draws(structure: last_layer.Structure) -> None:
    net, theta, features, _ = classes(40, 5, 3)
    curvature = last_layer.curvature(net, theta, features, Categorical(), structure)
    distribution = LaplaceNormal(theta, curvature, 2.0)
    found = output_covariance(net, distribution, features[:4])
    logits = net.outputs(distribution.sample(60_000, stream()), features[:4])
    for k in range(4):
        spread = found[k].diagonal().sqrt()
        assert ((torch.cov(logits[:, k].T) - found[k]).abs() < 0.03 * spread[:, None] * spread).all()


def net_and_data() -> tuple[nn.Module, Train]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3))
    x = torch.randn(120, 2, generator=stream())
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    return net, Train(x[:80], y[:80], validation=(x[80:], y[80:]))


@pytest.mark.parametrize("scope", ["last", "all"])
@pytest.mark.parametrize("structure", ["full", "diagonal"])
def test_small_variance_makes_all_predictions_agree(scope: str, structure: str) -> None:
    net, train = net_and_data()
    params = {"scope": scope, "structure": structure, "precision": 1e8, "training": {"epochs": 20}}
    posterior = laplace.fit(net, train, params, stream())
    assert isinstance(posterior, LaplacePosterior)
    predictions = []
    for link in ("weights", "linearised", "probit"):
        predictive = posterior.with_link(link).predict(train.x, 5, stream())
        assert isinstance(predictive, ClassPredictive)
        predictions.append(predictive.probs)
    assert torch.allclose(predictions[0], predictions[1], atol=2e-3)
    assert torch.allclose(predictions[1], predictions[2], atol=2e-3)


def test_weights_and_linearised_outputs_agree_on_a_last_layer() -> None:
    net, train = net_and_data()
    posterior = laplace.fit(net, train, {"precision": 1.0, "training": {"epochs": 20}}, stream())
    assert isinstance(posterior, LaplacePosterior)
    by_weights = posterior.predict(train.x, 4000, stream(1))
    by_outputs = posterior.with_link("linearised").predict(train.x, 4000, stream(2))
    assert isinstance(by_weights, ClassPredictive)
    assert isinstance(by_outputs, ClassPredictive)
    assert (by_weights.probs - by_outputs.probs).abs().max() < 0.03  # Monte Carlo: 4 * 0.5 / sqrt(4000)


def test_evidence_and_probit_are_those_of_laplace_torch() -> None:
    peer = pytest.importorskip("laplace")
    from torch.utils.data import DataLoader, TensorDataset

    net, train = net_and_data()
    ours = laplace.fit(net, train, {"training": None, "precision": 3.0, "link": "probit"}, stream())
    assert isinstance(ours, LaplacePosterior)
    theirs = peer.Laplace(net, "classification", subset_of_weights="last_layer", hessian_structure="full")
    theirs.fit(DataLoader(TensorDataset(train.x, train.y), batch_size=40))
    distribution = ours.distribution
    with torch.no_grad():
        fit = -functional.cross_entropy(net(train.x), train.y, reduction="sum").item()
    for tau in (0.1, 3.0, 50.0):
        expected = theirs.log_marginal_likelihood(torch.tensor(tau)).item()
        found = log_evidence(fit, distribution.mean, distribution.curvature.eigenvalues, tau)
        assert found == pytest.approx(expected, rel=1e-5)
    theirs.prior_precision = torch.tensor(3.0)
    x, _ = train.held_out()
    expected_probs = theirs(x, pred_type="glm", link_approx="probit")
    predictive = ours.predict(x)
    assert isinstance(predictive, ClassPredictive)
    assert torch.allclose(predictive.probs, expected_probs, atol=1e-5)


def test_probit_is_of_classes_only() -> None:
    problem = conjugate()
    with pytest.raises(ValueError, match="of classes"):
        laplace.fit(problem.model, problem.train, {"training": None, "link": "probit"}, stream())


def test_validation_chooses_the_precision_with_the_lowest_loss() -> None:
    net, train = net_and_data()
    options = {"training": None, "validation_draws": 50, "grid": (1e-3, 1.0, 1e3)}
    chosen = laplace.fit(net, train, {**options, "precision": "validation"}, stream())
    assert isinstance(chosen, LaplacePosterior)
    x, y = train.held_out()
    losses = {}
    for tau in (1e-3, 1.0, 1e3):
        predictive = laplace.fit(net, train, {**options, "precision": tau}, stream()).predict(x, 50, stream())
        assert isinstance(predictive, ClassPredictive)
        losses[tau] = -predictive.log_probs.gather(1, y[:, None]).mean().item()
    assert chosen.distribution.precision == min(losses, key=lambda tau: losses[tau])


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_never_chosen(broken: float) -> None:
    losses = {0.1: broken, 1.0: 3.0, 10.0: 2.0, 100.0: broken}
    assert by_validation(lambda precision: losses[precision], tuple(losses)) == 10.0
    with pytest.raises(ValueError, match=r"0\.1 to 100 has a finite validation loss"):
        by_validation(lambda precision: broken, tuple(losses))


@pytest.mark.parametrize(
    ("scope", "structure"),
    [("last", "full"), ("last", "kronecker"), ("last", "diagonal"), ("all", "full"), ("all", "diagonal")],
)
def test_a_curvature_that_overflows_is_named(scope: str, structure: str) -> None:
    x = 1e25 * torch.randn(20, 2, generator=stream())
    net, params = nn.Linear(2, 1), {"training": None, "precision": 1.0, "structure": structure, "scope": scope}
    with pytest.raises(ValueError, match=r"^curvature: \d+ of \d+ values are NaN or infinite"):
        laplace.fit(net, Train(x, x[:, 0], Gaussian(1.0)), params, stream())


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(ValidationError, match="last layer only"):
        LaplaceParams(scope="all", structure="kronecker")
    with pytest.raises(ValidationError, match="greater than 0"):
        LaplaceParams(precision=-1.0)
    with pytest.raises(ValidationError, match="greater than 0"):
        LaplaceParams(grid=(1.0, 0.0))
    with pytest.raises(ValidationError, match="at least 1 item"):
        LaplaceParams(grid=())
    net, train = net_and_data()
    with pytest.raises(ValueError, match="validation data"):
        laplace.fit(net, Train(train.x, train.y), {"training": None, "precision": "validation"}, stream())


def test_a_net_that_does_not_end_in_its_linear_layer_is_refused() -> None:
    net, train = net_and_data()
    with pytest.raises(ValueError, match="last linear layer"):
        laplace.fit(nn.Sequential(net, nn.Softplus()), train, {"training": None}, stream())


class Halved(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


def test_a_last_layer_that_is_not_linear_in_its_weight_is_refused() -> None:
    _, train = net_and_data()
    with pytest.raises(ValueError, match="last linear layer"):
        inferred_part(nn.Sequential(nn.Linear(2, 6), nn.Tanh(), Halved(6, 3)), "last", train.x)


@pytest.mark.parametrize("changed", [spectral_norm, weight_norm, legacy_weight_norm, lambda layer: layer])
@pytest.mark.parametrize("bias", [True, False])
def test_the_last_layers_parameters_give_the_nets_outputs(
    changed: Callable[[nn.Module], nn.Module], bias: bool
) -> None:
    torch.manual_seed(0)
    _, train = net_and_data()
    net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), changed(nn.Linear(6, 3, bias))).eval()
    part = inferred_part(net, "last", train.x)
    assert part.theta.shape == (part.net.n_params,)
    assert torch.allclose(part.net.outputs(part.theta[None], train.x)[0], net(train.x), atol=1e-6)


def test_the_toy_is_a_net_like_any_other() -> None:
    theta = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    x = torch.eye(2, dtype=torch.float64)
    assert torch.allclose(Logistic().outputs(theta, x)[0, :, 1], theta[0])

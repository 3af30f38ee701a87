"""Gaussian-process priors over weights, against dense computations in double precision and closed forms."""

from itertools import pairwise
from math import log, pi
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import stream
from pydantic import ValidationError
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import kernels as sklearn_kernels
from torch import Tensor, nn

from bnnbench.bayes.gp_weights import layers, metagp
from bnnbench.bayes.gp_weights.functions import functions, prior_functions
from bnnbench.bayes.gp_weights.kernels import JITTER, Auxiliary, periodic, rbf
from bnnbench.bayes.gp_weights.metagp import MetaGPParams, evidence_bound, made
from bnnbench.bayes.gp_weights.metaprior import metaprior
from bnnbench.bayes.gp_weights.net import Draw, GPNet
from bnnbench.bayes.gp_weights.prior import GivenCodes, ends, hierarchical, order, wiring_of
from bnnbench.bayes.gp_weights.units import pixel_grid, wiring
from bnnbench.bayes.journal import SILENT
from bnnbench.bayes.likelihood import Categorical, Gaussian, LearnedNoise
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import WholeNet, evaluate, weight_shapes
from bnnbench.bayes.nuts import nuts
from bnnbench.bayes.prior import IsotropicNormal

RBF = {"kind": "rbf", "contexts": 6}
PERIODIC = {"kind": "periodic", "contexts": 6}
LOCALLY = {"kind": "locally-periodic", "contexts": 6}


def double(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def net_of(*widths: int, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out, bias), nn.Tanh()]
    return nn.Sequential(*parts[:-1])


def data(n: int = 12, n_inputs: int = 1) -> Train:
    x = double(n, n_inputs).float()
    return Train(x, torch.sin(2 * x[:, 0]), Gaussian(0.2))


def process_net(model: nn.Module, train: Train, **options: Any) -> GPNet:
    return made(model, train, MetaGPParams.model_validate({"inducing": 7, **options}), stream(1))


def moments_by_hand(net: GPNet, codes: Tensor, contexts: Tensor | None, values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [N, W] and covariance [N, W, W] of g given V [R, M], from kernel matrices of all pairs of inducing points.

    This knows neither Kronecker products nor whitening by parts: u = L V with the factor of the whole matrix.
    """
    process = net.process
    length = process.log_length.exp()
    inducing = process.codes
    eye_c = JITTER * torch.eye(len(inducing), dtype=torch.float64)
    of_codes = rbf(inducing, inducing, length) + eye_c
    cross_c = rbf(codes, inducing, length)
    if process.auxiliary is None or contexts is None:
        of_contexts, cross_t = torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    else:
        places = process.auxiliary.inducing
        of_contexts = process.auxiliary(places, places) + JITTER * torch.eye(len(places), dtype=torch.float64)
        cross_t = process.auxiliary(contexts, places)
    whole = torch.kron(of_contexts, of_codes)
    u = torch.linalg.cholesky(whole) @ values.reshape(-1)
    means, covariances = [], []
    for n in range(len(cross_t)):
        cross = torch.kron(cross_t[n], cross_c)  # [W, R M]
        solved = torch.linalg.solve(whole, cross.T)
        means.append(solved.T @ u)
        covariances.append(rbf(codes, codes, length) - cross @ solved)
    return torch.stack(means), torch.stack(covariances)


@pytest.mark.parametrize("kind", ["rbf", "periodic"])
def test_kernels_are_those_of_scikit_learn(kind: str) -> None:
    a, b = double(5, 1), double(4, 1, seed=1)
    if kind == "rbf":
        ours = rbf(a, b, torch.tensor([0.7], dtype=torch.float64))
        theirs = sklearn_kernels.RBF(0.7)(a.numpy(), b.numpy())
    else:
        ours = periodic(a, b, torch.tensor(0.7, dtype=torch.float64), torch.tensor(1.3, dtype=torch.float64))
        theirs = sklearn_kernels.ExpSineSquared(0.7, 1.3)(a.numpy(), b.numpy())
    assert np.allclose(ours.numpy(), theirs, atol=1e-12)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.booleans())
@settings(max_examples=25, deadline=None)
def test_codes_matrices_and_parameters_name_the_same_weights(widths: list[int], bias: bool) -> None:
    """The code of a weight holds the numbers of its units, and a vector of weights lands in the net's own layout."""
    model = net_of(*widths, bias=bias)
    own = wiring(model)
    units = torch.arange(sum(own.n_units), dtype=torch.float64)[None, :, None]
    matrices = own.matrices(own.codes(units)[0].T)  # senders and receivers, by layer
    start = 0
    for k, (sender, receiver) in enumerate(matrices[j].unbind(0) for j in range(own.n_layers)):
        assert (sender == start + torch.arange(own.n_senders[k])[None]).all()
        following = start + own.n_units[k]
        assert (receiver == following + torch.arange(own.widths[k + 1])[:, None]).all()
        start = following
    weights = double(2, own.n_weights)
    theta = own.flattened(own.matrices(weights)).float()
    x = double(3, widths[0], seed=2).float()
    expected = x.expand(2, -1, -1).double()
    for k, weight in enumerate(own.matrices(weights)):
        ones = torch.ones_like(expected[..., :1])
        expected = (torch.cat([expected, ones], -1) if bias else expected) @ weight.mT
        expected = expected.tanh() if k + 1 < own.n_layers else expected
    assert torch.allclose(evaluate(WholeNet(model), theta, x), expected.float(), atol=1e-5)
    shapes = weight_shapes(WholeNet(model))
    assert wiring_of(shapes).n_weights == own.n_weights
    senders, receivers = ends(own)
    assert (receivers > senders).all()
    assert len(order(own).unique()) == own.n_weights


@pytest.mark.parametrize("auxiliary", [None, RBF, PERIODIC, LOCALLY])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_has_the_moments_of_the_dense_conditional(auxiliary: Any, bias: bool) -> None:
    """Mean and variance of pre-activations against all pairs of inducing points."""
    model = nn.Sequential(nn.Linear(2 if auxiliary is None else 1, 3, bias))
    train = data(5, 2 if auxiliary is None else 1)
    net = process_net(model, train, auxiliary=auxiliary)
    x = train.x.double()
    draw = net.draw(2, stream(3))
    at = net.process.at(None if auxiliary is None else x, draw.values, draw.grid)
    (kernel,) = draw.kernels(net.wiring)
    h = torch.cat([x, torch.ones(len(x), 1)], 1) if bias else x
    mean = layers.outputs(h[None], kernel, at, draw.grid, False, None)
    with torch.no_grad():
        noisy = torch.stack([layers.outputs(h[None], kernel, at, draw.grid, True, stream(s)) for s in range(4000)])
    for s in range(2):
        codes = net.wiring.codes(draw.latents)[s]
        g_mean, g_covariance = moments_by_hand(net, codes, None if auxiliary is None else x, draw.values[s])
        weights = g_mean.unflatten(-1, (3, -1)).expand(len(x), -1, -1)
        variances = g_covariance.diagonal(dim1=-2, dim2=-1).unflatten(-1, (3, -1)).expand(len(x), -1, -1)
        assert torch.allclose(mean[s], torch.einsum("nj,nij->ni", h, weights), atol=1e-7)
        expected = torch.einsum("nj,nij->ni", h.square(), variances)
        assert torch.allclose(noisy[:, s].var(0), expected, rtol=0.15)  # 4,000 draws: 2.2 % a standard error
        assert torch.allclose(noisy[:, s].mean(0), mean[s], atol=0.1 * expected.max().sqrt().item())


@pytest.mark.parametrize("auxiliary", [None, RBF])
def test_the_full_conditional_is_the_dense_one(auxiliary: Any) -> None:
    net = process_net(net_of(1, 2, 1), data(3), auxiliary=auxiliary, conditional="full")
    draw, x = net.draw(1, stream(3)), data(3).x.double()
    at = net.process.at(None if auxiliary is None else x, draw.values, draw.grid)
    codes = net.wiring.codes(draw.latents)
    with torch.no_grad():
        found = torch.stack([layers.joint(codes, at, draw.grid, stream(s))[0] for s in range(6000)])
    mean, covariance = moments_by_hand(net, codes[0], None if auxiliary is None else x, draw.values[0])
    for n in range(len(mean)):
        assert torch.allclose(found[:, n].mean(0), mean[n], atol=0.06)
        assert torch.allclose(found[:, n].T.cov(), covariance[n], atol=0.08)


@pytest.mark.parametrize("conditional", ["full", "diag", "det"])
def test_weights_of_the_global_model_give_the_same_predictions_as_its_outputs(conditional: str) -> None:
    """Two ways to the same distribution of f(x): drawn weights, and outputs drawn layer by layer."""
    model, train = net_of(1, 3, 1), data(3)
    net = process_net(model, train, conditional=conditional)
    posterior = metagp.posterior_of(net, model, train)
    one = posterior.predict(train.x, 4000, stream(1)).mean.double()  # type: ignore[union-attr]
    with torch.no_grad():
        other = net.outputs(train.x, net.draw(4000, stream(2)), stream(3))[..., 0]
    assert torch.allclose(one.mean(0), other.mean(0), atol=0.1 * other.std().item())
    assert torch.allclose(one.std(0), other.std(0), rtol=0.08)


@pytest.mark.parametrize("auxiliary", [None, RBF, PERIODIC])
def test_prior_functions_have_the_covariance_of_the_kernel(auxiliary: Any) -> None:
    """A linear net without bias: f(x) = w(c, x) x, so Cov[f(x), f(x')] = s^2 x x' k_aux(x, x') / unit^2."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    net = process_net(model, data(8), auxiliary=auxiliary)
    x = torch.tensor([[-1.0], [-0.4], [0.9]])
    found = prior_functions(net, x, 6000, stream(4))[..., 0]
    kernel = torch.ones(3, 3) if net.process.auxiliary is None else net.process.auxiliary(x.double(), x.double())
    expected = 2.0 * (x @ x.T).double() / net.unit**2 * kernel.detach()
    assert torch.allclose(found.T.cov(), expected, atol=0.12)


def test_marginal_prior_variance_of_weights_is_that_of_the_kernel() -> None:
    """With V ~ N(0, I) the conditional restores Var[w] = s^2 / fan_in exactly."""
    net = process_net(nn.Sequential(nn.Linear(2, 2)), data(4, 2))
    draw = net.draw(1, stream(1))
    (kernel,) = draw.kernels(net.wiring)
    explained = kernel.explained(draw.grid.root)
    at = net.process.at(None, draw.values, draw.grid)
    left = layers.deviations(kernel, at, draw.grid).square()
    assert torch.allclose(left + explained, torch.ones_like(left), atol=1e-9)


@pytest.mark.parametrize("auxiliary", [None, RBF])
@pytest.mark.parametrize("conditional", ["full", "diag", "det"])
def test_functions_have_the_moments_of_predictions(auxiliary: Any, conditional: str) -> None:
    """Whole functions and layer-wise noise agree in every point's mean and deviation, under each conditional."""
    train = data(6)
    net = process_net(net_of(1, 3, 1), train, auxiliary=auxiliary, conditional=conditional)
    x = torch.tensor([[-0.5], [0.3], [2.0]])
    found = functions(net, x, 3000, stream(5))[..., 0]
    with torch.no_grad():
        expected = net.outputs(x, net.draw(6000, stream(6)), stream(7))[..., 0]
    assert torch.allclose(found.mean(0), expected.mean(0), atol=0.1 * expected.std().item())
    assert torch.allclose(found.std(0), expected.std(0), rtol=0.1)


def test_drawn_functions_are_coherent() -> None:
    """Near inputs have near values in one draw, though predictions of points are drawn apart."""
    train = data(6)
    net = process_net(net_of(1, 4, 1), train, auxiliary=RBF)
    x = torch.tensor([[0.3], [0.3001]])
    drawn = functions(net, x, 200, stream(5))[..., 0]
    assert (drawn[:, 0] - drawn[:, 1]).std() < 0.02 * drawn[:, 0].std()
    apart = metagp.posterior_of(net, net_of(1, 4, 1), train).predict(x, 200, stream(5)).mean  # type: ignore[union-attr]
    assert (apart[:, 0] - apart[:, 1]).std() > 0.1 * apart[:, 0].std()


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_kl_terms_against_monte_carlo(covariance: str) -> None:
    net = process_net(net_of(1, 2, 1), data(), covariance=covariance, inducing=4)
    values = net.process.values
    if values.below is not None:
        with torch.no_grad():
            values.below.copy_(0.2 * double(4, 4))
    root = values.root().detach() if values.below is not None else values.log_std.exp().diag().detach()
    drawn = values.draw(20_000, stream(1)).detach().flatten(1)
    mean = values.mean.detach().reshape(-1).numpy()
    q = multivariate_normal(mean, (root @ root.T).numpy()).logpdf(drawn.numpy())
    p = multivariate_normal(np.zeros(4)).logpdf(drawn.numpy())
    assert values.kl().item() == pytest.approx((q - p).mean(), abs=6 * (q - p).std() / 20_000**0.5)
    means, stds = torch.cat(list(net.units.means)), torch.cat(list(net.units.log_stds)).exp()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(means, stds), torch.distributions.Normal(torch.zeros_like(means), 1.0)
    )
    assert net.units.kl().item() == pytest.approx(expected.sum().item())


def linear_problem() -> tuple[nn.Module, Train]:
    x = double(20, 2)
    y = x @ torch.tensor([1.0, -0.5]).double()
    return nn.Sequential(nn.Linear(2, 1, bias=False)), Train(x.float(), y.float(), Gaussian(0.3))


def fixed_codes(net: GPNet) -> None:
    """Latents and kernel known, inducing codes those of the two weights: then q(V) can be exact."""
    with torch.no_grad():
        for log_std in net.units.log_stds:
            log_std.fill_(-12)
        net.process.codes.copy_(net.wiring.codes(torch.cat(list(net.units.means))[None])[0])
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("process.values"))


def exact(net: GPNet, train: Train) -> tuple[Tensor, Tensor, float]:
    """Mean and covariance of the weights, and log p(y), of a linear model whose prior has the kernel's covariance."""
    codes = net.wiring.codes(torch.cat(list(net.units.means))[None])[0].detach()
    prior = 2.0 / 2 * rbf(codes, codes, net.process.log_length.exp().detach())
    x, y = (train.x.double() / net.unit).numpy(), train.y.double().numpy()
    covariance = torch.linalg.inv(torch.linalg.inv(prior) + torch.tensor(x.T @ x) / 0.09)
    mean = covariance @ torch.tensor(x.T @ y) / 0.09
    evidence = multivariate_normal(np.zeros(20), x @ prior.numpy() @ x.T + 0.09 * np.eye(20)).logpdf(y)
    return mean, covariance, float(evidence)


def test_a_linear_net_with_known_codes_has_its_exact_posterior_and_evidence() -> None:
    """The bound reaches the evidence, and never passes it, where q(V) has a full covariance."""
    model, train = linear_problem()
    options = {"inducing": 2, "covariance": "full", "warmup": 0.0, "samples": 8,
               "training": {"steps": 1500, "learning_rate": 0.03, "batch_size": 20}}  # fmt: skip
    params = MetaGPParams.model_validate(options)
    net = made(model, train, params, stream(1))
    fixed_codes(net)
    mean, covariance, evidence = exact(net, train)
    before = evidence_bound(net, train, 200, stream(2))
    metagp.fit(net, train, params, stream(3), SILENT)
    kl = net.units.kl().item()  # of latents that are held at a point: a constant
    after = evidence_bound(net, train, 2000, stream(2)) + kl
    assert before + kl < after < evidence + 0.02
    assert after == pytest.approx(evidence, abs=0.1)
    drawn: Any = metagp.posterior_of(net, model, train)
    theta = drawn.sample(6000, stream(4)).double() * net.unit
    assert torch.allclose(theta.mean(0), mean, atol=0.1 * covariance.diagonal().sqrt().max().item())
    assert torch.allclose(theta.T.cov(), covariance, rtol=0.15, atol=0.05 * covariance.diagonal().max().item())


def test_the_bound_is_below_the_evidence_of_the_whole_prior() -> None:
    """log p(y) = log E_{z, w}[p(y | w)] by 20,000 draws of the prior, for few points and much noise."""
    x = torch.tensor([[-1.0], [0.5]])
    train = Train(x, torch.tensor([0.3, -0.2]), Gaussian(1.0))
    model = net_of(1, 2, 1)
    net = process_net(model, train, inducing=5)
    metagp.fit(net, train, MetaGPParams(inducing=5, training=MetaGPParams().training.model_copy(update={"steps": 400})),
               stream(3), SILENT)  # fmt: skip
    with torch.no_grad():
        variance = net.process.log_variance.exp().item()
        own, length = net.wiring, net.process.log_length.exp()
        latents = double(20_000, sum(own.n_units), 2, seed=8)
        codes = own.codes(latents)
        kernel = rbf(codes, codes, length) + 1e-7 * torch.eye(own.n_weights)
        g = (torch.linalg.cholesky(kernel) @ double(20_000, own.n_weights, 1, seed=9))[..., 0]
        scaled = [variance**0.5 * f * part for f, part in zip(own.factors, own.matrices(g), strict=True)]
        f = evaluate(WholeNet(model.double()), own.flattened(scaled), x.double() / net.unit)[..., 0]
        log_likelihood = (-0.5 * (train.y - f).square() - 0.5 * log(2 * pi)).sum(1)
        evidence = torch.logsumexp(log_likelihood, 0).item() - log(20_000)
    assert evidence_bound(net, train, 4000, stream(5)) < evidence + 0.01


def test_det_and_local_last_layer_and_constant_inputs() -> None:
    """Only the last layer sees x in its weights; with constant inputs a periodic kernel makes periodic functions."""
    train = data(20)
    net = process_net(net_of(1, 3, 1), train, auxiliary=RBF, local="last", conditional="det")
    assert net.local == (False, True)
    draw = net.draw(1, stream(1))
    one, other = net._views(train.x.double(), draw)
    assert (len(one.squares), len(other.squares)) == (1, 20)
    periodic_net = process_net(net_of(1, 3, 1), train, auxiliary=PERIODIC, constant=True)
    x = torch.tensor([[0.3], [2.3], [6.3]])  # the period is 2
    drawn = functions(periodic_net, x, 20, stream(2))[..., 0]
    assert (drawn - drawn[:, :1]).abs().max() < 0.02 * drawn.std()
    growing = functions(process_net(net_of(1, 3, 1), train, auxiliary=PERIODIC), x, 20, stream(2))[..., 0]
    assert (growing - growing[:, :1]).abs().max() > 0.2


def test_a_period_is_learned() -> None:
    """From 10 % away, with constant inputs and 'det': the quick check of extrapolation."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 60)
    y = np.sin(pi * x) + 0.3 * np.sin(2 * pi * x) + rng.normal(0, 0.1, 60)
    train = Train(torch.tensor(x[:, None]).float(), torch.tensor(y).float(), Gaussian(0.1))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 1))
    options = {
        "conditional": "det", "constant": True, "samples": 1, "warmup": 0.33,
        "auxiliary": {"kind": "periodic", "period": 1.8, "contexts": 10},
        "training": {"steps": 600, "learning_rate": 0.02, "clip": 10, "batch_size": 60},
    }  # fmt: skip
    posterior: Any = metagp.metagp.fit(model, train, options, stream(1))
    assert posterior.net.process.auxiliary.period == pytest.approx(2, rel=0.02)
    beyond = torch.linspace(4, 9, 60)[:, None]
    predicted = posterior.predict(beyond, 100, stream(2))
    truth = torch.sin(pi * beyond[:, 0]) + 0.3 * torch.sin(2 * pi * beyond[:, 0])
    assert (predicted.mean.median(0).values - truth).square().mean().sqrt() < 0.2
    assert predicted.log_density(truth).mean() > 0


@pytest.mark.parametrize("method", [metagp.metagp, metaprior], ids=["metagp", "metaprior"])
def test_classes_and_a_learned_noise(method: Any) -> None:
    x = double(60, 2).float()
    brief = {"training": {"steps": 300, "learning_rate": 0.03, "batch_size": 60}}
    classes = method.fit(net_of(2, 6, 2), Train(x, (x[:, 0] > 0).long(), Categorical()), brief, stream(1))
    guessed = classes.predict(x, 50, stream(2)).probs.argmax(1)
    assert (guessed == (x[:, 0] > 0)).double().mean() > 0.9
    y = x[:, 0] + 0.2 * double(60, seed=3).float()
    posterior = method.fit(net_of(2, 6, 1), Train(x, y, LearnedNoise()), brief, stream(1))
    assert 0.1 < posterior.predict(x, 50, stream(2)).noise.mean() < 0.6


def test_given_codes_are_a_density_like_any_other() -> None:
    shapes = weight_shapes(WholeNet(net_of(2, 3, 1)))
    density = GivenCodes(seed=3).on(shapes, torch.zeros(1, dtype=torch.float64))
    theta = double(4, 13)
    covariance = (density.root @ density.root.T).numpy()
    expected = multivariate_normal(np.zeros(13), covariance).logpdf(theta.numpy())
    assert np.allclose(density.log_prob(theta).numpy(), expected, atol=1e-8)
    assert torch.allclose(density.root.square().sum(1)[:6], torch.full((6,), 2.0 / 3).double(), rtol=1e-4)
    drawn = density.sample(20_000, stream(1))
    assert np.allclose(drawn.T.cov().numpy(), covariance, atol=0.05)


def test_nuts_samples_the_hierarchical_prior() -> None:
    """Its draws of weights under no information have the variance of the process over fan_in."""
    model = net_of(1, 2, 1)
    train = Train(torch.zeros(2, 1), torch.zeros(2), Gaussian(1e3), prior=hierarchical(variance=1.5))
    posterior: Any = nuts.fit(
        model, train, {"scope": "all", "chains": 2, "draws": 400, "warmup": 200, "training": None}, stream(1)
    )
    assert {"latents", "raw"} <= set(posterior.sites)
    theta = posterior.sample(800)
    assert theta.square().mean(0)[:4].mean().item() == pytest.approx(1.5 / 2, rel=0.25)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"conditional": "full", "auxiliary": RBF, "local": "last"}, "take 'diag' or 'det'"),
        ({"inputs": "pixels"}, "square images"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        metagp.metagp.fit(net_of(2, 3, 1), data(8, 2), options, stream(1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kind", "given"), [("rbf", "period"), ("rbf", "wave_length"), ("periodic", "length")])
def test_a_kernel_takes_only_what_it_has(kind: str, given: str) -> None:
    with pytest.raises(ValidationError, match=f"{given}: the kernel '{kind}' has none"):
        Auxiliary.model_validate({"kind": kind, given: 1.5})


@pytest.mark.parametrize("options", [{"constant": True}, {"local": "last"}])
def test_only_weights_that_depend_on_the_input_are_local(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give auxiliary"):
        MetaGPParams.model_validate(options)


def test_nets_and_priors_that_do_not_fit_are_one_line() -> None:
    x, y = double(6, 1, 8, 8).float(), torch.tensor([0, 1] * 3)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    with pytest.raises(ValueError, match="the net has Conv2d"):
        metagp.metagp.fit(net, Train(x, y), {}, stream(1))
    train = Train(data().x, data().y, Gaussian(0.1), prior=IsotropicNormal(1.0))
    for method in (metagp.metagp, metaprior):
        with pytest.raises(ValueError, match="prior of its own"):
            method.fit(net_of(1, 2, 1), train, {}, stream(1))


def test_pixels_that_are_neighbours_have_near_latents() -> None:
    grid = pixel_grid(4, 4)
    distance = (grid[:, None] - grid[None]).norm(dim=-1)
    assert distance[0, 1] == distance[0, 4] == distance[distance > 0].min()


def test_a_context_may_be_a_learned_map_of_the_inputs() -> None:
    kernel = Auxiliary(dims=2, contexts=5).made(double(30, 6), stream(1))
    contexts = kernel.contexts(double(30, 6))
    assert contexts.shape == (30, 2)
    assert torch.allclose(contexts.std(0, correction=0), torch.ones(2).double(), atol=1e-6)
    assert kernel.inducing.shape == (5, 2)
    assert kernel.map is not None
    assert kernel.map.requires_grad


@pytest.mark.parametrize("conditional", ["full", "diag", "det"])
def test_predictions_are_computed_in_parts(conditional: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All draws and points are there, however small the parts; empty inputs have empty predictions."""
    model, train = net_of(1, 3, 1), data(9)
    local = metagp.posterior_of(process_net(model, train, auxiliary=RBF, conditional=conditional), model, train)
    weights: Any = metagp.posterior_of(process_net(model, train, conditional=conditional), model, train)
    monkeypatch.setattr(metagp, "AT_ONCE", 500)
    assert local.predict(train.x, 30, stream(2)).mean.shape == (30, 9)  # type: ignore[union-attr]
    assert local.predict(train.x[:0], 30, stream(2)).mean.shape == (30, 0)  # type: ignore[union-attr]
    drawn = weights.sample(40, stream(2))
    assert drawn.shape == (40, 10)
    assert len(drawn.unique(dim=0)) == 40


def test_many_weights_have_the_variances_of_few() -> None:
    """The product over pairs of inducing codes, which wide layers take, is the squared norm of psi."""
    net = process_net(net_of(1, 30, 30, 1), data(6), inducing=5)
    draw = net.draw(2, stream(1))
    wide = draw.kernels(net.wiring)[1]
    assert 31 * 30 > (31 + 30) * 5
    psi = draw.grid.psi(net.wiring.codes(draw.latents)).square().sum(-1)
    expected = net.wiring.matrices(psi)[1]
    assert torch.allclose(wide.explained(draw.grid.root), expected, atol=1e-9)


def test_predictions_do_not_depend_on_the_unit_of_inputs() -> None:
    """Global weights are made for inputs as they are; the prior sees them over their root mean square."""
    model, train = net_of(1, 3, 1), data(9)
    scaled = Train(1000 * train.x, train.y, train.likelihood)
    one, other = (metagp.posterior_of(process_net(model, each), model, each) for each in (train, scaled))
    a = one.predict(train.x, 50, stream(2)).mean  # type: ignore[union-attr]
    b = other.predict(scaled.x, 50, stream(2)).mean  # type: ignore[union-attr]
    assert torch.allclose(a, b, atol=1e-4)


def test_a_draw_holds_its_kernels() -> None:
    """Kernels of units come from one product for both ends of a weight, and their product is that of the code."""
    net = process_net(net_of(2, 3, 1), data(5, 2))
    draw: Draw = net.draw(2, stream(1))
    whole = rbf(net.wiring.codes(draw.latents), draw.grid.codes, draw.grid.length)
    parts = [(k.b[:, :, None] * k.a[:, None]).flatten(1, 2) for k in draw.kernels(net.wiring)]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-12)

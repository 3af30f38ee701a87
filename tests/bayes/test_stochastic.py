"""Methods that learn from batches, on a posterior that is known exactly, and their parts."""

import warnings
from typing import Any

import pytest
import torch
from problems import conjugate, stream
from pydantic import ValidationError
from scipy.optimize import minimize_scalar
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from bnnbench.bayes.batch_norms import recalibrated
from bnnbench.bayes.csghmc import CSGHMCParams, csghmc
from bnnbench.bayes.ensemble import ensemble
from bnnbench.bayes.flipout import FlipoutConv2d, FlipoutLayer, FlipoutLinear, flipout
from bnnbench.bayes.map import map_estimate
from bnnbench.bayes.members import Members
from bnnbench.bayes.method import Method, Train
from bnnbench.bayes.mfvi import Independent, kl, mean_field
from bnnbench.bayes.network import WholeNet, flat
from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.bayes.swag import LowRankNormal, from_snapshots, swag
from bnnbench.bayes.temperature import Tempered, temperature, temperature_scaling
from bnnbench.bayes.training import batches, reinitialised
from bnnbench.bayes.weights import NetPosterior
from bnnbench.errors import ResultWarning


def test_map_with_weight_decay_is_the_mode() -> None:
    problem = conjugate()
    training = {"learning_rate": 0.05, "epochs": 400, "batch_size": 64, "weight_decay": problem.precision / 64}
    posterior = map_estimate.fit(problem.model, problem.train, {"training": training}, stream())
    assert isinstance(posterior, NetPosterior)
    theta = posterior.sample(1)[0]
    assert torch.allclose(theta.double(), problem.mean, atol=1e-4)  # the mode of a normal is its mean
    assert (flat(problem.model.parameters()) == 0).all()  # the given model is left alone


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 5.0])
def test_temperature_is_scipys(sharpness: float) -> None:
    logits = torch.randn(500, 4, generator=stream(), dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=stream(1))[:, 0]

    def loss(t: float) -> float:
        return functional.cross_entropy(sharpness * logits / t, labels).item()

    found = temperature(sharpness * logits, labels)
    expected = minimize_scalar(loss, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-9}).x
    assert found == pytest.approx(expected, rel=1e-4)  # a minimum found by its values is known to sqrt(1e-16) at best
    assert abs(loss(found * 1.0001) - loss(found / 1.0001)) < 1e-8  # flat at the minimum


EXTREMES: dict[
    str, tuple[float, float, bool]
] = {  # factor of the one-hot labels, of noise, and whether it has an optimum
    "all right": (5.0, 0.0, False),
    "all right, sharp": (500.0, 0.0, False),
    "all right, blunt": (1e-4, 0.0, False),
    "all wrong": (-5.0, 0.0, False),
    "all wrong, sharp": (-6e4, 0.0, False),
    "constant": (0.0, 0.0, False),
    "mixed": (1.0, 1.0, True),
    "overconfident": (100.0, 100.0, True),
    "huge": (1e4, 1e4, True),
    "tiny": (1e-3, 1e-3, True),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", EXTREMES)
def test_a_temperature_is_always_usable_and_says_where_it_is_no_optimum(kind: str, dtype: torch.dtype) -> None:
    signal, noise, optimum = EXTREMES[kind]
    labels = torch.randint(0, 10, (200,), generator=stream())
    logits = (signal * functional.one_hot(labels, 10) + noise * torch.randn(200, 10, generator=stream(1))).to(dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = temperature(logits, labels)
    assert [issubclass(one.category, ResultWarning) for one in caught] == [True] * (not optimum)
    assert 0 < found < float("inf")
    predictive = Tempered(nn.Identity(), found).predict(logits)
    assert torch.isfinite(predictive.probs).all()
    assert torch.isfinite(predictive.log_probs).all()
    assert torch.allclose(predictive.probs.sum(1).double(), torch.ones(200, dtype=torch.float64), atol=1e-4)
    if optimum:
        scaled = logits.double().requires_grad_()
        functional.cross_entropy(scaled / found, labels).backward()
        assert abs((scaled.grad * scaled).sum().item()) < 1e-8  # type: ignore[operator]


@pytest.mark.parametrize("factor", [1e-6, 0.3, 1e6])
def test_a_temperature_is_in_the_unit_of_the_logits(factor: float) -> None:
    labels = torch.randint(0, 4, (100,), generator=stream())
    logits = functional.one_hot(labels, 4) + torch.randn(100, 4, generator=stream(1), dtype=torch.float64)
    shift = torch.randn(100, 1, generator=stream(2), dtype=torch.float64)
    assert temperature(factor * logits + shift, labels) == pytest.approx(factor * temperature(logits, labels), rel=1e-6)


def test_a_temperature_is_of_finite_logits_and_labels_of_their_classes() -> None:
    logits, labels = torch.eye(3), torch.arange(3)
    for wrong in (labels + 1, labels - 100, labels[:2], labels[:, None], labels.float()):
        with pytest.raises(ValueError, match=r"^labels: "):
            temperature(logits, wrong)
    for bad in (torch.nan * logits, logits.log(), 1e300 * logits.double()):
        with pytest.raises(ValueError, match=r"^logits: "):
            temperature(bad, labels)


def test_temperature_scaling_keeps_the_classes() -> None:
    net, train = images()
    posterior = temperature_scaling.fit(net, train, {"training": {"epochs": 30}}, stream())
    assert isinstance(posterior, Tempered)
    scaled = posterior.predict(train.x)
    assert torch.equal(scaled.probs.argmax(1), posterior.net(train.x).argmax(1))
    with pytest.raises(ValueError, match="validation data"):
        temperature_scaling.fit(net, Train(train.x, train.y), None, stream())


def images(n: int = 60) -> tuple[nn.Module, Train]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    x = torch.randn(n, 1, 4, 4, generator=stream())
    y = x.flatten(1)[:, :3].argmax(1)
    return net, Train(x, y, validation=(x[:20], y[:20]))


def layers() -> list[tuple[nn.Linear | nn.Conv2d, Tensor]]:
    torch.manual_seed(0)
    return [
        (nn.Linear(6, 4), torch.randn(5, 6, generator=stream())),
        (nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), torch.randn(5, 2, 6, 6, generator=stream())),
    ]


@pytest.mark.parametrize("case", [0, 1], ids=["linear", "conv"])
def test_flipout_outputs_have_the_moments_of_independent_weights(case: int) -> None:
    layer, x = layers()[case]
    noisy = flipout(layer, 0.3, stream(1))
    assert isinstance(noisy, FlipoutLinear | FlipoutConv2d)
    with torch.no_grad():
        outputs = torch.stack([noisy(x) for _ in range(4000)])
        weight, bias = torch.full_like(layer.weight, 0.09), torch.full((4,), 0.09)
        variance = noisy.apply_layer(x.square(), weight, bias)
        assert torch.allclose(outputs.mean(0), layer(x), atol=6 * 0.3 * 2 / 4000**0.5 * 3)
        assert torch.allclose(outputs.var(0), variance, rtol=0.15)  # 6 standard errors: sqrt(2 / 4000) = 2.2 %


def test_flipout_decorrelates_the_examples_of_a_batch() -> None:
    layer = nn.Linear(6, 1)
    noisy, shared = flipout(layer, 0.3, stream()), 0.3**2 * (6 + 1)
    x = torch.ones(50, 6)  # the same input 50 times: with shared weights the batch mean would vary as one output
    with torch.no_grad():
        means = torch.stack([noisy(x).mean() for _ in range(4000)])
    # Given the perturbation the signs average out over 50 examples.
    assert means.var().item() == pytest.approx(shared / 50, rel=0.2)


def test_flipout_replaces_linear_and_conv_layers_only() -> None:
    net, _ = images()
    noisy = flipout(net, 0.1, stream())
    assert [type(part).__name__ for part in noisy.children()] == [
        "FlipoutConv2d", "BatchNorm2d", "ReLU", "Flatten", "FlipoutLinear",
    ]  # fmt: skip


class Repeated(nn.Module):
    """One layer under two names, and once more in a part of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = self.first
        self.part = nn.Sequential(self.first, nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part(self.second(torch.tanh(self.first(x))))
        return out


def test_a_layer_of_several_names_stays_one() -> None:
    model = Repeated()
    noisy: Any = flipout(model, 0.1, stream())
    assert isinstance(noisy.first, FlipoutLinear)
    assert noisy.first is noisy.second
    assert noisy.first is noisy.part[0]
    x = torch.randn(30, 3, generator=stream())
    posterior = mean_field.fit(model, Train(x, x.argmax(1)), {"training": {"epochs": 2}}, stream())
    assert isinstance(posterior, NetPosterior)
    assert (posterior.sample(5, stream()).std(0) > 0).all()


def test_layers_that_share_a_weight_are_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    with pytest.raises(ValueError, match="share a parameter"):
        flipout(net, 0.1, stream())


def test_a_layer_with_a_forward_of_its_own_stays_points() -> None:
    class Halved(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * super().forward(x)

    noisy = flipout(nn.Sequential(Halved(2, 2), nn.Linear(2, 2)), 0.1, stream())
    assert [type(part) for part in noisy.children()] == [Halved, FlipoutLinear]


def test_kl_is_that_of_torch() -> None:
    layer = flipout(nn.Linear(3, 2), 0.4, stream())
    assert isinstance(layer, FlipoutLayer)
    expected = sum(
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, std), torch.distributions.Normal(0.0, 5**-0.5)
        ).sum()
        for mean, std in layer.gaussians()
    )
    assert torch.allclose(kl([layer], [5.0, 5.0], [0.0, 0.0]), torch.as_tensor(expected))


def test_mean_field_finds_the_best_independent_normal() -> None:
    """Of a normal posterior: its mean, and variances 1 / diag(precision matrix)."""
    problem = conjugate()
    params = {
        "precision": problem.precision,
        "kl_weight": 1.0,
        "initial_std": 0.1,
        "training": {"learning_rate": 0.02, "epochs": 2500, "batch_size": 64},
    }
    posterior = mean_field.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, NetPosterior)
    distribution = posterior.distribution
    assert isinstance(distribution, Independent)
    std = problem.covariance.inverse().diagonal().rsqrt()
    assert ((distribution.mean.double() - problem.mean).abs() < 0.15 * std).all()
    assert torch.allclose(distribution.std.double(), std, rtol=0.1)


def test_mean_field_keeps_other_parameters_as_points() -> None:
    net, train = images()
    posterior = mean_field.fit(net, train, {"training": {"epochs": 1}}, stream())
    assert isinstance(posterior, NetPosterior)
    draws = posterior.sample(50, stream())
    constant = draws.std(0) == 0
    assert constant.sum() == 6  # weight and bias of the batch norm
    assert constant[3 * 9 + 3 :][:6].all()


def test_swag_draws_have_the_covariance_of_its_formula() -> None:
    snapshots = (
        torch.randn(8, 5, generator=stream(), dtype=torch.float64) @ torch.randn(5, 5, generator=stream(1)).double()
    )
    distribution = from_snapshots(snapshots)
    draws = distribution.sample(200_000, stream(2))
    empirical = torch.cov(snapshots.T)
    expected = 0.5 * (torch.diag(snapshots.var(0, correction=0)) + empirical)
    assert torch.allclose(draws.mean(0), snapshots.mean(0), atol=0.03)
    assert torch.allclose(torch.cov(draws.T), expected, atol=0.02 * expected.abs().max().item())


def test_swag_averages_to_the_minimum() -> None:
    problem = conjugate()
    params = {
        "training": None,
        "learning_rate": 0.02,
        "snapshots": 300,
        "batch_size": 8,
        "weight_decay": problem.precision / 64,
    }
    posterior = swag.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, NetPosterior)
    assert isinstance(posterior.distribution, LowRankNormal)
    late = from_snapshots(posterior.distribution.deviations[50:] + posterior.distribution.mean)
    error = late.variance.sqrt() / 250**0.5
    assert ((late.mean.double() - problem.mean).abs() < 6 * error).all()
    assert (late.variance > 0).all()


def test_recalibrated_batch_norms_hold_the_statistics_under_the_draw() -> None:
    net, train = images(500)
    whole = WholeNet(net)
    theta = 2 * flat(net.parameters())
    conv: Tensor = functional.conv2d(train.x, theta[:27].view(3, 1, 3, 3), theta[27:30], padding=1)
    norm = recalibrated(whole, theta, train.x).module[1]  # type: ignore[index]
    assert torch.allclose(norm.running_mean, conv.mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(norm.running_var, conv.var((0, 2, 3)), rtol=1e-3)
    assert torch.equal(net[1].running_mean, torch.zeros(3))  # type: ignore[index]


@pytest.mark.parametrize("n", [501, 502, 1300])
def test_recalibration_weighs_all_points_alike(n: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(n, 4, generator=stream())
    x[500:] += 20  # a last part that is unlike the others
    norm = recalibrated(WholeNet(net), flat(net.parameters()), x).module[1]  # type: ignore[index]
    hidden = net[0](x).detach()
    assert torch.allclose(norm.running_mean, hidden.mean(0), atol=1e-4)
    within = torch.stack([part.var(0) * len(part) for part in hidden.tensor_split(-(-n // 500))]).sum(0) / n
    assert torch.allclose(norm.running_var, within, rtol=1e-3)


def test_recalibration_has_no_dropout() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(60, 4, generator=stream())
    before = torch.get_rng_state()
    norm = recalibrated(WholeNet(net), flat(net.parameters()), x).module[2]  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.allclose(norm.running_mean, net[0](x).mean(0), atol=1e-5)


def test_swag_predicts_with_batch_norms() -> None:
    net, train = images()
    posterior = swag.fit(net, train, {"training": {"epochs": 2}, "snapshots": 3}, stream())
    predictive = posterior.predict(train.x, 4, stream())
    assert isinstance(predictive, ClassPredictive)
    assert predictive.logits.shape == (4, 60, 3)


@pytest.mark.parametrize(("temperature_", "friction"), [(1.0, 0.9), (0.25, 0.9), (1.0, 0.3)])
def test_csghmc_draws_have_the_moments_of_the_posterior(temperature_: float, friction: float) -> None:
    problem = conjugate()
    params = {
        "learning_rate": 0.02 * friction,
        "friction": friction,
        "cycles": 150,
        "epochs_per_cycle": 60,
        "noisy_epochs": 60,
        "draws_per_cycle": 30,
        "temperature": temperature_,
        "weight_decay": problem.precision / 64,
        "batch_size": 64,
    }
    posterior = csghmc.fit(problem.model, problem.train, params, stream())
    assert isinstance(posterior, Members)
    draws = posterior.sample(150 * 30).double()
    covariance = temperature_ * problem.covariance
    std = covariance.diagonal().sqrt()
    # About 3 independent draws a cycle: 450 in all, so a standard error of 5 % of std in means, 7 % in variances.
    assert ((draws.mean(0) - problem.mean).abs() < 0.2 * std).all()
    assert torch.allclose(draws.var(0), covariance.diagonal(), rtol=0.25)


def test_csghmc_takes_its_draws_at_the_end_of_cycles() -> None:
    problem = conjugate()
    params = {"cycles": 2, "epochs_per_cycle": 5, "draws_per_cycle": 2, "noisy_epochs": 1, "learning_rate": 0.01}
    posterior = csghmc.fit(problem.model, problem.train, params, stream())
    assert posterior.predict(problem.train.x).n_draws == 4
    assert posterior.predict(problem.train.x, 2).n_draws == 2
    with pytest.raises(ValidationError, match="must not exceed"):
        CSGHMCParams(epochs_per_cycle=2, draws_per_cycle=3)


@pytest.mark.parametrize(
    ("n", "size", "lengths"),
    [(12, 4, [4, 4, 4]), (10, 4, [4, 4, 2]), (9, 4, [4, 5]), (5, 4, [5]), (1, 4, [1]), (3, 1, [1, 1, 1])],
)
def test_no_point_is_left_alone_in_a_batch(n: int, size: int, lengths: list[int]) -> None:
    parts = batches(n, size, stream(), torch.device("cpu"))
    assert [len(part) for part in parts] == lengths
    assert torch.equal(torch.cat(parts), torch.randperm(n, generator=stream()))


@pytest.mark.parametrize("method", [map_estimate, mean_field, csghmc])
def test_batch_norms_are_trained_on_any_number_of_points(method: Method[Any]) -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(33, 4, generator=stream())
    short = {"epochs": 1, "batch_size": 16}
    params = {"cycles": 1, "epochs_per_cycle": 3, "batch_size": 16} if method is csghmc else {"training": short}
    posterior = method.fit(net, Train(x, x[:, :3].argmax(1)), params, stream())
    assert isinstance(posterior.predict(x), ClassPredictive)


def test_members_of_an_ensemble_differ() -> None:
    net, train = images()
    posterior = ensemble.fit(net, train, {"members": 3, "training": {"epochs": 2}}, stream())
    assert isinstance(posterior, Members)
    theta = posterior.sample(3)
    assert len(theta) == 3
    assert all((theta[i] - theta[j]).norm() > 0.5 for i, j in ((0, 1), (0, 2), (1, 2)))
    assert posterior.predict(train.x).n_draws == 3


def test_new_initial_parameters_come_from_the_stream_alone() -> None:
    net, _ = images()
    first, again = reinitialised(net, stream(3)), reinitialised(net, stream(3))
    assert torch.equal(flat(first.parameters()), flat(again.parameters()))
    assert not torch.equal(flat(first.parameters()), flat(reinitialised(net, stream(4)).parameters()))
    before = torch.get_rng_state()
    reinitialised(net, stream(3))
    assert torch.equal(torch.get_rng_state(), before)


class Scaled(nn.Module):
    """A linear layer whose inputs are scaled by parameters of its own."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(start)
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x * self.scale)
        return out


def test_a_parameter_that_nothing_draws_anew_is_named() -> None:
    with pytest.raises(ValueError, match=r"parameter '0\.scale' starts alike"):
        reinitialised(nn.Sequential(Scaled(torch.tensor([0.3, 0.1, -0.4])), nn.ReLU()), stream())
    with pytest.raises(ValueError, match=r"'parametrizations\.weight\.original'"):
        reinitialised(spectral_norm(nn.Linear(3, 3)), stream())
    ones = Scaled(torch.ones(3))  # a constant on purpose, as the weight of a batch norm
    assert torch.equal(reinitialised(ones, stream()).get_parameter("scale"), ones.scale)
    frozen = Scaled(torch.tensor([0.3, 0.1, -0.4]))
    frozen.scale.requires_grad_(False)
    assert torch.equal(reinitialised(frozen, stream()).get_parameter("scale"), frozen.scale)


class Drawn(nn.Module):
    """Draws its parameter from a generator that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4))

    def reset_parameters(self, generator: Generator) -> None:
        nn.init.uniform_(self.weight, -1, 1, generator=generator)


def test_layers_that_ask_for_a_generator_get_one() -> None:
    net = nn.Sequential(Drawn(), Drawn())
    first, again, other = (flat(reinitialised(net, stream(seed)).parameters()) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[:4], first[4:])

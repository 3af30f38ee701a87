"""MC dropout: its draws against closed forms, its training against ridge regression, and its layers."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from problems import conjugate, stream
from test_checkpoints import Kept, Killed
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from bnnbench.bayes.dropout import Dropped, dropout, dropped_layers
from bnnbench.bayes.likelihood import Gaussian, LearnedNoise
from bnnbench.bayes.map import map_estimate
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import call
from bnnbench.bayes.posterior import RealPredictive
from bnnbench.bayes.weights import DRAWS, NetPosterior

X = torch.randn(40, 3, generator=stream())
REALS = Train(X, X.sum(1), Gaussian(0.3))
BRIEF: dict[str, Any] = {"epochs": 4, "batch_size": 16}


def mlp(activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, 1))


def images(norm: bool = True) -> tuple[nn.Sequential, Train]:
    """A net with channels in groups, whose middle convolution sees two of four channels at each output."""
    torch.manual_seed(0)
    x = torch.randn(30, 2, 4, 4, generator=stream())
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU(),
        nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip
    return net, Train(x, x.flatten(1)[:, :3].argmax(1))


def fitted(net: nn.Module, train: Train, **params: Any) -> NetPosterior:
    posterior = dropout.fit(net, train, {"training": None, **params}, stream(1))
    assert isinstance(posterior, NetPosterior)
    return posterior


def outputs(posterior: NetPosterior, x: Tensor, n_draws: int | None = None, seed: int = 2) -> Tensor:
    predictive: Any = posterior.predict(x, n_draws, stream(seed))
    found: Tensor = predictive.mean if isinstance(predictive, RealPredictive) else predictive.logits
    return found


@pytest.mark.parametrize("rate", [0.0, 1e-9])
def test_without_dropout_it_is_map(rate: float) -> None:
    """The dropout stream is not that of batches, so the order of points is the same."""
    expected = map_estimate.fit(mlp(), REALS, {"training": BRIEF}, stream(1)).predict(X)
    found = dropout.fit(mlp(), REALS, {"training": BRIEF, "rate": rate}, stream(1))
    assert isinstance(found, NetPosterior)
    assert isinstance(expected, RealPredictive)
    assert torch.allclose(outputs(found, X, 3), expected.mean, atol=1e-6)
    other = dropout.fit(mlp(), REALS, {"training": BRIEF, "rate": 0.3}, stream(1))
    assert isinstance(other, NetPosterior)
    assert not torch.allclose(outputs(other, X, 1), expected.mean, atol=1e-2)


def test_a_linear_layer_has_the_moments_of_bernoulli_inputs() -> None:
    """Mean w.h + b and covariance p / (1 - p) sum_j w_j^2 h_j h'_j over inputs h, h'."""
    rate, n = 0.3, 40_000
    layer = nn.Linear(3, 1)
    draws = outputs(fitted(layer, REALS, rate=rate, first=True), X[:6], n).double()
    scaled = (layer.weight * X[:6]).detach().double()
    expected = rate / (1 - rate) * scaled @ scaled.T
    deviation = expected.diagonal().sqrt()
    assert ((draws.mean(0) - layer(X[:6])[:, 0]).abs() < 5 * deviation / n**0.5).all()
    assert torch.allclose(torch.cov(draws.T), expected, atol=0.03 * expected.abs().max().item())


def test_the_mean_of_a_linear_net_is_the_net_with_its_weights_scaled() -> None:
    net = mlp(nn.Identity)
    draws = outputs(fitted(net, REALS, rate=0.2), X, 40_000)
    error = draws.std(0) / 40_000**0.5
    assert ((draws.mean(0) - net(X)[:, 0]).abs() < 5 * error).all()
    assert draws.std(0).min() > 0.01
    theta = fitted(net, REALS, rate=0.2).sample(2000, stream())
    kept = theta[:, 20:40].view(2000, 4, 5) != 0  # the second layer's weight, a column a unit
    assert (kept == kept[:, :1]).all()
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert torch.equal(theta[:, :20], theta[:1, :20].expand(2000, -1))  # the first layer


@pytest.mark.parametrize("norm", [False, True])
def test_a_draw_is_a_mask_of_whole_channels_which_all_inputs_share(norm: bool) -> None:
    """Each draw is rebuilt with masks on the channels and units that go into the layers."""
    net, train = images(norm)
    for _ in range(3):
        net(train.x)  # statistics of its own
    posterior = fitted(net.eval(), train, rate=0.4)
    theta = posterior.sample(8, stream(2))
    before = dict(net.named_parameters())
    found = outputs(posterior, train.x, 8)
    for k, draw in enumerate(theta):
        named = posterior.net.named(draw)  # type: ignore[attr-defined]
        conv, last = named["3.weight"] / before["3.weight"], named["6.weight"] / before["6.weight"]
        halves = conv[[0, 3], :, 0, 0]  # two channels a group, three outputs a group
        h = net[:3](train.x) * halves.reshape(1, 4, 1, 1)
        h = net[3:6](h) * last[0]
        assert torch.allclose(net[6](h), found[k], atol=1e-5)
        assert all(torch.allclose(part, part[:1].expand_as(part)) for part in (conv[:3], conv[3:], last))
        assert torch.allclose(conv, conv[..., :1, :1].expand_as(conv))
        assert all(value < 1e-6 or abs(value - 1 / 0.6) < 1e-5 for value in (*halves.reshape(-1), *last[0]))
    split = torch.cat([outputs(posterior, part, 8) for part in train.x.split([7, 23])], dim=1)
    assert torch.allclose(split, found, atol=1e-5)
    assert not torch.allclose(outputs(posterior, train.x, 8, seed=3), found, atol=1e-3)


def test_training_drops_whole_channels_and_units_of_each_point_apart() -> None:
    net, train = images()
    seen: dict[str, list[Tensor]] = {"conv": [], "linear": []}
    net[0].register_forward_hook(lambda part, inputs, _: seen["conv"].append(inputs[0]) if part.training else None)
    net[6].register_forward_hook(lambda part, inputs, _: seen["linear"].append(inputs[0]) if part.training else None)
    train = Train(train.x.abs() + 1, train.y)
    dropout.fit(net, train, {"rate": 0.25, "first": True, "training": {"epochs": 60, "batch_size": 30}}, stream(1))
    conv = torch.stack(seen["conv"])  # [60, 30, 2, 4, 4]
    kept = conv != 0
    assert (kept == kept[..., :1, :1]).all()
    rates = 1 - kept[..., 0, 0].float().mean(0)  # of each point and channel
    assert rates.mean().item() == pytest.approx(0.25, abs=0.04)
    assert rates.min() > 0
    assert conv.sum((1, 2, 3, 4)).mean().item() == pytest.approx(train.x.sum().item(), rel=0.03)
    assert (torch.stack(seen["linear"]) == 0).float().mean() > 0.25


def test_training_is_ridge_regression_with_dropout_of_linear_inputs() -> None:
    """E (y - w.(z h) - b)^2 = (y - w.h - b)^2 + p / (1 - p) sum_j w_j^2 h_j^2 (Srivastava et al. 2014, section 9.1)."""
    problem, rate = conjugate(), 0.2
    x, y = problem.train.x.double(), problem.train.y.double()
    design = torch.cat([x, torch.ones(64, 1)], dim=1).double()
    penalty = torch.cat([rate / (1 - rate) * x.square().sum(0), torch.zeros(1)]).diag() / 0.25
    prior = problem.precision * torch.eye(3, dtype=torch.float64)
    expected = torch.linalg.solve(design.T @ design / 0.25 + penalty + prior, design.T @ y / 0.25)
    training = {"learning_rate": 0.02, "epochs": 3000, "batch_size": 64, "weight_decay": problem.precision / 64}
    posterior = dropout.fit(
        problem.model, problem.train, {"rate": rate, "first": True, "training": training}, stream(1)
    )
    assert isinstance(posterior, NetPosterior)
    assert isinstance(posterior.distribution, Dropped)
    theta = posterior.distribution.theta
    assert torch.allclose(theta.double(), expected, atol=0.02)
    assert (theta.double() - problem.mean).abs().max() > 0.1  # which without dropout it would be


def test_a_learned_noise_is_trained_and_not_dropped() -> None:
    train = Train(X, X.sum(1) + 0.3 * torch.randn(40, generator=stream(4)), LearnedNoise())
    net = mlp()
    posterior = dropout.fit(net, train, {"training": {"epochs": 30, "learning_rate": 0.02}}, stream(1))
    predictive = posterior.predict(X)
    assert isinstance(predictive, RealPredictive)
    assert predictive.mean.shape == (DRAWS, 40)
    assert (predictive.noise == predictive.noise[0, 0]).all()
    assert predictive.noise[0, 0].log() != -1.0


def test_the_net_stays_as_it_was() -> None:
    net, train = images()
    before = deepcopy(net.state_dict())
    posterior = dropout.fit(net, train, {"training": BRIEF}, stream(1))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert isinstance(posterior, NetPosterior)
    module: nn.Module = posterior.net.module  # type: ignore[attr-defined]
    assert not any(part._forward_pre_hooks for each in (net, module) for part in each.modules())
    assert module.state_dict().keys() == before.keys()
    x = train.x
    assert torch.equal(module.train()(x), module(x))  # no dropout is left in it


@pytest.mark.parametrize("death", [2, 3, 4])
def test_a_killed_fit_continues_with_the_same_masks(death: int) -> None:
    params = {"training": BRIEF, "rate": 0.3}
    whole = dropout.fit(mlp(), REALS, params, stream(3))
    journal = Kept(death)
    with pytest.raises(Killed):
        dropout.fit(mlp(), REALS, params, stream(3), journal)
    going_on = Kept(saved=journal.saved)
    torch.rand(5)
    found = dropout.fit(mlp(), REALS, params, stream(8), going_on)
    assert isinstance(whole, NetPosterior)
    assert isinstance(found, NetPosterior)
    assert going_on.logged == 4 - (death - 1)
    assert torch.equal(found.sample(5, stream()), whole.sample(5, stream()))
    other: Any = dropout.fit(mlp(), REALS, params, stream(9))
    assert not torch.equal(other.sample(5, stream()), whole.sample(5, stream()))


class Backwards(nn.Module):
    """Its last layer is registered first; one layer is called twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 1)
        self.twice = nn.Linear(3, 3)
        self.unused = nn.Linear(3, 3)
        self.begin = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.twice(self.twice(self.begin(x).tanh()).tanh()).tanh())
        return found


class Halved(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


def test_layers_are_those_that_the_net_calls_in_its_order() -> None:
    assert dropped_layers(Backwards(), X, first=False) == ["twice", "last"]
    assert dropped_layers(Backwards(), X, first=True) == ["begin", "twice", "last"]
    frozen = Backwards()
    frozen.twice.weight.requires_grad_(False)
    assert dropped_layers(frozen, X, first=False) == ["last"]
    net = nn.Sequential(nn.Linear(3, 3), Halved(3, 3), weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3, bias=False))
    assert dropped_layers(net, X, first=False) == ["3"]


def test_a_layer_that_is_called_twice_has_one_mask() -> None:
    net = Backwards()
    posterior = fitted(net, REALS, rate=0.4)
    theta = posterior.sample(4, stream(2))
    for draw, found in zip(theta, outputs(posterior, X, 4), strict=True):
        named = posterior.net.named(draw)  # type: ignore[attr-defined]
        assert torch.allclose(call(net, named, X)[:, 0], found, atol=1e-6)


def test_convolutions_of_one_dimension_are_dropped_by_channels() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 3, 2), nn.ReLU(), nn.Conv1d(3, 2, 2), nn.Flatten(), nn.Linear(2, 1))
    train = Train(X[:, None], X.sum(1), Gaussian(0.3))
    posterior = dropout.fit(net, train, {"training": BRIEF, "rate": 0.5}, stream(1))
    assert isinstance(posterior, NetPosterior)
    kept = posterior.sample(50, stream())[:, 9:21].view(50, 2, 3, 2) != 0
    assert (kept == kept[:, :1, :, :1]).all()
    assert kept.any()
    assert not kept.all()


def test_what_cannot_be_dropped_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^model: no plain linear [^\n]*'first'\), so nothing to drop$"):
        dropout.fit(nn.Linear(3, 1), REALS)
    frozen = nn.Sequential(nn.Linear(3, 1))
    frozen[0].get_parameter("weight").requires_grad_(False)
    with pytest.raises(ValueError, match=r"^model: no plain linear [^\n]*weight, so nothing to drop$"):
        dropout.fit(frozen, REALS, {"first": True})
    tied = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    tied[2].weight = tied[0].weight
    with pytest.raises(ValueError, match=r"^model: the weight of '2' is another layer's too[^\n]*$"):
        dropout.fit(tied, REALS)
    with pytest.raises(ValueError, match="n_draws: 0 draws"):
        fitted(mlp(), REALS).predict(X, 0)

"""Frozen parameters are constants to every method: not trained, not drawn anew, no part of theta."""

from typing import Any

import pytest
import torch
from problems import stream
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from bnnbench.bayes import ggn, jax_density, layerwise
from bnnbench.bayes.flipout import FlipoutLayer, flipout
from bnnbench.bayes.likelihood import Categorical
from bnnbench.bayes.members import Members
from bnnbench.bayes.method import Train
from bnnbench.bayes.network import WholeNet, flat, inferred_part, trainable
from bnnbench.bayes.posterior import ClassPredictive
from bnnbench.bayes.target import Target
from bnnbench.bayes.training import reinitialised
from bnnbench.harness import registry

X = torch.randn(40, 3, generator=stream())
TRAIN = Train(X, X.argmax(1), validation=(X[:20], X[:20].argmax(1)))
BRIEF: dict[str, Any] = {"epochs": 2}
FEW: dict[str, Any] = {"warmup": 4, "draws": 6, "chains": 2}
ALL: dict[str, dict[str, Any]] = {
    "map": {"training": BRIEF},
    "temperature": {"training": BRIEF},
    "ensemble": {"training": BRIEF, "members": 2},
    "dropout": {"training": BRIEF},
    "mfvi": {"training": BRIEF, "initial_std": 0.1},
    "avb": {"training": BRIEF},
    "kivi": {"training": BRIEF},
    "livi": {"training": BRIEF},
    "swag": {"training": BRIEF, "snapshots": 2, "weight_decay": 0.1},
    "csghmc": {"cycles": 1, "epochs_per_cycle": 3, "learning_rate": 0.01},
    "laplace": {"training": BRIEF, "scope": "all", "precision": 1.0},
    "refine": {"training": BRIEF, "laplace": {"scope": "all", "precision": 1.0}, "optimisation": BRIEF},
    "hmc": {"training": BRIEF, "scope": "all", "precision": 5.0, "sampling": FEW},
    "nuts": {"training": BRIEF, "scope": "all", "precision": 5.0, "max_tree_depth": 3, **FEW},
}


def half_frozen() -> nn.Sequential:
    """The first layer's weight is frozen, all of the second layer, and the last bias."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    for name in ("0.weight", "2.weight", "2.bias", "4.bias"):
        net.get_parameter(name).requires_grad_(False)
    return net


def module_of(posterior: Any) -> nn.Module:
    net = posterior.net
    module: nn.Module = net.module if isinstance(net, WholeNet) else net
    return module


@pytest.mark.parametrize("name", ALL)
def test_frozen_parameters_are_constants(name: str) -> None:
    net = half_frozen()
    posterior: Any = registry.method(name).fit(net, TRAIN, ALL[name], stream())
    module = module_of(posterior)
    states = posterior.states if isinstance(posterior, Members) else [module.state_dict()]
    for key, value in net.named_parameters():
        if not value.requires_grad:
            assert all(torch.equal(state[key], value) for state in states)
    if name != "temperature":
        draws = posterior.sample(5, stream())
        assert draws.shape[1] == 5 + 4 * 3 == WholeNet(net).n_params
        outputs = WholeNet(module).outputs(draws, X)  # with the frozen ones as they came
        assert outputs.shape == (len(draws), 40, 3)
        predictive = posterior.predict(X, 5, stream())
        assert isinstance(predictive, ClassPredictive)
        assert torch.allclose(predictive.logits, outputs, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_nothing_to_infer_is_an_error(name: str) -> None:
    net = half_frozen().requires_grad_(False)
    with pytest.raises(ValueError, match=r"^model: all parameters are frozen"):
        registry.method(name).fit(net, TRAIN, ALL[name], stream())


@pytest.mark.parametrize("name", ["laplace", "refine", "hmc", "nuts"])
@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_a_frozen_last_layer_is_not_inferred_alone(name: str, frozen: str) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    net[2].get_parameter(frozen).requires_grad_(False)
    with pytest.raises(ValueError, match=f"^model: {frozen} of the last linear layer is frozen"):
        registry.method(name).fit(net, TRAIN, {"training": None}, stream())


def test_a_last_layer_of_which_a_factor_is_frozen_is_not_inferred_alone() -> None:
    net = nn.Sequential(nn.Linear(3, 4), weight_norm(nn.Linear(4, 3)))
    net[1].get_parameter("parametrizations.weight.original0").requires_grad_(False)
    with pytest.raises(ValueError, match="original0 of the last linear layer is frozen"):
        inferred_part(net, "last", X)


@pytest.mark.parametrize("name", ["laplace", "refine", "hmc", "nuts"])
def test_a_frozen_backbone_leaves_the_last_layer_as_it_is_without(name: str) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    params = {"training": None, **({"sampling": FEW} if name == "hmc" else FEW if name == "nuts" else {})}
    free: Any = registry.method(name).fit(net, TRAIN, params, stream())
    net[0].requires_grad_(False)
    frozen: Any = registry.method(name).fit(net, TRAIN, params, stream())
    assert torch.equal(free.sample(3, stream()), frozen.sample(3, stream()))


def test_an_ensemble_stands_on_the_backbone_that_it_was_given() -> None:
    """|a + b| and |a - b| separate the classes; random features of the same size do not."""
    x = torch.randn(400, 2, generator=stream())
    train = Train(x, (x[:, 0] * x[:, 1] > 0).long())
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1], [-1, -1], [1, -1], [-1, 1]]))  # type: ignore[operator]
        net[0].bias.zero_()  # type: ignore[operator]
    net[:3].requires_grad_(False)
    params = {"members": 3, "training": {"epochs": 40, "learning_rate": 0.05}}
    posterior = registry.method("ensemble").fit(net, train, params, stream())
    assert isinstance(posterior, Members)
    predictive = posterior.predict(x)
    assert isinstance(predictive, ClassPredictive)
    for logits in predictive.logits:
        assert (logits.argmax(1) == train.y).double().mean() > 0.96


def test_new_members_keep_frozen_parts_and_their_statistics() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with torch.no_grad():
        net(3 * X + 1)  # statistics of its own
    net[:2].requires_grad_(False)
    net[2].get_parameter("bias").requires_grad_(False)
    found = reinitialised(net, stream()).state_dict()
    same = {name for name, value in net.state_dict().items() if torch.equal(found[name], value)}
    assert {name for name in same if name[0] in "012"} == {name for name in found if name[0] in "01"} | {"2.bias"}
    assert not {"2.weight", "3.running_mean", "3.running_var", "4.weight", "4.bias"} & same


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_flipout_has_no_noise_on_frozen_parameters(frozen: str) -> None:
    layer = nn.Linear(3, 2)
    layer.get_parameter(frozen).requires_grad_(False)
    noisy = flipout(layer, 0.5, stream())
    assert isinstance(noisy, FlipoutLayer)
    x = torch.ones(4000, 3)
    variance = sum(0.25 * (3 if name == "weight" else 1) for name in ("weight", "bias") if name != frozen)
    with torch.no_grad():
        outputs = torch.stack([noisy(x[:20]) for _ in range(4000)])
    assert torch.allclose(outputs.mean(0), layer(x[:20]), atol=0.08)
    assert torch.allclose(outputs.var(0), torch.full((20, 2), variance), rtol=0.2)
    assert [mean.shape for mean, _ in noisy.gaussians()] == [
        getattr(layer, {"weight": "bias", "bias": "weight"}[frozen]).shape
    ]


def test_the_curvature_is_that_of_the_parameters_that_are_free() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    net = net.double().eval()
    net[:2].requires_grad_(False)
    net[5].get_parameter("bias").requires_grad_(False)
    whole, theta, x = WholeNet(net), flat(trainable(net)), X.double()
    jacobian: Tensor = torch.autograd.functional.jacobian(lambda t: whole.outputs(t[None], x)[0], theta)
    second = Categorical().hessian(whole.outputs(theta[None], x)[0])
    expected = torch.einsum("ncp,nck,nkp->p", jacobian, second, jacobian)
    assert layerwise.applies(whole, theta, x)
    assert torch.allclose(layerwise.diagonal(whole, theta, x, Categorical()), expected)
    full = ggn.curvature(whole, theta, x, Categorical(), "full")
    assert torch.allclose(full.marginal(full.eigenvalues), expected)


def test_the_density_in_jax_holds_frozen_parameters() -> None:
    net = half_frozen()
    target = Target(WholeNet(net), X, TRAIN.y, Categorical(), 2.0)
    theta = torch.randn(5, target.net.n_params, generator=stream(1))
    density = jax_density.log_density(target)
    found = torch.tensor([float(density(draw.numpy())) for draw in theta])
    expected = target(theta).detach()
    assert torch.allclose(found - found[0], expected - expected[0], atol=1e-3)  # up to a constant
